"""One-to-one assignment with few possible pairs: independent pieces are solved separately."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.lsap import assign


@njit(nogil=True, cache=True)
def _root(parent: np.ndarray, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@njit(nogil=True, cache=True)
def assign_sparse(
    rows: np.ndarray, columns: np.ndarray, gains: np.ndarray, num_rows: int, num_columns: int, column_of: np.ndarray
) -> None:
    """Largest total gain. column_of (R,) int64 is filled: the column of each row, -1 = none.

    rows, columns (E,) int64, gains (E,) float64 > 0: the pairs that may be made, each once.
    """
    num_edges = len(gains)
    parent = np.empty(num_rows + num_columns, np.int64)
    for k in range(num_rows + num_columns):
        parent[k] = k
    for e in range(num_edges):
        a, b = _root(parent, rows[e]), _root(parent, num_rows + columns[e])
        if a != b:
            parent[b] = a
    # the pairs of each piece as a list: its first, and the next after each
    first, after = np.empty(num_rows + num_columns, np.int64), np.empty(num_edges, np.int64)
    row_at, column_at = np.empty(num_rows, np.int64), np.empty(num_columns, np.int64)
    first[:] = -1
    row_at[:] = -1
    column_at[:] = -1
    column_of[:] = -1
    for e in range(num_edges - 1, -1, -1):
        piece = _root(parent, rows[e])
        after[e] = first[piece]
        first[piece] = e
    for piece in range(num_rows + num_columns):
        e = first[piece]
        if e < 0:
            continue
        if after[e] < 0:
            column_of[rows[e]] = columns[e]
        else:
            _solve(rows, columns, gains, e, after, row_at, column_at, column_of)


@njit(nogil=True, cache=True)
def _solve(
    rows: np.ndarray,
    columns: np.ndarray,
    gains: np.ndarray,
    start: int,
    after: np.ndarray,
    row_at: np.ndarray,
    column_at: np.ndarray,
    column_of: np.ndarray,
) -> None:
    """One piece. row_at, column_at: places in the piece's own matrix, -1 before the call and after it."""
    num_rows = num_columns = 0
    e = start
    while e >= 0:
        if row_at[rows[e]] < 0:
            row_at[rows[e]] = num_rows
            num_rows += 1
        if column_at[columns[e]] < 0:
            column_at[columns[e]] = num_columns
            num_columns += 1
        e = after[e]
    cost = np.zeros((num_rows, num_columns))
    my_rows, my_columns, found = np.empty(num_rows, np.int64), np.empty(num_columns, np.int64), np.empty(num_rows, np.int64)
    e = start
    while e >= 0:
        i, j = row_at[rows[e]], column_at[columns[e]]
        cost[i, j] = -gains[e]
        my_rows[i], my_columns[j] = rows[e], columns[e]
        e = after[e]
    assign(cost, found)
    for i in range(num_rows):
        if found[i] >= 0 and cost[i, found[i]] < 0:
            column_of[my_rows[i]] = my_columns[found[i]]
        row_at[my_rows[i]] = -1
    for j in range(num_columns):
        column_at[my_columns[j]] = -1
