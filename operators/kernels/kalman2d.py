"""Constant-velocity Kalman filters of boxes in the picture, many at once.     Source: Zhang et al. 2022 (ByteTrack), sec. 3

x (T, 8) float64 [cx, cy, w, h, then how much each of them changes per step], pixels; measurement z (4,) = its first four.
Noise is a share of the box's own size: of w across the picture, of h down it. With F, H constant velocity and P0, Q, R diagonal,
each of the four stays a filter of its own: P (T, 4, 3) float64 has variance, covariance with its change, variance of the change.
The first `num` rows count.
"""

from __future__ import annotations

import numpy as np
from numba import njit

NUM_WEIGHTS = 2
POSITION, CHANGE = 0, 1
"""weights (2,): standard deviation of a place and of its change per step, as shares of the size."""
FIRST_POSITION, FIRST_CHANGE = 2.0, 10.0  # factors on the deviations of a new track


@njit(nogil=True, cache=True)
def _extent(row: np.ndarray, k: int) -> float:
    """The size that scales the noise of coordinate k: the filter's own w or h, limited from below."""
    return max(row[2 + k % 2], 1.0)


@njit(nogil=True, cache=True)
def begin(x: np.ndarray, P: np.ndarray, z: np.ndarray, weights: np.ndarray) -> None:
    """Row of a new track: x (8,), P (4, 3)."""
    for k in range(4):
        x[k], x[4 + k] = z[k], 0.0
    for k in range(4):
        extent = _extent(x, k)
        P[k, 0] = (FIRST_POSITION * weights[POSITION] * extent) ** 2
        P[k, 1] = 0.0
        P[k, 2] = (FIRST_CHANGE * weights[CHANGE] * extent) ** 2


@njit(nogil=True, cache=True)
def predict(x: np.ndarray, P: np.ndarray, num: int, weights: np.ndarray) -> None:
    """One step: x = F x, P = F P F' + Q."""
    for t in range(num):
        for k in range(4):
            extent = _extent(x[t], k)
            p = P[t, k]
            p[0] += 2 * p[1] + p[2] + (weights[POSITION] * extent) ** 2
            p[1] += p[2]
            p[2] += (weights[CHANGE] * extent) ** 2
        for k in range(4):
            x[t, k] += x[t, 4 + k]


@njit(nogil=True, cache=True)
def distance(x: np.ndarray, P: np.ndarray, z: np.ndarray, weights: np.ndarray) -> float:
    """Mahalanobis, squared, of a measurement from one row: x (8,), P (4, 3)."""
    total = 0.0
    for k in range(4):
        away = z[k] - x[k]
        total += away * away / (P[k, 0] + (weights[POSITION] * _extent(x, k)) ** 2)
    return total


@njit(nogil=True, cache=True)
def update(x: np.ndarray, P: np.ndarray, z: np.ndarray, weights: np.ndarray) -> None:
    """x += K (z - H x), P = (I - K H) P, of one row: x (8,), P (4, 3)."""
    r0, r1 = (weights[POSITION] * _extent(x, 0)) ** 2, (weights[POSITION] * _extent(x, 1)) ** 2
    for k in range(4):
        p = P[k]
        total = p[0] + (r0 if k % 2 == 0 else r1)
        to_place, to_change = p[0] / total, p[1] / total
        away = z[k] - x[k]
        x[k] += to_place * away
        x[4 + k] += to_change * away
        p[2] -= to_change * p[1]
        p[1] -= to_place * p[1]
        p[0] -= to_place * p[0]
