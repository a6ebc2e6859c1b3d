"""Greedy assignment: the nearest pair, then the nearest of what is left."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def greedy(cost: np.ndarray, pairs: np.ndarray) -> None:
    """cost (R, C) float64 -> pairs (min(R, C), 2) int64 [row, column] by rising cost; ties to the first row, then column."""
    num_columns = cost.shape[1]
    row_taken, column_taken = np.zeros(cost.shape[0], np.bool_), np.zeros(num_columns, np.bool_)
    k = 0
    for at in np.argsort(cost.ravel(), kind="mergesort"):
        if k == len(pairs):
            break
        row, column = at // num_columns, at % num_columns
        if row_taken[row] or column_taken[column]:
            continue
        row_taken[row] = column_taken[column] = True
        pairs[k, 0], pairs[k, 1] = row, column
        k += 1
