"""A sensor with a bad clock: stamps jitter, come out of order, come twice, stop for a while. All by seed.

out  out   (1,) int64   number of the frame before disorder
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.frame import Reading
from pipeline.nodes.counts import COUNT, START_NS
from pipeline.operator import Found, Source


@dataclass(frozen=True)
class JitterConfig:
    frames: int = 100
    rate_hz: float = 10.0
    seed: int = 0
    offset_ms: float = 0.0  # of all stamps
    jitter_ms: float = 0.0  # each stamp moves by up to this, either way
    disorder_ms: float = 0.0  # a frame comes at most this far after one with a later stamp
    max_disorder_ms: float | None = None  # what the driver declares; none = the truth
    duplicates: float = 0.0  # share of frames that come twice
    dead_s: tuple[float, float] | None = None  # from, to: seconds after the start without a frame

    def __post_init__(self) -> None:
        if self.rate_hz <= 0:
            raise ValueError(f"rate_hz: needs more than 0, got {self.rate_hz:g}")
        if not 0 <= self.duplicates <= 1:
            raise ValueError(f"duplicates: needs 0 .. 1, got {self.duplicates:g}")


def schedule(config: JitterConfig) -> list[tuple[int, int]]:
    """(number, stamp_ns) in the order of arrival."""
    rng = np.random.default_rng(config.seed)
    n = config.frames
    ideal_s = np.arange(n) / config.rate_hz
    stamps_ns = START_NS + np.rint(
        ideal_s * 1e9 + config.offset_ms * 1e6 + rng.uniform(-1, 1, n) * config.jitter_ms * 1e6
    ).astype(np.int64)
    # frames arrive up to d late, so none comes after a frame whose stamp is more than d later
    arrival_ns = stamps_ns + np.rint(rng.uniform(0, 1, n) * config.disorder_ms * 1e6).astype(np.int64)
    twice = rng.uniform(0, 1, n) < config.duplicates
    out = []
    for i in np.argsort(arrival_ns, kind="stable").tolist():
        if config.dead_s is not None and config.dead_s[0] <= ideal_s[i] < config.dead_s[1]:
            continue
        out += [(i, int(stamps_ns[i]))] * (2 if twice[i] else 1)
    return out


class Jitter(Source):
    Config, outputs = JitterConfig, {"out": COUNT}

    @classmethod
    def find(cls, config: JitterConfig) -> Found:
        readings = schedule(config)
        return Found(len(readings), config.rate_hz, np.array([stamp for _, stamp in readings], np.int64))

    def open(self, start: int = 0) -> None:
        config = self.config
        self.max_disorder_ms = config.disorder_ms if config.max_disorder_ms is None else config.max_disorder_ms
        self.left = iter(schedule(config)[start:])

    def read(self) -> Reading | None:
        number, stamp = next(self.left, (-1, -1))
        if number < 0:
            return None
        return Reading({"out": np.array([number], np.int64)}, f"{number:06d}", stamp)
