"""Convolutions with batch norm and leaky ReLU, "iABN" of the paper, which shares their memory.      Source: Bulo et al. 2018

Nobody needs the activations of the norm twice here, so norm and activation are two ordinary steps with the same result.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

SLOPE = 0.01
"""Of leaky ReLU below 0."""

Layout = Literal["separable", "standard"]


class Activated(nn.Module):
    """Convolution without bias, batch norm, leaky ReLU unless `activate` is false. (B, inputs, H, W) -> (B, outputs, H', W')"""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        padding = (dilation[0] * (kernel // 2), dilation[1] * (kernel // 2))
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return functional.leaky_relu(x, SLOPE, inplace=True) if self.activate else x

    def fold(self) -> None:
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()


class Separable(nn.Module):
    """3x3 convolution per channel, then 1x1 with one norm and leaky ReLU. (B, inputs, H, W) -> (B, outputs, H, W)"""

    def __init__(self, inputs: int, outputs: int, dilation: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, 1, dilation, dilation, inputs, bias=False)
        self.pointwise = Activated(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class ActivatedLinear(nn.Module):
    """Fully connected layer without bias, batch norm, leaky ReLU. (N, inputs) -> (N, outputs)"""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.norm: nn.Module = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.norm(self.linear(x)), SLOPE)

    def fold(self) -> None:
        if isinstance(self.norm, nn.BatchNorm1d):
            self.linear, self.norm = fuse_linear_bn_eval(self.linear, self.norm), nn.Identity()


def conv3x3(inputs: int, outputs: int, layout: Layout) -> nn.Module:
    return Separable(inputs, outputs) if layout == "separable" else Activated(inputs, outputs, 3)


def fold(net: nn.Module) -> None:
    """Make every norm a part of its convolution or layer; for a net in eval() that trains no more."""
    for module in net.modules():
        if isinstance(module, (Activated, ActivatedLinear)):
            module.fold()


def xavier(net: nn.Module) -> None:
    """First weights of the paper: norms 1, everything else Xavier, biases 0."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Nearest neighbour, to the height and width of `like`."""
    return x if x.shape[-2:] == like.shape[-2:] else functional.interpolate(x, like.shape[-2:], mode="nearest")


def num_parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def normalised(image: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 RGB -> (B, 3, H, W) float32, by ImageNet's mean and deviation."""
    mean = torch.tensor((123.675, 116.28, 103.53), device=image.device)
    deviation = torch.tensor((58.395, 57.12, 57.375), device=image.device)
    return ((image.float() - mean) / deviation).permute(0, 3, 1, 2)
