"""The layout of a point cloud file, known before its points are read: number of points, columns, byte offsets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

INTENSITY = ("intensity", "intensities", "reflectivity", "reflectance")
"""Names of its column, in any case, with CloudCompare's `scalar_` before it or without."""


class Column(NamedTuple):
    dtype: str
    byte: int
    """Where it begins in a row of binary data."""
    word: int
    """Which word of a row of text it is."""


class Layout(NamedTuple):
    num: int
    columns: dict[str, Column]
    data: str
    """binary, ascii, compressed or npy."""
    start: int
    """Byte at which the rows begin; of text, the lines."""
    row_bytes: int = 0
    data_bytes: int = 0
    """How many a whole file has from `start` on, at least."""
    skipped: int = 0
    """Lines of text before the first row."""

    @property
    def intensity(self) -> str | None:
        named = {name.lower().removeprefix("scalar_"): name for name in self.columns}
        return next((named[key] for key in INTENSITY if key in named), None)


def columns(fields: Iterable[tuple[str, str, int]]) -> tuple[dict[str, Column], int]:
    """(name, dtype, count) in row order -> the columns, bytes per row."""
    out, byte, word = {}, 0, 0
    for name, dtype, count in fields:
        out[name] = Column(dtype, byte, word)
        byte += np.dtype(dtype).itemsize * count
        word += count
    return out, byte


def split(head: bytes, last: bytes) -> tuple[list[str], int] | None:
    """The lines up to and including the first that begins with `last`, and the offset after them; None without such a line."""
    lines, start = [], 0
    while (end := head.find(b"\n", start)) >= 0:
        lines.append(head[start:end].decode("latin-1").strip())
        start = end + 1
        if lines[-1].startswith(last.decode()):
            return lines, start
    return None


def whole(word: str) -> int:
    """A count. Raises ValueError for any other word."""
    if not word.isdecimal():
        raise ValueError(word)
    return int(word)
