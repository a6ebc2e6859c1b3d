"""How long class logits take from one process to the next, by their size. A part of `pipe bench panoptic`.

As `pipe bench hop`, back-to-back: every byte is written in the loan, then the reader has the frame; nothing of it is copied, so
the time does not depend on the size. Logits: 19 classes, float32, of a picture of 256 x 512 and of 1024 x 2048.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.common import quantile
from bench.hop import BACK, engine
from bench.panoptic_frames import CLASSES

SIZES = {"8 B": 8, "256 x 512": 4 * CLASSES * 256 * 512, "1024 x 2048": 4 * CLASSES * 1024 * 2048}
FRAMES = {"8 B": 1000, "256 x 512": 200, "1024 x 2048": 40}


class Row(NamedTuple):
    """us: median and p99 of the hop; fill_ms: the time the sender needs to write the frame, no part of the hop."""

    logits: str
    mb: float
    us: float
    p99_us: float
    fill_ms: float


def rows() -> list[Row]:
    """Raises RuntimeError where a byte was copied."""
    made = []
    for name, size in SIZES.items():
        found = engine(BACK, size, FRAMES[name])
        made.append(
            Row(name, size / 1e6, quantile(found.hop_us, 0.5), quantile(found.hop_us, 0.99), 1e-3 * quantile(found.fill_us, 0.5))
        )
    return made


def lines(table: Sequence[Row]) -> list[str]:
    out = [f"{'hop of the logits':>20} | {'MB':>7} | {'p50 us':>7} | {'p99 us':>7} | fill ms"]
    return out + [f"{r.logits:>20} | {r.mb:7.1f} | {r.us:7.1f} | {r.p99_us:7.1f} | {r.fill_ms:7.2f}" for r in table]
