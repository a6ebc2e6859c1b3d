"""The smallest operator: ignores its input, emits 8 bytes. Its cost is the cost of the engine.

in   in    any frame
out  out   (1,) int64   frames seen
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.nodes.counts import COUNT
from pipeline.operator import Operator
from pipeline.schema import ANY


class Noop(Operator):
    inputs, outputs = {"in": ANY}, {"out": COUNT}

    def open(self) -> None:
        self.seen = 0

    def process(self, **inputs: Any) -> np.ndarray:
        self.seen += 1
        return np.array([self.seen], np.int64)
