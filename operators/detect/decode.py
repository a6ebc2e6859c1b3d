"""Logits of all anchors -> the boxes worth telling.

in   class_logits      (A, C) float32   sigmoid each
     box_residuals     (A, 7) float32   operators/detect/anchors.py
     direction_logits  (A, 2) float32
     anchors           (A, 7) float32
out  Boxes3D, at most max_boxes, best first; equal scores in the order of classes, then of anchors
Class by class: score threshold, the best max_candidates, boxes from these alone, rotated NMS seen from above. An anchor may
speak for several classes. NaN logits are below any threshold. Nothing above the threshold: M = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from operators.detect.anchors import decode as decode_boxes
from operators.kernels.nms import nms_bev
from operators.streams import Boxes3D


@dataclass(frozen=True, slots=True)
class DecodeConfig:
    score_threshold: float = 0.1  # probability
    nms_iou: float = 0.1  # seen from above; of two boxes of a class that overlap more the better stays
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


def decode(
    class_logits: np.ndarray,
    box_residuals: np.ndarray,
    direction_logits: np.ndarray,
    anchors: np.ndarray,
    labels: np.ndarray,
    config: DecodeConfig,
) -> Boxes3D:
    """labels (C,): what each column of class_logits is called in the output; a negative one is left out."""
    least = math.log(config.score_threshold / (1 - config.score_threshold))
    found: list[tuple[np.ndarray, np.ndarray, int]] = []
    for column, label in enumerate(labels):
        if label < 0:
            continue
        logits = class_logits[:, column]
        at = np.flatnonzero(logits > least)
        at = at[np.argsort(-logits[at], kind="stable")[: config.max_candidates]]
        bins = (direction_logits[at, 1] > direction_logits[at, 0]).astype(np.int64)
        boxes = decode_boxes(box_residuals[at], bins, anchors[at])
        kept = np.empty(config.max_boxes, np.int64)
        num = nms_bev(boxes.astype(np.float64), config.nms_iou, kept)
        found.append((boxes[kept[:num]], logits[at[kept[:num]]], int(label)))
    if not found:
        return Boxes3D(np.empty((0, 7), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))
    boxes, logits = np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])
    of = np.concatenate([np.full(len(f[1]), f[2], np.int32) for f in found])
    best = np.argsort(-logits, kind="stable")[: config.max_boxes]
    scores = 1 / (1 + np.exp(-logits[best].astype(np.float64)))
    return Boxes3D(boxes[best], scores.astype(np.float32), of[best])
