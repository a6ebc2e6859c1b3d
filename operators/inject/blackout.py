"""A picture that gets dark: of a covered or dead sensor.

in   image  (H, W, 3) uint8  RGB, or
     grey   (H, W) uint8, or
     thermal_raw (H, W) uint16 counts
out  the same port, the same size
State: none.   A picture without pixels stays one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.augment.pictures import blackout
from operators.inject.shared import PICTURES, PICTURES_IN, changed, require_level
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class BlackoutConfig:
    level: float = 1.0  # share of the brightness that is lost, 0..1

    def __post_init__(self) -> None:
        require_level(self.level, 0, 1)


class Blackout(Operator):
    Config, inputs, outputs = BlackoutConfig, PICTURES_IN, PICTURES

    def process(self, **pictures: np.ndarray | None) -> dict[str, np.ndarray]:
        return changed(pictures, lambda picture: blackout(picture, self.config.level))
