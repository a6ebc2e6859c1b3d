"""A LiDAR in fog: points are lost, more of them far away, and intensity falls.

in   points  (N, 4) float32  x y z [m, velodyne frame], intensity 0..1
out  points  (M, 4) float32  those that are left, in the same order
State: none.   Empty sweep: M = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.augment.seeded import require_seed, rng_of
from operators.augment.sweeps import fog_extinction, weather
from operators.inject.shared import require_level
from operators.streams import POINTS
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class FogConfig:
    level: float = 100.0  # meteorological optical range [m], 5..10,000: smaller is denser
    seed: int = 0

    def __post_init__(self) -> None:
        require_level(self.level, 5, 10000)
        require_seed(self.seed)


class Fog(Operator):
    Config, inputs, outputs = FogConfig, {"points": POINTS}, {"points": POINTS}

    def process(self, points: np.ndarray) -> np.ndarray:
        rng = rng_of(self.config.seed, self.header.sequence, self.header.frame_id)
        return weather(points, fog_extinction(self.config.level), rng)
