"""Input and output of a tracker for one frame, the same for all presets."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from operators.streams import Calibration, Imu


class Seen(NamedTuple):
    """One frame. D = 0 is an ordinary frame. The arrays are valid during the step only: copy what is kept.

    boxes3d, scores, labels  as BOXES3D
    boxes2d      (D, 4) float32, NaN where unknown
    number       of the frame in its recording
    steps        frame periods since the last frame
    T_world_velo (4, 4), None if unknown or not used
    calibration  None if not connected; the same for imu
    """

    boxes3d: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    boxes2d: np.ndarray
    number: int
    steps: int
    T_world_velo: np.ndarray | None
    calibration: Calibration | None
    imu: Imu | None


class Shown(NamedTuple):
    """The tracks of a frame, as TRACKS, and their boxes in the picture (T, 4) float32, NaN if unknown."""

    boxes3d: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    track_ids: np.ndarray
    boxes2d: np.ndarray


class Preset(Protocol):
    """A tracker without the engine."""

    def restart(self) -> None:
        """Another recording begins: all tracks end, ids continue."""

    def step(self, seen: Seen) -> Shown:
        """One frame."""


def longer(array: np.ndarray, size: int) -> np.ndarray:
    """A copy, extended with zeros to `size` rows."""
    out = np.zeros((size, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out
