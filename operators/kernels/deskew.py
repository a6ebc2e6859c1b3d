"""Points of a turning scan, written as if all were measured at one instant."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def deskew(
    points: np.ndarray,
    times_s: np.ndarray,
    knots_s: np.ndarray,
    rotations: np.ndarray,
    translations: np.ndarray,
    turns: np.ndarray,
    out: np.ndarray,
) -> None:
    """out (N, 4) float32: points (N, 4) float32 moved from the sensor at their own time to the sensor at the reference instant,
    computed in float64; the intensity stays, and so does a point whose time is not finite.

    times_s (N,) float32. Motion: the sensor at knots_s (K,) float64, rising, K >= 2, in the reference frame: rotations
    (K, 3, 3), translations (K, 3) [m], turns (K - 1, 3) rotation vector [rad] from a knot to the next one, in the axes of the
    first; all float64. Between two knots the translation is linear and the rotation is about one axis at a constant rate;
    before the first and after the last knot the nearest interval goes on. Neighbours of equal time share one motion.
    """
    motion = np.empty((3, 4))
    last = np.nan
    for i in range(points.shape[0]):
        time = np.float64(times_s[i])
        if not np.isfinite(time):
            out[i] = points[i]
            continue
        if time != last:
            motion_at(time, knots_s, rotations, translations, turns, motion)
            last = time
        x, y, z = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        for row in range(3):
            out[i, row] = motion[row, 0] * x + motion[row, 1] * y + motion[row, 2] * z + motion[row, 3]
        out[i, 3] = points[i, 3]


@njit(nogil=True, cache=True)
def motion_at(
    time: float, knots_s: np.ndarray, rotations: np.ndarray, translations: np.ndarray, turns: np.ndarray, motion: np.ndarray
) -> None:
    """motion (3, 4): the sensor at `time` in the reference frame."""
    k = 0
    while k < knots_s.shape[0] - 2 and time >= knots_s[k + 1]:
        k += 1
    share = (time - knots_s[k]) / (knots_s[k + 1] - knots_s[k])
    angle = np.sqrt(turns[k, 0] ** 2 + turns[k, 1] ** 2 + turns[k, 2] ** 2)
    ax, ay, az = 0.0, 0.0, 0.0
    if angle > 0:
        ax, ay, az = turns[k, 0] / angle, turns[k, 1] / angle, turns[k, 2] / angle
    sine, versine = np.sin(share * angle), 2 * np.sin(share * angle / 2) ** 2
    for row in range(3):  # R_k (I + sin K + (1 - cos) K^2), Rodrigues' formula
        r0, r1, r2 = rotations[k, row, 0], rotations[k, row, 1], rotations[k, row, 2]
        motion[row, 0] = r0 * (1 - versine * (ay * ay + az * az)) + r1 * (versine * ax * ay + sine * az)
        motion[row, 0] += r2 * (versine * ax * az - sine * ay)
        motion[row, 1] = r0 * (versine * ax * ay - sine * az) + r1 * (1 - versine * (ax * ax + az * az))
        motion[row, 1] += r2 * (versine * ay * az + sine * ax)
        motion[row, 2] = r0 * (versine * ax * az + sine * ay) + r1 * (versine * ay * az - sine * ax)
        motion[row, 2] += r2 * (1 - versine * (ax * ax + ay * ay))
        motion[row, 3] = translations[k, row] + share * (translations[k + 1, row] - translations[k, row])
