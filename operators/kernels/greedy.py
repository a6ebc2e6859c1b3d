"""Greedy assignment: the nearest pair, then the nearest of what is left."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def _cheapest(cost: np.ndarray, row: int, taken: np.ndarray) -> int:
    """The first of its cheapest columns that are not taken, -1 = none."""
    best = -1
    for column in range(cost.shape[1]):
        if not taken[column] and (best < 0 or cost[row, column] < cost[row, best]):
            best = column
    return best


@njit(nogil=True, cache=True)
def greedy(cost: np.ndarray, pairs: np.ndarray) -> None:
    """cost (R, C) float64 -> pairs (min(R, C), 2) int64 [row, column] by rising cost; ties to the first row, then column."""
    num_rows, num_columns = cost.shape
    taken, best = np.zeros(num_columns, np.bool_), np.empty(num_rows, np.int64)
    for row in range(num_rows):
        best[row] = _cheapest(cost, row, taken)
    for k in range(len(pairs)):
        first = -1
        for row in range(num_rows):
            if best[row] >= 0 and (first < 0 or cost[row, best[row]] < cost[first, best[first]]):
                first = row
        pairs[k, 0], pairs[k, 1] = first, best[first]
        taken[best[first]] = True
        lost = best[first]
        best[first] = -1
        for row in range(num_rows):
            if best[row] == lost:
                best[row] = _cheapest(cost, row, taken)
