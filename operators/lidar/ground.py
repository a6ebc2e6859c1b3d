"""Separate the ground from what stands on it.        Source: Himmelsbach et al. 2010, sec. III (operators/kernels/ground.py)

in   points  (N, 4) float32  x y z [m, velodyne frame], intensity [0..1]
out  points  (M, 4) float32  more than above_m over the ground, in input order
     ground  (G, 4) float32  the others, echoes below the ground included
State: none.   Empty scan: M = G = 0.   Points with NaN or inf: in neither, counted; close() logs the total.
No random numbers: the same scan gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.kernels import ground as kernel
from operators.streams import POINTS
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class GroundConfig:
    height_m: float = 1.73  # of the LiDAR above the ground
    above_m: float = 0.25  # what is lower over the ground belongs to it
    max_slope: float = 0.15  # rise per metre
    step_m: float = 0.15  # from one ring to the next, beside the slope: kerbs, noise
    max_rise_m: float = 0.6  # from the last ground seen, however far away: an object alone in its sector is no ground
    sectors: int = 180
    ring_m: float = 1.0
    max_range_m: float = 80.0  # what is farther counts as the last ring

    def __post_init__(self) -> None:
        for key in ("height_m", "above_m", "step_m", "max_rise_m", "ring_m", "max_range_m"):
            if not 0 < getattr(self, key) < np.inf:
                raise ValueError(f"{key}: needs more than 0, got {getattr(self, key):g}")
        if not 0 <= self.max_slope < 1:
            raise ValueError(f"max_slope: needs 0 <= max_slope < 1, got {self.max_slope:g}")
        if not 4 <= self.sectors <= 3600:
            raise ValueError(f"sectors: needs 4 .. 3600, got {self.sectors}")
        if not 1 <= self.max_range_m / self.ring_m <= 10_000:
            raise ValueError(f"ring_m: needs 1 .. 10000 rings in {self.max_range_m:g} m, got rings of {self.ring_m:g} m")

    @property
    def rings(self) -> int:
        return round(self.max_range_m / self.ring_m)


class Splitter:
    """The algorithm without the engine."""

    def __init__(self, config: GroundConfig) -> None:
        self.config = config
        self.heights = np.zeros((config.sectors, config.rings))
        """z of the ground [m] in each bin of the last scan"""
        self._starts = np.zeros(config.sectors * config.rings + 1, np.int32)
        self._at = self._order = np.empty(0, np.int32)

    def __call__(self, points: np.ndarray, above: np.ndarray, ground: np.ndarray) -> tuple[int, int]:
        """points (N, 4) -> number of rows written to above (N, 4), to ground (N, 4)"""
        config = self.config
        if len(self._at) < len(points):
            self._at, self._order = np.empty(len(points), np.int32), np.empty(len(points), np.int32)
        kernel.bins(points, config.ring_m, config.sectors, config.rings, self._at, self._starts, self._order)
        limits = config.max_slope, config.step_m, config.max_rise_m
        kernel.heights(points, self._starts, self._order, config.ring_m, -config.height_m, *limits, self.heights)
        return kernel.divide(points, self._at, self.heights, config.above_m, above, ground)


class Ground(Operator):
    Config, inputs, outputs = GroundConfig, {"points": POINTS}, {"points": POINTS, "ground": POINTS}
    tunable = ("height_m", "above_m", "max_slope", "step_m", "max_rise_m")

    def open(self) -> None:
        self.split, self.num_dropped = Splitter(self.config), 0
        points = np.zeros((0, 4), np.float32)
        points.flags.writeable = False
        for scan in (points, np.zeros((0, 4), np.float32)):  # compiles, for frames of both kinds
            self.split(scan, np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32))

    def reconfigured(self, old: GroundConfig, new: GroundConfig) -> None:
        self.split.config = new

    def process(self, points: np.ndarray) -> dict[str, np.ndarray]:
        points = np.ascontiguousarray(points)
        above, ground = (self.alloc(port, "points", points.shape, np.float32) for port in ("points", "ground"))
        num_above, num_ground = self.split(points, above, ground)
        self.num_dropped += len(points) - num_above - num_ground
        return {"points": above[:num_above], "ground": ground[:num_ground]}

    def close(self) -> None:
        if self.num_dropped:
            self.log.info("dropped %d points with NaN or inf", self.num_dropped)
