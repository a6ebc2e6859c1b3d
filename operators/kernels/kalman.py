"""Constant-velocity Kalman filter of one track, by blocks.      Source: Weng et al. 2020 (AB3DMOT)

x (10,) float64 [x, y, z, yaw, l, w, h, vx, vy, vz], velocity in metres per step; measurement z (7,) = its first seven.
With F = constant velocity, H = the first seven, and P0, Q, R diagonal and the same for x, y, z and for yaw, l, w, h, the
covariance stays three equal 2 x 2 blocks (x vx), (y vy), (z vz) and four equal variances. P (4,) float64 holds them once:
P[0] of a position, P[1] of a position with its velocity, P[2] of a velocity, P[3] of yaw, l, w and h.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def predict(x: np.ndarray, P: np.ndarray, Q: np.ndarray) -> None:
    """One step: x = F x, P = F P F' + Q. Q (3,): of a position, a velocity, yaw and sizes."""
    for k in range(3):
        x[k] += x[7 + k]
    P[0] += 2 * P[1] + P[2] + Q[0]
    P[1] += P[2]
    P[2] += Q[1]
    P[3] += Q[2]


@njit(nogil=True, cache=True)
def update(x: np.ndarray, P: np.ndarray, z: np.ndarray, R: np.ndarray) -> None:
    """x += K (z - H x), P by Joseph's form, as filterpy. R (2,): of a position, of yaw and sizes. Yaw is not wrapped."""
    to_position, to_velocity = P[0] / (P[0] + R[0]), P[1] / (P[0] + R[0])
    to_rest = P[3] / (P[3] + R[1])
    for k in range(3):
        ahead = z[k] - x[k]
        x[k] += to_position * ahead
        x[7 + k] += to_velocity * ahead
    for k in range(3, 7):
        x[k] += to_rest * (z[k] - x[k])
    p, c, v = P[0], P[1], P[2]
    P[0] = (1 - to_position) ** 2 * p + to_position**2 * R[0]
    P[1] = (1 - to_position) * (c - to_velocity * p) + to_position * to_velocity * R[0]
    P[2] = v - 2 * to_velocity * c + to_velocity**2 * (p + R[0])
    P[3] = (1 - to_rest) ** 2 * P[3] + to_rest**2 * R[1]
