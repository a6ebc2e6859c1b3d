"""Sequences of KITTI's tracking layout as arrays, for studies that score the tracker alone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from drivers import detections
from drivers.detections import Boxes, DetectionsConfig
from drivers.kitti.sequence import Sequence
from operators.streams import Boxes2D, Boxes3D, Calibration, Imu
from operators.textfile import count_lines


class Recording(NamedTuple):
    name: str
    kind: str  # of the scores
    frames: list[tuple[Boxes3D, Boxes2D]]
    poses: np.ndarray  # (K, 4, 4) T_world_velo
    calibration: Calibration
    imu: Imu | None


def read(root: Path, name: str) -> Recording:
    """All frames, one per line of oxts, including frames without detections."""
    numbers = list(range(count_lines(root / "oxts" / f"{name}.txt")))
    sequence = Sequence(root, name, numbers)
    calibration, poses = sequence.calibration(), sequence.poses()
    assert calibration is not None and poses is not None
    boxes = detections.by_frame(detections.read(DetectionsConfig(root=str(root)), sequence).rows, calibration)
    none = Boxes(np.empty((0, 7), np.float32), np.empty(0, np.float32), np.empty(0, np.int32), np.empty((0, 4), np.float32))
    frames = [boxes.get(k, none) for k in numbers]
    pairs = [(Boxes3D(f.boxes3d, f.scores, f.labels), Boxes2D(f.boxes2d, f.scores, f.labels)) for f in frames]
    return Recording(name, "logit", pairs, poses, calibration.stream(2), sequence.imu())
