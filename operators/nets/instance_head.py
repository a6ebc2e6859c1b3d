"""What becomes of a proposal: class and box, mask, embedding.      Source: Mohan and Valada 2021 (EfficientPS), sec. 3.3

The box head takes regions of 7 x 7, mask and tracking head regions of 14 x 14 (with 14 x 14 the box head alone would have 52 M
parameters, more than the paper's net). The tracking head is that of PanopticTrackNet (Hurtado et al. 2020), sec. 3.4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.nets.activated import SLOPE, ActivatedLinear, Layout, conv3x3

BOX_CELLS, MASK_CELLS = 7, 14
_MASK_CONVOLUTIONS = 4


class BoxHead(nn.Module):
    """(R, channels, 7, 7) -> logits (R, things + 1), the last of no object; offsets (R, things, 4)"""

    def __init__(self, channels: int, hidden: int, things: int) -> None:
        super().__init__()
        self.first = ActivatedLinear(channels * BOX_CELLS**2, hidden)
        self.second = ActivatedLinear(hidden, hidden)
        self.classes = nn.Linear(hidden, things + 1)
        self.offsets = nn.Linear(hidden, 4 * things)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        x = self.second(self.first(regions.flatten(1)))
        return self.classes(x), self.offsets(x).unflatten(1, (-1, 4))


class MaskHead(nn.Module):
    """(R, channels, 14, 14) -> logits (R, things, 28, 28)"""

    def __init__(self, channels: int, things: int, layout: Layout) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(*(conv3x3(channels, channels, layout) for _ in range(_MASK_CONVOLUTIONS)))
        self.enlarge = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.norm = nn.BatchNorm2d(channels)
        self.classify = nn.Conv2d(channels, things, 1)

    def forward(self, regions: Tensor) -> Tensor:
        x = functional.leaky_relu(self.norm(self.enlarge(self.convolutions(regions))), SLOPE)
        return self.classify(x)


class TrackingHead(nn.Module):
    """Regions (R, channels, 14, 14), mask logits of their class (R, 28, 28) -> (R, things * width): embeddings per class."""

    def __init__(self, channels: int, things: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.first = nn.Linear(channels, channels // 2)
        self.second = nn.Linear(channels // 2, width * things)

    def forward(self, regions: Tensor, masks: Tensor) -> Tensor:
        return self.second(functional.leaky_relu(self.first(mask_pooled(regions, masks)), SLOPE))

    def of_things(self, every: Tensor, things: Tensor) -> Tensor:
        """(R, things * width), things (R,) int64 -> (R, width): the embedding of each region's class"""
        return every.unflatten(1, (-1, self.width))[torch.arange(len(every), device=every.device), things]


def mask_pooled(regions: Tensor, masks: Tensor) -> Tensor:
    """Mean of each region over its mask: (R, C, 14, 14), (R, 28, 28) logits, above 0 inside -> (R, C). Empty mask: all of it."""
    inside = (functional.max_pool2d(masks[:, None].detach(), 2) > 0).to(regions.dtype)  # (R, 1, 14, 14)
    inside = torch.where(inside.sum((2, 3), keepdim=True) > 0, inside, torch.ones_like(inside))
    return (regions * inside).sum((2, 3)) / inside.sum((2, 3))
