"""The layout of a point cloud file, known before its points are read: number of points, columns, byte offsets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.errors import InputError

INTENSITY = ("intensity", "intensities", "reflectivity", "reflectance")
"""Names of its column, in any case, with CloudCompare's `scalar_` before it or without."""
MAX_HEADER = 1 << 16
MAX_ROW_BYTES = 1 << 20
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Column(NamedTuple):
    dtype: str
    byte: int
    """Where it begins in a row of binary data."""
    word: int
    """Which word of a row of text it is."""
    numbers: int = 1
    """How many it has; the first one is used."""


class Layout(NamedTuple):
    num: int
    columns: dict[str, Column]
    data: str
    """binary, ascii, compressed or npy."""
    start: int
    """Byte at which the data begin."""
    row_bytes: int = 0
    row_words: int = 0
    data_bytes: int = 0
    """From `start` to the end of the file."""
    lists: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = ()
    """Elements of a binary PLY after the points, if some have lists (then `data_bytes` is the least): rows, and bytes of each
    property: of its number, or of its length and of each number in it."""
    first: int = 0
    """Bytes of binary data, or lines of text, before the first point."""
    after: int = 0
    """Lines of text after the last point."""
    header_lines: int = 0

    @property
    def intensity(self) -> str | None:
        named = {name.lower().removeprefix("scalar_"): name for name in self.columns}
        return next((named[key] for key in INTENSITY if key in named), None)


class Header(NamedTuple):
    """The lines of a header, stripped. start: byte after the last one."""

    lines: list[str]
    start: int


def split(path: Path, head: bytes, kind: str, last: str) -> Header:
    """The lines up to and including the first that begins with `last`. Raises InputError without such a line.

    The first line decides how lines end: LF, CR LF, LF CR, or CR alone; binary data begin after the end of the last line.
    """
    if head.startswith(_UTF16):
        raise InputError(f"{path}: needs a {kind} file of ASCII text, got UTF-16; save it as ASCII or UTF-8")
    start = len(_BOM) if head.startswith(_BOM) else 0
    first = re.search(rb"\r\n|\n\r|\n|\r", head)
    ending = first.group() if first else b"\n"
    stop = b"\r" if ending == b"\r" else b"\n"
    lines: list[str] = []
    while (end := head.find(stop, start)) >= 0:
        lines.append(head[start:end].decode("latin-1").strip())
        start = end + 1
        if lines[-1].startswith(last):
            return Header(lines, start + (ending == b"\n\r" and head.startswith(b"\r", start)))
    if not head:
        raise InputError(f"{path}: needs a {kind} file, got an empty file")
    where = "" if len(head) < MAX_HEADER else f" in its first {MAX_HEADER} bytes"
    raise InputError(f"{path}: needs a {kind} file, got one that begins with {head[:12]!r} and has no {last}{where}")


def columns(fields: Iterable[tuple[str, str, int]]) -> tuple[dict[str, Column], int, int]:
    """(name, dtype, count) in row order -> the columns, bytes per row, words per row. Raises ValueError for wrong fields."""
    out: dict[str, Column] = {}
    byte = word = 0
    for name, dtype, count in fields:
        if count < 1 or (name in out and name in "xyz"):
            raise ValueError(name)
        out[name] = Column(dtype, byte, word, count)
        byte += np.dtype(dtype).itemsize * count
        word += count
    if byte > MAX_ROW_BYTES:
        raise ValueError(f"{byte} bytes per point")
    return out, byte, word


def whole(word: str) -> int:
    """A count. Raises ValueError for any other word."""
    if not word.isdecimal() or len(word) > 18:
        raise ValueError(word)
    return int(word)


def short(text: str) -> str:
    """Text of a file as messages quote it."""
    return text if len(text) <= 60 else text[:57] + "..."
