"""TANet in eval mode with batch norm folded into the layer before it: the same function, less work."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from operators.nets.pointpillars import ConvNorm, UpNorm
from operators.nets.pointpillars_inference import gain_and_shift
from operators.nets.tanet import PointNet, TANet
from operators.nets.tanet_attention import AttentionNet


class Shift(nn.Module):
    """What is left of a batch norm whose gain is in the weights: x + shift, by channel (the second dimension)."""

    shift: Tensor

    def __init__(self, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift.view(1, -1, *[1] * (x.dim() - 2))


@torch.no_grad()
def folded(net: TANet) -> TANet:
    """A copy of a trained net, in eval mode."""
    net = copy.deepcopy(net).eval().requires_grad_(False)
    block: Any = net.blocks[0]
    first = block[0]  # runs without its canvas, from the weights alone: its shift stays a step of its own
    modules: list[Any] = list(net.modules())
    for module in modules:
        kind = type(module)
        if kind is ConvNorm:
            gain, shift = gain_and_shift(module.norm)
            module.conv.weight *= gain[:, None, None, None]
            if module is first:
                module.norm = Shift(shift)
            else:
                module.conv.bias, module.norm = nn.Parameter(shift, requires_grad=False), nn.Identity()
        elif kind is UpNorm:
            gain, shift = gain_and_shift(module.norm)
            module.conv.weight *= gain[None, :, None, None]
            module.norm = Shift(shift)
        elif kind in (AttentionNet, PointNet):
            gain, shift = gain_and_shift(module.norm)
            module.linear.weight *= gain[:, None]
            module.linear.bias, module.norm = nn.Parameter(shift, requires_grad=False), nn.Identity()
    return net
