"""TANet in eval mode: the same function, less work.

1. Batch norm is folded into the layer before it.
2. Nothing bends between the last convolutions of the refine stage and its heads: both are one convolution each, with as many
   outputs as the heads have (20 for cars) in place of 128.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from operators.nets.pointpillars import ConvNorm, Heads, UpNorm
from operators.nets.pointpillars_inference import gain_and_shift
from operators.nets.tanet import PointNet, TANet
from operators.nets.tanet_attention import AttentionNet
from operators.nets.tanet_refine import Psa


class Shift(nn.Module):
    """What is left of a batch norm whose gain is in the weights: x + shift, by channel (the second dimension)."""

    shift: Tensor

    def __init__(self, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift.view(1, -1, *[1] * (x.dim() - 2))


class InferencePsa(nn.Module):
    """The refine stage with its last two layers as one. `psa`: of a net whose batch norm is folded already."""

    bias: Tensor

    def __init__(self, psa: Psa) -> None:
        super().__init__()
        heads: list[Any] = [psa.class_head, psa.box_head, psa.direction_head]
        mixes: list[Any] = list(psa.mixes)
        self.psa, self.sizes = psa, [head.out_channels for head in heads]
        rows = torch.cat([head.weight.flatten(1) for head in heads]).chunk(3, 1)  # (outputs, U) of each map
        bias = torch.cat([head.bias for head in heads])
        self.convs = nn.ModuleList()
        for row, mix in zip(rows, mixes, strict=True):
            conv = nn.Conv2d(mix.in_channels, len(row), 3, padding=1, bias=False)
            conv.weight = nn.Parameter(torch.einsum("ou,ucij->ocij", row, mix.weight), requires_grad=False)
            self.convs.append(conv)
            bias = bias + row @ mix.bias
        self.register_buffer("bias", bias)

    def forward(self, outputs: list[Tensor], levels: list[Tensor]) -> Heads:
        maps = self.psa.pyramid(outputs, levels)
        total = sum(conv(x) for conv, x in zip(self.convs, maps, strict=True)).permute(0, 2, 3, 1) + self.bias
        parts = total.split(self.sizes, -1)
        return Heads(*(part.reshape(len(total), self.psa.num_anchors, -1) for part in parts))


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
    psa: Any = net.psa
    if psa is not None:
        net.psa = InferencePsa(psa)
    return net
