"""PointPillars for one scan at a time: same function as pointpillars.py in eval mode, less work.

1. Batch norm is folded into the layer before it; ReLU works in place.
2. `forward` computes class logits only. `boxes` computes boxes and directions of chosen anchors, once the scores are known.

in   as PointPillars, one scan
out  class_logits (A, C) float32; levels: features, the input of `boxes`
Pillars and first convolution are float32 in every precision: the input holds metres.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from operators.nets.pointpillars import ConvNorm, PointPillars, convolve_pillars, decorate, with_padding


class InferencePointPillars(nn.Module):
    """Made from a trained net, which is not changed; dtype: of all convolutions but the first, and of the heads."""

    first_weight: Tensor
    first_bias: Tensor
    class_bias: Tensor
    box_weight: Tensor
    box_bias: Tensor

    def __init__(self, net: PointPillars, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        config = self.config = net.config
        gain, shift = gain_and_shift(net.pillar_norm)
        self.pillar_linear = nn.Linear(config.features, config.pillar_channels)
        _set(self.pillar_linear, net.pillar_linear.weight * gain[:, None], shift)

        self.blocks, self.ups, self.class_heads = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        offsets = [sum(config.up_channels[:b]) for b in range(len(config.up_channels) + 1)]
        block: Any
        up: Any
        for b, (block, up) in enumerate(zip(net.blocks, net.ups, strict=True)):
            convs: list[nn.Module] = []
            for layer in block[1 if b == 0 else 0 :]:
                convs += [_folded(layer), nn.ReLU(inplace=True)]
            self.blocks.append(nn.Sequential(*convs).to(dtype).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
            channels, width = config.block_channels[b], config.up_channels[b]
            gain, shift = gain_and_shift(up.norm)
            rows = (up.conv.weight * gain[:, None, None]).permute(2, 3, 1, 0).reshape(-1, channels)  # (s * s * U, C)
            linear = nn.Linear(channels, len(rows))
            _set(linear, rows, shift.repeat(4**b))
            self.ups.append(linear.to(dtype))
            head = nn.Linear(width, net.class_head.out_channels, bias=False)
            _set(head, net.class_head.weight[:, offsets[b] : offsets[b + 1], 0, 0], None)
            self.class_heads.append(head.to(dtype))
        first: Any = next(net.blocks[0].children())
        gain, shift = gain_and_shift(first.norm)
        weight = first.conv.weight.detach() * gain[:, None, None, None]
        self.register_buffer("first_weight", weight)
        self.register_buffer("first_bias", shift)
        self.register_buffer("class_bias", _bias(net.class_head).clone())  # float32, on the sum of all levels
        per_location, width = config.anchors_per_location, sum(config.up_channels)
        both = [(net.box_head, 7), (net.direction_head, 2)]  # per anchor: 7 rows of one, 2 of the other
        weight = torch.cat([head.weight.detach().reshape(per_location, n, width) for head, n in both], 1)
        self.register_buffer("box_weight", weight.to(dtype))  # (anchors, 9, sum of U)
        bias = torch.cat([_bias(head).view(per_location, n) for head, n in both], 1)
        self.register_buffer("box_bias", bias)
        self.eval().requires_grad_(False)

    def forward(self, pillars: Tensor, counts: Tensor, cells: Tensor) -> tuple[Tensor, list[Tensor]]:
        config = self.config
        rows, columns = config.head_grid
        x = self.first_level(pillars, counts, cells)
        logits = self.class_bias.repeat(rows, columns, 1)
        levels = []
        up: Any
        for b, (block, up, head) in enumerate(zip(self.blocks, self.ups, self.class_heads, strict=True)):
            x = block(x.to(up.weight.dtype))
            flat = x.permute(0, 2, 3, 1).flatten(0, 2)  # (rows / s * columns / s, C), no copy: channels last
            level = torch.relu_(up(flat)).view(rows >> b, columns >> b, 1 << b, 1 << b, -1)  # s x s locations of each
            part = head(level.flatten(0, 3)).view(*level.shape[:4], -1)
            logits += part.transpose(1, 2).reshape(logits.shape)
            levels.append(level)
        return logits.view(config.num_anchors, -1), levels

    def first_level(self, pillars: Tensor, counts: Tensor, cells: Tensor) -> Tensor:
        """(1, C, rows, columns) float32, channels last in memory: the first convolution; what follows is dense."""
        config = self.config
        features = self._pillar_features(pillars, counts, cells)  # (P, F)
        x = convolve_pillars(features, cells, None, self.first_weight, config.first_stride, (1, *config.head_grid))
        return torch.relu_(x.add_(self.first_bias[:, None, None]))

    def boxes(self, levels: list[Tensor], at: Tensor) -> tuple[Tensor, Tensor]:
        """Anchors (n,) int64 -> box residuals (n, 7), direction logits (n, 2), float32."""
        per_location, columns = self.config.anchors_per_location, self.config.head_grid[1]
        location, kind = at // per_location, at % per_location
        row, column = location // columns, location % columns
        parts = []
        for b, level in enumerate(levels):
            inside = (1 << b) - 1
            parts.append(level[row >> b, column >> b, row & inside, column & inside])
        features = torch.cat(parts, 1)  # (n, sum of U)
        out = at.new_empty((len(at), 9), dtype=torch.float32)
        for k in range(per_location):
            mine = kind == k
            out[mine] = (features[mine] @ self.box_weight[k].T).float() + self.box_bias[k]
        return out[:, :7], out[:, 7:]

    def _pillar_features(self, pillars: Tensor, counts: Tensor, cells: Tensor) -> Tensor:
        """(P, F)"""
        features, pillar = decorate(pillars, counts, cells, self.config)
        each = torch.relu_(self.pillar_linear(features))
        most = each.new_zeros((len(counts), each.shape[1]))
        most.scatter_reduce_(0, pillar[:, None].expand_as(each), each, "amax")
        padded = self.config.padded_maximum
        return with_padding(most, counts, self.pillar_linear, None, self.config) if padded else most


def gain_and_shift(norm: Any) -> tuple[Tensor, Tensor]:
    """Batch norm in eval mode is x * gain + shift."""
    gain = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
    return gain, norm.bias.detach() - norm.running_mean * gain


def _folded(layer: ConvNorm) -> nn.Conv2d:
    old: Any = layer.conv
    gain, shift = gain_and_shift(layer.norm)
    new = nn.Conv2d(old.in_channels, old.out_channels, 3, old.stride, 1)
    _set(new, old.weight * gain[:, None, None, None], shift)
    return new


def _set(layer: nn.Linear | nn.Conv2d, weight: Tensor, bias: Tensor | None) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None and layer.bias is not None:
            layer.bias.copy_(bias)


def _bias(head: Any) -> Tensor:
    return head.bias.detach()
