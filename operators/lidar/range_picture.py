"""A range image as a picture of three colours, for nets that take pictures, such as segment.efficientps.

in   range_image  RANGE_IMAGE
out  image        (H, W, 3) uint8  red: range, logarithmic up to max_range_m; green: z within z_m; blue: intensity; 1..255 each,
                  0 0 0 where no point is
State: none.   An empty range image: black. x and y are left out: they follow from range, row and column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.streams import IMAGE, MAX_BEAMS, MAX_COLUMNS, RANGE_IMAGE, RangeImage
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class RangePictureConfig:
    max_range_m: float = 80.0
    z_m: tuple[float, float] = (-3.0, 3.0)  # from .. to, velodyne frame

    def __post_init__(self) -> None:
        if not 0 < self.max_range_m < np.inf:
            raise ValueError(f"max_range_m: needs more than 0, got {self.max_range_m:g}")
        low, high = self.z_m
        if not -np.inf < low < high < np.inf:
            raise ValueError(f"z_m: needs two rising numbers, got {list(self.z_m)}")


def as_picture(range_image: np.ndarray, config: RangePictureConfig) -> np.ndarray:
    """(5, H, W) float32 of RANGE_IMAGE -> (H, W, 3) uint8"""
    _, _, z, away, intensity = range_image
    low, high = config.z_m
    parts = np.log1p(away) / np.log1p(config.max_range_m), (z - low) / (high - low), intensity
    colors = 1 + np.rint(254 * np.clip(np.stack(parts, -1), 0, 1))
    return np.where((away > 0)[..., None], colors, 0).astype(np.uint8)


class RangePicture(Operator):
    Config, inputs, outputs = RangePictureConfig, {"range_image": RANGE_IMAGE}, {"image": IMAGE}

    @classmethod
    def slot_bytes(cls, config: RangePictureConfig) -> dict[str, int]:
        return {"image": 3 * MAX_BEAMS * MAX_COLUMNS}

    def process(self, range_image: RangeImage) -> np.ndarray:
        return self.put("image", "image", as_picture(range_image.range_image, self.config))
