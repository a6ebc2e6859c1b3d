"""Step 3 of preset `best`: the car's own motion, from poses or from the tracks themselves."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.best.state import (
    COV_XX,
    COV_YY,
    LOOSENESS,
    SIGMA_YAW,
    WORLD_YAW,
    Detections,
    Ego,
    Tracks,
    X,
    Y,
    half_turn,
    wrap,
)

NEW_FRAMES = 3  # observed frames after which `drive` is trusted
_ITERATIONS = 4
_FLOOR_XY, _FLOOR_YAW = 0.01, 0.0004  # variances added to each residual [m2, rad2]


@njit(nogil=True, cache=True)
def own_motion(
    dets: Detections,
    T: np.ndarray,
    variance: np.ndarray,
    tracks: Tracks,
    num: int,
    params: np.ndarray,
    det_of: np.ndarray,
    out: np.ndarray,
) -> None:
    """Fills out (3,): correction of x, y, yaw of the car, so that the detections lie on their tracks.

    T (4, 4): assumed pose of the car, variance (3,): of its x, y, yaw.
    Gauss-Newton over all matches. Each residual is weighted by the inverse covariance of track and detection, and by Cauchy's
    weight (scale 2) against outliers. Parked objects dominate, because their tracks have the smallest covariance.
    """
    labels, world = dets.labels, dets.world
    motion, motion_cov, yaw = tracks.motion, tracks.motion_cov, tracks.yaw
    A, b, J = np.empty((3, 3)), np.empty(3), np.zeros((2, 3))
    J[0, 0] = J[1, 1] = 1.0
    out[:] = 0.0
    for _ in range(_ITERATIONS):
        # prior: the correction is 0 with `variance`
        A[:] = 0.0
        for k in range(3):
            A[k, k], b[k] = 1 / variance[k], -out[k] / variance[k]
        for t in range(num):
            d = det_of[t]
            if d < 0:
                continue
            p, z = params[labels[d]], world[d]

            # residual of the place: r = track - (z + J out), J = [[1, 0, -left], [0, 1, ahead]]
            ahead, left = z[X] - T[0, 3], z[Y] - T[1, 3]
            J[0, 2], J[1, 2] = -left, ahead
            rx = motion[t, 0] - z[X] - out[0] + left * out[2]
            ry = motion[t, 1] - z[Y] - out[1] - ahead * out[2]

            # its weight: W = w S^-1, w = 1 / (1 + r' S^-1 r / 2)
            C = motion_cov[t]
            sxx, sxy, syy = C[0, 0] + z[COV_XX] + _FLOOR_XY, C[0, 1], C[1, 1] + z[COV_YY] + _FLOOR_XY
            det = sxx * syy - sxy * sxy
            ixx, ixy, iyy = syy / det, -sxy / det, sxx / det
            weight = 1 / (1 + (rx * rx * ixx + 2 * rx * ry * ixy + ry * ry * iyy) / 2)

            # A += J' W J, b += J' W r
            for i in range(3):
                u, v = weight * (ixx * J[0, i] + ixy * J[1, i]), weight * (ixy * J[0, i] + iyy * J[1, i])
                b[i] += u * rx + v * ry
                for j in range(3):
                    A[i, j] += u * J[0, j] + v * J[1, j]

            # the same for the yaw
            turned = half_turn(yaw[t, 0] - z[WORLD_YAW]) - out[2]
            spread = yaw[t, 1] + (p[SIGMA_YAW] * z[LOOSENESS]) ** 2 + _FLOOR_YAW
            weight = 1 / (spread * (1 + turned * turned / spread / 2))
            A[2, 2] += weight
            b[2] += weight * turned
        _solve3(A, b)
        for k in range(3):
            out[k] += b[k]


@njit(nogil=True, cache=True)
def _solve3(A: np.ndarray, b: np.ndarray) -> None:
    """b becomes the solution x of A x = b; A (3, 3) symmetric, positive definite, is destroyed."""
    for k in range(3):
        for i in range(k + 1, 3):
            f = A[i, k] / A[k, k]
            for j in range(k, 3):
                A[i, j] -= f * A[k, j]
            b[i] -= f * b[k]
    for k in range(2, -1, -1):
        for j in range(k + 1, 3):
            b[k] -= A[k, j] * b[j]
        b[k] /= A[k, k]


@njit(nogil=True, cache=True)
def multiply4(A: np.ndarray, B: np.ndarray, out: np.ndarray) -> None:
    """out = A B, all (4, 4)."""
    for i in range(4):
        for j in range(4):
            out[i, j] = 0.0
            for k in range(4):
                out[i, j] += A[i, k] * B[k, j]


@njit(nogil=True, cache=True)
def drive_on(ego: Ego, steps: int) -> None:
    """Moves T_world_velo by `ego.drive`, as in the last step, on flat ground."""
    T, drive = ego.T, ego.drive
    for _ in range(steps):
        c, s = np.cos(drive[2]), np.sin(drive[2])
        for k in range(3):
            a, b = T[k, 0], T[k, 1]
            T[k, 3] += a * drive[0] + b * drive[1]
            T[k, 0], T[k, 1] = a * c + b * s, b * c - a * s


@njit(nogil=True, cache=True)
def correct(T: np.ndarray, fix: np.ndarray) -> None:
    """Moves T_world_velo by fix (3,) x, y [m] of the world and turns it by fix[2] [rad] about the world's z, at its own place."""
    c, s = np.cos(fix[2]), np.sin(fix[2])
    for k in range(3):
        a, b = T[0, k], T[1, k]
        T[0, k], T[1, k] = c * a - s * b, s * a + c * b
    T[0, 3] += fix[0]
    T[1, 3] += fix[1]


@njit(nogil=True, cache=True)
def remember(last: np.ndarray, ego: Ego, steps: int, is_observed: bool) -> None:
    """Stores the motion from `last` to `ego.T`, per step, in `ego.drive`: the prediction of the next frame."""
    now, drive = ego.T, ego.drive
    dx, dy, dz = now[0, 3] - last[0, 3], now[1, 3] - last[1, 3], now[2, 3] - last[2, 3]
    drive[0] = (last[0, 0] * dx + last[1, 0] * dy + last[2, 0] * dz) / steps
    drive[1] = (last[0, 1] * dx + last[1, 1] * dy + last[2, 1] * dz) / steps
    drive[2] = wrap(np.arctan2(now[1, 0], now[0, 0]) - np.arctan2(last[1, 0], last[0, 0])) / steps
    if is_observed:
        drive[3] += 1
