"""A picture that stands still: the first one, again and again.

in   image  (H, W, 3) uint8  RGB, or
     grey   (H, W) uint8, or
     thermal_raw (H, W) uint16 counts
out  the same port, the same size
State: the first picture of each port, copied.   A picture without pixels stays one.
"""

from __future__ import annotations

import numpy as np

from operators.inject.shared import PICTURES, PICTURES_IN
from pipeline.operator import Operator


class Freeze(Operator):
    inputs, outputs = PICTURES_IN, PICTURES

    def open(self) -> None:
        self.first: dict[str, np.ndarray] = {}

    def process(self, **pictures: np.ndarray | None) -> dict[str, np.ndarray]:
        given = {port: picture for port, picture in pictures.items() if picture is not None}
        for port, picture in given.items():
            if port not in self.first:
                self.first[port] = picture.copy()
        return {port: self.first[port] for port in given}
