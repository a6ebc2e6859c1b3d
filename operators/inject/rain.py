"""A LiDAR in rain: points are lost, more of them far away, and intensity falls.

in   points  (N, 4) float32  x y z [m, velodyne frame], intensity 0..1
out  points  (M, 4) float32  those that are left, in the same order
State: none.   Empty sweep: M = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.augment.seeded import require_seed, rng_of
from operators.augment.sweeps import rain_extinction, weather
from operators.inject.shared import require_level
from operators.streams import POINTS
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class RainConfig:
    level: float = 50.0  # mm/h, 0..500
    seed: int = 0

    def __post_init__(self) -> None:
        require_level(self.level, 0, 500)
        require_seed(self.seed)


class Rain(Operator):
    Config, inputs, outputs = RainConfig, {"points": POINTS}, {"points": POINTS}

    def process(self, points: np.ndarray) -> np.ndarray:
        rng = rng_of(self.config.seed, self.header.sequence, self.header.frame_id)
        return weather(points, rain_extinction(self.config.level), rng)
