"""A picture whose content is shifted: of a camera that was knocked.

in   image  (H, W, 3) uint8  RGB, or
     grey   (H, W) uint8, or
     thermal_raw (H, W) uint16 counts
out  the same port, the same size
State: the direction, one for all frames.   A picture without pixels stays one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from operators.augment.pictures import shift
from operators.augment.seeded import require_seed, rng_of
from operators.inject.shared import PICTURES, PICTURES_IN, changed, require_level
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class ShiftConfig:
    level: float = 16.0  # px, 0..2048, in a random direction
    seed: int = 0

    def __post_init__(self) -> None:
        require_level(self.level, 0, 2048)
        require_seed(self.seed)


class Shift(Operator):
    Config, inputs, outputs = ShiftConfig, PICTURES_IN, PICTURES

    def open(self) -> None:
        self.angle_rad = rng_of(self.config.seed).uniform(0, 2 * math.pi)

    def process(self, **pictures: np.ndarray | None) -> dict[str, np.ndarray]:
        return changed(pictures, lambda picture: shift(picture, self.config.level, self.angle_rad))
