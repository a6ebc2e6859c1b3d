"""A detector node without its graph: points in, boxes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from operators.streams import Boxes3D, Pillars
from operators.train.pointpillars.batches import Pillarizer
from pipeline.operator import prepare

Detect = Callable[[np.ndarray], Boxes3D]
"""Points (N, 4) -> boxes, best first: everything that happens between two frames."""


def opened(operator: type[Any], config: Any, threads: int) -> Any:
    """The node, ready for frames."""
    node = prepare(operator(), "detect", config, threads=threads)
    node.open()
    node.meta = {"pillars": {}}
    return node


def detecting(node: Any) -> Detect:
    """Voxelizer on the grid of the node's net, and the node."""
    pillarize = Pillarizer(node.grid)

    def detect(points: np.ndarray) -> Boxes3D:
        pillars, counts, cells = pillarize(points)
        found: Boxes3D = node.process(Pillars(pillars, cells, counts))
        return found

    return detect
