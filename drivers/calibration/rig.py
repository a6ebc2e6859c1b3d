"""Sensors that are mounted together: their lenses, and the transforms between their frames.

`T_dest_origin` takes points of the frame `origin` to the frame `dest`. The transforms of a rig form trees: two frames have one
path between them, or none. Paths are composed of transforms and their inverses.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass

import numpy as np

from operators.geometry.lens import padded
from operators.geometry.transforms import invert, rigid
from operators.streams import Calibration, Lens
from pipeline.errors import InputError

Pair = tuple[str, str]
"""dest, origin"""
VELODYNE = "velodyne"
"""The usual name of the LiDAR's frame."""


@dataclass(frozen=True)
class Rig:
    """path: of the file; cameras: frame -> lens; frames: all of them, cameras included; transforms: as the file has them [m]."""

    path: str
    cameras: dict[str, Lens]
    frames: tuple[str, ...]
    transforms: dict[Pair, np.ndarray]
    place: str = ""
    """`FILE:LINE` of the transforms, for errors."""

    def camera(self, name: str) -> str:
        """The frame of a camera by its name; of the only one without a name. Raises InputError."""
        if name in self.cameras:
            return name
        if not name and len(self.cameras) == 1:
            return next(iter(self.cameras))
        known = ", ".join(self.cameras) or "no camera"
        raise InputError(f"{self.path}: cameras: needs {f'a camera {name}' if name else 'one camera, or its name'}, got {known}")

    def T(self, dest: str, origin: str) -> np.ndarray:
        """(4, 4) T_dest_origin, composed along the path. Raises InputError that names what is missing."""
        for frame in (dest, origin):
            if frame not in self.frames:
                raise InputError(f"{self.path}: needs a frame {frame}, got {', '.join(self.frames)}")
        path = self.path_between(dest, origin)
        if path is None:
            near = {frame: " ".join(self.connected(frame)) or "nothing" for frame in (dest, origin)}
            raise InputError(
                f"{self.place or self.path}: transforms: needs a path {dest} <- {origin}, got none: "
                f"{dest} is connected to {near[dest]}, {origin} to {near[origin]}; add T_{dest}_{origin}"
            )
        T = np.eye(4)
        for a, b in itertools.pairwise(path):
            T = T @ (self.transforms[a, b] if (a, b) in self.transforms else invert(self.transforms[b, a]))
        return T

    def path_between(self, dest: str, origin: str) -> list[str] | None:
        """Frames from `dest` to `origin`, neighbours joined by a transform; None: there is no path."""
        before: dict[str, str] = {dest: dest}
        todo = deque([dest])
        while todo:
            frame = todo.popleft()
            if frame == origin:
                path = [frame]
                while path[-1] != dest:
                    path.append(before[path[-1]])
                return path[::-1]
            for other in self._neighbours(frame):
                if other not in before:
                    before[other] = frame
                    todo.append(other)
        return None

    def connected(self, frame: str) -> list[str]:
        """The other frames that have a path to this one."""
        return [other for other in self.frames if other != frame and self.path_between(frame, other) is not None]

    def _neighbours(self, frame: str) -> list[str]:
        return [b if a == frame else a for a, b in self.transforms if frame in (a, b)]

    def calibration(self, camera: str, lidar: str = VELODYNE) -> Calibration:
        """Of the rectified picture of a camera: P_cam = [K_rect | 0], T_cam_velo ends in that camera. Raises InputError."""
        lens = self.cameras[self.camera(camera)]
        T = rigid(lens.R_rect) @ self.T(self.camera(camera), lidar)
        return Calibration(np.c_[lens.K_rect, np.zeros(3)], T, lens.rect_size)


def make_lens(
    size: tuple[int, int],
    K: np.ndarray,
    distortion: np.ndarray | tuple[float, ...] = (),
    fisheye: bool = False,
    R_rect: np.ndarray | None = None,
    K_rect: np.ndarray | None = None,
    rect_size: tuple[int, int] | None = None,
) -> Lens:
    """size, rect_size (width, height); without the values of the rectified picture it keeps K and size."""
    return Lens(
        np.asarray(K, np.float64),
        padded(distortion),
        np.array([fisheye]),
        np.array(size, np.int32),
        np.eye(3) if R_rect is None else np.asarray(R_rect, np.float64),
        np.asarray(K if K_rect is None else K_rect, np.float64),
        np.array(rect_size or size, np.int32),
    )
