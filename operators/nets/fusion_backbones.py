"""Backbones of one modality: a picture -> a feature map.      Source: He et al. 2016 (ResNet-50), Lin et al. 2017 (top-down sum)

ResNet50 has the stride of a bottleneck in its 3x3 convolution, as the widely used weights do (v1.5). Light has residual blocks
with few channels; the coarser stages are added to the map at `stride`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

_RESNET50 = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, channels of the 3x3 convolution, stride
_EXPANSION = 4


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y

    def fold(self) -> None:
        """The norm becomes part of the convolution, whose channels lie last: a fifth less time; for inference."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()
            self.conv.weight.data = self.conv.weight.data.contiguous(memory_format=torch.channels_last)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 beside a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = _EXPANSION * width
        self.first, self.second, self.third = (
            ConvNorm(inputs, width, 1),
            ConvNorm(width, width, 3, stride),
            ConvNorm(width, outputs, 1),
        )
        self.shortcut = ConvNorm(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu_(self.second(functional.relu_(self.first(x))))
        return functional.relu_(self.third(y).add_(self.shortcut(x)))


class Block(nn.Module):
    """Two 3x3 beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = ConvNorm(inputs, outputs, 3, stride), ConvNorm(outputs, outputs, 3)
        self.shortcut = ConvNorm(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu_(self.second(functional.relu_(self.first(x))).add_(self.shortcut(x)))


class ResNet50(nn.Module):
    """(B, inputs, H, W) -> (B, 2048, H/32, W/32)"""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.stem = ConvNorm(inputs, 64, 7, 2)
        stages, width = [], 64
        for blocks, channels, stride in _RESNET50:
            made: list[nn.Module] = []
            for k in range(blocks):
                made.append(Bottleneck(width, channels, stride if k == 0 else 1))
                width = _EXPANSION * channels
            stages.append(nn.Sequential(*made))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu_(self.stem(x)), 3, 2, 1)  # (B, 64, H/4, W/4)
        for stage in self.stages:
            x = stage(x)
        return x


class Light(nn.Module):
    """(B, inputs, H, W) -> (B, channels, H/stride, W/stride)

    widths  channels of the stages at strides 2, 4, 8, ..; the first two are single convolutions
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], channels: int, stride: int) -> None:
        super().__init__()
        first, second = ConvNorm(inputs, widths[0], 3, 2), ConvNorm(widths[0], widths[1], 3, 2)
        self.stem = nn.Sequential(first, nn.ReLU(True), second, nn.ReLU(True))
        self.stages = nn.ModuleList(Block(a, b, 2) for a, b in pairwise(widths[1:]))
        self.first = max(stride.bit_length() - 3, 0)  # index of the first map used: 0 = stem, k = stage k - 1
        self.sides = nn.ModuleList(ConvNorm(width, channels, 1) for width in widths[1 + self.first :])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        levels = [x]  # strides 4, 8, ..
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        levels = levels[self.first :]
        total: Tensor = self.sides[-1](levels[-1])
        for side, level in zip(reversed(self.sides[:-1]), reversed(levels[:-1]), strict=True):
            total = side(level).add_(functional.interpolate(total, scale_factor=2.0, mode="nearest"))
        return functional.relu_(total)


def fold(net: nn.Module) -> None:
    """Make every batch norm a part of its convolution; for a net that trains no more."""
    for module in net.modules():
        if isinstance(module, ConvNorm):
            module.fold()
