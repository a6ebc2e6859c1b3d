"""Multiply-adds of a net, as torch counts them in one forward pass on a CPU: convolutions and matrix products, dense."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

PILLARS, POINTS = 3000, 10
"""Of a scan of a 64-beam LiDAR in front of a car, roughly."""


def multiply_adds(net: nn.Module, *inputs: Tensor) -> int:
    """net: in evaluation mode."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        net(*inputs)
    return int(counter.get_total_flops()) // 2


def of_pillars(net: nn.Module, config: Any) -> int:
    """Of a net of pillars for one scan: pillars spread over its grid, each half as full as POINTS or K allow."""
    rows, columns = config.grid
    count = min(PILLARS, rows * columns)
    at = torch.linspace(0, rows * columns - 1, count, dtype=torch.float64).long()
    cells = torch.stack([at // columns, at % columns], 1).int()
    counts = torch.full((count,), min(POINTS, config.max_points), dtype=torch.int32)
    return multiply_adds(net.eval(), torch.zeros(count, config.max_points, 4), counts, cells)
