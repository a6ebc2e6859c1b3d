"""Points to pillars in steps: `group`, `choose` where a pillar has too many points, `keep`, then `pack` or `pad`.

A point's column is floor((x - x0) / edge) in float32, as spconv and OpenPCDet compute it; rows and z alike, z with one layer from
z0 to z1. A point is in range if its cell is in the grid: -0.0 is inside where x0 = 0; inf is outside.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.chance import uniform

FREE, REFUSED = -1, -2
"""In the lookup: no pillar yet; no pillar, since max_pillars was reached."""
OUTSIDE, NAN, LOST = -1, -2, -3
"""Instead of the pillar of a point: out of range; a NaN in its row; LOST - cell: in a refused pillar."""


@njit(nogil=True, cache=True, error_model="numpy")
def _locate(points: np.ndarray, low: np.ndarray, edges: np.ndarray, rows: int, columns: int, at: np.ndarray) -> int:
    """at (N,) becomes the cell of each point, row by row; OUTSIDE, NAN. -> points whose intensity is not in 0..1"""
    zero, one, height, width, stride = np.float32(0), np.float32(1), np.float32(rows), np.float32(columns), np.int32(columns)
    x0, y0, z0, dx, dy, dz = low[0], low[1], low[2], edges[0], edges[1], edges[2]
    flat, odd = points.reshape(-1), np.int32(0)  # flat: the compiler knows the stride 4, and makes this loop SIMD
    for i in range(points.shape[0]):
        x, y, z, intensity = flat[4 * i], flat[4 * i + 1], flat[4 * i + 2], flat[4 * i + 3]
        column, row, layer = (x - x0) / dx, (y - y0) / dy, (z - z0) / dz
        inside = (
            (column >= zero) & (column < width) & (row >= zero) & (row < height) & (layer >= zero) & (layer < one)
        )  # fmt: skip
        cell = np.int32(OUTSIDE)
        if inside:
            cell = np.int32(row) * stride + np.int32(column)  # of numbers >= 0: the floor
        if (x != x) | (y != y) | (z != z) | (intensity != intensity):
            cell = np.int32(NAN)
        at[i] = cell
        odd += np.int32((intensity < zero) | (intensity > one))
    return odd


@njit(nogil=True, cache=True)
def group(
    points: np.ndarray,
    low: np.ndarray,
    edges: np.ndarray,
    lookup: np.ndarray,
    pillar: np.ndarray,
    rank: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
    dropped: np.ndarray,
) -> tuple[int, int]:
    """-> P, the number of pillars; the number of points whose intensity is not in 0..1.

    in       points (N, 4) float32 [m]; low (3,) float32 x0 y0 z0, edges (3,) float32 of a cell [m]
    scratch  lookup (rows, columns) int32, FREE everywhere; left as it was found
    out      pillar (N,) int32 of each point, below 0: none; rank (N,) int32: 0 for its first point, 1, ... without a limit;
             cells (max_pillars, 2) int32 row column, counts (max_pillars,) int32: the first P rows, the rest is not touched
    adds to  dropped (4,) int64: pillars refused, points beyond K or in refused pillars, points out of range, NaN points
    Pillars come in the order of their first point.
    """
    rows, columns = lookup.shape
    odd = _locate(points, low, edges, rows, columns, pillar)
    flat = lookup.reshape(-1)
    most, num, refused, lost, outside, nan = counts.shape[0], 0, 0, 0, 0, 0
    for i in range(points.shape[0]):
        cell = pillar[i]
        if cell < 0:
            if cell == NAN:
                nan += 1
            else:
                outside += 1
            continue
        p = flat[cell]
        if p < 0:
            if p == FREE and num < most:
                p = np.int32(num)
                cells[num, 0], cells[num, 1] = cell // columns, cell % columns
                counts[num] = 0
                flat[cell] = p
                num += 1
            else:
                refused += p == FREE
                lost += 1
                flat[cell] = REFUSED
                pillar[i] = LOST - cell
                continue
        pillar[i] = p
        rank[i] = counts[p]
        counts[p] += 1

    # clearing what was touched costs microseconds, clearing the whole grid a tenth of a millisecond
    for p in range(num):
        flat[cells[p, 0] * columns + cells[p, 1]] = FREE
    if refused > 0:
        for i in range(points.shape[0]):
            if pillar[i] <= LOST:
                flat[LOST - pillar[i]] = FREE
    dropped[0] += refused
    dropped[1] += lost
    dropped[2] += outside
    dropped[3] += nan
    return num, odd


@njit(nogil=True, cache=True)
def choose(
    pillar: np.ndarray,
    rank: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
    chosen: np.ndarray,
    max_points: int,
    seed: int,
) -> None:
    """New ranks for the points of pillars with more than max_points: a random subset of that size, in input order.

    As `group` left them, P pillars; the rank of a point not chosen becomes max_points. chosen (P,) int32 is scratch. The subset
    follows from seed, cell and the number of points in it; each subset is equally likely.
    Source: Knuth, The Art of Computer Programming, vol. 2, sec. 3.4.2, algorithm S.
    """
    chosen[:] = 0
    for i in range(pillar.shape[0]):
        p = pillar[i]
        if p < 0 or counts[p] <= max_points:
            continue
        cell = np.int64(cells[p, 0]) << 32 | np.int64(cells[p, 1])
        left = counts[p] - rank[i]
        if uniform(seed, cell, np.int64(rank[i])) * left < max_points - chosen[p]:
            rank[i] = chosen[p]
            chosen[p] += 1
        else:
            rank[i] = max_points


@njit(nogil=True, cache=True)
def keep(counts: np.ndarray, max_points: int, dropped: np.ndarray) -> int:
    """Limits counts (P,) to max_points; dropped (4,) as in `group`. -> their sum"""
    kept = beyond = 0
    for p in range(counts.shape[0]):
        if counts[p] > max_points:
            beyond += counts[p] - max_points
            counts[p] = max_points
        kept += counts[p]
    dropped[1] += beyond
    return kept


@njit(nogil=True, cache=True)
def _copy(source: np.ndarray, start: int, target: np.ndarray, at: int) -> None:
    """One point."""
    x, y, z, intensity = source[start], source[start + 1], source[start + 2], source[start + 3]
    target[at], target[at + 1], target[at + 2], target[at + 3] = x, y, z, intensity


@njit(nogil=True, cache=True)
def pack(
    points: np.ndarray, pillar: np.ndarray, rank: np.ndarray, counts: np.ndarray, starts: np.ndarray, packed: np.ndarray
) -> None:
    """packed (sum of counts, 4) float32 becomes the kept points, pillar after pillar. counts (P,) after `keep`; starts (P,) int32
    is scratch."""
    before = 0
    for p in range(counts.shape[0]):
        starts[p] = before
        before += counts[p]
    source, target = points.reshape(-1), packed.reshape(-1)
    for i in range(points.shape[0]):
        p = pillar[i]
        if p >= 0 and rank[i] < counts[p]:
            _copy(source, 4 * i, target, 4 * (starts[p] + rank[i]))


@njit(nogil=True, cache=True)
def pad(points: np.ndarray, pillar: np.ndarray, rank: np.ndarray, counts: np.ndarray, padded: np.ndarray) -> None:
    """padded (P, K, 4) float32 becomes the kept points of each pillar, then zeros. counts (P,) after `keep`, at most K."""
    depth, source, target = padded.shape[1], points.reshape(-1), padded.reshape(-1)
    for p in range(counts.shape[0]):
        target[4 * (p * depth + counts[p]) : 4 * (p + 1) * depth] = 0.0
    for i in range(points.shape[0]):
        p = pillar[i]
        if p >= 0 and rank[i] < counts[p]:
            _copy(source, 4 * i, target, 4 * (p * depth + rank[i]))
