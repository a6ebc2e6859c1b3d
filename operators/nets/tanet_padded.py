"""Pillar nets that read pillars of exactly K points.

in   pillars (P, K, 4), counts (P,), cells (P, 2)   as operators/nets/pointpillars.py, of any K, or packed: (R, 1, 4), the R
                                                    points of all pillars, pillar after pillar. K of the config: further
                                                    points of a pillar are left out, missing ones are zero
out  (P, F)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.nets.pointpillars import OFFSET_OF, references
from operators.nets.tanet_config import TANetConfig

_VALUES_AT_ONCE = 1 << 19
"""In eval mode: 12 000 pillars of 100 points with 64 channels are 300 MB; so many values [2 MB] fit into a cache."""


class PaddedNet(nn.Module):
    def __init__(self, config: TANetConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, pillars: Tensor, counts: Tensor, cells: Tensor) -> Tensor:
        config = self.config
        if not len(counts):
            return pillars.new_zeros((0, config.pillar_channels))
        pillars, counts = padded(pillars, counts, config.max_points)
        if self.training:  # batch norm needs all pillars
            return self.combine(*decorate_padded(pillars, counts, cells, config))
        size = max(1, _VALUES_AT_ONCE // (config.max_points * config.pillar_channels))
        split = (part.split(size) for part in (pillars, counts, cells))
        parts = (decorate_padded(some, num, at, config) for some, num, at in zip(*split, strict=True))
        return torch.cat([self.combine(*part) for part in parts])

    def combine(self, features: Tensor, mean: Tensor, kept: Tensor) -> Tensor:
        """What `decorate_padded` returns -> (P, F)"""
        raise NotImplementedError(f"{type(self).__name__}.combine")


def padded(pillars: Tensor, counts: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """Pillars of any K, or packed, and the counts -> (P, depth, 4), counts of at most depth."""
    if pillars.shape[1] == 1:
        counts = counts.long()
        k = torch.arange(depth, device=pillars.device)
        at = (counts.cumsum(0) - counts)[:, None] + torch.minimum(k, counts[:, None] - 1)  # (P, depth): the last point again
        pillars = pillars[:, 0][at] * (k < counts[:, None])[:, :, None]
    elif pillars.shape[1] > depth:
        pillars = pillars[:, :depth]
    else:
        pillars = functional.pad(pillars, (0, 0, 0, depth - pillars.shape[1]))
    return pillars, counts.clamp(max=depth)


def decorate_padded(pillars: Tensor, counts: Tensor, cells: Tensor, config: TANetConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Pillars of K points -> features (P, K, config.features), zero in the padding; mean of the points (P, 3) [m]; kept (P, K)"""
    kept = torch.arange(config.max_points, device=pillars.device) < counts[:, None]
    near = references(pillars[:, :, :3].sum(1), counts, cells, config)
    features = torch.cat([pillars, pillars[:, :, OFFSET_OF[: near.shape[1]]] - near[:, None]], 2)
    return features * kept[:, :, None], near[:, :3], kept
