"""Average precision of boxes.     Source: KITTI object devkit (evaluate_object.cpp); R40: Simonelli et al. 2019, sec. 4.4

A detection is right if it overlaps a truth box of its class by strictly more than the class's limit. Truth that does not
count at a level (low, occluded, truncated, far), and neighbours of the class (Van for Car), absorb detections: those are
neither right nor wrong. Precision is taken at 41 scores, one per 1/40 of recall; R40 is the mean of its running maximum over
points 1..40, R11 over points 0, 4, .. 40, in per cent. As in the devkit, the number of points counts, not recall: n < 40 truth
boxes reach (n-1)/40 at most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from operators.kernels.iou import iou_3d
from operators.kernels.match import count_at, found_scores
from operators.streams import CLASSES, DONT_CARE, Boxes3D, Truth

Metric = Literal["3d", "bev", "2d"]
Region = tuple[float, float, float, float]
"""x0 y0 x1 y1 from above [m, velodyne frame]"""
OWN_CLASSES = {"Car": ("Car",), "Pedestrian": ("Pedestrian",), "Cyclist": ("Cyclist",)}
IOU = {"Car": 0.7, "Pedestrian": 0.5, "Cyclist": 0.5}
_NEIGHBOURS = {"Car": "Van", "Pedestrian": "Person_sitting"}
_POINTS = 41


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


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """Score of one class at one level. Without truth that counts, `r40` and `r11` are None."""

    r40: float | None
    r11: float | None
    curve: np.ndarray  # (41,) precision after the running maximum from the right
    recall: float | None  # at the lowest score
    num_truth: int
    num_found: int


@dataclass(slots=True)
class _Tally:
    """One class at one level. Per frame it keeps only truth and detections with an overlap above the limit."""

    limit: float
    num_truth: int = 0
    num_found: int = 0
    right: list[np.ndarray] = field(default_factory=list)  # scores of the first pass
    lonely: list[np.ndarray] = field(default_factory=list)  # scores of detections without any overlap: wrong
    frames: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def add(
        self, overlap: np.ndarray, counted: np.ndarray, left_out: np.ndarray, forgiven: np.ndarray, scores: np.ndarray
    ) -> None:
        self.num_truth += int(counted.sum())
        self.num_found += int((~left_out).sum())
        near = overlap > self.limit
        rows, columns = near.any(1), near.any(0)
        self.lonely.append(scores[~columns & ~left_out & ~forgiven])
        if not rows.any():
            return
        overlap = np.ascontiguousarray(overlap[np.ix_(rows, columns)])
        counted, left_out, forgiven, scores = counted[rows], left_out[columns], forgiven[columns], scores[columns]
        right = np.empty(len(counted))
        self.right.append(right[: found_scores(overlap, self.limit, counted, left_out, scores, right)])
        self.frames.append((overlap, counted, left_out, forgiven, scores))

    def score(self) -> Score:
        thresholds = recall_thresholds(np.concatenate([np.empty(0), *self.right]), self.num_truth)
        counts = np.zeros((len(thresholds), 2), np.int64)
        for overlap, counted, left_out, forgiven, scores in self.frames:
            count_at(overlap, self.limit, counted, left_out, forgiven, scores, thresholds, counts)
        lonely = np.sort(np.concatenate([np.empty(0), *self.lonely]))
        wrong = counts[:, 1] + len(lonely) - np.searchsorted(lonely, thresholds)
        curve = np.zeros(_POINTS)
        curve[: len(thresholds)] = counts[:, 0] / np.maximum(counts[:, 0] + wrong, 1)
        curve = np.maximum.accumulate(curve[::-1])[::-1]
        if not self.num_truth:
            return Score(None, None, curve, None, 0, self.num_found)
        recall = counts[-1, 0] / self.num_truth if len(thresholds) else 0.0
        return Score(100 * float(curve[1:].mean()), 100 * float(curve[::4].mean()), curve, recall, self.num_truth, self.num_found)


class AveragePrecision:
    """Adds up frames; `result()` at any time, of all frames so far (cost: about 41 matchings per frame).

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
        self.tallies = {(name, level.name): _Tally(limits[name]) for name in classes for level in self.levels}
        self.num_frames = 0

    def add(self, found: Boxes3D, truth: Truth, boxes2d: np.ndarray | None = None) -> None:
        """One frame. boxes2d (D, 4): the detections in pixels; None: no detection is too low, none is forgiven."""
        self.num_frames += 1
        scores = found.scores.astype(np.float64)
        inside = inside_dontcare(truth, boxes2d, len(scores)) if self.dontcare else np.zeros(len(scores))
        for name, own in self.labels.items():
            mine = np.isin(truth.labels, own)
            rows = mine | np.isin(truth.labels, self.neighbours[name])
            found_mine = np.isin(found.labels, own)
            for level in self.levels:
                # regardless of class: detections that are too low are left out, and may absorb truth of any class
                left_out = level.leaves_out(found, boxes2d)
                columns = found_mine | left_out
                tally = self.tallies[name, level.name]
                tally.add(
                    self._overlap(truth, found, boxes2d, rows, columns),
                    (mine & level.counts(truth))[rows],
                    left_out[columns],
                    inside[columns] > tally.limit,
                    scores[columns],
                )

    def _overlap(
        self, truth: Truth, found: Boxes3D, boxes2d: np.ndarray | None, rows: np.ndarray, columns: np.ndarray
    ) -> np.ndarray:
        if self.metric == "2d":
            if boxes2d is None:
                raise ValueError("2d: needs boxes2d of the detections, got none")
            return overlap_2d(truth.boxes2d[rows], boxes2d[columns])
        return overlap_3d(truth.boxes3d[rows], found.boxes3d[columns], flat=self.metric == "bev")

    def result(self) -> dict[str, dict[str, Score]]:
        """class -> level -> score"""
        return {name: {level.name: self.tallies[name, level.name].score() for level in self.levels} for name in self.labels}


def inside_dontcare(truth: Truth, boxes2d: np.ndarray | None, num_found: int) -> np.ndarray:
    """(D, 4) -> (D,) 0..1: the largest share of each detection's 2D box inside one DontCare region."""
    regions = truth.boxes2d[truth.labels == DONT_CARE]
    if boxes2d is None or not len(regions):
        return np.zeros(num_found)
    return _shared_area(regions, boxes2d).max(0) / np.maximum(_area(boxes2d), 1e-9)


def recall_thresholds(right: np.ndarray, num_truth: int) -> np.ndarray:
    """Scores of the found truth boxes, any order -> (K <= 41,) descending: where recall is nearest to each multiple of 1/40."""
    taken: list[float] = []
    ordered = -np.sort(-right)
    recall = 0.0
    for i, score in enumerate(ordered.tolist()):
        here, after = (i + 1) / num_truth, (i + 2) / num_truth
        if i < len(ordered) - 1 and after - recall < recall - here:
            continue
        taken.append(score)
        recall += 1 / (_POINTS - 1)
    return np.array(taken, np.float64)


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
