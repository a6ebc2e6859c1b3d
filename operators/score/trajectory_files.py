"""Files of poses: KITTI odometry and TUM.

KITTI  12 numbers a line: the first three rows of a pose, row by row; line = frame, from 0. 13 numbers: the frame comes first
TUM    8 numbers a line: time [s], x y z [m], quaternion x y z w; lines that begin with # do not count
The number of columns of the first line says which; all lines have the same. Spaces or tabs separate.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from operators import textfile
from operators.geometry.transforms import rotation_of

KITTI, NUMBERED, TUM = 12, 13, 8
_LOOSE = 1e-2
"""How far R^T R may be from the identity: files with three digits."""


class Trajectory(NamedTuple):
    """keys (K,) rising: frame numbers, or times [s] if `timed`; poses (K, 4, 4)."""

    path: Path
    timed: bool
    keys: np.ndarray
    poses: np.ndarray


def read(path: Path) -> Trajectory:
    """Raises InputError with the line. An empty file: K = 0."""
    rows, numbers, width = [], [], 0
    for line, text in enumerate(textfile.lines(path), 1):
        if text.lstrip().startswith("#"):
            continue
        cells = text.split()
        width = width or len(cells)
        if width not in (KITTI, NUMBERED, TUM):
            textfile.refuse(path, line, "12 or 13 columns (KITTI), or 8 (TUM)", str(len(cells)) if cells else "an empty line")
        rows.append(textfile.numbers(path, line, "the start of the line", text, width))
        numbers.append(line)
    if not rows:
        return Trajectory(path, False, np.zeros(0), np.zeros((0, 4, 4)))
    values = np.array(rows)
    keys = np.arange(len(values), dtype=float) if width == KITTI else values[:, 0]
    poses = np.tile(np.eye(4), (len(values), 1, 1))
    if width == TUM:
        poses[:, :3, 3] = values[:, 1:4]
        sizes = np.linalg.norm(values[:, 4:], axis=1)
        _check(path, numbers, np.abs(sizes - 1) < _LOOSE, "a quaternion x y z w of length 1 in columns 5 to 8", sizes)
        poses[:, :3, :3] = rotation_of(values[:, 4:])
    else:
        poses[:, :3] = values[:, -12:].reshape(-1, 3, 4)
        R = poses[:, :3, :3]
        off = np.abs(R.transpose(0, 2, 1) @ R - np.eye(3)).max((1, 2))
        right = (off < _LOOSE) & (np.linalg.det(R) > 0)
        _check(path, numbers, right, "a rotation in the first three columns of the pose", np.linalg.det(R), "determinant ")
    if width == NUMBERED:
        _check(path, numbers, (keys == np.round(keys)) & (keys >= 0), "a frame 0, 1, .. in column 1", keys)
    later = np.concatenate([[True], np.diff(keys) > 0])
    _check(path, numbers, later, f"a {'time' if width == TUM else 'frame'} after that of the line before", keys)
    return Trajectory(path, width == TUM, keys, poses)


def _check(path: Path, numbers: list[int], right: np.ndarray, needs: str, got: np.ndarray, what: str = "") -> None:
    if not right.all():
        row = int(np.argmin(right))
        textfile.refuse(path, numbers[row], needs, f"{what}{got[row]:.9g}")
