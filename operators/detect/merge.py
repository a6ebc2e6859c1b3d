"""Boxes of two to four detectors as those of one: near and far scene, sensors side by side, nets for different classes.

in   a, b     BOXES3D_PROBABILITY  of one instant (sync: exact), each already without its own duplicates
     c, d     BOXES3D_PROBABILITY  optional: further detectors
out  boxes3d  BOXES3D_PROBABILITY  best first, at most max_boxes; equal scores in the order of inputs, then of rows
Of boxes of different inputs and one class that overlap from above by more than `nms_iou`, the best stays: an object at the border
of two scenes is found twice, often in part. Boxes of the same input do not suppress each other, so boxes that meet no box of
another input come out as they are.
State: none.   Empty inputs: M = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from operators.kernels.iou import iou_bev
from operators.streams import BOXES3D_PROBABILITY, MAX_BOXES, Boxes3D
from pipeline.operator import Operator
from pipeline.schema import optional


@dataclass(frozen=True, slots=True)
class MergeConfig:
    nms_iou: float = 0.1  # seen from above
    max_boxes: int = 300

    def __post_init__(self) -> None:
        if not 0 <= self.nms_iou <= 1:
            raise ValueError(f"nms_iou: needs 0 to 1, got {self.nms_iou:g}")
        if not 1 <= self.max_boxes <= MAX_BOXES:
            raise ValueError(f"max_boxes: needs 1 to {MAX_BOXES}, got {self.max_boxes}")


def merge(parts: Sequence[Boxes3D], config: MergeConfig) -> Boxes3D:
    boxes, scores, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    origin = np.repeat(np.arange(len(parts)), [len(part.scores) for part in parts])
    best = np.argsort(-scores, kind="stable")
    boxes, scores, labels, origin = boxes[best], scores[best], labels[best], origin[best]
    overlap = np.empty((len(boxes), len(boxes)))
    wide = boxes.astype(np.float64)
    iou_bev(wide, wide, overlap)
    rivals = (overlap > config.nms_iou) & (labels[:, None] == labels) & (origin[:, None] != origin)
    stays = np.ones(len(boxes), bool)
    for i in np.flatnonzero(rivals.any(1)):
        stays[i] = not (rivals[i, :i] & stays[:i]).any()
    rows = np.flatnonzero(stays)[: config.max_boxes]
    return Boxes3D(boxes[rows], scores[rows], labels[rows])


class Merge(Operator):
    Config = MergeConfig
    tunable = ("nms_iou", "max_boxes")
    inputs = {
        "a": BOXES3D_PROBABILITY,
        "b": BOXES3D_PROBABILITY,
        "c": optional(BOXES3D_PROBABILITY),
        "d": optional(BOXES3D_PROBABILITY),
    }
    outputs = {"boxes3d": BOXES3D_PROBABILITY}

    def open(self) -> None:
        box = Boxes3D(np.ones((1, 7), np.float32), np.ones(1, np.float32), np.zeros(1, np.int32))
        merge([box, box], self.config)  # compiles before the first frame

    def process(self, a: Boxes3D, b: Boxes3D, c: Boxes3D | None, d: Boxes3D | None) -> Boxes3D:
        return merge([part for part in (a, b, c, d) if part is not None], self.config)
