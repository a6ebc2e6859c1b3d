"""Values and stamps of the test nodes: one number, or bytes."""

from __future__ import annotations

import numpy as np

from pipeline.schema import Array, Schema

COUNT = Schema("COUNT", {"data": Array("int64", (1,), about="running number")})
BLOB = Schema("BLOB", {"data": Array("uint8", ("N",), about="any bytes")})

START_NS = 1_000_000_000
PERIOD_NS = 100_000_000
"""First stamp, and the distance between stamps without a rate."""


def stamp_ns(number: int, rate_hz: float | None) -> int:
    """Computed from the number, not summed up: a resumed source continues with exactly the same stamps."""
    return START_NS + round(number * (1e9 / rate_hz if rate_hz else PERIOD_NS))


def stamps_ns(start: int, frames: int, rate_hz: float | None) -> np.ndarray:
    """(frames,) int64: stamps of the numbers from `start` on."""
    return np.array([stamp_ns(start + i, rate_hz) for i in range(frames)], np.int64)


_bases: dict[int, np.ndarray] = {}


def fill(out: np.ndarray, index: int) -> None:
    """Blob `index`, (N,) uint8: every byte differs from the same byte of the blobs before and after."""
    n = len(out)
    if n not in _bases:
        numbers = np.arange(n, dtype=np.uint32)
        _bases.clear()  # one size at a time is kept: they may be 40 MB each
        _bases[n] = (numbers * 31 + (numbers >> 8) * 17).astype(np.uint8)
    np.add(_bases[n], np.uint8(index * 7 % 256), out=out)
