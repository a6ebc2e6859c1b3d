"""Clusters of cells that are near each other, and boxes around the points of a cluster as seen from above."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(nogil=True, cache=True)
def components(cells: np.ndarray, reach: np.ndarray, lookup: np.ndarray, label: np.ndarray) -> int:
    """-> C, the number of clusters; label (P,) int32: cluster of each cell, numbered by their first cells.

    cells (P, 2) int32 row column, each once; reach (P,) float64 [cells]: two cells belong together where the distance of their
    centres is at most the smaller reach of both; lookup (rows, columns) int32 is scratch, -1 everywhere, left as it was found.
    """
    rows, columns = lookup.shape
    num = cells.shape[0]
    for p in range(num):
        lookup[cells[p, 0], cells[p, 1]] = p
        label[p] = p
    for p in range(num):
        row, column, limit = cells[p, 0], cells[p, 1], reach[p]
        wide = int(limit)
        for r in range(max(row - wide, 0), min(row + wide + 1, rows)):
            for c in range(max(column - wide, 0), min(column + wide + 1, columns)):
                q = lookup[r, c]
                apart = (r - row) * (r - row) + (c - column) * (c - column)
                if q > p and apart <= limit * limit and apart <= reach[q] * reach[q]:
                    a, b = _root(label, p), _root(label, q)
                    label[max(a, b)] = min(a, b)
    for p in range(num):
        lookup[cells[p, 0], cells[p, 1]] = -1
    for p in range(num):
        label[p] = _root(label, p)
    count = 0
    for p in range(num):  # a root is the first cell of its cluster: its new number is known before it is needed
        if label[p] == p:
            label[p] = -1 - count
            count += 1
        else:
            label[p] = label[label[p]]
    for p in range(num):
        label[p] = -1 - label[p]
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def closest_rectangle(points: np.ndarray, angles: int, near_m: float, most: int) -> tuple[float, float]:
    """-> angle in [0, pi/2) of the rectangle around points (N, 4) float32 that the points follow best; closeness 0..1.

    Source: Zhang et al. 2017 (Efficient L-shape fitting), alg. 4: a point counts 1 / its distance to the nearest edge, at least
    near_m; closeness is the mean of near_m / that distance. At most `most` points, evenly chosen, vote.
    """
    n = points.shape[0]
    stride = max(1, -(-n // most))
    best, best_angle = -1.0, 0.0
    for k in range(angles):
        angle = k * np.pi / 2 / angles
        c, s = np.cos(angle), np.sin(angle)
        low_u, high_u, low_v, high_v = np.inf, -np.inf, np.inf, -np.inf
        for i in range(n):
            u, v = c * points[i, 0] + s * points[i, 1], c * points[i, 1] - s * points[i, 0]
            low_u, high_u, low_v, high_v = min(low_u, u), max(high_u, u), min(low_v, v), max(high_v, v)
        total, votes = 0.0, 0
        for i in range(0, n, stride):
            u, v = c * points[i, 0] + s * points[i, 1], c * points[i, 1] - s * points[i, 0]
            apart = min(u - low_u, high_u - u, v - low_v, high_v - v)
            total += near_m / max(apart, near_m)
            votes += 1
        if total / votes > best:
            best, best_angle = total / votes, angle
    return best_angle, best


@njit(nogil=True, cache=True)
def extents(points: np.ndarray, angle: float) -> tuple[float, float, float, float]:
    """-> lowest and highest u = along the angle, v = a quarter turn left of it, of points (N, 4) float32"""
    c, s = np.cos(angle), np.sin(angle)
    low_u, high_u, low_v, high_v = np.inf, -np.inf, np.inf, -np.inf
    for i in range(points.shape[0]):
        u, v = c * points[i, 0] + s * points[i, 1], c * points[i, 1] - s * points[i, 0]
        low_u, high_u, low_v, high_v = min(low_u, u), max(high_u, u), min(low_v, v), max(high_v, v)
    return low_u, high_u, low_v, high_v


@njit(nogil=True, cache=True)
def rectangles(points: np.ndarray, starts: np.ndarray, angles: int, near_m: float, most: int, out: np.ndarray) -> None:
    """out (C, 8) float64 of each cluster: angle, low u, high u, low v, high v, low z, high z, closeness.

    points (N, 4) float32, those of cluster c are rows starts[c] .. starts[c + 1]; none is empty. Others: see `closest_rectangle`.
    """
    for c in range(starts.shape[0] - 1):
        part = points[starts[c] : starts[c + 1]]
        angle, closeness = closest_rectangle(part, angles, near_m, most)
        low_u, high_u, low_v, high_v = extents(part, angle)
        low_z, high_z = np.inf, -np.inf
        for i in range(part.shape[0]):
            low_z, high_z = min(low_z, part[i, 2]), max(high_z, part[i, 2])
        out[c, 0], out[c, 1], out[c, 2], out[c, 3], out[c, 4] = angle, low_u, high_u, low_v, high_v
        out[c, 5], out[c, 6], out[c, 7] = low_z, high_z, closeness
