"""The best class of each pixel. NumPy's argmax over the first axis transposes the array first."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def best_class(scores: np.ndarray, best: np.ndarray, classes: np.ndarray) -> None:
    """scores (C, H, W) float32, C of 1..255; fills best (H, W) float32 and classes (H, W) uint8; of equal ones the first.

    NaN is never the best; pixels of NaN alone get class 0 and a best of -inf.
    """
    num, height, width = scores.shape
    which = np.empty(width, np.int32)
    for row in range(height):
        top = best[row]
        for column in range(width):
            first = scores[0, row, column]
            top[column] = -np.inf if np.isnan(first) else first
            which[column] = 0
        for c in range(1, num):
            line, number = scores[c, row], np.int32(c)
            for column in range(width):  # without branches, in one width of numbers: compiled to vector instructions
                better = line[column] > top[column]
                which[column] = number if better else which[column]
                top[column] = line[column] if better else top[column]
        for column in range(width):
            classes[row, column] = which[column]
