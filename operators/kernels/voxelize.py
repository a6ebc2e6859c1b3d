"""Hard voxelization: points to pillars, one pass, no allocation."""

from __future__ import annotations

import numpy as np
from numba import njit

FREE, REFUSED = -1, -2


@njit(nogil=True, cache=True)
def _cell(x: float, y: float, z: float, bounds: np.ndarray, cell: np.ndarray, rows: int, columns: int) -> int:
    """Index of the grid cell, row by row; -1 outside the grid. NaN compares false and falls out."""
    if not (x >= bounds[0] and y >= bounds[1] and z >= bounds[2] and z < bounds[5]):
        return -1
    column, row = np.floor((x - bounds[0]) / cell[0]), np.floor((y - bounds[1]) / cell[1])
    if not (column < columns and row < rows):
        return -1
    return int(row) * columns + int(column)


@njit(nogil=True, cache=True)
def voxelize(
    points: np.ndarray,
    bounds: np.ndarray,
    cell: np.ndarray,
    lookup: np.ndarray,
    pillars: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
    overflow: np.ndarray,
) -> int:
    """-> P, the number of pillars written.

    in       points (N, 4) float32 [m]; bounds (6,) float64 x0 y0 z0 x1 y1 z1 [m]; cell (2,) float64 x y [m]
    scratch  lookup (rows, columns) int32, FREE everywhere; left as it was found
    out      pillars (max_pillars, K, 4) float32, cells (max_pillars, 2) int32 row column, counts (max_pillars,) int32:
             the first P rows are written whole, the rest is not touched
    adds to  overflow (4,) int64: pillars refused, points beyond K or in refused pillars, points out of range, NaN points
    Pillars come in the order of their first point, points in input order.
    """
    rows, columns = lookup.shape
    flat = lookup.reshape(-1)
    max_pillars, max_points = pillars.shape[0], pillars.shape[1]
    num, refused = 0, 0
    for i in range(points.shape[0]):
        x, y, z, intensity = points[i, 0], points[i, 1], points[i, 2], points[i, 3]
        if np.isnan(x) or np.isnan(y) or np.isnan(z) or np.isnan(intensity):
            overflow[3] += 1
            continue
        at = _cell(x, y, z, bounds, cell, rows, columns)
        if at < 0:
            overflow[2] += 1
            continue
        pillar = flat[at]
        if pillar == FREE:
            if num < max_pillars:
                pillar = num
                cells[num, 0], cells[num, 1] = at // columns, at % columns
                counts[num] = 0
                num += 1
            else:
                pillar = REFUSED
                refused += 1
            flat[at] = pillar
        if pillar == REFUSED or counts[pillar] == max_points:
            overflow[1] += 1
            continue
        k = counts[pillar]
        pillars[pillar, k, 0], pillars[pillar, k, 1], pillars[pillar, k, 2], pillars[pillar, k, 3] = x, y, z, intensity
        counts[pillar] = k + 1

    # clearing what was touched costs microseconds; clearing the whole grid and all pillars costs milliseconds
    for p in range(num):
        flat[cells[p, 0] * columns + cells[p, 1]] = FREE
        pillars[p, counts[p] :, :] = 0.0
    if refused > 0:
        overflow[0] += refused
        for i in range(points.shape[0]):
            at = _cell(points[i, 0], points[i, 1], points[i, 2], bounds, cell, rows, columns)
            if at >= 0:
                flat[at] = FREE
    return num
