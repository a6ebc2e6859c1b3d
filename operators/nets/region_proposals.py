"""Region proposals: anchors at every place of every map, scored and moved to objects.      Source: Ren et al. 2015 (Faster R-CNN)

Anchors and boxes are x1 y1 x2 y2 between pixel edges. Offsets are relative to the anchor's size (report, C2.3, losses; its other
form, without that division, is a slip).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from operators.kernels.nms import nms_2d
from operators.nets.activated import Layout, conv3x3

_LARGEST = math.log(1000 / 16)  # of a change of size: exp of more is no box


class Rpn(nn.Module):
    """One map after the other: (B, channels, h, w) -> logits (B, k, h, w), offsets (B, 4 k, h, w)."""

    def __init__(self, channels: int, anchors: int, layout: Layout) -> None:
        super().__init__()
        self.conv = conv3x3(channels, channels, layout)
        self.offsets = nn.Conv2d(channels, 4 * anchors, 1)
        self.objects = nn.Conv2d(channels, anchors, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(x)
        return self.objects(x), self.offsets(x)


class Anchors(NamedTuple):
    """All maps of one picture, row by row: boxes (A, 4) [px]; sizes: anchors of each map; A is their sum."""

    boxes: Tensor
    sizes: tuple[int, ...]


def anchors_of(maps: Sequence[tuple[int, int]], scale: float, ratios: Sequence[float], device: torch.device) -> Anchors:
    """maps: rows, columns of each map, the first of stride 4; ratios: height / width."""
    boxes, sizes = [], []
    for level, (rows, columns) in enumerate(maps):
        stride = 4 << level
        roots = torch.tensor(ratios, device=device).sqrt()
        half = 0.5 * scale * stride * torch.stack([1 / roots, roots], 1)  # (k, 2) x, y
        y, x = torch.meshgrid(
            (torch.arange(rows, device=device) + 0.5) * stride,
            (torch.arange(columns, device=device) + 0.5) * stride,
            indexing="ij",
        )
        centre = torch.stack([x, y], 2)[:, :, None]  # (rows, columns, 1, 2)
        boxes.append(torch.cat([centre - half, centre + half], 3).reshape(-1, 4))
        sizes.append(len(boxes[-1]))
    return Anchors(torch.cat(boxes), tuple(sizes))


def in_rows(per_map: Sequence[Tensor], width: int) -> Tensor:
    """Per map (B, k width, h, w) -> (B, A, width), in the order of `Anchors`."""
    return torch.cat([m.permute(0, 2, 3, 1).reshape(m.shape[0], -1, width) for m in per_map], 1)


def moved(boxes: Tensor, offsets: Tensor) -> Tensor:
    """(..., 4), (..., 4) t_x t_y t_w t_h -> (..., 4)"""
    size = boxes[..., 2:] - boxes[..., :2]
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2 + offsets[..., :2] * size
    half = size * offsets[..., 2:].clamp(max=_LARGEST).exp() / 2
    return torch.cat([centre - half, centre + half], -1)


def offsets_to(boxes: Tensor, goals: Tensor) -> Tensor:
    """The inverse of `moved`: t_x = (x - x_a) / w_a, t_w = log(w / w_a), and so on for y and h."""
    size, wanted = boxes[..., 2:] - boxes[..., :2], goals[..., 2:] - goals[..., :2]
    centres = (goals[..., :2] + goals[..., 2:] - boxes[..., :2] - boxes[..., 2:]) / 2
    return torch.cat([centres / size, (wanted / size).log()], -1)


def clipped(boxes: Tensor, height: int, width: int) -> Tensor:
    return torch.stack([boxes[..., i].clamp(0, (width, height)[i % 2]) for i in range(4)], -1)


def suppressed(boxes: Tensor, scores: Tensor, groups: Tensor, max_iou: float, most: int) -> Tensor:
    """Rows that stay, best first, at most `most`: (K,) int64. Boxes of different groups do not suppress each other."""
    order = scores.argsort(descending=True, stable=True)
    kept = np.empty(min(most, len(order)), np.int64)
    num = nms_2d(boxes[order].double().cpu().numpy(), groups[order].cpu().numpy(), max_iou, kept)
    return order[torch.from_numpy(kept[:num]).to(order.device)]


class ProposalConfig(NamedTuple):
    """before: best anchors of each map; after: proposals of a picture; max_iou: of two proposals of one map; least: side [px]"""

    before: int = 1000
    after: int = 1000
    max_iou: float = 0.7
    least: float = 1.0


@torch.no_grad()
def proposals(
    logits: Tensor, offsets: Tensor, anchors: Anchors, height: int, width: int, config: ProposalConfig
) -> tuple[Tensor, Tensor]:
    """One picture: logits (A,), offsets (A, 4) -> boxes (R, 4) [px] inside the picture, scores (R,), best first. No gradient."""
    rows, groups, start = [], [], 0
    for level, size in enumerate(anchors.sizes):
        best = logits[start : start + size].topk(min(config.before, size)).indices + start
        rows.append(best)
        groups.append(torch.full_like(best, level))
        start += size
    row, group = torch.cat(rows), torch.cat(groups)
    boxes = clipped(moved(anchors.boxes[row], offsets[row].float()), height, width)
    large = (boxes[:, 2:] - boxes[:, :2]).amin(1) >= config.least
    boxes, scores, group = boxes[large], logits[row][large].float().sigmoid(), group[large]
    kept = suppressed(boxes, scores, group, config.max_iou, config.after)
    return boxes[kept], scores[kept]
