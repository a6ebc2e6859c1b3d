"""Which points lie in which upright, turned boxes.

points (N, 4) float32 [m]; boxes (M, 7) float64 [x, y, z, l, w, h, yaw], geometric centre. A point on a face is inside.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def _inside(points: np.ndarray, i: int, box: np.ndarray, c: float, s: float) -> bool:
    dx, dy = points[i, 0] - box[0], points[i, 1] - box[1]
    return abs(points[i, 2] - box[2]) <= box[5] / 2 and abs(c * dx + s * dy) <= box[3] / 2 and abs(c * dy - s * dx) <= box[4] / 2


@njit(nogil=True, cache=True)
def owners(points: np.ndarray, boxes: np.ndarray, owner: np.ndarray, counts: np.ndarray) -> None:
    """owner (N,) int32: the last box around each point, -1 = none; counts (M,) int64: points in each box, shared ones in
    every box they are in."""
    owner[:] = -1
    counts[:] = 0
    for m in range(boxes.shape[0]):
        box = boxes[m]
        c, s = np.cos(box[6]), np.sin(box[6])
        reach = np.hypot(box[3], box[4]) / 2
        for i in range(points.shape[0]):
            if abs(points[i, 0] - box[0]) <= reach and abs(points[i, 1] - box[1]) <= reach and _inside(points, i, box, c, s):
                owner[i] = m
                counts[m] += 1


@njit(nogil=True, cache=True)
def lowest_around(points: np.ndarray, x: float, y: float, radius: float, share: float) -> float:
    """Height [m] below which `share` of the points within `radius` [m] of (x, y) lie; NaN with fewer than five points."""
    heights = np.empty(points.shape[0], np.float32)
    n = 0
    for i in range(points.shape[0]):
        dx, dy = points[i, 0] - x, points[i, 1] - y
        if dx * dx + dy * dy <= radius * radius:
            heights[n] = points[i, 2]
            n += 1
    if n < 5:
        return np.nan
    return np.sort(heights[:n])[int(share * n)]
