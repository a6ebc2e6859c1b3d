"""Pillar net of graphs: a graph convolutional network on the points of each pillar.

Source: section 3.1 of the report, where it is far worse than triple attention (15-41 AP of cars, easy); Kipf and Welling 2017,
eq. (2)

Edges: to the nearest points (in both directions), or to all points closer than a radius. Padding has no edges and no features.
The report builds the radius graph while it voxelizes; here it follows from the pillars, so that any voxelizer will do.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from operators.nets.tanet_config import GcnConfig, TANetConfig
from operators.nets.tanet_padded import PaddedNet


def adjacency(points: Tensor, kept: Tensor, config: GcnConfig) -> Tensor:
    """D^-1/2 (A + I) D^-1/2 of each pillar, (P, K, K): symmetric; rows and columns of the padding are zero.

    points (P, K, 3) [m], kept (P, K) bool
    """
    own = torch.eye(points.shape[1], dtype=torch.bool, device=points.device)
    pairs = kept[:, :, None] & kept[:, None, :]
    # differences, not products: at 70 m a product loses the centimetres
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    if config.graph == "radius":
        near = distance < config.radius_m
    else:
        others = distance.masked_fill(~pairs | own, torch.inf)
        nearest, at = others.topk(min(config.neighbours, points.shape[1] - 1), 2, largest=False)
        near = torch.zeros_like(pairs).scatter(2, at, nearest < torch.inf)
        near |= near.transpose(1, 2).clone()
    edges = ((near | own) & pairs).to(points.dtype)
    scale = edges.sum(2).clamp(min=1).rsqrt()
    return scale[:, :, None] * edges * scale[:, None, :]


class GcnNet(PaddedNet):
    def __init__(self, config: TANetConfig) -> None:
        super().__init__(config)
        channels = config.pillar_channels
        widths = [config.features, *[channels] * config.gcn.layers]
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(widths))
        self.connect = nn.Linear(config.max_points * channels, channels) if config.gcn.pool != "mean" else None
        self.norm = nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)

    def combine(self, features: Tensor, mean: Tensor, kept: Tensor) -> Tensor:
        H = features
        with torch.no_grad():
            A = adjacency(H[:, :, 4:7], kept, self.config.gcn)  # offsets to the mean
        for W in self.layers:
            H = torch.relu(A @ W(H))  # eq. (2)
        pooled = H.new_zeros((len(H), H.shape[2]))
        if self.config.gcn.pool != "linear":
            pooled = pooled + H.sum(1) / kept.sum(1, keepdim=True)
        if self.connect is not None:
            pooled = pooled + self.connect(H.flatten(1))
        return torch.relu(self.norm(pooled))
