"""Boxes of the second stage: residuals against the boxes of the first stage instead of against anchors.

All residuals (..., 7) are those of operators/detect/anchors.py; sizes (..., 2): length and width of their anchors [m].
Going from one to the other needs no boxes: positions differ by a scale, logarithms of sizes and yaws add up.
"""

from __future__ import annotations

import torch
from torch import Tensor

from operators.detect.anchors import MAX_LOG_SIZE
from operators.nets.pointpillars import Heads


def against_coarse(residuals: Tensor, coarse: Tensor, sizes: Tensor) -> Tensor:
    """Boxes given against anchors -> against the boxes that the first stage makes of the same anchors by `coarse`."""
    logs = _logs(coarse)
    places = (residuals[..., :3] - coarse[..., :3]) / _growth(logs, sizes)
    return torch.cat([places, residuals[..., 3:6] - logs, residuals[..., 6:] - coarse[..., 6:]], -1)


def against_anchors(refine: Tensor, coarse: Tensor, sizes: Tensor) -> Tensor:
    """The inverse of `against_coarse`."""
    logs = _logs(coarse)
    places = coarse[..., :3] + refine[..., :3] * _growth(logs, sizes)
    return torch.cat([places, logs + refine[..., 3:6], coarse[..., 6:] + refine[..., 6:]], -1)


def final(coarse: Heads, refine: Heads | None, sizes: Tensor) -> Heads:
    """What the net has found: the second stage's scores and directions, its boxes against the anchors; else the first's."""
    if refine is None:
        return coarse
    boxes = against_anchors(refine.box_residuals.float(), coarse.box_residuals.float(), sizes)
    return Heads(refine.class_logits, boxes, refine.direction_logits)


def _logs(coarse: Tensor) -> Tensor:
    """(..., 3) logarithms of l w h against the anchor, limited as in decoding."""
    return coarse[..., 3:6].clamp(-MAX_LOG_SIZE, MAX_LOG_SIZE)


def _growth(logs: Tensor, sizes: Tensor) -> Tensor:
    """(..., 3): how much larger than its anchor a coarse box is: diagonal from above, twice, and height."""
    diagonal = (sizes * logs[..., :2].exp()).norm(dim=-1) / sizes.norm(dim=-1)
    return torch.stack([diagonal, diagonal, logs[..., 2].exp()], -1)
