"""Estimate of the memory that a net of pillars takes in a process of its own, before anything is loaded. Imports no torch.

For a node in torch on a CPU, one scan at a time, float32. `pipe bench devices` prints it beside what is measured.
"""

from __future__ import annotations

import math

from operators.nets.pointpillars_config import PointPillarsConfig

PROCESS_BYTES = 450_000_000
"""Python, NumPy, numba's kernels, torch and its threads."""
MOST_POINTS = 120_000
"""Of a scan in a net's range; features of kept points are held at once."""
_FLOAT = 4
_COPIES = 6  # of the weights: from the file, in the net as trained, four in the domain of its products (kernels/winograd.py)
_REFINE_MAPS = 6  # of all levels together, alive at once in the refine stage


def net_bytes(config: PointPillarsConfig, shapes: dict[str, tuple[int, ...]]) -> int:
    """shapes: of all tensors of the net, by name."""
    parameters = sum(math.prod(shape) for shape in shapes.values())
    slots = config.max_pillars * config.max_points
    points = min(slots, MOST_POINTS) * 2 * (config.features + config.pillar_channels)
    rows, columns = config.head_grid
    of_anchor = len(config.anchors) + 7 + 2
    blocks = zip(config.block_layers, config.block_channels, strict=True)
    maps = sum((layers + 1) * channels / 4**b for b, (layers, channels) in enumerate(blocks))  # the sparse net keeps them all
    place = 2 * config.block_channels[0] + maps + 2 * sum(config.up_channels) + 2 * config.anchors_per_location * of_anchor
    if any(name.startswith("psa.") for name in shapes):  # the refine stage, while the levels of the coarse one are held
        place += _REFINE_MAPS * sum(config.up_channels) + 2 * config.anchors_per_location * of_anchor
    return PROCESS_BYTES + _FLOAT * (_COPIES * parameters + slots * 4 + points + int(rows * columns * place))
