"""Group one LiDAR sweep into pillars.        Source: Lang et al. 2019 (PointPillars), sec. 2.1; dynamic: Zhou et al. 2019 (MVF)

in   points   (N, 4) float32     x y z [m, velodyne frame], intensity [0..1]
out  pillars  (P, K, 4) float32  same columns, zero-padded to K points
              (R, 1, 4) float32  packed: the R kept points, pillar after pillar; R = sum of counts
     cells    (P, 2) int32       row (y), column (x) of each pillar
     counts   (P,) int32         points kept, 1..K
     facts    cell_m, range_m    the grid of `cells`
Pillars come in the order of their first point, points in input order. A point's column is floor((x - x0) / cell) in float32, as
in spconv and OpenPCDet; rows and z alike, z with one layer from z0 to z1. It is in range when its cell is in the grid.
mode hard: at most K points per pillar, max_pillars pillars. mode dynamic: every point in range is kept, packed.
Levels near, nearer: points beyond a share of the range are dropped; the grid of `cells` stays that of the weights.
State: counters only.   Empty sweep: P = 0.   Full: later pillars, and points beyond K, are dropped and counted, as are
points out of range and NaN points; close() logs the totals. Intensity outside 0..1: kept, one warning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from operators.lidar.grouping import NO_LIMIT, Grouping, grid_size
from operators.streams import MAX_POINTS, PILLARS, POINTS, Pillars
from pipeline.operator import Level, Operator

_SHARES = 1.0, 2 / 3, 0.5
"""Of the range, at each level."""
_DROPPED = (
    "pillars beyond max_pillars",
    "points beyond max_points or in dropped pillars",
    "points out of range",
    "NaN points",
)


@dataclass(frozen=True, slots=True)
class VoxelizeConfig:
    cell_m: tuple[float, float] = (0.16, 0.16)  # x, y edge of one pillar
    range_m: tuple[float, float, float, float, float, float] = (0.0, -39.68, -3.0, 69.12, 39.68, 1.0)  # x0 y0 z0 x1 y1 z1
    max_points: int = 32  # K; mode hard
    max_pillars: int = 16_000  # mode hard
    mode: Literal["hard", "dynamic"] = "hard"
    packed: bool = False  # no padding: less memory and time; mode dynamic is always packed
    subset: Literal["first", "random"] = (
        "first"  # the points that a full pillar keeps; random: follows from seed, frame id and cell
    )
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("max_points", "max_pillars"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: needs 1 or more, got {getattr(self, key)}")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed: needs 0 .. {2**31 - 1}, got {self.seed}")
        if self.range_m[5] <= self.range_m[2]:
            raise ValueError(f"range_m: needs z1 > z0, got z0 = {self.range_m[2]}, z1 = {self.range_m[5]}")
        for axis, i in (("x", 0), ("y", 1)):
            low, high, cell = self.range_m[i], self.range_m[i + 3], self.cell_m[i]
            if not (cell > 0 and high > low) or abs((high - low) / cell - round((high - low) / cell)) > 1e-6:
                raise ValueError(f"range_m: needs a whole number of cells, got {axis} from {low} to {high} in cells of {cell} m")

    @property
    def grid(self) -> tuple[int, int]:
        """rows (y), columns (x)"""
        return grid_size(self.cell_m, self.range_m)

    @property
    def is_packed(self) -> bool:
        return self.packed or self.mode == "dynamic"

    @property
    def limits(self) -> tuple[int, int]:
        """pillars, points of a pillar"""
        if self.mode == "dynamic":
            return self.grid[0] * self.grid[1], NO_LIMIT
        return self.max_pillars, self.max_points


def part_of(config: VoxelizeConfig, share: float) -> tuple[tuple[float, ...], np.ndarray]:
    """The cells of the grid within `share` of its range, as seen from the sensor: x0 y0 z0 x1 y1 z1 [m]; first row, column."""
    part, first = list(config.range_m), np.zeros(2, np.int32)
    if share == 1:
        return config.range_m, first
    for axis, (cell, num) in enumerate(zip(config.cell_m, config.grid[::-1], strict=True)):
        low, high = config.range_m[axis], config.range_m[axis + 3]
        begin = min(max(int((low * share - low) // cell), 0), num - 1)
        end = min(max(-int((low - high * share) // cell), begin + 1), num)
        part[axis], part[axis + 3] = low + begin * cell, low + end * cell
        first[1 - axis] = begin
    return tuple(part), first


class Voxelize(Operator):
    Config, inputs, outputs = VoxelizeConfig, {"points": POINTS}, {"pillars": PILLARS}
    levels = (
        Level("near", "no points beyond two thirds of the range", 0.1, cost=0.85, readers=0.75),
        Level("nearer", "no points beyond half of the range", 0.2, cost=0.75, readers=0.6),
    )

    @classmethod
    def slot_bytes(cls, config: VoxelizeConfig) -> dict[str, int]:
        pillars, points = config.limits
        if config.is_packed:
            pillars = min(pillars, MAX_POINTS)
            points = min(pillars * points, MAX_POINTS)
        else:
            points *= pillars
        return {"pillars": sum(-(-part // 64) * 64 for part in (points * 16, pillars * 8, pillars * 4))}

    def open(self) -> None:
        parts = [part_of(self.config, share) for share in _SHARES]
        self.parts = [(Grouping(self.config.cell_m, range_m), low) for range_m, low in parts]
        self.set_level(0)
        self.warned = False
        # compile before the first frame: numba compiles per read-only flag of the points, not per size
        points = np.zeros((0, 4), np.float32)
        points.flags.writeable = False
        for sweep in (points, np.zeros((0, 4), np.float32)):
            self._fill(sweep, 0, lambda name, shape, dtype: np.empty(shape, dtype))

    def process(self, points: np.ndarray) -> Pillars:
        points = np.ascontiguousarray(points)
        made = self._fill(points, self.header.frame_id, partial(self.alloc, "pillars"))
        if self.grouping.odd and not self.warned:
            self._warn(points[:, 3])
        self.describe("pillars", cell_m=self.config.cell_m, range_m=self.config.range_m)
        return made

    def set_level(self, level: int) -> None:
        self.grouping, self.low = self.parts[level]

    def close(self) -> None:
        dropped = np.sum([grouping.dropped for grouping, _ in self.parts], axis=0)
        if dropped.any():
            self.log.info("dropped %s", ", ".join(f"{n} {what}" for n, what in zip(dropped, _DROPPED, strict=True) if n))

    def _fill(self, points: np.ndarray, frame_id: int, alloc: Callable[[str, tuple[int, ...], Any], np.ndarray]) -> Pillars:
        config = self.config
        max_pillars, max_points = config.limits
        size = min(max_pillars, len(points))
        cells, counts = alloc("cells", (size, 2), np.int32), alloc("counts", (size,), np.int32)
        seed = (config.seed << 32) + frame_id if config.subset == "random" else None
        num, kept = self.grouping.group(points, max_points, cells, counts, seed)
        if self.low.any():
            cells[:num] += self.low
        if config.is_packed:
            pillars = alloc("pillars", (kept, 1, 4), np.float32)
            self.grouping.pack(points, counts[:num], pillars.reshape(-1, 4))
        else:
            pillars = alloc("pillars", (num, max_points, 4), np.float32)
            self.grouping.pad(points, counts[:num], pillars)
        return Pillars(pillars, cells[:num], counts[:num])

    def _warn(self, intensity: np.ndarray) -> None:
        self.warned = True
        low, high = np.nanmin(intensity), np.nanmax(intensity)
        self.log.warning(
            f"points at {self.header}: needs intensity 0..1, got {low:g}..{high:g}; a sensor that counts to 255? "
            "its driver divides by 255. Later frames are not named"
        )
