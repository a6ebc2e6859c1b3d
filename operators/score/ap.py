"""Average precision of boxes.     Source: KITTI object devkit (evaluate_object.cpp); R40: Simonelli et al. 2019, sec. 4.4

A detection is right if it overlaps a truth box of its class by strictly more than the class's limit. Truth that does not
count at a level (low, occluded, truncated, far), and neighbours of the class (Van for Car), absorb detections: those are
neither right nor wrong. Precision is taken at 41 scores, one per 1/40 of recall; R40 is the mean of its running maximum over
points 1..40, R11 over points 0, 4, .. 40, in per cent. As in the devkit, the number of points counts, not recall: n < 40 truth
boxes reach (n-1)/40 at most. Orientation similarity is the precision with (1 + cos(error of the angle)) / 2 for each right one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.kernels.iou import iou_3d
from operators.kernels.match import ABSORBS, COUNTS, FORGIVEN, NO_PART
from operators.score.tally import Frames, Interval, Score, Tally
from operators.streams import CLASSES, DONT_CARE, Boxes3D, Truth

Metric = Literal["3d", "bev", "2d"]
Region = tuple[float, float, float, float]
"""x0 y0 x1 y1 from above [m, velodyne frame]"""
OWN_CLASSES = {"Car": ("Car",), "Pedestrian": ("Pedestrian",), "Cyclist": ("Cyclist",)}
IOU = {"Car": 0.7, "Pedestrian": 0.5, "Cyclist": 0.5}
_NEIGHBOURS = {"Car": "Van", "Pedestrian": "Person_sitting"}


@dataclass(frozen=True, slots=True)
class Level:
    """Which boxes count. The defaults: all."""

    name: str
    min_height_px: float = -math.inf  # of the 2D box: truth must be higher, a detection at least this high
    max_occluded: float = math.inf
    max_truncated: float = math.inf
    max_range_m: float = math.inf  # from the LiDAR, along the ground
    region_m: Region | None = None  # the centre lies in there

    def counts(self, truth: Truth) -> np.ndarray:
        """(T,) bool for truth of any class. Truth that does not count absorbs detections."""
        return (
            (truth.boxes2d[:, 3] - truth.boxes2d[:, 1] > self.min_height_px)
            & (truth.occluded <= self.max_occluded)
            & (truth.truncated <= self.max_truncated)
            & (np.hypot(truth.boxes3d[:, 0], truth.boxes3d[:, 1]) <= self.max_range_m)
            & self._in_region(truth.boxes3d)
        )

    def leaves_out(self, found: Boxes3D, boxes2d: np.ndarray | None) -> np.ndarray:
        """(D,) bool: too low, too far or outside of the region, not to count as wrong. Without boxes2d none is too low."""
        far = (np.hypot(found.boxes3d[:, 0], found.boxes3d[:, 1]) > self.max_range_m) | ~self._in_region(found.boxes3d)
        return far if boxes2d is None else far | (np.abs(boxes2d[:, 3] - boxes2d[:, 1]) < self.min_height_px)

    def _in_region(self, boxes3d: np.ndarray) -> np.ndarray:
        if self.region_m is None:
            return np.ones(len(boxes3d), bool)
        x0, y0, x1, y1 = self.region_m
        x, y = boxes3d[:, 0], boxes3d[:, 1]
        return (x >= x0) & (x < x1) & (y >= y0) & (y < y1)


KITTI_LEVELS = (Level("easy", 40, 0, 0.15), Level("moderate", 25, 1, 0.30), Level("hard", 25, 2, 0.50))


class AveragePrecision:
    """Adds up frames; `result()` at any time, of all frames so far.

    classes   class -> the labels that count as it, in truth and detections alike: {"Car": ["Car", "Van"], ...}
    limits    class -> overlap needed
    metric    overlap of volumes, of footprints seen from above, or of boxes in the picture
    dontcare  forgive detections whose 2D box lies in a DontCare region by more than the limit. The devkit does this in the
              picture only: False for "3d" and "bev"
    """

    def __init__(
        self,
        classes: Mapping[str, Sequence[str]] = OWN_CLASSES,
        levels: Sequence[Level] = KITTI_LEVELS,
        metric: Metric = "3d",
        limits: Mapping[str, float] = IOU,
        dontcare: bool = True,
    ) -> None:
        self.levels, self.metric, self.dontcare = tuple(levels), metric, dontcare
        self.labels = {name: [CLASSES.index(own) for own in labels] for name, labels in classes.items()}
        taken = {label for labels in classes.values() for label in labels}
        self.neighbours = {
            name: [CLASSES.index(near) for near in (_NEIGHBOURS.get(name),) if near is not None and near not in taken]
            for name in classes
        }
        self.tallies = {(name, level.name): Tally(limits[name]) for name in classes for level in self.levels}
        self.num_frames = 0

    def add(
        self,
        found: Boxes3D,
        truth: Truth,
        boxes2d: np.ndarray | None = None,
        *,
        starts: tuple[np.ndarray, np.ndarray] | None = None,
        angles: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """One frame, or several.

        boxes2d  (D, 4)            the detections in pixels; None: no detection is too low, none is forgiven
        starts   (F + 1,), (F + 1,) int64  first row of each frame in `found` and in `truth`; None: one frame
        angles   (D,), (T,)        [rad], for orientation similarity
        """
        if starts is None:
            starts = np.array([0, len(found.labels)]), np.array([0, len(truth.labels)])
        found_starts, truth_starts = starts
        numbers = np.arange(len(truth_starts) - 1)
        found_angles, truth_angles = angles or (np.zeros(len(found.labels)), np.zeros(len(truth.labels)))
        frames = Frames(
            len(numbers), truth_starts, found_starts, np.repeat(numbers, np.diff(truth_starts)),
            np.repeat(numbers, np.diff(found_starts)), found.scores.astype(np.float64),
            (truth_angles.astype(np.float64), found_angles.astype(np.float64)),
        )  # fmt: skip
        self.num_frames += frames.num
        overlap, inside = self._overlaps(frames, found, truth, boxes2d)
        left_out = {level.name: level.leaves_out(found, boxes2d) for level in self.levels}
        counts = {level.name: level.counts(truth) for level in self.levels}
        for name, own in self.labels.items():
            mine, near = np.isin(truth.labels, own), np.isin(truth.labels, self.neighbours[name])
            found_mine = np.isin(found.labels, own)
            for level in self.levels:
                tally = self.tallies[name, level.name]
                truth_roles = np.where(mine | near, ABSORBS, NO_PART).astype(np.int8)
                truth_roles[mine & counts[level.name]] = COUNTS
                found_roles = np.where(inside > tally.limit, FORGIVEN, COUNTS).astype(np.int8)
                found_roles[~found_mine] = NO_PART
                # regardless of class: detections that are too low are left out, and may absorb truth of any class
                found_roles[left_out[level.name]] = ABSORBS
                tally.add(frames, overlap, truth_roles, found_roles)

    def _overlaps(
        self, frames: Frames, found: Boxes3D, truth: Truth, boxes2d: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """All pairs of every frame, flat, and (D,) the share of each detection inside a DontCare region."""
        if self.metric == "2d" and boxes2d is None:
            raise ValueError("2d: needs boxes2d of the detections, got none")
        parts, inside = [np.empty(0)], np.zeros(len(found.labels))
        for f in range(frames.num):
            t = slice(frames.truth_starts[f], frames.truth_starts[f + 1])
            d = slice(frames.found_starts[f], frames.found_starts[f + 1])
            if self.metric == "2d" and boxes2d is not None:
                parts.append(overlap_2d(truth.boxes2d[t], boxes2d[d]).ravel())
            else:
                parts.append(overlap_3d(truth.boxes3d[t], found.boxes3d[d], flat=self.metric == "bev").ravel())
            if self.dontcare and boxes2d is not None:
                inside[d] = inside_dontcare(Truth(*(array[t] for array in truth)), boxes2d[d], d.stop - d.start)
        return np.concatenate(parts), inside

    def result(self) -> dict[str, dict[str, Score]]:
        """class -> level -> score"""
        return {name: {level.name: self.tallies[name, level.name].score() for level in self.levels} for name in self.labels}

    def intervals(self, draws: np.ndarray) -> dict[str, dict[str, Interval]]:
        """class -> level -> interval; draws (B, F) int64: how often each resample draws each frame."""
        return {
            name: {level.name: self.tallies[name, level.name].interval(draws) for level in self.levels} for name in self.labels
        }


def inside_dontcare(truth: Truth, boxes2d: np.ndarray | None, num_found: int) -> np.ndarray:
    """(D, 4) -> (D,) 0..1: the largest share of each detection's 2D box inside one DontCare region."""
    regions = truth.boxes2d[truth.labels == DONT_CARE]
    if boxes2d is None or not len(regions):
        return np.zeros(num_found)
    return _shared_area(regions, boxes2d).max(0) / np.maximum(_area(boxes2d), 1e-9)


def overlap_3d(boxes_a: np.ndarray, boxes_b: np.ndarray, flat: bool = False) -> np.ndarray:
    """(A, 7), (B, 7) -> IoU (A, B) float64; flat: of the footprints. A size of 0 or less overlaps nothing."""
    out = np.zeros((len(boxes_a), len(boxes_b)))
    if out.size:
        a, b = boxes_a.astype(np.float64), boxes_b.astype(np.float64)
        for boxes in (a, b):
            if flat:
                boxes[:, 2], boxes[:, 5] = 0.0, 1.0
            boxes[:, 3:6] = np.maximum(boxes[:, 3:6], 1e-9)
        iou_3d(a, b, out)
    return out


def overlap_2d(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    """(A, 4), (B, 4) [x1 y1 x2 y2] -> IoU (A, B) float64."""
    shared = _shared_area(boxes_a, boxes_b)
    union = _area(boxes_a)[:, None] + _area(boxes_b) - shared
    return shared / np.where(shared > 0, union, 1.0)


def _area(boxes: np.ndarray) -> np.ndarray:
    wide = boxes.astype(np.float64)
    return (wide[:, 2] - wide[:, 0]) * (wide[:, 3] - wide[:, 1])


def _shared_area(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    a, b = boxes_a.astype(np.float64)[:, None], boxes_b.astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.where((sides > 0).all(-1), sides.prod(-1), 0.0)
