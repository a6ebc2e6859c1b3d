"""Group one LiDAR sweep into pillars.        Source: Lang et al. 2019 (PointPillars), sec. 2.1

in   points   (N, 4) float32     x y z [m, velodyne frame], intensity [0..1]
out  pillars  (P, K, 4) float32  same columns, zero-padded to K points
     cells    (P, 2) int32       row (y), column (x) of each pillar
     counts   (P,) int32         points kept, 1..K
     facts    cell_m, range_m    the grid of `cells`
Pillars come in the order of their first point, points in input order. A point is in range when its cell is in the grid
and z0 <= z < z1.
State: counters only.   Empty sweep: P = 0.   Full: later pillars, and points beyond K, are dropped and counted, as are
points out of range and NaN points; close() logs the totals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.kernels.voxelize import FREE
from operators.kernels.voxelize import voxelize as voxelize_kernel
from operators.streams import PILLARS, POINTS, Pillars
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class VoxelizeConfig:
    cell_m: tuple[float, float] = (0.16, 0.16)  # x, y edge of one pillar
    range_m: tuple[float, float, float, float, float, float] = (0.0, -39.68, -3.0, 69.12, 39.68, 1.0)  # x0 y0 z0 x1 y1 z1
    max_points: int = 32  # K
    max_pillars: int = 16_000

    def __post_init__(self) -> None:
        for key in ("max_points", "max_pillars"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: needs 1 or more, got {getattr(self, key)}")
        if self.range_m[5] <= self.range_m[2]:
            raise ValueError(f"range_m: needs z1 > z0, got z0 = {self.range_m[2]}, z1 = {self.range_m[5]}")
        for axis, i in (("x", 0), ("y", 1)):
            low, high, cell = self.range_m[i], self.range_m[i + 3], self.cell_m[i]
            if not (cell > 0 and high > low) or abs((high - low) / cell - round((high - low) / cell)) > 1e-6:
                raise ValueError(f"range_m: needs a whole number of cells, got {axis} from {low} to {high} in cells of {cell} m")

    @property
    def grid(self) -> tuple[int, int]:
        """rows (y), columns (x)"""
        return (
            round((self.range_m[4] - self.range_m[1]) / self.cell_m[1]),
            round((self.range_m[3] - self.range_m[0]) / self.cell_m[0]),
        )


class Voxelize(Operator):
    Config, inputs, outputs = VoxelizeConfig, {"points": POINTS}, {"pillars": PILLARS}

    @classmethod
    def slot_bytes(cls, config: VoxelizeConfig) -> dict[str, int]:
        parts = (config.max_pillars * config.max_points * 16, config.max_pillars * 8, config.max_pillars * 4)
        return {"pillars": sum(-(-part // 64) * 64 for part in parts)}

    def open(self) -> None:
        config = self.config
        self.bounds = np.array(config.range_m, np.float64)
        self.cell = np.array(config.cell_m, np.float64)
        self.lookup = np.full(config.grid, FREE, np.int32)
        self.overflow = np.zeros(4, np.int64)
        # compile before the first frame: numba compiles per read-only flag of the points, not per size
        points = np.zeros((0, 4), np.float32)
        points.flags.writeable = False
        for sweep in (points, np.zeros((0, 4), np.float32)):
            self._fill(sweep, np.empty((1, 1, 4), np.float32), np.empty((1, 2), np.int32), np.empty(1, np.int32))

    def process(self, points: np.ndarray) -> Any:
        size, depth = self.config.max_pillars, self.config.max_points
        pillars = self.alloc("pillars", "pillars", (size, depth, 4), np.float32)
        cells = self.alloc("pillars", "cells", (size, 2), np.int32)
        counts = self.alloc("pillars", "counts", (size,), np.int32)
        num = self._fill(np.ascontiguousarray(points), pillars, cells, counts)
        self.describe("pillars", cell_m=self.config.cell_m, range_m=self.config.range_m)
        return Pillars(pillars[:num], cells[:num], counts[:num])

    def close(self) -> None:
        names = (
            "pillars beyond max_pillars",
            "points beyond max_points or in dropped pillars",
            "points out of range",
            "NaN points",
        )
        if self.overflow.any():
            self.log.info("dropped %s", ", ".join(f"{n} {what}" for n, what in zip(self.overflow, names, strict=True) if n))

    def _fill(self, points: np.ndarray, pillars: np.ndarray, cells: np.ndarray, counts: np.ndarray) -> int:
        return voxelize_kernel(points, self.bounds, self.cell, self.lookup, pillars, cells, counts, self.overflow)
