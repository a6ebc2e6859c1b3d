"""Label files -> ground truth in the velodyne frame.

tracking  label_02/SSSS.txt    17 columns: frame track_id type truncated occluded alpha x1 y1 x2 y2 h w l x y z ry
object    label_2/NNNNNN.txt   15 columns: type truncated occluded alpha x1 y1 x2 y2 h w l x y z ry
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from operators import textfile
from operators.geometry.boxes3d import camera_to_velo
from operators.streams import CLASSES, DONT_CARE, Truth

_LABELS = {name: index for index, name in enumerate(CLASSES)} | {"Person": CLASSES.index("Person_sitting"), "DontCare": DONT_CARE}
"""Names in the files -> labels; the tracking files call a sitting person `Person`."""
_LABEL_OF_WORD = np.array(list(_LABELS.values()))

# what a line becomes: label, track id, occluded, truncated, x1 y1 x2 y2, h w l x y z ry
_LABEL, _ID, _OCCLUDED, _TRUNCATED, _BOX2D, _BOX3D, _WIDTH = 0, 1, 2, 3, slice(4, 8), slice(8, 15), 15


def empty_truth() -> Truth:
    """A frame without objects."""
    return _truth(np.empty((0, _WIDTH)), np.eye(4))


def read_tracking_labels(path: Path, T_cam_velo: np.ndarray) -> dict[int, Truth]:
    """Frame number -> truth; frames without objects are left out, as in the file.

    `truncated` 0, 1, 2 becomes 0, 0.5, 1; -1 (DontCare) stays.
    """
    table = _table(path, before_type=2)
    frames = textfile.frames(table, first=0)
    ids = textfile.whole(table, 1, "track id")
    rows = _rows(table.values[:, 2:], ids)
    rows[:, _TRUNCATED] = np.where(rows[:, _TRUNCATED] > 0, rows[:, _TRUNCATED] / 2, rows[:, _TRUNCATED])
    order = np.argsort(frames, kind="stable")
    found, begins = np.unique(frames[order], return_index=True)
    return {
        frame: _truth(of_frame, T_cam_velo)
        for frame, of_frame in zip(found.tolist(), np.split(rows[order], begins[1:]), strict=False)
    }


def read_object_labels(path: Path, T_cam_velo: np.ndarray) -> Truth:
    """The truth of one frame; an empty file is a frame without objects. Track ids are -1."""
    table = _table(path, before_type=0)
    return _truth(_rows(table.values, np.full(len(table.values), -1)), T_cam_velo)


def _table(path: Path, before_type: int) -> textfile.Table:
    """The file; `before_type`: columns before the type. Numbers are finite."""
    width = before_type + 15
    table = textfile.read_table(path, (width,), width, word_column=before_type, words=tuple(_LABELS))
    textfile.check_finite(table, slice(0, width), "numbers")
    return table


def _rows(columns: np.ndarray, track_ids: np.ndarray) -> np.ndarray:
    """(N, 15) of the columns from the type on."""
    types = columns[:, 0].astype(np.int64)
    return np.column_stack([_LABEL_OF_WORD[types], track_ids, columns[:, [2, 1]], columns[:, 4:]])


def _truth(rows: np.ndarray, T_cam_velo: np.ndarray) -> Truth:
    labels = rows[:, _LABEL].astype(np.int32)
    boxes3d = camera_to_velo(rows[:, _BOX3D], T_cam_velo)
    boxes3d[labels == DONT_CARE] = np.nan  # the files say -1000 m there: an area of the picture, not a box
    return Truth(
        boxes3d=boxes3d,
        boxes2d=rows[:, _BOX2D].astype(np.float32),
        labels=labels,
        track_ids=rows[:, _ID].astype(np.int64),
        occluded=textfile.small(rows[:, _OCCLUDED]).astype(np.int32),
        truncated=rows[:, _TRUNCATED].astype(np.float32),
    )
