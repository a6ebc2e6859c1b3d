"""Points whose cells lie close together: the step that clusters of a scan and instances of a class share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.kernels import cluster as kernel
from operators.lidar.grouping import NO_LIMIT, Grouping


class Components:
    """cell_m: side of a cell [m]. Two cells belong together if their gap is at most gap_m + gap_per_m * distance [m].

    grouping  cells of the points of the last `find`
    """

    def __init__(self, cell_m: float, range_m: Sequence[float], gap_m: float, gap_per_m: float) -> None:
        x0, y0, z0, x1, y1, z1 = range_m
        columns, rows = (max(1, round(size / cell_m)) for size in (x1 - x0, y1 - y0))
        self.grouping = Grouping((cell_m, cell_m), (x0, y0, z0, x0 + columns * cell_m, y0 + rows * cell_m, z1))
        self._cell_m, self._gap_m, self._gap_per_m, self._low = cell_m, gap_m, gap_per_m, np.array([x0, y0])
        self._lookup = np.full((rows, columns), -1, np.int32)

    def find(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """(N, 4) float32 -> component of each cell (P,) int32, points in it (P,) int32, number of components"""
        cells, counts = np.empty((len(points), 2), np.int32), np.empty(len(points), np.int32)
        num, _ = self.grouping.group(points, NO_LIMIT, cells, counts)
        cells = cells[:num]
        away = np.linalg.norm((cells[:, ::-1] + 0.5) * self._cell_m + self._low, axis=1)
        label = np.empty(num, np.int32)
        gaps = (self._gap_m + self._gap_per_m * away) / self._cell_m
        return label, counts[:num], kernel.components(cells, gaps, self._lookup, label)
