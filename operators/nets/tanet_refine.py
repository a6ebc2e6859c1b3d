"""Refine stage of TANet: pyramid sampling and attention (PSA).

Source: Liu et al. 2020 (TANet), sec. 3.2, layers as in the released code

in   outputs  of the three blocks: (B, C1, rows, columns), (B, C2, rows / 2, ..), (B, C3, rows / 4, ..)
     levels   of `run_blocks`, whose concatenation is the coarse feature map
out  Heads: boxes against the coarse boxes, not against the anchors
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.nets.pointpillars import ConvNorm, Heads, UpNorm, anchor_heads, by_location, on_levels
from operators.nets.tanet_config import TANetConfig
from operators.nets.tanet_shapes import STACK_SIZES


class Psa(nn.Module):
    def __init__(self, config: TANetConfig) -> None:
        super().__init__()
        cnn = config.layers
        (c1, c2, c3), up = cnn.channels, cnn.ups[0]
        self.num_anchors = config.num_anchors
        self.bottleneck = nn.Conv2d(3 * up, up, 1)  # of the coarse feature map
        self.second_to_first = nn.ConvTranspose2d(c2, c1 // 2, 2, 2, bias=False)
        self.third_to_second = nn.ConvTranspose2d(c3, c2 // 2, 2, 2, bias=False)
        self.third_to_first = nn.ConvTranspose2d(c3, c1 // 2, 4, 4, bias=False)
        widths = (c1 + 2 * (c1 // 2), c1 + c2 + c2 // 2, c1 + c2 + c3)
        self.fusions = nn.ModuleList(nn.Conv2d(w, c, 1) for w, c in zip(widths, cnn.channels, strict=True))
        self.stacks = nn.ModuleList(_stack(c, cnn.reduced, sizes) for c, sizes in zip(cnn.channels, STACK_SIZES, strict=True))
        self.ups = nn.ModuleList(UpNorm(c, up, 1 << i) for i, c in enumerate(cnn.channels))
        self.mixes = nn.ModuleList(nn.Conv2d(up, up, 3, padding=1) for _ in range(3))
        self.class_head, self.box_head, self.direction_head = anchor_heads(3 * up, config)

    def forward(self, outputs: list[Tensor], levels: list[Tensor]) -> Heads:
        pyramid = self.pyramid(outputs, levels)
        features = torch.cat([mix(x) for mix, x in zip(self.mixes, pyramid, strict=True)], 1)  # (B, 3 U, rows, columns)
        heads = (self.class_head, self.box_head, self.direction_head)
        return Heads(*(head(features).permute(0, 2, 3, 1).reshape(len(features), self.num_anchors, -1) for head in heads))

    def pyramid(self, outputs: list[Tensor], levels: list[Tensor]) -> list[Tensor]:
        """Three maps (B, U, rows, columns): outputs of all blocks, fused at each of the three strides, plus the bottleneck."""
        first, second, third = outputs
        pyramid = (
            [first, self.second_to_first(second), self.third_to_first(third)],
            [functional.max_pool2d(first, 2), second, self.third_to_second(third)],
            [functional.max_pool2d(first, 4), functional.max_pool2d(second, 2), third],
        )
        bottleneck = on_levels(levels, [self.bottleneck])[0].permute(0, 3, 1, 2)  # (B, U, rows, columns)
        maps = []
        for i, (fuse, stack, up) in enumerate(zip(self.fusions, self.stacks, self.ups, strict=True)):
            level = up(stack(fuse(torch.cat(pyramid[i], 1))))
            maps.append(by_location(level, i).permute(0, 3, 1, 2) + bottleneck)
        return maps


def _stack(channels: int, reduced: int, sizes: tuple[int, ...]) -> nn.Sequential:
    """Convolutions of these kernel sizes, through few channels."""
    widths = (channels, *[reduced] * (len(sizes) - 1), channels)
    return nn.Sequential(*(ConvNorm(widths[i], widths[i + 1], size=size) for i, size in enumerate(sizes)))
