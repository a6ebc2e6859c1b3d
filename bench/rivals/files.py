"""The rivals of `pipe bench record`: plain writes, and the writer of the package mcap."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def timed(path: Path, write: Callable[[Any], None]) -> float:
    """Seconds to write a new file, fsync included."""
    began = time.monotonic()
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    took = time.monotonic() - began
    path.unlink()
    return took


def disk(folder: Path, size: int, count: int) -> float:
    data = np.random.default_rng(0).bytes(size)

    def write(file: Any) -> None:
        for _ in range(count):
            file.write(data)

    return timed(folder / "plain", write)


def mcap(folder: Path, size: int, count: int) -> float:
    from mcap.writer import CompressionType, Writer

    data = np.random.default_rng(0).bytes(size)

    def write(file: Any) -> None:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start()
        channel = writer.register_channel("/a", "x", writer.register_schema("s", "", b""))
        for i in range(count):
            writer.add_message(channel, i, data, i, i)
        writer.finish()

    return timed(folder / "theirs.mcap", write)
