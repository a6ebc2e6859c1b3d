"""Fusion of the feature maps of several modalities: the five schemes of the report.      Source: D2.3 of the report (sec. 5.2)

A map s of a modality is (B, C, h, w), C even. A network per modality, without a look at the others, gives its weight:
    scalar   one number per picture; mask   one number per cell, the same for all channels
    average  C channels: the mean over the modalities of w s
    concat   C channels: w r, one modality after the other; r (B, C/2, h, w) is s after a 1x1 convolution
    selective  e r, one after the other; e is the Gumbel softmax of r along the width, for each row of each channel
Weights become shares: their sum over the modalities that are present is 1, so a modality that is absent, or of share 0, leaves
exactly the path of the other one. In the mean they stand times the number of modalities that are present:
mean(w s) = sum(share s).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.nets.fusion_config import FusionNetConfig

_POOL, _FIRST = 16, 16  # of the released weight net: cells each way after pooling; channels whose mean is a factor
_TINY = 1e-6


class Parts(NamedTuple):
    """What the modalities give before they are combined. features: per modality (B, C or C/2, h, w), None = absent;
    values (B, S, h or 1, w or 1): logits of the shares, or for `selective` magnitudes"""

    features: tuple[Tensor | None, ...]
    values: Tensor


class Fused(NamedTuple):
    """features (B, channels, h, w); shares (B, S, h or 1, w or 1), sum 1 over S"""

    features: Tensor
    shares: Tensor


class PooledWeight(nn.Module):
    """(B, C, h, w) -> (B, 1, 1, 1) logit"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(channels // 4, 8)
        self.reduce = nn.Conv2d(channels, width, 1)
        self.first, self.second = nn.Linear(2 * width, width), nn.Linear(width, 1)

    def forward(self, s: Tensor) -> Tensor:
        x = functional.relu(self.reduce(s)).flatten(2)
        x = torch.cat([x.mean(2), x.amax(2)], 1)
        return self.second(functional.relu(self.first(x)))[:, :, None, None]


class ReleasedWeight(nn.Module):
    """The scalar network of the released code: (B, C, h, w) -> (B, 1, 1, 1), the logarithm of its weight, which is 0 or more."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, channels // 2, 1), nn.Conv2d(channels // 2, channels // 8, 1)
        self.third, self.last = nn.Conv2d(channels // 8, 1, 1), nn.Linear(_POOL * _POOL, 1)
        for layer in (self.third, self.last):  # two ReLUs of one channel: an unlucky start would have no gradient
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
            if layer.bias is not None:
                nn.init.constant_(layer.bias, 0.1)

    def forward(self, s: Tensor) -> Tensor:
        x = functional.relu(self.second(functional.relu(self.first(s))))
        x = functional.relu(self.third(functional.adaptive_avg_pool2d(x, _POOL)))  # (B, 1, 16, 16)
        weight = functional.relu(self.last(x.flatten(1))) * s[:, :_FIRST].mean((1, 2, 3))[:, None]
        return (weight + _TINY).log()[:, :, None, None]


class MaskWeight(nn.Module):
    """(B, C, h, w) -> (B, 1, h, w) logits"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(channels // 4, 8)
        self.first, self.second = nn.Conv2d(channels, width, 1), nn.Conv2d(width, 1, 3, 1, 1)

    def forward(self, s: Tensor) -> Tensor:
        logits: Tensor = self.second(functional.relu(self.first(s)))
        return logits


def gumbel_softmax(logits: Tensor, tau: float, noise: bool) -> Tensor:
    """Softmax of (log pi + G) / tau along the last axis; pi = softmax(logits). noise False: G = 0."""
    log_pi = functional.log_softmax(logits, -1)
    if noise:
        uniform = torch.rand_like(log_pi).clamp_(torch.finfo(log_pi.dtype).tiny, 1 - torch.finfo(log_pi.dtype).eps)
        log_pi = log_pi - (-uniform.log()).log()
    return functional.softmax(log_pi / tau, -1)


class Fusion(nn.Module):
    def __init__(self, config: FusionNetConfig) -> None:
        super().__init__()
        self.config = config
        channels, num = config.channels, len(config.modalities)
        self.kind, _, self.way = config.scheme.partition("_")
        self.reduce, self.weights = nn.ModuleList(), nn.ModuleList()
        if self.way != "average":
            self.reduce.extend(nn.Conv2d(channels, channels // 2, 1) for _ in range(num))
        if self.kind != "selective" and num > 1:
            scalar = PooledWeight if config.weight_net == "pooled" else ReleasedWeight
            self.weights.extend((scalar if self.kind == "scalar" else MaskWeight)(channels) for _ in range(num))
        self.channels = channels if self.way == "average" else channels // 2 * num

    def parts(self, maps: Sequence[Tensor | None]) -> Parts:
        """maps: per modality (B, C, h, w), None = absent; at least one is present."""
        some = next(s for s in maps if s is not None)
        nothing = some.new_zeros(len(some), 1, 1, 1)
        features: list[Tensor | None] = []
        values: list[Tensor] = []
        for m, s in enumerate(maps):
            f = s if s is None or self.way == "average" else self.reduce[m](s)
            if f is not None and self.kind == "selective":
                f = f * gumbel_softmax(f, self.config.tau, self.training or self.config.evaluation_noise)
            features.append(f)
            if f is not None and self.kind == "selective":
                values.append(f.abs().mean(1, keepdim=True))
            elif s is not None and len(self.weights):
                values.append(self.weights[m](s))
            else:
                values.append(nothing)
        return Parts(tuple(features), torch.cat(torch.broadcast_tensors(*values), 1))

    def shares(self, values: Tensor, present: Tensor) -> Tensor:
        """values as in Parts, present (B, S) bool -> (B, S, ...), exactly 0 where absent, sum 1."""
        there = present[:, :, None, None]
        if self.kind == "selective":
            positive = torch.where(there, values + _TINY, 0.0)
            return positive / positive.sum(1, keepdim=True)
        return functional.softmax(torch.where(there, values, -torch.inf), 1)

    def combine(self, parts: Parts, present: Tensor) -> Fused:
        """present (B, S) bool, at least one per row. False: as if the modality's map were None."""
        shares = self.shares(parts.values, present)
        some = next(f for f in parts.features if f is not None)
        weighted = []
        for m, f in enumerate(parts.features):
            if f is None:
                weighted.append(torch.zeros_like(some))
            elif self.kind == "selective":
                weighted.append(f * present[:, m, None, None, None])
            else:
                weighted.append(f * shares[:, m : m + 1])
        features = torch.stack(weighted).sum(0) if self.way == "average" else torch.cat(weighted, 1)
        return Fused(features, shares)

    def forward(self, maps: Sequence[Tensor | None]) -> Fused:
        parts = self.parts(maps)
        there = [s is not None for s in maps]
        return self.combine(parts, torch.tensor([there], device=parts.values.device).expand(len(parts.values), -1))
