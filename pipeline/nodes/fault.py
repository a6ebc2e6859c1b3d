"""Pass numbers on, and fail at chosen frames.

in   data  (1,) int64
out  out   (1,) int64   the same
kind  raise, exit (code 7), hang, leak (keep every view), shape (return (2,)), slow
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.nodes.counts import COUNT
from pipeline.nodes.faults import misbehave
from pipeline.operator import Operator


@dataclass(frozen=True)
class FaultConfig:
    kind: Literal["none", "raise", "exit", "hang", "leak", "shape", "slow"] = "none"
    at: int | None = None  # frame_id to go wrong at; none = all
    every: int | None = None  # go wrong at each n-th frame_id (from `at` on)
    once: bool = False  # not again after a restart
    in_open: bool = False  # in open() instead
    hang_in_c: bool = False  # in a C call: Python's signal handlers do not run
    hold_gil: bool = False  # in a C call that also stops every other thread
    slow_ms: float = 50.0


class Fault(Operator):
    Config, inputs, outputs = FaultConfig, {"data": COUNT}, {"out": COUNT}

    def open(self) -> None:
        self.kept: list[np.ndarray] = []
        self.armed = not (self.config.once and self.resume is not None)
        if self.config.in_open and self.armed:
            self._misbehave()

    def process(self, data: np.ndarray) -> np.ndarray:
        if self.armed and not self.config.in_open and self._chosen(self.header.frame_id):
            if self.config.kind == "leak":
                self.kept.append(data)
            elif self.config.kind == "shape":
                return np.zeros(2, np.int64)
            elif self.config.kind == "slow":
                time.sleep(self.config.slow_ms * 1e-3)
            else:
                self._misbehave()
        return data.copy()

    def _chosen(self, frame_id: int) -> bool:
        at, every = self.config.at, self.config.every
        if every is not None:
            return frame_id >= (at or 0) and (frame_id - (at or 0)) % every == 0
        return at is None or frame_id == at

    def _misbehave(self) -> None:
        misbehave(self.config.kind, self.name, self.config.hang_in_c, self.config.hold_gil)
