"""Operators with levels, whose cost is their level. Named as `level_nodes:Class`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.nodes.counts import COUNT
from pipeline.operator import Level, Operator


@dataclass(frozen=True)
class WorkConfig:
    full_ms: float = 0.0
    slow: tuple[int, int] = (0, 0)  # frames from, to: four times as slow
    broken: bool = False
    levels: bool = True


class Work(Operator):
    """Sleeps; at the level `quick` a quarter of the time. Adds its level to DIR/<node>/levels.txt, a digit for each frame."""

    Config, inputs, outputs = WorkConfig, {"data": COUNT}, {"out": COUNT}
    levels = (Level("quick", "three quarters of the sleep", 0.1, cost=0.25),)

    @classmethod
    def levels_of(cls, config: WorkConfig) -> tuple[Level, ...]:
        return cls.levels if config.levels else ()

    def open(self) -> None:
        self.level = 0
        self.out_dir.mkdir(parents=True, exist_ok=True)

    def set_level(self, level: int) -> None:
        if self.config.broken:
            raise ValueError("no quick way")
        self.level = level

    def process(self, data: np.ndarray) -> Any:
        first, last = self.config.slow
        load = 4 if first <= int(data[0]) < last else 1
        time.sleep(1e-3 * self.config.full_ms * load / (4 if self.level else 1))
        with (self.out_dir / "levels.txt").open("a") as file:
            file.write(str(self.level))
        return data.copy()
