"""Losses of the net of fuse.gate: DETR's set loss, of the cells that queries come from, and of the shares.

Sources: Carion et al. 2020 (DETR): Hungarian matching, class, 5 L1, 2 GIoU; Tian et al. 2019 (FCOS): cells near a box's centre
Boxes are centre x, centre y, width, height, 0..1 of the net's picture.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

from operators.nets.fusion_net import corners

L1_WEIGHT, GIOU_WEIGHT, NOTHING_WEIGHT = 5.0, 2.0, 0.1
_ALPHA, _EASY = 0.25, 2.0  # of the focal loss
_REACH = 1.5  # cells from a box's centre that learn it
_WITHIN = 0.5  # share of a box within ignored truth, from which it is not background
_SOFT = 0.3  # temperature of the losses of single modalities


class Wanted(NamedTuple):
    """Truth of one picture: boxes (M, 4), classes (M,) int64, ignored (K, 4): neither object nor background."""

    boxes: Tensor
    classes: Tensor
    ignored: Tensor


def giou(a: Tensor, b: Tensor) -> Tensor:
    """(..., 4), (..., 4) of shapes that broadcast -> generalised IoU, -1..1 (Rezatofighi et al. 2019)"""
    p, q = corners(a), corners(b)
    inter = (torch.minimum(p[..., 2:], q[..., 2:]) - torch.maximum(p[..., :2], q[..., :2])).clamp(min=0).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - inter
    hull = (torch.maximum(p[..., 2:], q[..., 2:]) - torch.minimum(p[..., :2], q[..., :2])).prod(-1)
    return inter / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)


@torch.no_grad()
def match(logits: Tensor, boxes: Tensor, wanted: Wanted) -> tuple[Tensor, Tensor]:
    """logits (N, classes + 1), boxes (N, 4) -> queries and rows of the truth of the cheapest pairs, min(N, M) of them."""
    cost = -logits.softmax(-1)[:, wanted.classes]
    cost = cost + L1_WEIGHT * torch.cdist(boxes, wanted.boxes, p=1)
    cost = cost - GIOU_WEIGHT * giou(boxes[:, None], wanted.boxes[None])
    queries, rows = linear_sum_assignment(cost.double().cpu().numpy())
    return torch.from_numpy(queries).to(boxes.device), torch.from_numpy(rows).to(boxes.device)


def set_loss(logits: Tensor, boxes: Tensor, wanted: Wanted) -> Tensor:
    """One layer of one picture -> (3,): class, L1, GIoU, without their weights. The order of the queries does not matter."""
    queries, rows = match(logits, boxes, wanted)
    nothing = logits.shape[1] - 1
    classes = torch.full((len(logits),), nothing, dtype=torch.int64, device=logits.device)
    classes[queries] = wanted.classes[rows]
    counts = torch.where(classes == nothing, NOTHING_WEIGHT, 1.0)
    counts = torch.where((classes == nothing) & _mostly_within(boxes.detach(), wanted.ignored), 0.0, counts)
    of_class = (functional.cross_entropy(logits, classes, reduction="none") * counts).sum() / counts.sum().clamp(min=1e-6)
    near, right, num = boxes[queries], wanted.boxes[rows], max(len(wanted.boxes), 1)
    return torch.stack([of_class, (near - right).abs().sum() / num, (1 - giou(near, right)).sum() / num])


def set_losses(logits: Tensor, boxes: Tensor, wanted: list[Wanted]) -> Tensor:
    """(L, B, N, .) as in Found -> (B, 3): of each picture, the mean over the layers."""
    each = [
        torch.stack([set_loss(a[b], p[b], w) for a, p in zip(logits, boxes, strict=True)]).mean(0) for b, w in enumerate(wanted)
    ]
    return torch.stack(each)


def total_of(parts: Tensor) -> Tensor:
    """(..., 3) class, L1, GIoU -> (...)"""
    return parts @ parts.new_tensor([1.0, L1_WEIGHT, GIOU_WEIGHT])


def cell_targets(wanted: Wanted, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Row of the truth that each cell learns (T,), -1 = background; cells that count (T,) bool.

    A box is learned by the cell of its centre, and by the cells within it that are less than 1.5 cells from it; of several
    boxes the smallest.
    """
    rows, columns = grid
    y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
    at = torch.stack([x.flatten() / columns, y.flatten() / rows], 1).to(wanted.boxes.device)
    away = (at[:, None] - wanted.boxes[None, :, :2]).abs()  # (T, M, 2)
    cell = away.new_tensor([1 / columns, 1 / rows])
    own = (away <= cell / 2).all(2)
    near = (away < _REACH * cell).all(2) & (away < wanted.boxes[None, :, 2:] / 2).all(2)
    area = torch.where(own | near, wanted.boxes[:, 2:].prod(1), torch.inf)
    row = torch.full((len(at),), -1, dtype=torch.int64, device=at.device)
    if len(wanted.boxes):
        least, best = area.min(1)
        row = torch.where(least < torch.inf, best, row)
    aside = ((at[:, None] - wanted.ignored[None, :, :2]).abs() < wanted.ignored[None, :, 2:] / 2).all(2).any(1)
    return row, (row >= 0) | ~aside


def cell_loss(logits: Tensor, boxes: Tensor, wanted: list[Wanted], grid: tuple[int, int]) -> Tensor:
    """logits (B, T, classes), boxes (B, T, 4) of the encoder's cells -> focal loss + 5 L1 + 2 GIoU, per cell that has a box."""
    total, num = logits.new_zeros(()), 0
    for b, w in enumerate(wanted):
        row, counts = cell_targets(w, grid)
        found = (row >= 0).nonzero()[:, 0]
        truth = torch.zeros_like(logits[b])
        truth[found, w.classes[row[found]]] = 1.0
        p = logits[b].sigmoid()
        entropy = functional.binary_cross_entropy_with_logits(logits[b], truth, reduction="none")
        focal = torch.where(truth > 0, _ALPHA * (1 - p) ** _EASY, (1 - _ALPHA) * p**_EASY) * entropy
        near, right = boxes[b, found], w.boxes[row[found]]
        total = total + (focal * counts[:, None]).sum()
        total = total + L1_WEIGHT * (near - right).abs().sum() + GIOU_WEIGHT * (1 - giou(near, right)).sum()
        num += len(found)
    return total / max(num, 1)


def gate_loss(shares: Tensor, alone: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy of the shares with the modality of the smaller loss.

    shares (B, S), alone (S, B): loss of each modality alone, no gradient flows into it; counts (B,) bool: pictures that count
    """
    better = functional.softmax(-alone.detach().t() / _SOFT, 1)
    each = -(better * shares.clamp(min=1e-6).log()).sum(1)
    return (each * counts).sum() / counts.sum().clamp(min=1)


def _mostly_within(boxes: Tensor, regions: Tensor) -> Tensor:
    """(N, 4), (K, 4) -> (N,) bool"""
    a, b = corners(boxes)[:, None], corners(regions)[None]
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    return (inter > _WITHIN * boxes[:, 2:].prod(-1)[:, None]).any(1)


def wanted_of(boxes: np.ndarray, classes: np.ndarray, size: tuple[int, int], device: torch.device) -> Wanted:
    """boxes (M, 4) x1 y1 x2 y2 [px, centres of pixels are whole numbers]; classes (M,), below 0: ignored; size: width, height"""
    scale = np.array(size * 2, np.float64)
    edges = np.clip((boxes + 0.5) / scale, 0, 1)
    placed = np.concatenate([(edges[:, :2] + edges[:, 2:]) / 2, edges[:, 2:] - edges[:, :2]], 1).astype(np.float32)
    keep = classes >= 0
    return Wanted(*(torch.from_numpy(a).to(device) for a in (placed[keep], classes[keep].astype(np.int64), placed[~keep])))
