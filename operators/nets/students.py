"""Layers of the blocks of TANet's students: operators/nets/students_config.py says which student has which.

Source: Howard et al. 2017 (MobileNet), sec. 3.1; Sandler et al. 2018 (MobileNetV2), sec. 3. ReLU in place of ReLU6.
All layers take (B, before, rows, columns) to (B, channels, rows / stride, columns / stride).
"""

from __future__ import annotations

from torch import Tensor, nn

from operators.nets.pointpillars import ConvNorm
from operators.nets.students_config import EXPANSION, Convolution


class Separable(nn.Module):
    """Depthwise 3x3, then 1x1."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.depth = ConvNorm(before, before, stride, groups=before)
        self.point = ConvNorm(before, channels, size=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.point(self.depth(x))


class Inverted(nn.Module):
    """1x1 to more channels, depthwise 3x3, 1x1 back without ReLU; added to the input where the shapes are equal."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        wide = EXPANSION * before
        self.expand = ConvNorm(before, wide, size=1)
        self.depth = ConvNorm(wide, wide, stride, groups=wide)
        self.project = ConvNorm(wide, channels, size=1, activate=False)
        self.residual = stride == 1 and before == channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.depth(self.expand(x)))
        return x + out if self.residual else out


def layer(convolution: Convolution, before: int, channels: int, stride: int) -> nn.Module:
    if convolution == "plain":
        return ConvNorm(before, channels, stride)
    return (Separable if convolution == "separable" else Inverted)(before, channels, stride)
