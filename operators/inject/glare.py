"""Shadows and highlights across a picture, as `augment.shadows_highlights` draws them.

in   image  (H, W, 3) uint8  RGB, or
     grey   (H, W) uint8, or
     thermal_raw (H, W) uint16 counts
out  the same port, the same size
State: none; each frame has a polygon of its own.   A picture without pixels stays one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.augment.pictures import glare
from operators.augment.seeded import require_seed, rng_of
from operators.inject.shared import PICTURES, PICTURES_IN, changed, require_level
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class GlareConfig:
    level: float = 1.0  # 0..1; 1: shadows of 0.01..0.5, highlights of 2..3 times the brightness
    seed: int = 0

    def __post_init__(self) -> None:
        require_level(self.level, 0, 1)
        require_seed(self.seed)


class Glare(Operator):
    Config, inputs, outputs = GlareConfig, PICTURES_IN, PICTURES

    def process(self, **pictures: np.ndarray | None) -> dict[str, np.ndarray]:
        rng = rng_of(self.config.seed, self.header.sequence, self.header.frame_id)
        return changed(pictures, lambda picture: glare(picture, self.config.level, rng))
