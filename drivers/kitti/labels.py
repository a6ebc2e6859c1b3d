"""Label files -> ground truth in the velodyne frame.

tracking  label_02/SSSS.txt    17 columns: frame track_id type truncated occluded alpha x1 y1 x2 y2 h w l x y z ry
object    label_2/NNNNNN.txt   15 columns: type truncated occluded alpha x1 y1 x2 y2 h w l x y z ry
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from drivers.kitti.files import read_lines
from operators.geometry.boxes3d import camera_to_velo
from operators.streams import CLASSES, DONT_CARE, Truth
from pipeline.errors import InputError

_LABELS = {name: index for index, name in enumerate(CLASSES)} | {"Person": CLASSES.index("Person_sitting"), "DontCare": DONT_CARE}
"""Names in the files -> labels; the tracking files call a sitting person `Person`."""

# what a line becomes: label, track id, occluded, truncated, x1 y1 x2 y2, h w l x y z ry
_LABEL, _ID, _OCCLUDED, _TRUNCATED, _BOX2D, _BOX3D, _WIDTH = 0, 1, 2, 3, slice(4, 8), slice(8, 15), 15


def empty_truth() -> Truth:
    """A frame without objects."""
    return _truth(np.empty((0, _WIDTH)), np.eye(4))


def read_tracking_labels(path: Path, T_cam_velo: np.ndarray) -> dict[int, Truth]:
    """Frame number -> truth; frames without objects are left out, as in the file.

    `truncated` 0, 1, 2 becomes 0, 0.5, 1; -1 (DontCare) stays.
    """
    rows: dict[int, list[list[float]]] = defaultdict(list)
    for number, line in enumerate(read_lines(path), 1):
        words = _words(path, number, line, 17)
        frame, track_id, truncated, occluded, *rest = _numbers(path, number, words[:2] + words[3:], line)
        if frame < 0 or frame % 1:
            raise InputError(f"{path}:{number}: needs a frame number 0, 1, .. in column 1, got {words[0]}")
        if truncated > 0:
            truncated /= 2
        rows[int(frame)].append([_label(path, number, words[2]), track_id, occluded, truncated, *rest[1:]])
    return {frame: _truth(np.array(of_frame), T_cam_velo) for frame, of_frame in rows.items()}


def read_object_labels(path: Path, T_cam_velo: np.ndarray) -> Truth:
    """The truth of one frame; an empty file is a frame without objects. Track ids are -1."""
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        words = _words(path, number, line, 15)
        truncated, occluded, *rest = _numbers(path, number, words[1:], line)
        rows.append([_label(path, number, words[0]), -1, occluded, truncated, *rest[1:]])
    return _truth(np.array(rows, np.float64).reshape(-1, _WIDTH), T_cam_velo)


def _words(path: Path, number: int, line: str, columns: int) -> list[str]:
    words = line.split()
    if len(words) != columns:
        raise InputError(f"{path}:{number}: needs {columns} columns, got {len(words)}")
    return words


def _numbers(path: Path, number: int, words: list[str], line: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise InputError(f"{path}:{number}: needs numbers in every column but the type, got {line.strip()[:60]!r}") from None
    if not np.isfinite(values).all():
        raise InputError(f"{path}:{number}: needs finite numbers, got {line.strip()[:60]!r}")
    return values


def _label(path: Path, number: int, name: str) -> int:
    if name not in _LABELS:
        raise InputError(f"{path}:{number}: needs a type of {', '.join(_LABELS)}, got {name}")
    return _LABELS[name]


def _truth(rows: np.ndarray, T_cam_velo: np.ndarray) -> Truth:
    labels = rows[:, _LABEL].astype(np.int32)
    boxes3d = camera_to_velo(rows[:, _BOX3D], T_cam_velo)
    boxes3d[labels == DONT_CARE] = np.nan  # the files say -1000 m there: an area of the picture, not a box
    return Truth(
        boxes3d=boxes3d,
        boxes2d=rows[:, _BOX2D].astype(np.float32),
        labels=labels,
        track_ids=rows[:, _ID].astype(np.int64),
        occluded=rows[:, _OCCLUDED].astype(np.int32),
        truncated=rows[:, _TRUNCATED].astype(np.float32),
    )
