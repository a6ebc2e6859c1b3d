"""Points of one frame written in the axes of another."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def move(points: np.ndarray, T: np.ndarray, out: np.ndarray) -> None:
    """out (N, 4) float32: points (N, 4) float32 moved by T (4, 4) float64, computed in float64; the intensity stays."""
    for i in range(points.shape[0]):
        x, y, z = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        out[i, 0] = T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]
        out[i, 1] = T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]
        out[i, 2] = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
        out[i, 3] = points[i, 3]
