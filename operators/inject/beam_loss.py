"""A LiDAR that loses beams.

in   points  (N, 4) float32  x y z [m, velodyne frame], intensity 0..1
out  points  (M, 4) float32  those that are left, in the same order
State: the dead beams, the same in all frames.   Empty sweep: M = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.augment.seeded import require_seed, rng_of
from operators.augment.sweeps import beam_loss
from operators.inject.shared import require_level
from operators.streams import POINTS
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class BeamLossConfig:
    level: float = 0.5  # share of the beams, 0..1; a beam is a row of elevation of 0.4 degrees
    seed: int = 0

    def __post_init__(self) -> None:
        require_level(self.level, 0, 1)
        require_seed(self.seed)


class BeamLoss(Operator):
    Config, inputs, outputs = BeamLossConfig, {"points": POINTS}, {"points": POINTS}

    def process(self, points: np.ndarray) -> np.ndarray:
        return beam_loss(points, self.config.level, rng_of(self.config.seed))
