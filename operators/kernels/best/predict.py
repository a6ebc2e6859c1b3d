"""Step 1 of preset `best`: where the tracks are expected now.     Source: Bar-Shalom et al. 2001, sec. 6.3"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.best.state import (
    ACCELERATION,
    ACROSS,
    DRIFT_SIZE,
    DRIFT_YAW,
    DRIFT_YAW_MOVING,
    DRIFT_Z,
    DRIFT_Z_MOVING,
    LABEL,
    TIME_SINCE_UPDATE,
    Tracks,
)

_MAX_YAW_SPEED = 1.5  # metres per step: above this speed the yaw drifts no faster


@njit(nogil=True, cache=True)
def predict(tracks: Tracks, num: int, params: np.ndarray) -> None:
    """One step: constant velocity, with white acceleration that is stronger along the heading than across it."""
    motion, motion_cov, height, yaw, size, _, info = tracks
    for t in range(num):
        p = params[info[t, LABEL]]
        x, C = motion[t], motion_cov[t]

        # x = F x
        x[0] += x[2]
        x[1] += x[3]

        # C = F C F'
        for i in range(2):
            for j in range(4):
                C[i, j] += C[i + 2, j]
        for j in range(2):
            for i in range(4):
                C[i, j] += C[i, j + 2]

        # C += Q, Q = [[q / 4, q / 2], [q / 2, q]], q = R diag(along, across) R'
        c, s = np.cos(yaw[t, 0]), np.sin(yaw[t, 0])
        along, across = p[ACCELERATION] ** 2, (p[ACCELERATION] * p[ACROSS]) ** 2
        qxx, qxy, qyy = c * c * along + s * s * across, c * s * (along - across), s * s * along + c * c * across
        for i in range(0, 4, 2):
            for j in range(0, 4, 2):
                share = 0.25 if i + j == 0 else (0.5 if i + j == 2 else 1.0)
                C[i, j] += share * qxx
                C[i + 1, j] += share * qxy
                C[i, j + 1] += share * qxy
                C[i + 1, j + 1] += share * qyy

        # height, yaw and sizes: random walks
        speed = np.hypot(x[2], x[3])
        height[t, 1] += p[DRIFT_Z] ** 2 + (p[DRIFT_Z_MOVING] * speed) ** 2
        yaw[t, 1] += p[DRIFT_YAW] ** 2 + (p[DRIFT_YAW_MOVING] * min(speed, _MAX_YAW_SPEED)) ** 2
        for k in range(3, 6):
            size[t, k] += p[DRIFT_SIZE] ** 2
        info[t, TIME_SINCE_UPDATE] += 1
