"""A picture with dead pixels, black and white, others in each frame.

in   image  (H, W, 3) uint8  RGB, or
     grey   (H, W) uint8, or
     thermal_raw (H, W) uint16 counts
out  the same port, the same size
State: none.   A picture without pixels stays one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.augment.pictures import salt_and_pepper
from operators.augment.seeded import require_seed, rng_of
from operators.inject.shared import PICTURES, PICTURES_IN, changed, require_level
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class SaltAndPepperConfig:
    level: float = 0.05  # share of the pixels, 0..1
    seed: int = 0

    def __post_init__(self) -> None:
        require_level(self.level, 0, 1)
        require_seed(self.seed)


class SaltAndPepper(Operator):
    Config, inputs, outputs = SaltAndPepperConfig, PICTURES_IN, PICTURES

    def process(self, **pictures: np.ndarray | None) -> dict[str, np.ndarray]:
        rng = rng_of(self.config.seed, self.header.sequence, self.header.frame_id)
        return changed(pictures, lambda picture: salt_and_pepper(picture, self.config.level, rng))
