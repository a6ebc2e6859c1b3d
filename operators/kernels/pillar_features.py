"""Features of pillars, and the sum of a first convolution over the pillars alone.

Source: Lang et al. 2019 (PointPillars), sec. 2.1. A point's nine values are x y z r, its offsets to the mean of its pillar's
points and to the pillar's centre. A linear layer of them is a linear function of x y z r plus a vector of the pillar, so the
maximum over the points needs four products for each feature and point.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def pillar_features(
    pillars: np.ndarray,
    counts: np.ndarray,
    cells: np.ndarray,
    first_centre: np.ndarray,
    cell: np.ndarray,
    of_point: np.ndarray,
    of_pillar: np.ndarray,
    bias: np.ndarray,
    least: np.ndarray,
    depth: int,
    place: np.ndarray,
    out: np.ndarray,
) -> None:
    """max over the points of max(of_point^T (x - cx, y - cy, z, r) + of_pillar^T (cx, cy, mx - cx, my - cy, mz) + bias, 0).

    c: the pillar's centre, m: the mean of its points. In a pillar with less than `depth` points the result is at least `least`.
    in   pillars (P, K, 4) float32 [m], or packed: (R, 1, 4), the R points of all pillars, pillar after pillar
         counts (P,) int, cells (P, 2) int row column
         first_centre (2,) float64: x, y of the centre of row 0, column 0 [m]; cell (2,) float64: x, y [m]
         of_point (4, F), of_pillar (5, F), bias, least (F,) float32; place (P,): row of `out` of each pillar
    out  out (P, F) float32
    """
    num_features = len(bias)
    wx, wy, wz, wr = of_point[0], of_point[1], of_point[2], of_point[3]
    zero = np.float32(0)
    points, step, after = pillars.reshape(-1, 4), pillars.shape[1], 0
    for p in range(len(counts)):
        start = after if step == 1 else p * step
        after = start + counts[p]
        centre_x = np.float32(cells[p, 1] * cell[0] + first_centre[0])
        centre_y = np.float32(cells[p, 0] * cell[1] + first_centre[1])
        most = out[place[p]]
        most[:] = -np.inf
        mean_x = mean_y = mean_z = zero
        for k in range(start, after):
            # relative to the centre: float32 keeps the offsets of points at 70 m
            x, y, z, r = points[k, 0] - centre_x, points[k, 1] - centre_y, points[k, 2], points[k, 3]
            mean_x, mean_y, mean_z = mean_x + x, mean_y + y, mean_z + z
            for f in range(num_features):
                value = wx[f] * x + wy[f] * y + wz[f] * z + wr[f] * r
                most[f] = value if value > most[f] else most[f]
        share = np.float32(1) / np.float32(counts[p])
        mean_x, mean_y, mean_z = mean_x * share, mean_y * share, mean_z * share
        for f in range(num_features):
            value = most[f] + bias[f] + of_pillar[0, f] * centre_x + of_pillar[1, f] * centre_y
            value += of_pillar[2, f] * mean_x + of_pillar[3, f] * mean_y + of_pillar[4, f] * mean_z
            most[f] = value if value > zero else zero
        if counts[p] < depth:
            for f in range(num_features):
                most[f] = least[f] if least[f] > most[f] else most[f]


@njit(nogil=True, cache=True)
def by_residue(cells: np.ndarray, stride: int, place: np.ndarray, starts: np.ndarray) -> None:
    """Order of the pillars by (row % stride, column % stride): the same taps of a 3x3 convolution see the pillars of one residue.

    cells (P, 2) int -> place (P,) int64 of each pillar in that order, starts (stride * stride + 1,) int64: first of each residue
    """
    starts[:] = 0
    for p in range(len(cells)):
        starts[(cells[p, 0] % stride) * stride + cells[p, 1] % stride + 1] += 1
    for g in range(stride * stride):
        starts[g + 1] += starts[g]
    after = starts.copy()
    for p in range(len(cells)):
        g = (cells[p, 0] % stride) * stride + cells[p, 1] % stride
        place[p] = after[g]
        after[g] += 1


@njit(nogil=True, cache=True)
def add_taps(
    products: np.ndarray,
    cells: np.ndarray,
    place: np.ndarray,
    start: int,
    taps: np.ndarray,
    stride: int,
    size: tuple[int, int],
    empty: np.ndarray,
    field: np.ndarray,
    active: np.ndarray,
) -> None:
    """Adds the products of pillars of one residue to the sites that see them. A site's first product begins at `empty`.

    in      products (n, T * C) float32: pillar start + i of the order times the weights of each tap; cells (P, 2), place (P,) as
            by_residue gave it; taps (T, 2): row, column of the tap, 0..2; size = R, C of the output; empty (C,) float32
    in/out  field (rows + 2, columns + 2, C) float32, active uint8
    """
    channels = field.shape[2]
    for p in range(len(cells)):
        at = place[p] - start
        if at < 0 or at >= len(products):
            continue
        for t in range(len(taps)):
            r, c = (cells[p, 0] + 1 - taps[t, 0]) // stride, (cells[p, 1] + 1 - taps[t, 1]) // stride
            if r < 0 or c < 0 or r >= size[0] or c >= size[1]:
                continue
            site, product = field[r + 1, c + 1], products[at, t * channels : (t + 1) * channels]
            if active[r + 1, c + 1]:
                for f in range(channels):
                    site[f] += product[f]
            else:
                active[r + 1, c + 1] = 1
                for f in range(channels):
                    site[f] = empty[f] + product[f]


@njit(nogil=True, cache=True)
def rectify(active: np.ndarray, field: np.ndarray) -> None:
    """max(value, 0) at active sites."""
    zero = np.float32(0)
    for r in range(active.shape[0]):
        for c in range(active.shape[1]):
            if active[r, c]:
                site = field[r, c]
                for f in range(len(site)):
                    site[f] = site[f] if site[f] > zero else zero
