"""A LiDAR that is covered on one side.

in   points  (N, 4) float32  x y z [m, velodyne frame], intensity 0..1
out  points  (M, 4) float32  those that are left, in the same order
State: the direction, one for all frames.   Empty sweep: M = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.augment.seeded import require_seed, rng_of
from operators.augment.sweeps import sector_loss
from operators.inject.shared import require_level
from operators.streams import POINTS
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class SectorLossConfig:
    level: float = 90.0  # degrees, 0..360, around a random direction
    seed: int = 0

    def __post_init__(self) -> None:
        require_level(self.level, 0, 360)
        require_seed(self.seed)


class SectorLoss(Operator):
    Config, inputs, outputs = SectorLossConfig, {"points": POINTS}, {"points": POINTS}

    def process(self, points: np.ndarray) -> np.ndarray:
        return sector_loss(points, self.config.level, rng_of(self.config.seed))
