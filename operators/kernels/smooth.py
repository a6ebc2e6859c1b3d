"""Smoothing of one track by its later frames.      Source: Rauch, Tung, Striebel 1965"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.best.predict import predict
from operators.kernels.best.state import Tracks


@njit(nogil=True, cache=True)
def _invert4(A: np.ndarray, out: np.ndarray) -> None:
    """out = A^-1 by Gauss-Jordan without pivoting; A (4, 4), a covariance, is destroyed."""
    for i in range(4):
        for j in range(4):
            out[i, j] = 1.0 if i == j else 0.0
    for k in range(4):
        pivot = 1 / A[k, k]
        for j in range(4):
            A[k, j] *= pivot
            out[k, j] *= pivot
        for i in range(4):
            if i != k:
                f = A[i, k]
                for j in range(4):
                    A[i, j] -= f * A[k, j]
                    out[i, j] -= f * out[k, j]


@njit(nogil=True, cache=True)
def look_back(track: Tracks, steps: np.ndarray, params: np.ndarray) -> None:
    """Rows of one track, oldest first, as kernels/best filtered them: motion, height and yaw become the smoothed ones.

    steps (N,): frame periods from the row before to each row. Covariances stay those of the filter. Every row gets the last
    sizes, because sizes do not change. Fronts are taken from the last row.
    """
    ahead = Tracks(
        np.empty((1, 4)),
        np.empty((1, 4, 4)),
        np.empty((1, 2)),
        np.empty((1, 2)),
        np.empty((1, 6)),
        np.empty((1, 3)),
        np.empty((1, 7), np.int64),
    )
    A, inverse, cross, gain = np.empty((4, 4)), np.empty((4, 4)), np.empty((4, 4)), np.empty((4, 4))
    last = len(track.motion) - 1
    for k in range(last - 1, -1, -1):
        # 1. the prediction of row k + 1 from row k: x-, P- = F P F' + Q
        for i in range(4):
            ahead.motion[0, i] = track.motion[k, i]
            for j in range(4):
                ahead.motion_cov[0, i, j] = track.motion_cov[k, i, j]
        for i in range(2):
            ahead.height[0, i], ahead.yaw[0, i] = track.height[k, i], track.yaw[k, i]
        for i in range(6):
            ahead.size[0, i] = track.size[k, i]
        for i in range(7):
            ahead.info[0, i] = track.info[k, i]
        for _ in range(steps[k + 1]):
            predict(ahead, 1, params)

        # 2. gain G = P F' (P-)^-1
        for i in range(4):
            for j in range(4):
                A[i, j] = ahead.motion_cov[0, i, j]
                cross[i, j] = track.motion_cov[k, i, j] + (steps[k + 1] * track.motion_cov[k, i, j + 2] if j < 2 else 0.0)
        _invert4(A, inverse)
        for i in range(4):
            for j in range(4):
                gain[i, j] = 0.0
                for m in range(4):
                    gain[i, j] += cross[i, m] * inverse[m, j]

        # 3. x += G (x(k + 1) - x-)
        for i in range(4):
            for j in range(4):
                track.motion[k, i] += gain[i, j] * (track.motion[k + 1, j] - ahead.motion[0, j])
        track.height[k, 0] += track.height[k, 1] / ahead.height[0, 1] * (track.height[k + 1, 0] - track.height[k, 0])
        turn = (track.yaw[k + 1, 0] - track.yaw[k, 0] + np.pi / 2) % np.pi - np.pi / 2
        track.yaw[k, 0] += track.yaw[k, 1] / ahead.yaw[0, 1] * turn
        if np.cos(track.yaw[k + 1, 0] - track.yaw[k, 0]) < 0:
            track.yaw[k, 0] += np.pi
        for i in range(6):
            track.size[k, i] = track.size[last, i]
