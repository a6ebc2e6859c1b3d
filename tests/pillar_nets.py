"""Pillars and nets for the tests of nets."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")


def scene(config, num, seed=0):
    """pillars, counts, cells as lidar.voxelize makes them: zero-padded, each cell once, first those in the grid's corners"""
    rng = np.random.default_rng(seed)
    rows, columns = config.grid
    corners = [0, columns - 1, (rows - 1) * columns, rows * columns - 1]
    at = np.concatenate([corners, rng.permutation(np.setdiff1d(np.arange(rows * columns), corners))])[:num]
    cells = np.stack([at // config.grid[1], at % config.grid[1]], 1).astype(np.int32)
    counts = rng.integers(1, config.max_points + 1, num).astype(np.int32)
    pillars = np.zeros((num, config.max_points, 4), np.float32)
    for p in range(num):
        inside = rng.uniform(0, 1, (counts[p], 2)) * config.cell_m
        pillars[p, : counts[p], 0] = config.range_m[0] + cells[p, 1] * config.cell_m[0] + inside[:, 0]
        pillars[p, : counts[p], 1] = config.range_m[1] + cells[p, 0] * config.cell_m[1] + inside[:, 1]
        pillars[p, : counts[p], 2:] = rng.uniform((-3, 0), (1, 1), (counts[p], 2))
    return torch.from_numpy(pillars), torch.from_numpy(counts), torch.from_numpy(cells)


def liven(net):
    """The net in eval mode, with statistics and biases that differ from the initial ones, so that a missing one shows."""
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_mean") or name.endswith("bias"):
                value.normal_(0, 0.3)
            elif name.endswith("running_var") or name.endswith("norm.weight"):
                value.uniform_(0.5, 1.5)
            elif name.endswith("box_head.weight"):
                value.normal_(0, 0.1)
    return net.eval()
