"""Boxes of a scene: the points in them, and their overlap from above."""

from __future__ import annotations

import numpy as np

from operators.kernels.box_points import owners
from operators.kernels.iou import iou_3d


def points_in_boxes(points: np.ndarray, boxes3d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-> owner (N,) int32, counts (M,) int64; see kernels/box_points.py"""
    owner, counts = np.empty(len(points), np.int32), np.empty(len(boxes3d), np.int64)
    owners(points, np.ascontiguousarray(boxes3d, np.float64), owner, counts)
    return owner, counts


def overlap_from_above(boxes_a: np.ndarray, boxes_b: np.ndarray, gap_m: float = 0.0) -> np.ndarray:
    """(D, T) float64: IoU of the footprints; those of boxes_a are wider by `gap_m` on every side."""
    a, b = np.array(boxes_a, np.float64), np.array(boxes_b, np.float64)
    a[:, 3:5] += 2 * gap_m
    a[:, 2], b[:, 2], a[:, 5], b[:, 5] = 0.0, 0.0, 1.0, 1.0
    out = np.empty((len(a), len(b)))
    iou_3d(a, b, out)
    return out
