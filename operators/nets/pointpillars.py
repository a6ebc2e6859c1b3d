"""PointPillars: pillars of points -> class, box and direction of every anchor.

Source: Lang et al. 2019, sec. 2; layers as in its released configs (nutonomy/second.pytorch), 4 834 824 parameters for
three classes, 4 814 804 for cars alone. Two deliberate differences: padding takes part neither in the maximum over a
pillar's points nor in the statistics of batch norm (the released code lets zero rows into both), and the class bias
starts at a probability of 0.01 (Lin et al. 2017, RetinaNet).

in   pillars         (P, K, 4) float32  x y z [m, velodyne frame], intensity 0..1; zero beyond `counts`
     counts          (P,) int           points of each pillar, 1..K
     cells           (P, 2) int         row (y), column (x), within config.grid
     batch_index     (P,) int           which scan of the batch each pillar is of; None: all of scan 0
out  class_logits    (B, A, C)          of `config.class_names`; sigmoid each
     box_residuals   (B, A, 7)          x y z l w h yaw against the anchor, operators/detect/anchors.py
     direction_logits(B, A, 2)          which half turn
Anchors count location by location: A = ((row * columns + column) * classes + class) * 2 + rotation over
`config.head_grid`, as `anchor_grid` does. P = 0: an empty scene's logits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from operators.nets.pointpillars_config import PointPillarsConfig

FIRST_PROBABILITY = 0.01
"""Of every class at every anchor before any training: else the many empty anchors drown the loss."""


class Heads(NamedTuple):
    class_logits: Tensor
    box_residuals: Tensor
    direction_logits: Tensor


def decorate(pillars: Tensor, counts: Tensor, cells: Tensor, config: PointPillarsConfig) -> tuple[Tensor, Tensor]:
    """-> features (N, 9), pillar (N,) int64: the kept points of all pillars in order, and the pillar each is of.

    x y z r, offsets to the mean of the pillar's points (3), offsets to the pillar's centre in x and y (2).
    """
    kept = torch.arange(pillars.shape[1], device=pillars.device) < counts[:, None]  # (P, K)
    pillar, k = kept.nonzero(as_tuple=True)
    points = pillars[pillar, k]  # (N, 4)
    mean = pillars[:, :, :3].sum(1) / counts[:, None]
    # float64 on the host: the centre of column 400 is exact to the last bit of float32, whatever the device
    x0, y0 = config.range_m[0] + config.cell_m[0] / 2, config.range_m[1] + config.cell_m[1] / 2
    centre = torch.stack([cells[:, 1] * config.cell_m[0] + x0, cells[:, 0] * config.cell_m[1] + y0], 1).to(points.dtype)
    features = torch.cat([points, points[:, :3] - mean[pillar], points[:, :2] - centre[pillar]], 1)
    return features, pillar


class ConvNorm(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class PointPillars(nn.Module):
    def __init__(self, config: PointPillarsConfig) -> None:
        super().__init__()
        self.config = config
        self.pillar_linear = nn.Linear(9, config.pillar_channels, bias=False)
        self.pillar_norm = nn.BatchNorm1d(config.pillar_channels, eps=1e-3, momentum=0.01)

        self.blocks, self.ups = nn.ModuleList(), nn.ModuleList()
        before = config.pillar_channels
        for b, (stride, layers) in enumerate(zip(config.strides, config.block_layers, strict=True)):
            channels, up = config.block_channels[b], config.up_channels[b]
            convs = [ConvNorm(nn.Conv2d(before, channels, 3, stride, 1, bias=False))]
            convs += [ConvNorm(nn.Conv2d(channels, channels, 3, 1, 1, bias=False)) for _ in range(layers)]
            self.blocks.append(nn.Sequential(*convs))
            self.ups.append(ConvNorm(nn.ConvTranspose2d(channels, up, 2**b, 2**b, bias=False)))
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
        rows, columns = self.config.grid
        features = self.pillar_features(pillars, counts, cells)  # (P, F)
        at = cells[:, 0].long() * columns + cells[:, 1]
        if batch_index is not None:
            at = at + batch_index.long() * (rows * columns)
        canvas = features.new_zeros((batch_size * rows * columns, features.shape[1])).index_copy(0, at, features)
        x = canvas.view(batch_size, rows, columns, -1).permute(0, 3, 1, 2)  # (B, F, rows, columns), channels last in memory
        levels = []
        for block, up in zip(self.blocks, self.ups, strict=True):
            x = block(x)
            levels.append(up(x))  # (B, U, rows / 2, columns / 2) of every block
        x = torch.cat(levels, 1)
        return Heads(self._flat(self.class_head(x)), self._flat(self.box_head(x)), self._flat(self.direction_head(x)))

    def pillar_features(self, pillars: Tensor, counts: Tensor, cells: Tensor) -> Tensor:
        """(P, F) float32, under autocast too: half precision holds no centimetres at 70 m."""
        with torch.autocast(pillars.device.type, enabled=False):
            features, pillar = decorate(pillars.float(), counts, cells, self.config)
            if not len(features):
                return features.new_zeros((0, self.config.pillar_channels))
            each = torch.relu(self.pillar_norm(self.pillar_linear(features)))  # (N, F), 0 or more
            most = each.new_zeros((len(pillars), each.shape[1]))
            return most.scatter_reduce(0, pillar[:, None].expand_as(each), each, "amax")

    def _flat(self, x: Tensor) -> Tensor:
        """(B, anchors * values, rows, columns) -> (B, A, values)"""
        return x.permute(0, 2, 3, 1).reshape(len(x), self.config.num_anchors, -1)
