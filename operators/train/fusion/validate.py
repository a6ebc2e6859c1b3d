"""AP50 on pairs that are not trained on: of both modalities, and of each alone with the same weights.

Per class the area under the monotone precision-recall curve at IoU 0.5, then the mean over the classes that have objects. Ignored
truth is not missed, and a detection mostly inside of it does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from operators.kernels.overlaps import iou_2d, mostly_within
from operators.streams import Boxes2D
from operators.train.fairmot.validate import average_precision
from operators.train.fusion.pairs import Pair
from operators.train.scenes import IGNORED

LEAST_SCORE = 0.01


def ap50(pairs: Sequence[Pair], detect: Callable[[Pair], Boxes2D], classes: int) -> float:
    """detect: pair -> boxes [px of the net's picture], best first, labels = classes of the model. NaN without objects."""
    scores: list[list[float]] = [[] for _ in range(classes)]
    right: list[list[bool]] = [[] for _ in range(classes)]
    objects = np.zeros(classes, np.int64)
    for pair in pairs:
        found, aside = detect(pair), pair.boxes[pair.classes == IGNORED]
        for c in range(classes):
            truth, mine = pair.boxes[pair.classes == c], found.labels == c
            boxes = found.boxes2d[mine].astype(np.float64)
            overlap, free = np.zeros((len(boxes), len(truth))), np.ones(len(truth), bool)
            iou_2d(boxes, truth, overlap)
            objects[c] += len(truth)
            for d, score in enumerate(found.scores[mine].tolist()):
                near = np.where(free, overlap[d], 0.0)
                hit = len(near) > 0 and near.max() >= 0.5
                if hit:
                    free[near.argmax()] = False
                if hit or not mostly_within(boxes[d], aside, 0.0):
                    scores[c].append(score)
                    right[c].append(hit)
    each = [
        average_precision(np.array(scores[c]), np.array(right[c], bool), int(objects[c])) for c in range(classes) if objects[c]
    ]
    return float(np.mean(each)) if each else float("nan")
