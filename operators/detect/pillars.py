"""What detectors on pillars have in common: checks of weights, classes and grid, labels of a model, the first runs of a net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from operators.nets import weights
from operators.nets.pointpillars_config import PointPillarsConfig
from operators.nets.weights import Architecture
from operators.streams import CLASSES, Pillars
from pipeline.errors import FrameError, InputError


def check_weights(name: str, architecture: Architecture, classes: Sequence[str] | None) -> None:
    """Raises ValueError, beginning with the key, where the weights or the classes do not fit."""
    try:
        names = weights.load(name, architecture).config.class_names
    except InputError as error:
        raise ValueError(f"weights: {error}") from None
    for known in names:
        if known not in CLASSES:
            raise ValueError(f"weights: needs classes of {', '.join(CLASSES)}, got {known} from {name}")
    for wanted in classes or ():
        if wanted not in names:
            raise ValueError(f"classes: needs classes that {name} knows ({', '.join(names)}), got {wanted}")


def check_grid(cells: np.ndarray, facts: Mapping[str, Any], grid: PointPillarsConfig, node: str, name: str) -> None:
    """Raises FrameError where the pillars are not on the net's grid: all boxes would be wrong.

    facts: of the frame; grid: of the net; name: of its weights
    """
    for key in ("cell_m", "range_m"):
        needed = getattr(grid, key)
        if key in facts and tuple(facts[key]) != needed:
            raise FrameError(
                f"{node}.pillars: needs {key} {list(needed)}, the grid {name} was trained on, "
                f"got {list(facts[key])}; set {key} of the voxelizer"
            )
    rows, columns = grid.grid
    if len(cells) and (cells.min() < 0 or cells[:, 0].max() >= rows or cells[:, 1].max() >= columns):
        raise FrameError(
            f"{node}.pillars.cells: needs rows 0..{rows - 1} and columns 0..{columns - 1}, the grid "
            f"{name} was trained on, got rows {cells[:, 0].min()}..{cells[:, 0].max()} and columns "
            f"{cells[:, 1].min()}..{cells[:, 1].max()}"
        )


def output_labels(known: Sequence[str], classes: Sequence[str] | None) -> np.ndarray:
    """(C,) index into CLASSES of each class of a model, -1 for those that are not wanted"""
    return np.array([CLASSES.index(name) if name in (classes or known) else -1 for name in known])


def sample_pillars(grid: PointPillarsConfig) -> list[Pillars]:
    """Frames for the first runs of a net: none and 50 pillars, of zeros."""
    rows, columns = grid.grid
    frames = []
    for num in (0, 50):
        cells = np.stack([np.arange(num) % rows, np.arange(num) % columns], 1).astype(np.int32)
        frames.append(Pillars(np.zeros((num, 1, 4), np.float32), cells, np.ones(num, np.int32)))
    return frames
