"""A sensor's path through waypoints: constant speed, upright, facing along the path."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SMOOTH_M = 1.0
"""It turns from this far before a corner to as far behind it."""


class Way:
    def __init__(self, points: Sequence[Sequence[float]], speed_mps: float, yaw_rad: float) -> None:
        """points (K, 3) [m], K >= 1; at a single point the sensor stands. yaw_rad: angle to the left of the path."""
        corners = np.asarray(points, np.float64).reshape(-1, 3)
        steps = np.linalg.norm(np.diff(corners, axis=0), axis=1)
        kept = np.concatenate([[True], steps > 0])
        self._corners, self._at = corners[kept], np.concatenate([[0.0], np.cumsum(steps[steps > 0])])
        self._speed_mps, self._yaw_rad = speed_mps, yaw_rad
        flat = np.diff(self._corners[:, :2], axis=0)
        self._headings = np.arctan2(flat[:, 1], flat[:, 0])

    @property
    def length_m(self) -> float:
        return float(self._at[-1])

    def positions(self, times_s: np.ndarray) -> np.ndarray:
        """(N,) -> (N, 3) [m]. The sensor starts at time 0; before, it stands at the first point; after the end, at the last."""
        return self._along(np.asarray(times_s) * self._speed_mps)

    def yaws(self, times_s: np.ndarray) -> np.ndarray:
        """(N,) -> (N,) [rad]: the direction from 1 m behind to 1 m ahead on the path."""
        if not len(self._headings):
            return np.full(np.shape(times_s), self._yaw_rad)
        s = np.clip(np.asarray(times_s) * self._speed_mps, 0, self.length_m)
        chord = self._along(s + _SMOOTH_M) - self._along(s - _SMOOTH_M)
        segment = np.clip(np.searchsorted(self._at, s, "right") - 1, 0, len(self._headings) - 1)
        straight = np.hypot(chord[..., 0], chord[..., 1]) < 1e-9  # straight up, or a turn on the spot
        heading = np.where(straight, self._headings[segment], np.arctan2(chord[..., 1], chord[..., 0]))
        return heading + self._yaw_rad

    def _along(self, s: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(s, self._at, self._corners[:, axis]) for axis in range(3)], -1)
