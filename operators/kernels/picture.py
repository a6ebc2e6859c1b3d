"""Rectangles around 3D boxes in a picture: `geometry.project` for a tracker's loop, where 100 µs count."""

from __future__ import annotations

import numpy as np
from numba import njit

_RING = 16
_NEAR_M = 0.1  # as geometry.project.NEAR_M


@njit(nogil=True, cache=True)
def _include(u: float, v: float, depth: float, frame: np.ndarray) -> None:
    """A point u*depth, v*depth widens x1 y1 x2 y2."""
    u, v = u / depth, v / depth
    frame[0], frame[1] = min(frame[0], u), min(frame[1], v)
    frame[2], frame[3] = max(frame[2], u), max(frame[3], v)


@njit(nogil=True, cache=True)
def rectangles(
    boxes: np.ndarray, M: np.ndarray, width: int, height: int, roundness: np.ndarray, out: np.ndarray, visible: np.ndarray
) -> None:
    """boxes (T, 7) as BOXES3D, M (3, 4) velodyne -> u*depth, v*depth, depth; fills out (T, 4) float32, visible (T,) bool.

    roundness (T,): 0: the box, cut at the near plane; else its elliptic cylinder, with axes of so much of l and w. The
    rectangle is cut to 0..width-1, 0..height-1; where nothing is in the picture it is NaN.
    """
    points, frame = np.empty((8, 3)), np.empty(4)
    for t in range(len(boxes)):
        box = boxes[t]
        c, s = np.cos(box[6]), np.sin(box[6])
        frame[0] = frame[1] = np.inf
        frame[2] = frame[3] = -np.inf
        for k in range(_RING if roundness[t] > 0 else 4):
            if roundness[t] > 0:
                angle = k * (2 * np.pi / _RING)
                a, b = roundness[t] / 2 * box[3] * np.cos(angle), roundness[t] / 2 * box[4] * np.sin(angle)
            else:
                a, b = box[3] / 2 * (1 if k == 0 or k == 3 else -1), box[4] / 2 * (1 if k < 2 else -1)
            x, y = box[0] + c * a - s * b, box[1] + s * a + c * b
            for end in range(2):
                z = box[2] + box[5] * (end - 0.5)
                u = M[0, 0] * x + M[0, 1] * y + M[0, 2] * z + M[0, 3]
                v = M[1, 0] * x + M[1, 1] * y + M[1, 2] * z + M[1, 3]
                depth = M[2, 0] * x + M[2, 1] * y + M[2, 2] * z + M[2, 3]
                if depth >= _NEAR_M:
                    _include(u, v, depth, frame)
                if roundness[t] == 0:
                    i = 2 * k + end
                    points[i, 0], points[i, 1], points[i, 2] = u, v, depth
        if roundness[t] == 0:
            for k in range(4):
                _cut(points, 2 * k, 2 * k + 1, frame)  # upright edges, then those around both ends
                _cut(points, 2 * k, (2 * k + 2) % 8, frame)
                _cut(points, 2 * k + 1, (2 * k + 3) % 8, frame)
        visible[t] = frame[0] <= width - 1 and frame[1] <= height - 1 and frame[2] >= 0 and frame[3] >= 0
        for k in range(4):
            last = width - 1 if k % 2 == 0 else height - 1
            out[t, k] = min(max(frame[k], 0.0), last) if visible[t] else np.nan


@njit(nogil=True, cache=True)
def _cut(points: np.ndarray, i: int, j: int, frame: np.ndarray) -> None:
    """Where the edge between two points meets the near plane, if it does."""
    a, b = points[i, 2], points[j, 2]
    if (a >= _NEAR_M) != (b >= _NEAR_M):
        share = (_NEAR_M - a) / (b - a)
        u = points[i, 0] + share * (points[j, 0] - points[i, 0])
        v = points[i, 1] + share * (points[j, 1] - points[i, 1])
        _include(u, v, _NEAR_M, frame)
