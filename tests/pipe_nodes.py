"""Operators and sources of the engine's tests, named in graphs as `pipe_nodes:Class`."""

from __future__ import annotations

import numpy as np

from pipeline.nodes.counts import COUNT
from pipeline.operator import Operator


class Pair(Operator):
    """Two streams of the same numbers; says so when they are not."""

    inputs, outputs = {"a": COUNT, "b": COUNT}, {"out": COUNT}

    def process(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:  # type: ignore[override]
        if a[0] != b[0]:
            raise ValueError(f"{self.name}: needs equal numbers, got {a[0]} and {b[0]}")
        return a.copy()
