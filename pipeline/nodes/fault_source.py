"""Count, and fail at one frame. A reading that raises is not repeated: the next one follows.

out  out   (1,) int64   the number of the frame
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.frame import Reading
from pipeline.nodes.counter import Counter, CounterConfig
from pipeline.nodes.faults import misbehave


@dataclass(frozen=True)
class FaultSourceConfig(CounterConfig):
    kind: Literal["none", "raise", "exit", "hang"] = "none"
    at: int = 0  # number of the reading to go wrong at
    once: bool = False  # not again after a restart
    hang_in_c: bool = False
    hold_gil: bool = False


class FaultSource(Counter):
    Config = FaultSourceConfig

    def read(self) -> Reading | None:
        reading = super().read()
        if reading is not None and self.index - 1 == self.config.at and not (self.config.once and self.resume is not None):
            misbehave(self.config.kind, self.name, self.config.hang_in_c, self.config.hold_gil)
        return reading
