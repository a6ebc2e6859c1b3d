"""Points onto a picture, one pixel each. Points (N, 4) float32, ramp (256, 3) uint8, canvas (H, W, 3) uint8.

A point's colour is ramp's entry for one of its columns, from low to high. NaN points are not painted.
"""

from __future__ import annotations

import numpy as np
from numba import njit

DEPTH = -1
"""In place of a column: minus the distance along the optical axis."""


@njit(nogil=True, cache=True)
def _level(value: float, low: float, high: float) -> int:
    return int(min(max((value - low) * (255.0 / (high - low)), 0.0), 255.0))


@njit(nogil=True, cache=True)
def above(
    points: np.ndarray,
    left_m: float,
    top_m: float,
    px_per_m: float,
    column: int,
    low: float,
    high: float,
    ramp: np.ndarray,
    canvas: np.ndarray,
) -> None:
    """From above, x up and y left, (top_m, left_m) in the upper left corner: where several meet, the last one shows."""
    rows, columns = canvas.shape[0], canvas.shape[1]
    for n in range(points.shape[0]):
        u, v = np.floor((left_m - points[n, 1]) * px_per_m), np.floor((top_m - points[n, 0]) * px_per_m)
        value = points[n, column]
        if u >= 0 and u < columns and v >= 0 and v < rows and not np.isnan(value):
            level = _level(value, low, high)
            for c in range(3):
                canvas[int(v), int(u), c] = ramp[level, c]


@njit(nogil=True, cache=True)
def through(
    points: np.ndarray,
    projection: np.ndarray,
    near: float,
    column: int,
    low: float,
    high: float,
    ramp: np.ndarray,
    nearest: np.ndarray,
    canvas: np.ndarray,
) -> None:
    """Through a camera, projection (3, 4) float64 to u*depth, v*depth, depth: near points over far ones, of equal ones the last.
    Depths below near are not painted. scratch: nearest (H, W) float32."""
    nearest[:] = np.inf
    rows, columns = canvas.shape[0], canvas.shape[1]
    for n in range(points.shape[0]):
        x, y, z = float(points[n, 0]), float(points[n, 1]), float(points[n, 2])
        depth = projection[2, 0] * x + projection[2, 1] * y + projection[2, 2] * z + projection[2, 3]
        if not depth >= near:
            continue
        u = np.floor((projection[0, 0] * x + projection[0, 1] * y + projection[0, 2] * z + projection[0, 3]) / depth + 0.5)
        v = np.floor((projection[1, 0] * x + projection[1, 1] * y + projection[1, 2] * z + projection[1, 3]) / depth + 0.5)
        if u >= 0 and u < columns and v >= 0 and v < rows and depth <= nearest[int(v), int(u)]:
            value = -depth if column == DEPTH else points[n, column]
            if not np.isnan(value):
                nearest[int(v), int(u)] = depth
                level = _level(value, low, high)
                for c in range(3):
                    canvas[int(v), int(u), c] = ramp[level, c]
