"""Shared by both KITTI writers: the line of one box, and the frames to remove after a crash.

A line: type truncated occluded alpha x1 y1 x2 y2 h w l x y z ry score; truncation and occlusion are unknown: -1.
Metres and radians of the rectified camera frame, bottom centre; pixels of the 2D input box, else of the projected box, cut to
the image.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from operators.files import append, exact_decimals, replace
from operators.geometry.boxes3d import alpha, velo_to_camera
from operators.geometry.project import in_picture
from operators.streams import CLASSES, DONT_CARE, Calibration
from pipeline.operator import Resume

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


class Journal:
    """The sequences in the order they were begun, one per line in the hidden file `.sequences` while the run lasts.

    After a crash the journal tells which results belong to frames later than the last delivered one: a process may write a
    frame and die before the engine records it.
    """

    def __init__(self, folder: Path, resume: Resume | None) -> None:
        self.path = folder / ".sequences"
        self.begun: list[str] = []
        self.undelivered: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)
        if resume is not None and self.path.exists():
            sequence = resume.item.rpartition("/")[0]
            names = self.path.read_text().splitlines()
            delivered = names.index(sequence) + 1 if resume.frame_id >= 0 and sequence in names else 0
            self.begun, self.undelivered = names[:delivered], names[delivered:]
        replace(self.path, _name_lines(self.begun))

    def enter(self, sequence: str) -> bool:
        """True the first time in the run."""
        if sequence in self.begun:
            return False
        append(self.path, _name_lines([sequence]))
        self.begun.append(sequence)
        return True

    def close(self) -> None:
        self.path.unlink(missing_ok=True)


def _name_lines(names: list[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()
