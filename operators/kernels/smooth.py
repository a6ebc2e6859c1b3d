"""Looking back: what a track's later frames say of its earlier ones.      Source: Rauch, Tung, Striebel 1965"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels import best


@njit(nogil=True, cache=True)
def _invert4(A: np.ndarray, out: np.ndarray) -> None:
    """Gauss-Jordan; A, a covariance, is destroyed."""
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
def look_back(
    motion: np.ndarray,
    motion_cov: np.ndarray,
    height: np.ndarray,
    yaw: np.ndarray,
    size: np.ndarray,
    info: np.ndarray,
    steps: np.ndarray,
    params: np.ndarray,
) -> None:
    """The rows of one track, oldest first, as kernels/best.py filtered them; motion, height and yaw become the smoothed ones.

    steps (N,): from the row before to each row. Covariances stay those of the filter. Sizes do not change over time: all
    rows get the last. Headings are those of the last row, followed back.
    """
    one = (
        np.empty((1, 4)),
        np.empty((1, 4, 4)),
        np.empty((1, 2)),
        np.empty((1, 2)),
        np.empty((1, 6)),
        np.empty((1, 7), np.int64),
    )
    ahead, ahead_cov, ahead_height, ahead_yaw, ahead_size, ahead_info = one
    A, inverse, cross, gain = np.empty((4, 4)), np.empty((4, 4)), np.empty((4, 4)), np.empty((4, 4))
    last = len(motion) - 1
    for k in range(last - 1, -1, -1):
        for i in range(4):
            ahead[0, i] = motion[k, i]
            for j in range(4):
                ahead_cov[0, i, j] = motion_cov[k, i, j]
        for i in range(2):
            ahead_height[0, i], ahead_yaw[0, i] = height[k, i], yaw[k, i]
        for i in range(6):
            ahead_size[0, i] = size[k, i]
        for i in range(7):
            ahead_info[0, i] = info[k, i]
        for _ in range(steps[k + 1]):
            best.predict(ahead, ahead_cov, ahead_height, ahead_yaw, ahead_size, ahead_info, 1, params)
        for i in range(4):
            for j in range(4):
                A[i, j] = ahead_cov[0, i, j]
                # P F': the covariance of now with the next
                cross[i, j] = motion_cov[k, i, j] + (steps[k + 1] * motion_cov[k, i, j + 2] if j < 2 else 0.0)
        _invert4(A, inverse)
        for i in range(4):
            for j in range(4):
                gain[i, j] = 0.0
                for m in range(4):
                    gain[i, j] += cross[i, m] * inverse[m, j]
        for i in range(4):
            for j in range(4):
                motion[k, i] += gain[i, j] * (motion[k + 1, j] - ahead[0, j])
        height[k, 0] += height[k, 1] / ahead_height[0, 1] * (height[k + 1, 0] - height[k, 0])
        turn = (yaw[k + 1, 0] - yaw[k, 0] + np.pi / 2) % np.pi - np.pi / 2
        yaw[k, 0] += yaw[k, 1] / ahead_yaw[0, 1] * turn
        if np.cos(yaw[k + 1, 0] - yaw[k, 0]) < 0:
            yaw[k, 0] += np.pi
        for i in range(6):
            size[k, i] = size[last, i]
