"""Linear sum assignment: each row one column, least total cost.

Source: Crouse 2016, On implementing 2D rectangular assignment algorithms (shortest augmenting paths), the method of
scipy.optimize.linear_sum_assignment. Ties go where scipy sends them, so that a score counted here is the one that an evaluator
built on scipy counts; called from other kernels, it costs a microsecond instead of a trip through Python.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def assign(cost: np.ndarray, out: np.ndarray) -> None:
    """cost (R, C) float64, finite -> out (R,) int64: the column of each row, -1 where there are more rows than columns."""
    rows, columns = cost.shape
    out[:] = -1
    if rows == 0 or columns == 0:
        return
    if rows <= columns:
        _solve(cost, out)
        return
    row_of_column = np.empty(columns, np.int64)
    _solve(np.ascontiguousarray(cost.T), row_of_column)
    for j in range(columns):
        out[row_of_column[j]] = j


@njit(nogil=True, cache=True)
def _solve(cost: np.ndarray, column_of: np.ndarray) -> None:
    """R <= C. One augmenting path per row; u, v are the dual variables."""
    rows, columns = cost.shape
    u, v = np.zeros(rows), np.zeros(columns)
    row_of = np.full(columns, -1, np.int64)
    came_from = np.full(columns, -1, np.int64)
    shortest = np.empty(columns)
    rows_seen, columns_seen = np.empty(rows, np.bool_), np.empty(columns, np.bool_)
    remaining = np.empty(columns, np.int64)
    for start in range(rows):
        shortest[:] = np.inf
        rows_seen[:] = False
        columns_seen[:] = False
        num_remaining = columns
        for k in range(columns):  # backwards: on a matrix of equal costs the identity comes out
            remaining[k] = columns - k - 1
        reached, row, sink = 0.0, start, -1
        while sink == -1:
            rows_seen[row] = True
            lowest, at = np.inf, -1
            for k in range(num_remaining):
                j = remaining[k]
                through = reached + cost[row, j] - u[row] - v[j]
                if through < shortest[j]:
                    came_from[j] = row
                    shortest[j] = through
                if shortest[j] < lowest or (shortest[j] == lowest and row_of[j] == -1):
                    lowest, at = shortest[j], k
            reached = lowest
            j = remaining[at]
            if row_of[j] == -1:
                sink = j
            else:
                row = row_of[j]
            columns_seen[j] = True
            num_remaining -= 1
            remaining[at] = remaining[num_remaining]
        u[start] += reached
        for i in range(rows):
            if rows_seen[i] and i != start:
                u[i] += reached - shortest[column_of[i]]
        for j in range(columns):
            if columns_seen[j]:
                v[j] -= reached - shortest[j]
        j = sink
        while True:
            i = came_from[j]
            row_of[j] = i
            j, column_of[i] = column_of[i], j
            if i == start:
                break


@njit(nogil=True, cache=True)
def best_pairs(gain: np.ndarray, out: np.ndarray) -> None:
    """gain (R, C) float64 >= 0 -> out (R,) int64: the column of each row, -1 = none, so that the total gain is largest.

    Pairs without gain are not made. Where no row and no column has a choice, which is usual, nothing is solved."""
    rows, columns = gain.shape
    out[:] = -1
    used = np.zeros(columns, np.bool_)
    choice = False
    for i in range(rows):
        for j in range(columns):
            if gain[i, j] > 0:
                if out[i] >= 0 or used[j]:
                    choice = True
                    break
                out[i] = j
                used[j] = True
        if choice:
            break
    if not choice:
        return
    assign(-gain, out)
    for i in range(rows):
        if out[i] >= 0 and not gain[i, out[i]] > 0:
            out[i] = -1
