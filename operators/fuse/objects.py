"""What the net of fuse.gate says -> objects. NumPy alone: torch and engines give the same arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Objects(NamedTuple):
    """Best first: boxes (N, 4) float32 x1 y1 x2 y2 0..1 of the net's picture, scores (N,) float32, classes (N,) int64."""

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


def objects(logits: np.ndarray, boxes: np.ndarray, min_score: float) -> Objects:
    """logits (N, classes + 1), the last class = no object; boxes (N, 4) centre x, centre y, width, height.

    One box per query at most: that of its best class, where the score is `min_score` or more.
    """
    powers = np.exp(logits - logits.max(1, keepdims=True))
    each = (powers / powers.sum(1, keepdims=True))[:, :-1]
    classes = each.argmax(1)
    scores = each[np.arange(len(each)), classes]
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= min_score]
    centre, half = boxes[order, :2], boxes[order, 2:] / 2
    return Objects(np.concatenate([centre - half, centre + half], 1), scores[order], classes[order])
