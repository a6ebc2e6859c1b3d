"""Sinks of `pipe bench scale` and `pipe bench rivals`: nothing, a line per arrival, a line per pair. Lines survive a restart."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.nodes import BLOB
from bench.stamps import taken
from pipeline.operator import Operator
from pipeline.schema import ANY, optional

MOST_EDGES = 16


class Many(Operator):
    """Does nothing with the frames of as many inputs as are connected."""

    inputs = {f"in{k}": optional(ANY) for k in range(MOST_EDGES)}

    def process(self, **inputs: Any) -> None:
        return


@dataclass(frozen=True)
class LinesConfig:
    file: str = "lines"
    work_ms: float = 0.0  # how long it works on a frame


class Lines(Operator):
    """Appends lines to a file, each with one write."""

    Config = LinesConfig

    def open(self) -> None:
        self.file = os.open(self.config.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def note(self, *numbers: int) -> None:
        os.write(self.file, (" ".join(map(str, numbers)) + "\n").encode())
        time.sleep(self.config.work_ms * 1e-3)

    def close(self) -> None:
        os.close(self.file)


class Arrivals(Lines):
    """`time of arrival, age of the frame` [ns]."""

    inputs = {"in": BLOB}

    def process(self, **inputs: Any) -> None:
        age_ns, _ = taken(inputs["in"])
        self.note(time.monotonic_ns(), age_ns)


class Join(Lines):
    """`stamp of a, stamp of b, time at which the pair was taken` [monotonic ns]."""

    inputs = {"a": BLOB, "b": BLOB}

    def process(self, a: np.ndarray, b: np.ndarray) -> None:
        self.note(*(int(data[:8].view(np.int64)[0]) for data in (a, b)), time.monotonic_ns())
