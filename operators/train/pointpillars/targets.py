"""Targets of the heads for one scene: class, box and direction of every anchor.

Source: Lang et al. 2019, sec. 2.2; assignment as in SECOND (kernels/assign.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from operators.detect.anchors import anchor_grid, direction_bins, encode
from operators.geometry.project import project_points
from operators.kernels import assign as kernel
from operators.nets.pointpillars_config import PointPillarsConfig
from operators.streams import Calibration
from operators.train.scenes import IGNORED, Scene

_MARGIN_M = 0.3  # around an ignored box; anchors within it are ignored, too
_REGION_HEIGHTS_M = (-1.5, -0.5)  # heights at which an unlabelled region is looked up in the picture


class Targets(NamedTuple):
    """labels (A,) int8: class + 1 of positive anchors, 0 negative, -1 ignored. Of the P positive anchors, in order:
    index at (P,) int64, residuals (P, 7) float32, bins (P,) int64."""

    labels: np.ndarray
    at: np.ndarray
    residuals: np.ndarray
    bins: np.ndarray


class Assigner:
    """Assigns boxes to the anchors of one net; keeps tables and scratch memory."""

    def __init__(self, config: PointPillarsConfig) -> None:
        rows, columns = config.head_grid
        self.anchors = anchor_grid(config)
        grid = self.anchors.reshape(rows, columns, config.anchors_per_location, 7).astype(np.float64)
        self._range, self._offset_rad = config.range_m, config.direction_offset_rad
        self._origin = grid[0, 0, 0, :2].copy()
        self._step = np.array(config.anchor_step_m)
        self._halves = half_sizes(grid[0, 0])
        self._classes = np.repeat(np.arange(len(config.anchors)), 2)
        self._matched = np.repeat([anchor.matched for anchor in config.anchors], 2)
        self._unmatched = np.repeat([anchor.unmatched for anchor in config.anchors], 2)
        self._centres = grid[:, :, 0, :2].reshape(-1, 2)
        self._shape = grid.shape[:3]
        self._best = np.empty(self._shape)

    def __call__(self, boxes3d: np.ndarray, classes: np.ndarray, hidden: np.ndarray | None = None) -> Targets:
        """boxes3d (M, 7), classes (M,) of the model or IGNORED; hidden (rows, columns) bool: unlabelled locations."""
        boxes3d = np.asarray(boxes3d, np.float64).reshape(-1, 7)
        x0, y0, _, x1, y1, _ = self._range
        inside = (boxes3d[:, 0] >= x0) & (boxes3d[:, 0] < x1) & (boxes3d[:, 1] >= y0) & (boxes3d[:, 1] < y1)
        wanted = inside & (classes != IGNORED)
        boxes, regions = boxes3d[wanted], boxes3d[~wanted]
        labels, owner = np.empty(self._shape, np.int8), np.empty(self._shape, np.int32)
        kernel.assign(
            self._origin,
            self._step,
            self._halves,
            self._classes,
            self._matched,
            self._unmatched,
            np.concatenate([boxes[:, :2], half_sizes(boxes)], 1),
            classes[wanted].astype(np.int64),
            labels,
            owner,
            self._best,
        )
        sides = regions[:, 3:5] / 2 + _MARGIN_M
        kernel.ignore(self._origin, self._step, np.concatenate([regions[:, :2], sides, regions[:, 6:]], 1), labels)
        if hidden is not None:
            labels[hidden[:, :, None] & (labels == kernel.NEGATIVE)] = kernel.IGNORED
        flat = labels.reshape(-1)
        at = np.flatnonzero(flat > 0)
        matches = boxes[owner.reshape(-1)[at]]
        return Targets(flat, at, encode(matches, self.anchors[at]), direction_bins(matches[:, 6], self._offset_rad))

    def hidden(self, regions2d: np.ndarray, calibration: Calibration | None, T: np.ndarray) -> np.ndarray | None:
        """(rows, columns) bool: locations in one of the regions of the picture (K, 4), seen before T moved the scene."""
        if calibration is None or not len(regions2d):
            return None
        out = np.zeros(len(self._centres), bool)
        for height in _REGION_HEIGHTS_M:
            points = np.column_stack([self._centres, np.full(len(self._centres), height)])
            before = (points - T[:3, 3]) @ np.linalg.inv(T[:3, :3]).T
            uv, _ = project_points(before, calibration.P_cam, calibration.T_cam_velo)
            for x1, y1, x2, y2 in regions2d:
                out |= (uv[:, 0] >= x1) & (uv[:, 0] <= x2) & (uv[:, 1] >= y1) & (uv[:, 1] <= y2)
        return out.reshape(self._shape[:2])


def half_sizes(boxes3d: np.ndarray) -> np.ndarray:
    """(M, 2) half extents in x and y, of each box turned to its nearest axis."""
    across = np.abs(np.sin(boxes3d[:, 6])) > np.abs(np.cos(boxes3d[:, 6]))
    return np.where(across[:, None], boxes3d[:, [4, 3]], boxes3d[:, [3, 4]]) / 2


def with_too_few_points(scene: Scene, counts: np.ndarray, least: np.ndarray) -> np.ndarray:
    """(M,) classes of the scene's boxes, IGNORED for boxes with fewer points than `least` (C,)."""
    few = counts < least[np.maximum(scene.classes, 0)]
    return np.where(few, IGNORED, scene.classes).astype(np.int32)
