"""Targets of the heads for one picture: Gaussians on the heatmap, sizes and offsets at the centres.

Source: Zhou et al. 2019 (Objects as points), sec. 3; radius: Law and Deng 2018 (CornerNet).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from operators.nets.fairmot_config import STRIDE

_MIN_OVERLAP = 0.7
IGNORED = -1


class Targets(NamedTuple):
    """One picture. heat (C, h, w) float32 0..1; counts (h, w) bool: cells that count in the loss; where (N, 2) int64 row,
    column of the centres; size, offset (N, 2) float32 [cells]; identities (N,) int64, -1 = unknown"""

    heat: np.ndarray
    counts: np.ndarray
    where: np.ndarray
    size: np.ndarray
    offset: np.ndarray
    identities: np.ndarray


def radius(width: float, height: float) -> float:
    """Largest shift of the corners [cells] for which a box still overlaps the true one by 0.7."""
    total, area, least = width + height, width * height, _MIN_OVERLAP
    shifted = (total - np.sqrt(total**2 - 4 * area * (1 - least) / (1 + least))) / 2
    inside = (2 * total - np.sqrt((2 * total) ** 2 - 16 * (1 - least) * area)) / 8
    around = (-2 * least * total + np.sqrt((2 * least * total) ** 2 - 16 * least * (least - 1) * area)) / (8 * least)
    return float(min(shifted, inside, around))


def targets(boxes: np.ndarray, classes: np.ndarray, identities: np.ndarray, grid: tuple[int, int], num_classes: int) -> Targets:
    """boxes (M, 4) x1 y1 x2 y2 [px of the net's picture]; classes (M,), IGNORED: neither object nor background; M = 0 is fine."""
    rows, columns = grid
    heat = np.zeros((num_classes, rows, columns), np.float32)
    counts = np.ones(grid, bool)
    where, size, offset, who = [], [], [], []
    for x1, y1, x2, y2 in boxes[classes == IGNORED] / STRIDE:
        counts[max(int(y1), 0) : int(np.ceil(y2)), max(int(x1), 0) : int(np.ceil(x2))] = False
    for box, cls, identity in zip(boxes / STRIDE, classes.tolist(), identities.tolist(), strict=True):
        if cls == IGNORED:
            continue
        centre, extent = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        column, row = np.floor(centre).astype(int)
        if not (0 <= row < rows and 0 <= column < columns):
            continue
        _splat(heat[cls], row, column, max(radius(*extent), 0.0))
        counts[row, column] = True
        where.append((row, column))
        size.append(extent)
        offset.append(centre - (column, row))
        who.append(identity)
    return Targets(
        heat,
        counts,
        np.array(where, np.int64).reshape(-1, 2),
        np.array(size, np.float32).reshape(-1, 2),
        np.array(offset, np.float32).reshape(-1, 2),
        np.array(who, np.int64),
    )


def _splat(heat: np.ndarray, row: int, column: int, reach: float) -> None:
    """Add a Gaussian with three standard deviations equal to `reach`; where two overlap, the larger value stays."""
    steps = int(reach)
    sigma = (2 * steps + 1) / 6
    r = np.arange(max(row - steps, 0), min(row + steps + 1, heat.shape[0]))
    c = np.arange(max(column - steps, 0), min(column + steps + 1, heat.shape[1]))
    bump = np.exp(-((r[:, None] - row) ** 2 + (c[None] - column) ** 2) / (2 * sigma**2))
    part = heat[r[0] : r[-1] + 1, c[0] : c[-1] + 1]
    np.maximum(part, bump, out=part, casting="same_kind")
