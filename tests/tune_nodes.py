"""An operator with live keys. Named as `tune_nodes:Gain`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.nodes.counts import COUNT
from pipeline.operator import Operator


@dataclass(frozen=True)
class ShapeConfig:
    offset: int = 0
    scale: float = 1.0


@dataclass(frozen=True)
class GainConfig:
    gain: int = 1
    shape: ShapeConfig = field(default_factory=ShapeConfig)
    full_ms: float = 0.0  # sleep of each frame
    fixed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.gain <= 100:
            raise ValueError(f"gain: needs 0..100, got {self.gain}")


class Gain(Operator):
    """Adds a line `frame_id gain offset` to DIR/<node>/gains.txt for each frame. It refuses a gain of 13."""

    Config, inputs, outputs = GainConfig, {"data": COUNT}, {"out": COUNT}
    tunable = ("gain", "shape")

    def open(self) -> None:
        self.out_dir.mkdir(parents=True, exist_ok=True)
        self.offset = self.config.shape.offset

    def reconfigured(self, old: GainConfig, new: GainConfig) -> None:
        if new.gain == 13:
            raise ValueError("13 is none of mine")
        self.offset = new.shape.offset

    def process(self, data: np.ndarray) -> Any:
        with (self.out_dir / "gains.txt").open("a") as file:
            file.write(f"{self.header.frame_id} {self.config.gain} {self.offset}\n")
        time.sleep(1e-3 * self.config.full_ms)
        return data.copy()
