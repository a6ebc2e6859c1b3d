"""FairMOT's losses.      Source: Zhang et al. 2021 (FairMOT), sec. 4.4

The focal loss is of Zhou et al. 2019 (Objects as points), the weighting of Kendall et al. 2018.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.nets.fairmot import Maps, at_places

_EASY, _NEAR = 2, 4  # alpha, beta of the focal loss
SIZE_WEIGHT = 0.1
_FIRST_DETECTION, _FIRST_IDENTITY = -1.85, -1.05  # initial weights


class Wanted(NamedTuple):
    """Targets of a batch: as Targets, but where (N, 3) int64 [picture, row, column]; heat (B, C, h, w), counts
    (B, h, w) bool, size, offset (N, 2) [cells], identities (N,) int64, -1 = unknown."""

    heat: Tensor
    counts: Tensor
    where: Tensor
    size: Tensor
    offset: Tensor
    identities: Tensor


class Losses(NamedTuple):
    total: Tensor
    heat: Tensor
    size: Tensor
    offset: Tensor
    identity: Tensor


class Weighting(nn.Module):
    """Learned weights of detection and identity: 1/2 (exp(-w1) L_det + exp(-w2) L_id + w1 + w2)."""

    def __init__(self) -> None:
        super().__init__()
        self.detection = nn.Parameter(torch.tensor(_FIRST_DETECTION))
        self.identity = nn.Parameter(torch.tensor(_FIRST_IDENTITY))

    def forward(self, detection: Tensor, identity: Tensor) -> Tensor:
        return 0.5 * ((-self.detection).exp() * detection + (-self.identity).exp() * identity + self.detection + self.identity)


def focal(logits: Tensor, heat: Tensor, counts: Tensor) -> Tensor:
    """logits, heat (B, C, h, w), counts (B, h, w) bool. Without objects: the loss of the background."""
    p = logits.sigmoid()
    is_centre = heat == 1
    right = -functional.logsigmoid(logits) * (1 - p) ** _EASY
    wrong = -functional.logsigmoid(-logits) * p**_EASY * (1 - heat) ** _NEAR
    every = torch.where(is_centre, right, wrong) * counts[:, None]
    return every.sum() / is_centre.sum().clamp(min=1)


def fairmot_loss(maps: Maps, wanted: Wanted, classify: nn.Module, weighting: Weighting) -> Losses:
    """A loss is 0 where the batch has no objects for it."""
    num = max(len(wanted.where), 1)
    of_heat = focal(maps.heat, wanted.heat, wanted.counts)
    of_size = (at_places(maps.size, wanted.where) - wanted.size).abs().sum() / num
    of_offset = (at_places(maps.offset, wanted.where) - wanted.offset).abs().sum() / num
    known = wanted.identities >= 0
    logits = classify(at_places(maps.looks, wanted.where[known]))
    of_identity = functional.cross_entropy(logits, wanted.identities[known], reduction="sum") / known.sum().clamp(min=1)
    detection = of_heat + SIZE_WEIGHT * of_size + of_offset
    return Losses(weighting(detection, of_identity), of_heat, of_size, of_offset, of_identity)
