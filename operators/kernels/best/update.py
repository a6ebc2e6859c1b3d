"""Step 5 of preset `best`: Kalman updates of the matched tracks.     Source: Kalman 1960"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.best.state import (
    COV_XX,
    COV_XY,
    COV_YY,
    EVIDENCE,
    HITS,
    LABEL,
    LATEST,
    LOOSENESS,
    MEMORY,
    MISS,
    SCORE,
    SIGMA_L,
    SIGMA_YAW,
    SIGMA_Z,
    TIME_SINCE_UPDATE,
    VOTES,
    WORLD_YAW,
    Detections,
    Tracks,
    X,
    Y,
    Z,
    half_turn,
    wrap,
)

_VOTING_SPEED = 0.3  # metres per step: from here on the direction of motion votes for the front
_MAX_VOTES = 6


@njit(nogil=True, cache=True)
def update(dets: Detections, tracks: Tracks, num: int, params: np.ndarray, det_of: np.ndarray) -> None:
    """x, y and their speed are filtered together; height, yaw and each size have a filter of their own.

    A track without a match loses MISS of its evidence.
    """
    boxes, _, evidence, scores, world = dets
    motion, motion_cov, height, yaws, size, beliefs, infos = tracks
    K, before = np.empty((4, 2)), np.empty((2, 4))
    for t in range(num):
        d = det_of[t]
        p = params[infos[t, LABEL]]
        if d < 0:
            beliefs[t, EVIDENCE] -= p[MISS]
            continue
        z, x, C, info = world[d], motion[t], motion_cov[t], infos[t]

        # S = H C H' + R, and its inverse
        sxx, sxy, syy = C[0, 0] + z[COV_XX], C[0, 1] + z[COV_XY], C[1, 1] + z[COV_YY]
        det = sxx * syy - sxy * sxy
        ixx, ixy, iyy = syy / det, -sxy / det, sxx / det

        # K = C H' S^-1, x += K (z - H x)
        dx, dy = z[X] - x[0], z[Y] - x[1]
        for i in range(4):
            K[i, 0], K[i, 1] = C[i, 0] * ixx + C[i, 1] * ixy, C[i, 0] * ixy + C[i, 1] * iyy
            before[0, i], before[1, i] = C[0, i], C[1, i]
            x[i] += K[i, 0] * dx + K[i, 1] * dy

        # C -= K H C
        for i in range(4):
            for j in range(i, 4):
                C[i, j] -= K[i, 0] * before[0, j] + K[i, 1] * before[1, j]
                C[j, i] = C[i, j]

        # height; yaw as a line, then its front by majority; sizes
        yaw = yaws[t]
        blend(height[t], 0, 1, z[Z], p[SIGMA_Z] * z[LOOSENESS])
        turn = half_turn(z[WORLD_YAW] - yaw[0])
        _vote(info, x, yaw, z[WORLD_YAW])
        blend(yaw, 0, 1, yaw[0] + turn, p[SIGMA_YAW] * z[LOOSENESS])
        yaw[0] = wrap(yaw[0] + (np.pi if info[VOTES] < 0 else 0.0))
        info[VOTES] = abs(info[VOTES])
        for k in range(3):
            blend(size[t], k, 3 + k, boxes[d, 3 + k], p[SIGMA_L + k] * z[LOOSENESS])

        # belief: a plain mean over the first 1 / MEMORY matches, then an exponential one
        info[HITS] += 1
        info[TIME_SINCE_UPDATE] = 0
        share = max(1.0 / info[HITS], p[MEMORY])
        belief = beliefs[t]
        belief[EVIDENCE] += share * (evidence[d] - belief[EVIDENCE])
        belief[SCORE] += share * (scores[d] - belief[SCORE])
        belief[LATEST] = evidence[d]


@njit(nogil=True, cache=True)
def _vote(info: np.ndarray, x: np.ndarray, yaw: np.ndarray, seen: float) -> None:
    """Votes for the front end: one by the yaw of the detection, two by the motion if it is fast. At most _MAX_VOTES are kept."""
    votes = 1 if np.cos(seen - yaw[0]) >= 0 else -1
    if x[2] * x[2] + x[3] * x[3] > _VOTING_SPEED**2:
        votes += 2 if x[2] * np.cos(yaw[0]) + x[3] * np.sin(yaw[0]) >= 0 else -2
    info[VOTES] = min(info[VOTES] + votes, _MAX_VOTES)


@njit(nogil=True, cache=True)
def blend(row: np.ndarray, at: int, variance_at: int, value: float, sigma: float) -> None:
    """Scalar Kalman update of row[at], whose variance is row[variance_at], by a measurement of standard deviation sigma."""
    gain = row[variance_at] / (row[variance_at] + sigma * sigma)
    row[at] += gain * (value - row[at])
    row[variance_at] *= 1 - gain
