"""The semantic head of EfficientPS: maps at strides 4, 8, 16, 32 -> logits per class.     Source: Mohan and Valada 2021, sec. 3.2

Large scales (4, 8) pass an LSFE, small ones (16, 32) a DPC; MC corrects what a sum of two scales would mismatch. All four maps
come to stride 4, are concatenated and classified; the logits are enlarged by 4 outside of the head (the report's "4, then 2" fits
no size; its ablation says so). DPC ends in a fourth of the concatenated channels, not in 256.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.nets.activated import Activated, Separable, resized

DILATIONS = ((1, 6), (1, 1), (6, 21), (18, 15), (6, 3))
"""Rows, columns of DPC's branches b0..b4; b1, b2, b3 follow b0, b4 follows b3."""


class Lsfe(nn.Module):
    """Two separable convolutions: fine features of large scales."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = Separable(inputs, outputs), Separable(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class Dpc(nn.Module):
    """Dense prediction cell: five branches of different dilations, concatenated (Chen et al. 2018). The size stays."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Separable(inputs, inputs, dilation) for dilation in DILATIONS)
        self.join = Activated(len(DILATIONS) * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        b0, b1, b2, b3, b4 = self.branches
        first = b0(x)
        fourth = b3(first)
        return self.join(torch.cat([first, b1(first), b2(first), fourth, b4(fourth)], 1))


class Mc(nn.Module):
    """Mismatch correction: two separable convolutions, twice as large."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = Separable(channels, channels), Separable(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return enlarged(self.second(self.first(x)), 2)


class SemanticHead(nn.Module):
    """inputs: channels of the maps; channels: of each scale before the concatenation; outputs: classes."""

    def __init__(self, inputs: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.p32, self.p16 = Dpc(inputs, channels), Dpc(inputs, channels)
        self.p8, self.p4 = Lsfe(inputs, channels), Lsfe(inputs, channels)
        self.to_p8, self.to_p4 = Mc(channels), Mc(channels)
        self.classify = nn.Conv2d(4 * channels, outputs, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """maps: P4, P8, P16, P32, each half as large as the one before -> (B, outputs, H, W) of P4's size."""
        p4, p8, p16, p32 = maps
        s32 = self.p32(p32)
        s16 = self.p16(p16) + resized(s32, p16)
        s8 = self.p8(p8) + self.to_p8(s16)
        s4 = self.p4(p4) + self.to_p4(s8)
        joined = torch.cat([s4, enlarged(s8, 2), enlarged(s16, 4), enlarged(s32, 8)], 1)
        return self.classify(joined)


def enlarged(x: Tensor, times: int) -> Tensor:
    """Bilinear."""
    return functional.interpolate(x, scale_factor=float(times), mode="bilinear", align_corners=False)
