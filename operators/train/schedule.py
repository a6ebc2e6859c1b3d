"""The learning rate of every step, and the average of the weights."""

from __future__ import annotations

import math

import torch
from torch import nn

_RISE, _FIRST, _LAST = 0.3, 0.1, 1e-3  # onecycle: share of steps with a rising rate; first and last rate as shares of the highest
_WARM = 100  # steps with a rising rate at the start of cosine and constant


def rate(kind: str, step: float, steps: int, highest: float) -> float:
    """Rate of a step, 0 .. steps - 1, or of a part of one.     onecycle: Smith 2018; cosine: Loshchilov and Hutter 2017"""
    if kind == "onecycle":
        rise = max(_RISE * steps, 1.0)
        if step < rise:
            return highest * _between(_FIRST, 1.0, step / rise)
        return highest * _between(1.0, _LAST, (step - rise) / max(steps - 1 - rise, 1.0))
    warm = min((step + 1) / _WARM, 1.0)
    return highest * warm * (_between(1.0, _LAST, step / max(steps - 1, 1)) if kind == "cosine" else 1.0)


def _between(start: float, end: float, share: float) -> float:
    """Half a cosine from start to end."""
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, decay: float, step: int) -> None:
    """average = d average + (1 - d) net, for all weights and batch statistics; d grows to `decay` with the step."""
    d = min(decay, (1 + step) / (10 + step))
    mine, theirs = average.state_dict(), net.state_dict()
    floats = [name for name, tensor in mine.items() if tensor.is_floating_point()]
    torch._foreach_lerp_([mine[n] for n in floats], [theirs[n] for n in floats], 1 - d)
    for name, tensor in mine.items():
        if not tensor.is_floating_point():
            tensor.copy_(theirs[name])
