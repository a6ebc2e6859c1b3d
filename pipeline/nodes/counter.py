"""Count: 0, 1, 2, ...

out  out   (1,) int64   the number of the frame
Stamps start at 1 s and are 1/`rate_hz` apart; without a rate 0.1 s, and no sync check relies on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.frame import Reading
from pipeline.nodes.counts import COUNT, stamp_ns, stamps_ns
from pipeline.operator import Found, Source


@dataclass(frozen=True)
class CounterConfig:
    frames: int | None = 100  # none = endless
    rate_hz: float | None = None  # of the stamps
    start: int = 0  # first number; moves the first stamp, too

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames < 0:
            raise ValueError(f"frames: needs at least 0, got {self.frames}")
        if self.rate_hz is not None and self.rate_hz <= 0:
            raise ValueError(f"rate_hz: needs more than 0, got {self.rate_hz:g}")


class Counter(Source):
    Config, outputs = CounterConfig, {"out": COUNT}

    @classmethod
    def find(cls, config: CounterConfig) -> Found:
        stamps = None if config.frames is None else stamps_ns(config.start, config.frames, config.rate_hz)
        return Found(config.frames, config.rate_hz, stamps)

    def open(self, start: int = 0) -> None:
        self.index = start

    def read(self) -> Reading | None:
        if self.config.frames is not None and self.index >= self.config.frames:
            return None
        number = self.config.start + self.index
        self.index += 1
        return Reading({"out": np.array([number], np.int64)}, f"{number:06d}", stamp_ns(number, self.config.rate_hz))
