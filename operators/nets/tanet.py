"""TANet and its students: pillars of points -> class, box and direction of every anchor, twice.

Source: Liu et al. 2020 (TANet); parts as in its released code. The config chooses the pillar net (triple attention, PointPillars'
layer, graphs) and the CNN (coarse and refine stage, or a smaller student's). The coarse stage is PointPillars' CNN.

in   as operators/nets/pointpillars.py
out  coarse  Heads: boxes against the anchors
     refine  Heads: the same anchors, boxes against the coarse boxes; None where the net has no refine stage, or it is off
The refine stage reads the coarse one and changes nothing in it: `coarse` has the same bits with and without. P = 0: an empty
scene's logits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from operators.nets.gcn import GcnNet
from operators.nets.pointpillars import Heads, UpNorm, anchor_heads, first_layer, on_levels, run_blocks, strongest
from operators.nets.students import layer
from operators.nets.tanet_attention import AttentionNet
from operators.nets.tanet_config import TANetConfig
from operators.nets.tanet_refine import Psa


class TANetHeads(NamedTuple):
    coarse: Heads
    refine: Heads | None


class PointNet(nn.Module):
    """PointPillars' layer as a pillar net: only the kept points, in any order."""

    def __init__(self, config: TANetConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(config.features, config.pillar_channels, bias=False)
        self.norm = nn.BatchNorm1d(config.pillar_channels, eps=1e-3, momentum=0.01)

    def forward(self, pillars: Tensor, counts: Tensor, cells: Tensor) -> Tensor:
        return strongest(self.linear, self.norm, pillars, counts, cells, self.config)


_PILLAR_NETS: dict[str, type[AttentionNet | PointNet | GcnNet]] = {"tanet": AttentionNet, "pointnet": PointNet, "gcn": GcnNet}


class TANet(nn.Module):
    """coarse_only: as `refine=False` in every call; it may change between two calls."""

    def __init__(self, config: TANetConfig) -> None:
        super().__init__()
        self.config = config
        self.coarse_only = False
        cnn = config.layers
        self.pillar_net = _PILLAR_NETS[config.pillar_net](config)
        self.blocks, self.ups = nn.ModuleList(), nn.ModuleList()
        before = config.pillar_channels
        for b, (stride, layers) in enumerate(zip(config.strides, cnn.layers, strict=True)):
            channels = cnn.channels[b]
            first = layer("plain" if b == 0 else cnn.convolution, before, channels, stride)
            self.blocks.append(nn.Sequential(first, *(layer(cnn.convolution, channels, channels, 1) for _ in range(layers))))
            self.ups.append(UpNorm(channels, cnn.ups[b], 1 << b))
            before = channels
        self.class_head, self.box_head, self.direction_head = anchor_heads(sum(cnn.ups), config)
        self.psa: nn.Module | None = Psa(config) if cnn.refine else None
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self,
        pillars: Tensor,
        counts: Tensor,
        cells: Tensor,
        batch_index: Tensor | None = None,
        batch_size: int = 1,
        refine: bool = True,
    ) -> TANetHeads:
        config = self.config
        first: Any = self.blocks[0]
        with torch.autocast(pillars.device.type, enabled=False):  # half precision cannot hold centimetres at 70 m
            features = self.pillar_net(pillars.float(), counts, cells)  # (P, F)
            x = first_layer(first[0], features, cells, batch_index, (batch_size, *config.head_grid))  # (B, C1, rows, columns)
        outputs, levels = run_blocks(x, self.blocks, self.ups)
        parts = on_levels(levels, [self.class_head, self.box_head, self.direction_head])
        coarse = Heads(*(part.reshape(batch_size, config.num_anchors, -1) for part in parts))
        if self.psa is None or self.coarse_only or not refine:
            return TANetHeads(coarse, None)
        return TANetHeads(coarse, self.psa(outputs, levels))
