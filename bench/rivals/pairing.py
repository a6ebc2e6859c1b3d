"""What the joins of all candidates share: the two sensors, and the reader that is too slow for them. Imports no rival."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

A_HZ, B_HZ, A_BYTES, B_BYTES, WORK_S = 30, 10, 1_000_000, 64, 0.1
DRAIN_S = 3.0
"""After the sensors' end the reader goes on for so long: what a queue holds counts as read."""


class Task(NamedTuple):
    folder: str
    seconds: float

    @property
    def rows(self) -> Path:
        return Path(self.folder) / "pairs"

    @property
    def sent(self) -> Path:
        """How many frames of a its sensor has sent."""
        return Path(self.folder) / "sent"


def sense(task: Task, hz: float, size: int, send: Callable[[np.ndarray], None]) -> int:
    """A sensor: fills a frame at its time, with the time as its first 8 bytes; returns the number of frames.

    A sensor does not wait: frames that were due while `send` held it up are not taken.
    """
    data, period_s, count = np.zeros(size, np.uint8), 1 / hz, 0
    began = time.monotonic()
    for number in range(round(hz * task.seconds)):
        due = began + number * period_s
        if time.monotonic() > due + period_s:
            continue
        time.sleep(max(0.0, due - time.monotonic()))
        data.fill(number & 0xFF)
        data[:8].view(np.int64)[0] = time.monotonic_ns()
        send(data)
        count += 1
    return count


class Reader:
    """Notes each pair, then works on it."""

    def __init__(self, task: Task) -> None:
        self.file = os.open(task.rows, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def take(self, a_ns: int, b_ns: int) -> None:
        os.write(self.file, f"{a_ns} {b_ns} {time.monotonic_ns()}\n".encode())
        time.sleep(WORK_S)


def stamp_of(data: np.ndarray) -> int:
    return int(np.asarray(data)[:8].view(np.int64)[0])
