"""Shared by both KITTI writers: the line of one box.

A line: type truncated occluded alpha x1 y1 x2 y2 h w l x y z ry score; truncation and occlusion are unknown: -1.
Metres and radians of the rectified camera frame, bottom centre; pixels of the 2D input box, else of the projected box, cut to
the image.
"""

from __future__ import annotations

import numpy as np

from operators.files import exact_decimals
from operators.geometry.boxes3d import alpha, velo_to_camera
from operators.geometry.project import in_picture
from operators.streams import CLASSES, DONT_CARE, Calibration

_LINE = "%s -1 -1 " + " ".join(["%.6f"] * 13)


def lines(
    boxes3d: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    calibration: Calibration,
    only_visible: bool,
    known2d: np.ndarray | None = None,
) -> tuple[np.ndarray, list[str]]:
    """(M, 7), (M,), (M,) -> the rows that get a line, and their lines. M = 0: none. known2d as for `in_picture`."""
    boxes2d, visible = in_picture(boxes3d, calibration, known2d)
    boxes_cam = velo_to_camera(boxes3d, calibration.T_cam_velo)
    table = np.column_stack([alpha(boxes_cam), exact_decimals(boxes2d), boxes_cam, exact_decimals(scores)])
    rows = np.flatnonzero(visible) if only_visible else np.arange(len(labels))
    names = [CLASSES[label] if label != DONT_CARE else "DontCare" for label in labels[rows].tolist()]
    return rows, [_LINE % (name, *numbers) for name, numbers in zip(names, table[rows].tolist(), strict=True)]
