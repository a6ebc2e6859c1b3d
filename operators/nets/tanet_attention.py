"""Pillar net of TANet: stacked triple attention.    Source: Liu et al. 2020 (TANet), sec. 3.1, layers as in the released code

Layers act over the point index, so the order of the points matters, and the zero rows of the padding take part in everything
behind the decoration: attention, batch norm and the last maximum, as in the released code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from operators.nets.tanet_config import TANetConfig
from operators.nets.tanet_padded import PaddedNet
from operators.nets.tanet_shapes import hidden


class TripleAttention(nn.Module):
    """Attention by point, by channel and by pillar: (P, K, C) and the mean of the points (P, 3) -> (P, K, C)"""

    def __init__(self, points: int, channels: int) -> None:
        super().__init__()
        self.points = _two_layers(points)
        self.channels = _two_layers(channels)
        self.of_channels = nn.Linear(channels + 3, 1)
        self.of_points = nn.Linear(points, 1)
        with torch.no_grad():  # their ReLUs have one output per point and pillar: with negative weights they stay 0 in training
            for layer in (self.of_channels, self.of_points):
                layer.weight.abs_()

    def point_weights(self, V: Tensor) -> Tensor:
        """S (P, K): W2 relu(W1 max over channels)"""
        return self.points(V.amax(2))

    def channel_weights(self, V: Tensor) -> Tensor:
        """T (P, C): W2' relu(W1' max over points)"""
        return self.channels(V.amax(1))

    def mask(self, V: Tensor) -> Tensor:
        """M (P, K, C) = sigmoid(S T^T)"""
        return torch.sigmoid(self.point_weights(V)[:, :, None] * self.channel_weights(V)[:, None, :])

    def forward(self, V: Tensor, mean: Tensor) -> Tensor:
        F1 = self.mask(V) * V
        # a layer on the concatenation of a point's channels and the pillar's mean, without making it
        weight, channels = self.of_channels.weight[0], V.shape[2]
        each = F1 @ weight[:channels] + (mean @ weight[channels:] + self.of_channels.bias)[:, None]  # (P, K)
        q = torch.sigmoid(torch.relu(self.of_points(torch.relu(each))))  # (P, 1)
        return q[:, :, None] * F1


class AttentionNet(PaddedNet):
    """Two attentions with layers between them, then PointPillars' layer."""

    def __init__(self, config: TANetConfig) -> None:
        super().__init__(config)
        points, features, channels = config.max_points, config.features, config.pillar_channels
        self.first = TripleAttention(points, features)
        self.widen = nn.Linear(2 * features, channels)
        self.second = TripleAttention(points, channels)
        self.mix = nn.Linear(channels, channels)
        self.linear = nn.Linear(channels, channels, bias=False)
        self.norm = nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)

    def combine(self, features: Tensor, mean: Tensor, kept: Tensor) -> Tensor:
        each = self.attend(features, mean)  # (P, K, F)
        normed = self.norm(self.linear(each).flatten(0, 1)).view(each.shape)
        return torch.relu(normed).amax(1)

    def attend(self, features: Tensor, mean: Tensor) -> Tensor:
        """Decorated points (P, K, 9) -> (P, K, F)"""
        wide = torch.relu(self.widen(torch.cat([self.first(features, mean), features], 2)))
        return torch.relu(self.mix(wide + self.second(wide, mean)))


def _two_layers(width: int) -> nn.Sequential:
    inner = hidden(width)
    return nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width))
