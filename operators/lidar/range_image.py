"""One turn of a spinning LiDAR as a picture.        Source: Milioto et al. 2019 (RangeNet++), sec. III-A

in   points       (N, 4) float32   x y z [m, velodyne frame], intensity [0..1]
     point_rings  POINT_RINGS      optional: the beam of each point, which is then its row
out  range_image  RANGE_IMAGE      x y z range intensity of the nearest point of each pixel; the pixel of each point
     facts        rows             rings | file_order | elevation: where the rows come from
rows: elevation  row by the angle above the horizon within fov_deg, as the nets trained on SemanticKITTI have it.
      file_order beam-exact rows of a whole scan of KITTI: its files hold one ring after another (range_image.py of the kernels).
State: counters only.   Empty scan: an empty picture.   Points with NaN or inf, at the origin, or outside the rows: no pixel;
close() logs their number. Where several points meet, the nearest one is in the picture, and all have the pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.kernels import range_image as kernel
from operators.streams import MAX_BEAMS, MAX_COLUMNS, MAX_POINTS, NO_RING, POINT_RINGS, POINTS, RANGE_IMAGE, RangeImage
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional


@dataclass(frozen=True, slots=True)
class RangeImageConfig:
    beams: int = 64  # rows
    columns: int = 2048
    rows: Literal["elevation", "file_order"] = "elevation"  # without point_rings
    fov_deg: tuple[float, float] = (-25.0, 3.0)  # lower and upper edge of the picture; rows: elevation
    clip: bool = True  # points beyond fov_deg get the first or last row; false: no pixel
    max_points: int = MAX_POINTS  # of a scan: sets the size of a slot

    def __post_init__(self) -> None:
        for key, most in (("beams", MAX_BEAMS), ("columns", MAX_COLUMNS), ("max_points", MAX_POINTS)):
            if not 1 <= getattr(self, key) <= most:
                raise ValueError(f"{key}: needs 1 .. {most}, got {getattr(self, key)}")
        low, high = self.fov_deg
        if not -90 <= low < high <= 90:
            raise ValueError(f"fov_deg: needs -90 <= lower < upper <= 90, got {list(self.fov_deg)}")


class Projection:
    """The algorithm without the engine. owners (H, W) int32: after a call, the point in each pixel; -1: none."""

    def __init__(self, config: RangeImageConfig) -> None:
        self.config, self.num_outside = config, 0
        self.owners = np.full((config.beams, config.columns), -1, np.int32)

    def __call__(self, points: np.ndarray, rings: np.ndarray | None, image: np.ndarray, pixels: np.ndarray) -> None:
        """points (N, 4) float32, rings (N,) or None -> image (5, H, W) float32, pixels (N, 2) int32. Raises ValueError where
        rows: file_order finds more rings than there are rows."""
        config = self.config
        by_ring = np.empty(0, np.int32) if rings is None else np.where(rings == NO_RING, -1, rings.astype(np.int32))
        if rings is None and config.rows == "file_order":
            by_ring = np.empty(len(points), np.int32)
            num = kernel.rings_of_file_order(points, by_ring)
            if num > config.beams:
                raise ValueError(
                    f"needs a scan whose points come ring by ring, with at most {config.beams} rings (config.beams), got {num}; "
                    "set config.rows: elevation"
                )
        low, high = (math.radians(angle) for angle in config.fov_deg)
        ranges = np.empty(len(points), np.float32)
        shape = config.beams, config.columns
        self.num_outside += kernel.place(points, by_ring.astype(np.int32), high, low, config.clip, *shape, pixels, ranges)
        kernel.fill(points, pixels, ranges, self.owners, image)


class RangeImages(Operator):
    Config, outputs = RangeImageConfig, {"range_image": RANGE_IMAGE}
    inputs = {"points": POINTS, "point_rings": optional(POINT_RINGS)}

    @classmethod
    def slot_bytes(cls, config: RangeImageConfig) -> dict[str, int]:
        parts = 20 * config.beams * config.columns, 8 * config.max_points
        return {"range_image": sum(-(-part // 64) * 64 for part in parts)}

    def open(self) -> None:
        self.project = Projection(self.config)
        points = np.zeros((1, 4), np.float32)
        points.flags.writeable = False
        image = np.empty((5, self.config.beams, self.config.columns), np.float32)
        for scan in (points, points.copy()):  # compiles, for frames of both kinds
            self.project(scan, None, image, np.empty((1, 2), np.int32))
        self.project.num_outside = 0

    def process(self, points: np.ndarray, point_rings: np.ndarray | None = None) -> RangeImage:
        if point_rings is not None and len(point_rings) != len(points):
            raise FrameError(
                f"{self.name} at {self.header}: needs a ring of each of the {len(points)} points, got {len(point_rings)}"
            )
        shape = 5, self.config.beams, self.config.columns
        image = self.alloc("range_image", "range_image", shape, np.float32)
        pixels = self.alloc("range_image", "point_pixels", (len(points), 2), np.int32)
        try:
            self.project(np.ascontiguousarray(points), point_rings, image, pixels)
        except ValueError as error:
            raise FrameError(f"{self.name} at {self.header}: {error}") from None
        self.describe("range_image", rows="rings" if point_rings is not None else self.config.rows)
        return RangeImage(image, pixels)

    def close(self) -> None:
        if self.project.num_outside:
            self.log.info("%d points have no pixel: not finite, at the origin, or outside the rows", self.project.num_outside)
