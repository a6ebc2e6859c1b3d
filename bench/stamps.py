"""One frame of a bench: filled, stamped when the producer has finished, read when the consumer has it. Imports no engine."""

from __future__ import annotations

import time
from typing import Any

import numpy as np


def fill(data: Any, number: int) -> None:
    """Write every byte of a frame (8 bytes or more), then the time of filling [ns] if there is room, and the stamp."""
    array = np.frombuffer(data, np.uint8) if not isinstance(data, np.ndarray) else data
    began = time.monotonic_ns()
    array.fill(number & 0xFF)
    if len(array) >= 16:
        array[8:16].view(np.int64)[0] = time.monotonic_ns() - began
    array[:8].view(np.int64)[0] = time.monotonic_ns()


def taken(data: Any) -> tuple[int, int]:
    """Nanoseconds since the producer finished, and nanoseconds of filling."""
    now = time.monotonic_ns()
    array = np.frombuffer(data, np.uint8, min(len(data), 16)) if not isinstance(data, np.ndarray) else data
    return now - int(array[:8].view(np.int64)[0]), int(array[8:16].view(np.int64)[0]) if len(array) >= 16 else 0
