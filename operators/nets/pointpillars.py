"""PointPillars: pillars of points -> class, box and direction of every anchor.

Source: Lang et al. 2019, sec. 2; layers as in its released configs (nutonomy/second.pytorch), 4 834 824 parameters for
three classes, 4 814 804 for cars alone. Two deliberate differences: padding takes part neither in the maximum over a
pillar's points nor in the statistics of batch norm (the released code lets zero rows into both), and the class bias
starts at a probability of 0.01 (Lin et al. 2017, RetinaNet).

in   pillars         (P, K, 4) float32  x y z [m, velodyne frame], intensity 0..1; zero beyond `counts`
                     (R, 1, 4)          packed: the R points of all pillars, pillar after pillar
     counts          (P,) int           points of each pillar, 1..K
     cells           (P, 2) int         row (y), column (x), within config.grid
     batch_index     (P,) int           scan of each pillar within the batch; None: all pillars are of scan 0
out  class_logits    (B, A, C)          of `config.class_names`; sigmoid each
     box_residuals   (B, A, 7)          x y z l w h yaw against the anchor, operators/detect/anchors.py
     direction_logits(B, A, 2)          half turn
Order of the anchors: A = ((row * columns + column) * classes + class) * 2 + rotation over
`config.head_grid`, as `anchor_grid` does. P = 0: an empty scene's logits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.nets.pointpillars_config import PointPillarsConfig

FIRST_PROBABILITY = 0.01
"""Score of every class at every anchor before training; with a higher one the empty anchors would dominate the loss."""


OFFSET_OF = [0, 1, 2, 0, 1, 2]
"""Column of a point from which each column of `references` is subtracted."""


class Heads(NamedTuple):
    class_logits: Tensor
    box_residuals: Tensor
    direction_logits: Tensor


def references(total: Tensor, counts: Tensor, cells: Tensor, config: PointPillarsConfig) -> Tensor:
    """Points are decorated with offsets to these.

    total (P, 3): sum of x y z of the pillar's points
    -> (P, 5) or, with ten features, (P, 6) [m]: mean x y z of these points, x y (z) of the pillar's centre
    """
    mean = total / counts[:, None]
    # float64 on the host: the centre of column 400 is exact to the last bit of float32, whatever the device
    dx, dy, left, low = config.centre_grid_m or (*config.cell_m, *config.range_m[:2])
    x0, y0 = left + dx / 2, low + dy / 2
    centre = torch.stack([cells[:, 1] * dx + x0, cells[:, 0] * dy + y0], 1).to(total.dtype)
    parts = [mean, centre]
    if config.features == 10:
        parts.append(mean.new_full((len(mean), 1), (config.range_m[2] + config.range_m[5]) / 2))
    return torch.cat(parts, 1)


def decorate(pillars: Tensor, counts: Tensor, cells: Tensor, config: PointPillarsConfig) -> tuple[Tensor, Tensor]:
    """-> features (N, config.features), pillar (N,) int64: the kept points of all pillars in order, the pillar of each point.

    x y z r, offsets to the mean of the pillar's points (3), offsets to the pillar's centre in x and y, and in z as the tenth.
    """
    if pillars.shape[1] == 1:  # packed
        points, pillar = pillars[:, 0], torch.repeat_interleave(counts.long())
        total = torch.segment_reduce(points[:, :3], "sum", lengths=counts.long(), unsafe=True)  # no atomics: one order of the sum
    else:
        kept = torch.arange(pillars.shape[1], device=pillars.device) < counts[:, None]  # (P, K)
        pillar, k = kept.nonzero(as_tuple=True)
        points = pillars.flatten(0, 1).index_select(0, pillar * pillars.shape[1] + k)  # (N, 4); indexing by two is far slower
        total = pillars[:, :, :3].sum(1)
    near = references(total, counts, cells, config).index_select(0, pillar)  # (N, 5)
    return torch.cat([points, points[:, OFFSET_OF[: near.shape[1]]] - near], 1), pillar


def convolve_pillars(
    features: Tensor, cells: Tensor, scan: Tensor | None, weight: Tensor, stride: int, shape: tuple[int, int, int]
) -> Tensor:
    """3x3 convolution, padding 1, of a canvas that is zero outside of these pillars, without making the canvas.

    features (P, F), cells (P, 2), scan (P,) or None, weight (C, F, 3, 3), shape B, rows, columns of the output
    -> (B, C, rows, columns), channels last in memory. Nine tenths of a canvas are zeros. Each tap visits only pillars that
    reach an output, and each output at most once, so the order of the sum is the same on every device.
    """
    batch, rows, columns = shape
    out = features.new_zeros((batch * rows * columns, len(weight)))
    taps = weight.permute(2, 3, 1, 0)  # (3, 3, F, C)
    cells = cells.long()
    first = 0 if scan is None else scan.long() * rows
    for i in range(3):
        row = cells[:, 0] + 1 - i  # stride times the output's row, if that divides
        good_row = (row % stride == 0) & (row >= 0) & (row < rows * stride)
        for j in range(3):
            column = cells[:, 1] + 1 - j
            good = good_row & (column % stride == 0) & (column >= 0) & (column < columns * stride)
            (pillar,) = good.nonzero(as_tuple=True)
            at = ((row // stride + first) * columns + column // stride).index_select(0, pillar)
            out.index_add_(0, at, features.index_select(0, pillar) @ taps[i, j])
    return out.view(batch, rows, columns, -1).permute(0, 3, 1, 2)


class ConvNorm(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self, before: int, channels: int, stride: int = 1, size: int = 3, groups: int = 1, activate: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, channels, size, stride, size // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return torch.relu(x) if self.activate else x


class UpNorm(nn.Module):
    """Transposed convolution whose kernel is its stride, batch norm, ReLU.

    Such a convolution is a matrix product: s x s locations from each location. They stay in that order:
    (B, C, rows, columns) -> (B, rows, columns, s * s, U)
    """

    def __init__(self, channels: int, up: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels, up, stride, stride, bias=False)
        self.norm = nn.BatchNorm2d(up, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, rows, columns = x.shape
        locations = x.permute(0, 2, 3, 1) @ self.conv.weight.permute(0, 2, 3, 1).reshape(channels, -1)
        locations = locations.view(batch, rows, -1, self.conv.out_channels)  # (B, rows, columns * s * s, U)
        normed = torch.relu(self.norm(locations.permute(0, 3, 1, 2)))  # the order does not matter to batch norm
        return normed.permute(0, 2, 3, 1).reshape(batch, rows, columns, -1, self.conv.out_channels)


def strongest(
    linear: nn.Module, norm: nn.Module, pillars: Tensor, counts: Tensor, cells: Tensor, config: PointPillarsConfig
) -> Tensor:
    """(P, F): linear layer, batch norm and ReLU on each kept point, then the maximum over the points of a pillar."""
    features, pillar = decorate(pillars, counts, cells, config)
    if not len(features):
        return features.new_zeros((0, config.pillar_channels))
    each = torch.relu(norm(linear(features)))  # (N, F), 0 or more
    most = each.new_zeros((len(counts), each.shape[1]))
    most = most.scatter_reduce(0, pillar[:, None].expand_as(each), each, "amax")
    return with_padding(most, counts, linear, norm, config) if config.padded_maximum else most


def with_padding(most: Tensor, counts: Tensor, linear: Any, norm: Any, config: PointPillarsConfig) -> Tensor:
    """Maximum of each pillar (P, F) and of what becomes of a row of zeros, where it has one. Statistics are the running ones."""
    zero = linear(most.new_zeros((1, config.features)))
    if isinstance(norm, nn.BatchNorm1d):
        zero = functional.batch_norm(zero, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return torch.where((counts < config.max_points)[:, None], torch.maximum(most, torch.relu(zero)), most)


def anchor_heads(width: int, config: PointPillarsConfig) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
    """1x1 convolutions for class, box and direction of every anchor of a location."""
    per_location = config.anchors_per_location
    classes, box, direction = (nn.Conv2d(width, per_location * n, 1) for n in (len(config.anchors), 7, 2))
    bias: Any = classes.bias
    nn.init.constant_(bias, -math.log((1 - FIRST_PROBABILITY) / FIRST_PROBABILITY))
    nn.init.normal_(box.weight, std=0.001)
    return classes, box, direction


def first_layer(layer: Any, features: Tensor, cells: Tensor, batch_index: Tensor | None, shape: tuple[int, int, int]) -> Tensor:
    """A ConvNorm on the pillars (P, F), without their canvas -> (B, C, rows, columns)"""
    x = convolve_pillars(features, cells, batch_index, layer.conv.weight, layer.conv.stride[0], shape)
    return torch.relu(layer.norm(x))


def run_blocks(x: Tensor, blocks: Any, ups: Any) -> tuple[list[Tensor], list[Tensor]]:
    """x: of `first_layer`, the first one of blocks[0].

    -> output of each block (B, C, rows / s, columns / s), its level (B, rows / s, columns / s, s * s, U); s = 2 ** block
    """
    outputs, levels = [], []
    for b, (block, up) in enumerate(zip(blocks, ups, strict=True)):
        for layer in block[1:] if b == 0 else block:
            x = layer(x)
        outputs.append(x)
        levels.append(up(x))
    return outputs, levels


def on_levels(levels: list[Tensor], convs: Sequence[Any]) -> list[Tensor]:
    """1x1 convolutions of the concatenated levels of `run_blocks` -> (B, rows, columns, channels) of each convolution.

    Such a convolution is a sum over levels; only its results are put in the order of locations.
    """
    weights = torch.cat([conv.weight.flatten(1) for conv in convs])  # (channels of all, sum of U)
    total: Tensor = torch.cat([conv.bias for conv in convs])
    start = 0
    for b, level in enumerate(levels):
        width = level.shape[-1]
        total = total + by_location(level @ weights[:, start : start + width].T, b)
        start += width
    return list(total.split([conv.out_channels for conv in convs], -1))


def by_location(level: Tensor, b: int) -> Tensor:
    """A level of block b, (B, rows / s, columns / s, s * s, U) -> (B, rows, columns, U)"""
    batch, rows, columns = level.shape[:3]
    s = 1 << b
    return level.view(batch, rows, columns, s, s, -1).transpose(2, 3).reshape(batch, rows * s, columns * s, -1)


class PointPillars(nn.Module):
    def __init__(self, config: PointPillarsConfig) -> None:
        super().__init__()
        self.config = config
        self.pillar_linear = nn.Linear(config.features, config.pillar_channels, bias=False)
        self.pillar_norm = nn.BatchNorm1d(config.pillar_channels, eps=1e-3, momentum=0.01)

        self.blocks, self.ups = nn.ModuleList(), nn.ModuleList()
        before = config.pillar_channels
        for b, (stride, layers) in enumerate(zip(config.strides, config.block_layers, strict=True)):
            channels = config.block_channels[b]
            convs = [ConvNorm(before, channels, stride), *(ConvNorm(channels, channels, 1) for _ in range(layers))]
            self.blocks.append(nn.Sequential(*convs))
            self.ups.append(UpNorm(channels, config.up_channels[b], 2**b))
            before = channels

        self.class_head, self.box_head, self.direction_head = anchor_heads(sum(config.up_channels), config)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self, pillars: Tensor, counts: Tensor, cells: Tensor, batch_index: Tensor | None = None, batch_size: int = 1
    ) -> Heads:
        config, blocks = self.config, self.blocks
        first: Any = blocks[0]
        with torch.autocast(pillars.device.type, enabled=False):  # half precision cannot hold centimetres at 70 m
            features = self.pillar_features(pillars.float(), counts, cells)  # (P, F)
            x = first_layer(first[0], features, cells, batch_index, (batch_size, *config.head_grid))  # (B, C, rows, columns)
        _, levels = run_blocks(x, blocks, self.ups)
        parts = on_levels(levels, [self.class_head, self.box_head, self.direction_head])
        return Heads(*(part.reshape(batch_size, config.num_anchors, -1) for part in parts))

    def pillar_features(self, pillars: Tensor, counts: Tensor, cells: Tensor) -> Tensor:
        """(P, F)"""
        return strongest(self.pillar_linear, self.pillar_norm, pillars, counts, cells, self.config)
