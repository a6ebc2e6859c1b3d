"""Scores on scenes that are not trained on: average precision, recall and precision at 2 m.

A prediction is correct if its centre is within 2 m (from above) of an object of its class that no better prediction has matched.
Predictions at ignored objects or in unlabelled regions of the picture do not count. Distance as in Caesar et al. 2020
(nuScenes), sec. 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from operators.geometry.project import project_points
from operators.streams import Boxes3D
from operators.train.pointpillars.boxes import points_in_boxes
from operators.train.pointpillars.targets import with_too_few_points
from operators.train.scenes import IGNORED, Scene, Scenes

NEAR_M = 2.0
SURE = 0.3  # recall and precision count predictions from this score on


@dataclass(frozen=True, slots=True)
class Judged:
    """One class in one scene: scores of the predictions that count, whether each is correct, number of objects."""

    scores: np.ndarray
    right: np.ndarray
    objects: int


class ClassScore(NamedTuple):
    """NaN without objects; precision is NaN without predictions, too."""

    ap: float
    recall: float
    precision: float
    objects: int


def keep(scenes: Scenes, num: int, range_m: Sequence[float], least: np.ndarray) -> Iterator[Scene]:
    """The first `num` scenes, cut to the net's range; boxes with too few points are ignored."""
    x0, y0, _, x1, y1, _ = range_m
    for _ in range(num):
        scene = scenes.read()
        points, boxes = scene.points, scene.boxes3d
        _, counts = points_in_boxes(points, boxes)
        classes = with_too_few_points(scene, counts, least)
        inside = (points[:, 0] >= x0) & (points[:, 0] < x1) & (points[:, 1] >= y0) & (points[:, 1] < y1)
        within = (boxes[:, 0] >= x0) & (boxes[:, 0] < x1) & (boxes[:, 1] >= y0) & (boxes[:, 1] < y1)
        classes = np.where(within, classes, IGNORED).astype(np.int32)
        yield Scene(points[inside].copy(), boxes, classes, scene.regions2d, scene.calibration, scene.position)


def judge(found: Boxes3D, scene: Scene, cls: int) -> Judged:
    """found.labels are classes of the model; best first."""
    of_class = found.labels == cls
    boxes, scores = found.boxes3d[of_class], found.scores[of_class]
    distances = _distances(boxes, scene.boxes3d)
    near = distances <= NEAR_M
    objects = scene.classes == cls
    taken = np.zeros(len(scene.boxes3d), bool)
    right, counts = np.zeros(len(boxes), bool), np.ones(len(boxes), bool)
    hidden = _hidden(boxes, scene)
    for i in range(len(boxes)):
        free = np.flatnonzero(near[i] & objects & ~taken)
        if len(free):
            taken[free[distances[i, free].argmin()]] = right[i] = True
        else:
            counts[i] = not (hidden[i] or (near[i] & (scene.classes == IGNORED)).any())
    return Judged(scores[counts], right[counts], int(objects.sum()))


def score(judged: Sequence[Judged]) -> ClassScore:
    """Over all scenes. AP: area under the precision made monotone over recall."""
    objects = sum(j.objects for j in judged)
    scores = np.concatenate([j.scores for j in judged]) if judged else np.empty(0)
    right = np.concatenate([j.right for j in judged]) if judged else np.empty(0, bool)
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    sure = scores >= SURE
    precision = float(right[sure].mean()) if sure.any() else float("nan")
    if not objects:
        return ClassScore(float("nan"), float("nan"), precision, 0)
    recalls = hits / objects
    precisions = hits / np.arange(1, len(hits) + 1)
    monotone = np.maximum.accumulate(precisions[::-1])[::-1]
    ap = float(np.sum(np.diff(recalls, prepend=0.0) * monotone))
    return ClassScore(ap, float(right[sure].sum() / objects), precision, objects)


def _distances(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    """(D, T) from above [m]"""
    return np.hypot(boxes_a[:, None, 0] - boxes_b[None, :, 0], boxes_a[:, None, 1] - boxes_b[None, :, 1])


def _hidden(boxes: np.ndarray, scene: Scene) -> np.ndarray:
    """(D,) bool: boxes with their centre in an unlabelled region of the picture."""
    if scene.calibration is None or not len(scene.regions2d):
        return np.zeros(len(boxes), bool)
    uv, _ = project_points(boxes[:, :3], scene.calibration.P_cam, scene.calibration.T_cam_velo)
    x1, y1, x2, y2 = scene.regions2d.T[:, :, None]
    return ((uv[:, 0] >= x1) & (uv[:, 0] <= x2) & (uv[:, 1] >= y1) & (uv[:, 1] <= y2)).any(0)
