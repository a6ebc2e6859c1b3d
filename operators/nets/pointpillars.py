"""PointPillars: pillars of points -> class, box and direction of every anchor.

Source: Lang et al. 2019, sec. 2; layers as in its released configs (nutonomy/second.pytorch), 4 834 824 parameters for
three classes, 4 814 804 for cars alone. Two deliberate differences: padding takes part neither in the maximum over a
pillar's points nor in the statistics of batch norm (the released code lets zero rows into both), and the class bias
starts at a probability of 0.01 (Lin et al. 2017, RetinaNet).

in   pillars         (P, K, 4) float32  x y z [m, velodyne frame], intensity 0..1; zero beyond `counts`
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
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from operators.nets.pointpillars_config import PointPillarsConfig

FIRST_PROBABILITY = 0.01
"""Score of every class at every anchor before training; with a higher one the empty anchors would dominate the loss."""


class Heads(NamedTuple):
    class_logits: Tensor
    box_residuals: Tensor
    direction_logits: Tensor


def decorate(pillars: Tensor, counts: Tensor, cells: Tensor, config: PointPillarsConfig) -> tuple[Tensor, Tensor]:
    """-> features (N, 9), pillar (N,) int64: the kept points of all pillars in order, and the pillar of each point.

    x y z r, offsets to the mean of the pillar's points (3), offsets to the pillar's centre in x and y (2).
    """
    kept = torch.arange(pillars.shape[1], device=pillars.device) < counts[:, None]  # (P, K)
    pillar, k = kept.nonzero(as_tuple=True)
    points = pillars.flatten(0, 1).index_select(0, pillar * pillars.shape[1] + k)  # (N, 4); indexing by two is far slower
    mean = pillars[:, :, :3].sum(1) / counts[:, None]
    # float64 on the host: the centre of column 400 is exact to the last bit of float32, whatever the device
    x0, y0 = config.range_m[0] + config.cell_m[0] / 2, config.range_m[1] + config.cell_m[1] / 2
    centre = torch.stack([cells[:, 1] * config.cell_m[0] + x0, cells[:, 0] * config.cell_m[1] + y0], 1).to(points.dtype)
    near = torch.cat([mean, centre], 1).index_select(0, pillar)  # (N, 5)
    return torch.cat([points, points[:, [0, 1, 2, 0, 1]] - near], 1), pillar


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

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


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


class PointPillars(nn.Module):
    def __init__(self, config: PointPillarsConfig) -> None:
        super().__init__()
        self.config = config
        self.pillar_linear = nn.Linear(9, config.pillar_channels, bias=False)
        self.pillar_norm = nn.BatchNorm1d(config.pillar_channels, eps=1e-3, momentum=0.01)

        self.blocks, self.ups = nn.ModuleList(), nn.ModuleList()
        before = config.pillar_channels
        for b, (stride, layers) in enumerate(zip(config.strides, config.block_layers, strict=True)):
            channels = config.block_channels[b]
            convs = [ConvNorm(before, channels, stride), *(ConvNorm(channels, channels, 1) for _ in range(layers))]
            self.blocks.append(nn.Sequential(*convs))
            self.ups.append(UpNorm(channels, config.up_channels[b], 2**b))
            before = channels

        width, per_location = sum(config.up_channels), config.anchors_per_location
        self.class_head = nn.Conv2d(width, per_location * len(config.anchors), 1)
        self.box_head = nn.Conv2d(width, per_location * 7, 1)
        self.direction_head = nn.Conv2d(width, per_location * 2, 1)
        nn.init.constant_(self.class_head.bias, -math.log((1 - FIRST_PROBABILITY) / FIRST_PROBABILITY))  # type: ignore[arg-type]
        nn.init.normal_(self.box_head.weight, std=0.001)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self, pillars: Tensor, counts: Tensor, cells: Tensor, batch_index: Tensor | None = None, batch_size: int = 1
    ) -> Heads:
        config = self.config
        rows, columns = config.head_grid
        blocks: Any = self.blocks
        first = blocks[0][0]
        with torch.autocast(pillars.device.type, enabled=False):  # half precision cannot hold centimetres at 70 m
            features = self.pillar_features(pillars.float(), counts, cells)  # (P, F)
            shape = (batch_size, rows, columns)
            x = convolve_pillars(features, cells, batch_index, first.conv.weight, config.first_stride, shape)
            x = torch.relu(first.norm(x))  # (B, C, rows, columns)

        heads: list[Any] = [self.class_head, self.box_head, self.direction_head]
        weights = torch.cat([head.weight.flatten(1) for head in heads])  # (values of a location, sum of U)
        total: Tensor = torch.cat([head.bias for head in heads])
        start = 0
        for b, (block, up) in enumerate(zip(blocks, self.ups, strict=True)):
            for layer in block[1:] if b == 0 else block:
                x = layer(x)
            level = up(x)  # (B, rows / s, columns / s, s * s, U)
            width, s = config.up_channels[b], 1 << b
            part = (level @ weights[:, start : start + width].T).view(batch_size, rows // s, columns // s, s, s, -1)
            # a 1x1 convolution of concatenated levels is a sum over levels; only its results are put in the order of locations
            total = total + part.transpose(2, 3).reshape(batch_size, rows, columns, -1)
            start += width
        sizes = [head.out_channels for head in heads]
        return Heads(*(part.reshape(batch_size, config.num_anchors, -1) for part in total.split(sizes, -1)))

    def pillar_features(self, pillars: Tensor, counts: Tensor, cells: Tensor) -> Tensor:
        """(P, F)"""
        features, pillar = decorate(pillars, counts, cells, self.config)
        if not len(features):
            return features.new_zeros((0, self.config.pillar_channels))
        each = torch.relu(self.pillar_norm(self.pillar_linear(features)))  # (N, F), 0 or more
        most = each.new_zeros((len(pillars), each.shape[1]))
        return most.scatter_reduce(0, pillar[:, None].expand_as(each), each, "amax")
