"""Ranges of one turn -> points."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def cloud(
    ranges: np.ndarray,
    strengths: np.ndarray,
    order: np.ndarray,
    column_times_s: np.ndarray,
    direction: np.ndarray,
    offset: np.ndarray,
    strength_max: float,
    total: int,
    points: np.ndarray,
    times_s: np.ndarray,
    rings: np.ndarray,
) -> None:
    """points (N, 4), times_s (N,) float32, rings (N,) uint8: column by column, from the highest beam to the lowest, the returns
    of a beam one after another. `total` is the number of ranges above 0; if it is more than N, N of them spread evenly are kept.

    ranges (R, W, H) uint32 [mm], 0 = no return; strengths (R, W, H) uint16, strength_max and more become intensity 1; order (C,)
    int64: the columns; column_times_s (W,) float32; p = range * direction + offset, both (W, H, 3) float64 [m/mm, m].
    """
    size, seen, n = points.shape[0], 0, 0
    for column in order:
        for row in range(ranges.shape[2]):
            for k in range(ranges.shape[0]):
                distance = np.float64(ranges[k, column, row])
                if distance == 0:
                    continue
                seen += 1
                if n >= size or seen * size // total == (seen - 1) * size // total:
                    continue
                for axis in range(3):
                    points[n, axis] = distance * direction[column, row, axis] + offset[column, row, axis]
                points[n, 3] = min(strengths[k, column, row] / strength_max, 1.0)
                times_s[n] = column_times_s[column]
                rings[n] = row
                n += 1
