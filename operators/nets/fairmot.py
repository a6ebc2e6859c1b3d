"""FairMOT's net: positions and embeddings of objects from one feature map.        Source: Zhang et al. 2021 (FairMOT), sec. 4

The heads are the paper's: 3x3 convolution to `head_channels`, ReLU, 1x1 convolution, at a quarter of the picture's size; heatmap
1 channel per class (the paper has one), size 2, offset 2, re-id 128. The backbone differs: the paper's pretrained DLA-34
is replaced by one that a CPU can train, residual blocks with growing strides, summed at stride 4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from operators.nets.fairmot_config import FairmotNetConfig

RARE = 0.01  # score of every cell before training: objects are rare (Lin et al. 2017)


class Maps(NamedTuple):
    """heat (B, C, h, w) logits; size (B, 2, h, w) width, height, offset (B, 2, h, w) x, y, both in cells; looks (B, E, h, w)
    embeddings"""

    heat: Tensor
    size: Tensor
    offset: Tensor
    looks: Tensor


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(y)) + self.shortcut(x))


def head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, hidden, 3, 1, 1), nn.ReLU(), nn.Conv2d(hidden, outputs, 1))


class Fairmot(nn.Module):
    def __init__(self, config: FairmotNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.stage_channels
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        before = (widths[0], *widths[:-1])
        self.stages = nn.ModuleList(Block(a, b, 2) for a, b in zip(before, widths, strict=True))
        self.sides = nn.ModuleList(nn.Conv2d(width, config.feature_channels, 1) for width in widths)
        self.smooth = nn.Sequential(
            nn.Conv2d(config.feature_channels, config.feature_channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(config.feature_channels),
            nn.ReLU(),
        )
        self.heat = head(config.feature_channels, config.head_channels, len(config.class_names))
        self.size = head(config.feature_channels, config.head_channels, 2)
        self.offset = head(config.feature_channels, config.head_channels, 2)
        self.looks = head(config.feature_channels, config.head_channels, config.embedding)
        last = self.heat[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.constant_(last.bias, math.log(RARE / (1 - RARE)))

    def forward(self, image: Tensor) -> Maps:
        """image (B, H, W, 3) uint8 RGB, H and W multiples of the coarsest stride."""
        x = self.stem((image.permute(0, 3, 1, 2).float() - 127.5) / 64)  # (B, ., H/2, W/2)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)  # H/4, H/8, ..
        total = self.sides[-1](levels[-1])
        for side, level in zip(reversed(self.sides[:-1]), reversed(levels[:-1]), strict=True):
            total = side(level) + functional.interpolate(total, scale_factor=2.0, mode="nearest")
        features = self.smooth(total)  # (B, F, H/4, W/4)
        return Maps(self.heat(features), self.size(features), self.offset(features), self.looks(features))


class Identities(nn.Module):
    """Classifier of identities, for training only: one class per identity."""

    def __init__(self, embedding: int, num_identities: int) -> None:
        super().__init__()
        self.scale = math.sqrt(2) * math.log(max(num_identities - 1, 2))
        self.classify = nn.Linear(embedding, num_identities)

    def forward(self, looks: Tensor) -> Tensor:
        """(N, E) -> logits (N, identities)"""
        return self.classify(self.scale * functional.normalize(looks, dim=1))


def at_places(map_: Tensor, where: Tensor) -> Tensor:
    """map_ (B, K, h, w), where (N, 3) int64 [picture, row, column] -> (N, K)"""
    return map_[where[:, 0], :, where[:, 1], where[:, 2]]


def num_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
