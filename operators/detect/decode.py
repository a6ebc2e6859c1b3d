"""Logits of all anchors -> detected boxes.

in   class_logits      (A, C) float32   sigmoid each
     box_residuals     (A, 7) float32   operators/detect/anchors.py
     direction_logits  (A, 2) float32
     anchors           (A, 7) float32
     coarse            (A, 7) float32   residuals of the coarse boxes, for a net with two stages: its box_residuals are against
                                        the coarse boxes, whose residuals are against the anchors
out  Boxes3D, at most max_boxes, best first; equal scores in the order of classes, then of anchors
For each class: score threshold, the best max_candidates, boxes of these alone, rotated NMS seen from above. One anchor may give
boxes of several classes. NaN logits are below any threshold. No score above the threshold: M = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from operators.detect.anchors import DIRECTION_OFFSET_RAD
from operators.detect.anchors import decode as decode_boxes
from operators.kernels.nms import nms_bev
from operators.streams import Boxes3D


@dataclass(frozen=True, slots=True)
class DecodeConfig:
    score_threshold: float = 0.1  # probability
    nms_iou: float = 0.1  # seen from above; of two boxes of a class with a larger overlap the better one stays
    max_candidates: int = 1000  # of each class, before NMS
    max_boxes: int = 300  # of all classes

    def __post_init__(self) -> None:
        if not 0 < self.score_threshold < 1:
            raise ValueError(f"score_threshold: needs a probability between 0 and 1, got {self.score_threshold:g}")
        if not 0 <= self.nms_iou <= 1:
            raise ValueError(f"nms_iou: needs 0 to 1, got {self.nms_iou:g}")
        for key in ("max_candidates", "max_boxes"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: needs 1 or more, got {getattr(self, key)}")


HeadsAt = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Indices of anchors (n,) int64 -> box residuals (n, 7), direction logits (n, 2). A net computes them for candidates only."""

ResidualsAt = Callable[[np.ndarray], np.ndarray]
"""Indices of anchors (n,) int64 -> residuals (n, 7) of the coarse boxes"""


def decode(
    class_logits: np.ndarray,
    box_residuals: np.ndarray,
    direction_logits: np.ndarray,
    anchors: np.ndarray,
    labels: np.ndarray,
    config: DecodeConfig,
    coarse: np.ndarray | None = None,
    offset_rad: float = DIRECTION_OFFSET_RAD,
) -> Boxes3D:
    """labels (C,): output label of each column of class_logits; columns with a negative label are left out.
    offset_rad: direction_offset_rad of the net."""

    def heads_at(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return box_residuals[at], direction_logits[at]

    coarse_at = None if coarse is None else coarse.__getitem__
    return decode_at(class_logits, heads_at, anchors, labels, config, coarse_at, offset_rad)


def decode_at(
    class_logits: np.ndarray,
    heads_at: HeadsAt,
    anchors: np.ndarray,
    labels: np.ndarray,
    config: DecodeConfig,
    coarse_at: ResidualsAt | None = None,
    offset_rad: float = DIRECTION_OFFSET_RAD,
) -> Boxes3D:
    """As `decode`; `heads_at` and `coarse_at` are called once, with the candidates of all classes."""
    least = math.log(config.score_threshold / (1 - config.score_threshold))
    above, column = np.divmod(np.flatnonzero(class_logits > least), len(labels))
    candidates, names = [], []
    for c, label in enumerate(labels):
        at = above[column == c] if label >= 0 else above[:0]
        best = np.argsort(-class_logits[at, c], kind="stable")[: config.max_candidates]
        candidates.append(at[best])
        names.append(np.full(len(best), label, np.int32))
    at, of = np.concatenate(candidates), np.concatenate(names)
    residuals, directions = heads_at(at)
    bins = (directions[:, 1] > directions[:, 0]).astype(np.int64)
    references = anchors[at]
    if coarse_at is not None:  # either half turn will do: the bin of the second stage decides
        references = decode_boxes(coarse_at(at), np.zeros(len(at), np.int64), references)
    boxes = decode_boxes(residuals, bins, references, offset_rad)
    logits = class_logits[at, np.repeat(np.arange(len(labels)), [len(c) for c in candidates])]

    stay = [np.empty(0, np.int64)]
    kept = np.empty(config.max_boxes, np.int64)
    start = 0
    for group in candidates:
        num = nms_bev(boxes[start : start + len(group)].astype(np.float64), config.nms_iou, kept)
        stay.append(start + kept[:num])
        start += len(group)
    rows = np.concatenate(stay)
    rows = rows[np.argsort(-logits[rows], kind="stable")[: config.max_boxes]]
    scores = 1 / (1 + np.exp(-logits[rows].astype(np.float64)))
    return Boxes3D(boxes[rows], scores.astype(np.float32), of[rows])
