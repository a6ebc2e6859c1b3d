"""Features of regions, from a pyramid: RoIAlign.      Source: He et al. 2017 (Mask R-CNN), Lin et al. 2017 (levels)

Each cell of a region is the mean of 2 x 2 bilinear samples, and the samples of all regions of a map are one call of grid_sample.
Boxes are x1 y1 x2 y2 between pixel edges: pixel i reaches from i to i + 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_SAMPLES = 2  # per cell and axis


def roi_levels(boxes: Tensor, whole_px: float, levels: int = 4) -> Tensor:
    """boxes (R, 4) -> (R,) int64, 1 = the finest map: max(1, min(4, floor(3 + log2(sqrt(w h) / whole_px)))), eq. of C2.3.

    whole_px  side of a box of level 3; the paper's 224 for pictures of 1024 x 2048
    """
    side = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).clamp(min=1e-6).sqrt()
    return (3 + (side / whole_px).log2()).floor().clamp(1, levels).long()


def roi_align(features: Tensor, boxes: Tensor, stride: int, size: int) -> Tensor:
    """features (C, h, w) of one picture, boxes (R, 4) [px of the picture] -> (R, C, size, size). R = 0 is fine."""
    (channels, rows, columns), count = features.shape, len(boxes)
    points = size * _SAMPLES
    steps = (torch.arange(points, device=boxes.device, dtype=boxes.dtype) + 0.5) / points
    x = (boxes[:, :1] + steps * (boxes[:, 2:3] - boxes[:, :1])) * (2 / (stride * columns)) - 1  # (R, points), -1..1
    y = (boxes[:, 1:2] + steps * (boxes[:, 3:] - boxes[:, 1:2])) * (2 / (stride * rows)) - 1
    grid = torch.stack([x[:, None].expand(-1, points, -1), y[:, :, None].expand(-1, -1, points)], 3)  # (R, points, points, 2)
    flat = grid.reshape(1, count * points, points, 2).to(features.dtype)
    if count == 0:
        return features.new_zeros((0, channels, size, size))
    got = functional.grid_sample(features[None], flat, "bilinear", "border", align_corners=False)
    cells = functional.avg_pool2d(got, _SAMPLES)  # (1, C, R size, size)
    return cells.reshape(channels, count, size, size).transpose(0, 1)


def align(maps: Sequence[Tensor], boxes: Sequence[Tensor], size: int, whole_px: float, first_stride: int = 4) -> Tensor:
    """maps: per level (B, C, h, w), each of twice the stride; boxes: per picture (R_b, 4) -> (sum of R_b, C, size, size)"""
    out = []
    for number, mine in enumerate(boxes):
        level = roi_levels(mine, whole_px, len(maps))
        cells = maps[0].new_zeros((len(mine), maps[0].shape[1], size, size))
        for index, features in enumerate(maps):
            rows = (level == index + 1).nonzero()[:, 0]
            if len(rows):
                cells = cells.index_copy(0, rows, roi_align(features[number], mine[rows], first_stride << index, size))
        out.append(cells)
    return torch.cat(out)
