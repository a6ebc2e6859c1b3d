"""Which points lie on the ground: a walk outwards in each sector around the sensor, from ring to ring.

Source: Himmelsbach et al. 2010 (Fast segmentation of 3D point clouds for ground vehicles), sec. III: sectors and bins. Here the
height of the ground goes from bin to bin instead of along fitted lines: hills need no second model.
"""

from __future__ import annotations

import numpy as np
from numba import njit

THICK_M = 0.15
"""Points up to here above the lowest one of a bin are averaged: ground is noisy and rough."""


@njit(nogil=True, cache=True, error_model="numpy")
def bins(
    points: np.ndarray, ring_m: float, sectors: int, rings: int, at: np.ndarray, starts: np.ndarray, order: np.ndarray
) -> None:
    """Sorts points (N, 4) float32 by bin = sector * rings + ring.

    out  at (N,) int32 bin of each point, -1 for NaN and inf; order (N,) int32 points by bin, starts (sectors * rings + 1,) int32:
         those of bin b are order[starts[b] : starts[b + 1]]
    Sectors divide |x| + |y| = 1, not the circle (no trigonometry); the last ring holds all beyond it.
    """
    starts[:] = 0
    for i in range(points.shape[0]):
        x, y, z = np.float64(points[i, 0]), np.float64(points[i, 1]), points[i, 2]
        away = abs(x) + abs(y)
        at[i] = -1
        if not np.isfinite(away + z):
            continue
        turn = y / away if away > 0 else 0.0
        turn = 1 + turn if x >= 0 else 3 - turn  # 0..4, counter-clockwise from -y
        sector = min(int(turn * sectors / 4), sectors - 1)
        ring = int(min(np.sqrt(x * x + y * y) / ring_m, rings - 1.0))
        at[i] = sector * rings + ring
        starts[at[i] + 1] += 1
    for b in range(sectors * rings):
        starts[b + 1] += starts[b]
    for i in range(points.shape[0]):  # starts[b] moves to the end of bin b, which is the start of the next one
        b = at[i]
        if b >= 0:
            order[starts[b]] = i
            starts[b] += 1
    for b in range(sectors * rings, 0, -1):
        starts[b] = starts[b - 1]
    starts[0] = 0


@njit(nogil=True, cache=True)
def heights(
    points: np.ndarray, starts: np.ndarray, order: np.ndarray, ring_m: float, z_m: float, max_slope: float, step_m: float,
    max_rise_m: float, out: np.ndarray,
) -> None:  # fmt: skip
    """out (sectors, rings) float64: z of the ground in each bin.

    starts, order: of `bins`; z_m of the ground below the sensor. Ground may differ from the last ground seen by step_m +
    max_slope * the distance to it, by max_rise_m at most; a bin without such a point takes the height before it.
    """
    sectors, rings = out.shape
    for s in range(sectors):
        height, last = z_m, -1
        for k in range(rings):
            b = s * rings + k
            rise = min(step_m + max_slope * ring_m * (k - last - 1), max_rise_m)
            lowest = np.inf
            for j in range(starts[b], starts[b + 1]):
                z = points[order[j], 2]
                if z >= height - rise:  # what lies deeper is an echo
                    lowest = min(lowest, z)
            if lowest <= height + rise:
                total, count = 0.0, 0
                for j in range(starts[b], starts[b + 1]):
                    z = points[order[j], 2]
                    if lowest <= z <= lowest + THICK_M:
                        total += z
                        count += 1
                height, last = total / count, k
            out[s, k] = height


@njit(nogil=True, cache=True)
def divide(
    points: np.ndarray, at: np.ndarray, heights: np.ndarray, above_m: float, above: np.ndarray, ground: np.ndarray
) -> tuple[int, int]:
    """-> number of points higher than above_m over the ground, written to above (N, 4); of the others, written to ground (N, 4).

    at (N,) of `bins`; points with at < 0 go nowhere. Input order is kept.
    """
    flat = heights.reshape(-1)
    num_above = num_ground = 0
    for i in range(points.shape[0]):
        if at[i] < 0:
            continue
        if points[i, 2] > flat[at[i]] + above_m:
            for c in range(4):
                above[num_above, c] = points[i, c]
            num_above += 1
        else:
            for c in range(4):
                ground[num_ground, c] = points[i, c]
            num_ground += 1
    return num_above, num_ground
