"""The voxelizer without the engine: the kernels of operators/kernels/voxelize.py with their scratch memory, for one grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.kernels import voxelize as kernel

NO_LIMIT = np.iinfo(np.int32).max


def grid_size(cell_m: Sequence[float], range_m: Sequence[float]) -> tuple[int, int]:
    """rows (y), columns (x) of the grid of cells (x, y) [m] in a range x0 y0 z0 x1 y1 z1 [m]"""
    return round((range_m[4] - range_m[1]) / cell_m[1]), round((range_m[3] - range_m[0]) / cell_m[0])


class Grouping:
    """`group`, then `pack` or `pad` of the same points.

    dropped  (4,) int64, over all calls: pillars refused, points beyond max_points or in refused pillars, out of range, NaN
    odd      points of the last call whose intensity is not in 0..1
    """

    def __init__(self, cell_m: Sequence[float], range_m: Sequence[float]) -> None:
        self.lookup = np.full(grid_size(cell_m, range_m), kernel.FREE, np.int32)
        self.dropped = np.zeros(4, np.int64)
        self.odd = 0
        self._low = np.array(range_m[:3], np.float32)
        self._edges = np.array([*cell_m, range_m[5] - range_m[2]], np.float32)
        self._pillar = self._rank = self._starts = np.empty(0, np.int32)

    def group(
        self, points: np.ndarray, max_points: int, cells: np.ndarray, counts: np.ndarray, seed: int | None = None
    ) -> tuple[int, int]:
        """-> number of pillars P, number of kept points.

        points  (N, 4) float32, C-contiguous
        cells   (max_pillars, 2) int32, counts (max_pillars,) int32: the first P rows are written
        seed    None: a full pillar keeps its first points; else a random subset that follows from the seed and the cell
        """
        if len(self._pillar) < len(points):
            self._pillar, self._rank = np.empty(len(points), np.int32), np.empty(len(points), np.int32)
        if len(self._starts) < len(counts):
            self._starts = np.empty(len(counts), np.int32)
        num, self.odd = kernel.group(
            points, self._low, self._edges, self.lookup, self._pillar, self._rank, cells, counts, self.dropped
        )
        if seed is not None:
            of_points = self._pillar[: len(points)], self._rank[: len(points)]
            kernel.choose(*of_points, cells, counts, self._starts[:num], max_points, seed)
        return num, kernel.keep(counts[:num], max_points, self.dropped)

    def pillars_of(self, points: np.ndarray) -> np.ndarray:
        """(N,) int32: pillar of each of the points of the last `group`, below 0: none. The next call overwrites it."""
        return self._pillar[: len(points)]

    def pack(self, points: np.ndarray, counts: np.ndarray, packed: np.ndarray) -> None:
        """counts (P,) of `group` -> packed (kept points, 4): the points of the first pillar, of the second, ..."""
        kernel.pack(points, self._pillar, self._rank, counts, self._starts, packed)

    def pad(self, points: np.ndarray, counts: np.ndarray, padded: np.ndarray) -> None:
        """counts (P,) of `group` -> padded (P, K, 4), zeros after the points of each pillar; K = max_points of `group` or more"""
        kernel.pad(points, self._pillar, self._rank, counts, padded)
