"""What the heads shall say: objects of a picture, anchors and proposals with their objects, masks of regions.

Source: Mohan and Valada 2021 (EfficientPS), sec. 3.3; report, C2.3. Boxes are x1 y1 x2 y2 [px] between pixel edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from operators.nets.efficientps_config import MASK
from operators.streams import VOID


class Objects(NamedTuple):
    """Things of a picture: boxes (G, 4), things, segments, identities (G,) int64, identity -1 = none; ignored (I, 4): boxes that
    are neither object nor background"""

    boxes: Tensor
    things: Tensor
    segments: Tensor
    identities: Tensor
    ignored: Tensor


def objects_of(
    segments: np.ndarray, classes: np.ndarray, identities: np.ndarray, thing_indices: Sequence[int], min_area_px: int
) -> Objects:
    """segments (H, W); classes, identities: per segment number; those with fewer pixels than min_area_px are ignored."""
    areas = np.bincount(segments.ravel(), minlength=len(classes))
    boxes, things, numbers, who, ignored = [], [], [], [], []
    for index, place in enumerate(ndimage.find_objects(segments), start=1):
        if place is None or classes[index] not in thing_indices:
            continue
        rows, columns = place
        box = (columns.start, rows.start, columns.stop, rows.stop)
        if areas[index] < min_area_px:
            ignored.append(box)
            continue
        boxes.append(box)
        things.append(thing_indices.index(int(classes[index])))
        numbers.append(index)
        who.append(int(identities[index]))
    return Objects(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(things, dtype=torch.long),
        torch.tensor(numbers, dtype=torch.long),
        torch.tensor(who, dtype=torch.long),
        torch.tensor(ignored, dtype=torch.float32).reshape(-1, 4),
    )


def semantic_of(segments: np.ndarray, classes: np.ndarray) -> Tensor:
    """(H, W) segments, class of each -> (H, W) int64 classes, VOID where there is none."""
    return torch.from_numpy(classes.astype(np.int64)[segments])


def iou(boxes: Tensor, others: Tensor) -> Tensor:
    """(N, 4), (M, 4) -> (N, M)"""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    both = (high - low).clamp(min=0).prod(2)
    area, other = ((b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, others))
    return both / (area[:, None] + other[None] - both).clamp(min=1e-6)


class Sampled(NamedTuple):
    """Rows of anchors or proposals to learn from: positive (P,), the object of each (P,), negative (N,), all int64."""

    positive: Tensor
    objects: Tensor
    negative: Tensor


def sample(positive: Tensor, objects: Tensor, negative: Tensor, most: int, share: float) -> Sampled:
    """At most `most` rows, of them at most `share` positive, drawn at random."""
    chosen = torch.randperm(len(positive))[: int(most * share)].to(positive.device)
    others = torch.randperm(len(negative))[: most - len(chosen)].to(negative.device)
    return Sampled(positive[chosen], objects[chosen], negative[others])


def anchors_for(anchors: Tensor, objects: Objects, high: float, low: float, most: int) -> Sampled:
    """Positive: IoU > high with an object, or the largest of all anchors with it. Negative: IoU < low with all, also ignored."""
    overlap = iou(anchors, objects.boxes)
    aside = iou(anchors, objects.ignored)
    if overlap.shape[1]:
        best, of = overlap.max(1)
        top = overlap.max(0).values
        forced = ((overlap >= top - 1e-6) & (top > 0)).any(1)
        positive = (best > high) | forced
    else:
        best, of = overlap.new_zeros(len(anchors)), torch.zeros(len(anchors), dtype=torch.long, device=anchors.device)
        positive = torch.zeros_like(best, dtype=torch.bool)
    negative = ~positive & (best < low)
    if aside.shape[1]:
        negative &= aside.max(1).values < low
    rows = positive.nonzero()[:, 0]
    return sample(rows, of[rows], negative.nonzero()[:, 0], most, 0.5)


def regions_for(regions: Tensor, objects: Objects, least: float, most: int) -> Sampled:
    """Positive: IoU > least with an object; negative: any other, but for those on ignored things."""
    overlap, aside = iou(regions, objects.boxes), iou(regions, objects.ignored)
    zeros = overlap.new_zeros(len(regions))
    best, of = overlap.max(1) if overlap.shape[1] else (zeros, zeros.long())
    positive = best > least
    negative = ~positive & (aside.max(1).values <= least if aside.shape[1] else torch.ones_like(positive))
    rows = positive.nonzero()[:, 0]
    return sample(rows, of[rows], negative.nonzero()[:, 0], most, 0.25)


def masks_of(segments: Tensor, semantic: Tensor, boxes: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Truth of regions: (R, 28, 28) bool, the pixel in the middle of each cell is of segment `numbers` (R,); and whether that
    pixel has a class at all. segments, semantic (H, W) int64; boxes (R, 4)."""
    steps = (torch.arange(MASK, device=boxes.device) + 0.5) / MASK
    x = (boxes[:, :1] + steps * (boxes[:, 2:3] - boxes[:, :1])).long().clamp(0, segments.shape[1] - 1)  # (R, 28)
    y = (boxes[:, 1:2] + steps * (boxes[:, 3:] - boxes[:, 1:2])).long().clamp(0, segments.shape[0] - 1)
    places = y[:, :, None], x[:, None, :]
    return segments[places] == numbers[:, None, None], semantic[places] != VOID
