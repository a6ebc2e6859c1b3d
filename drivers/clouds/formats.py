"""Point clouds from single files: PLY, PCD, NumPy's npy, and float32 rows without a header (bin).

The header gives the layout, the layout is checked against the size of the file, then the columns are read: no count of a header
takes memory that the file does not have. Open3D is not used: 0.20 returns uninitialised memory for a truncated text file,
omits columns of some types, and crashes on PCL's padding (`FIELDS x y z _ intensity _`).
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drivers.clouds import pcd, ply, table
from drivers.clouds.layout import MAX_HEADER, Layout, columns, short
from operators import folders
from pipeline.errors import InputError

SUFFIXES = (".ply", ".pcd", ".npy", ".bin")


class Cloud(NamedTuple):
    xyz: np.ndarray
    """(N, 3) in the file's unit, axes and type."""
    intensity: np.ndarray | None
    """(N,) as the file has it."""


def survey(path: Path, bin_columns: int) -> Layout:
    """The layout, from the first bytes and the file size. Raises InputError if columns or bytes are missing or too many."""
    with folders.reading(path) as file:
        size, head = folders.size(path), file.read(MAX_HEADER)
    kind = path.suffix.lower()
    if kind == ".bin":
        found = _bin(path, size, bin_columns)
    elif kind == ".npy":
        found = _npy(path, head)
    else:
        found = ply.layout(path, head) if kind == ".ply" else pcd.layout(path, head, size)
    if not {"x", "y", "z"} <= set(found.columns):
        raise InputError(f"{path}: needs columns x y z, got {short(' '.join(found.columns)) or 'none'}")
    _check_size(path, found, size)
    return found


def check(path: Path, bin_columns: int) -> None:
    """`survey`, and what it takes to know where the points end: rows of text are counted, lists after the points are followed."""
    found = survey(path, bin_columns)
    if found.data == "ascii":
        table.count_rows(path, found)
    elif found.lists:
        table.follow_lists(path, found)


def read(path: Path, bin_columns: int) -> Cloud:
    """The points of one file. Raises InputError naming the file."""
    found = survey(path, bin_columns)
    names = [*"xyz", *([found.intensity] if found.intensity else [])]
    try:
        taken = table.read(path, found, names)
    except OSError as error:
        raise folders.unreadable(path, error) from error
    return Cloud(np.stack(taken[:3], 1), taken[3] if found.intensity else None)


def _check_size(path: Path, found: Layout, size: int) -> None:
    have = size - found.start
    if found.data == "ascii":  # a row has at least a digit and a blank per number
        if 2 * found.row_words * found.num > have + 1:
            most = (have + 1) // (2 * found.row_words)
            raise InputError(f"{path}: needs {found.num} points as its header says, got {have} bytes, which hold {most} at most")
        return
    if have == found.data_bytes or (found.lists and have > found.data_bytes):
        return
    got = f"{size} bytes"
    if found.data != "compressed" and not found.lists:
        points = (have - found.data_bytes) / found.row_bytes + found.num
        got += f", those of {max(points, 0):.10g} points"
    hint = "copied incompletely?" if have < found.data_bytes else "another count in the header?"
    needed = found.start + found.data_bytes
    raise InputError(f"{path}: needs {needed} bytes for {found.num} points as its header says, got {got}; {hint}")


def _named(num: int) -> list[str]:
    """Column names of rows without a header."""
    return ["x", "y", "z", "intensity", *(f"column{k}" for k in range(4, num))][:num]


def _bin(path: Path, size: int, num_columns: int) -> Layout:
    row_bytes = 4 * num_columns
    if size % row_bytes:
        raise InputError(
            f"{path}: needs a multiple of {row_bytes} bytes ({num_columns} columns of float32), got {size}, those of "
            f"{size / row_bytes:.10g} points; copied incompletely, or another config.bin_columns?"
        )
    fields, *_ = columns((name, "<f4", 1) for name in _named(num_columns))
    return Layout(size // row_bytes, fields, "binary", 0, row_bytes, num_columns, size)


def _npy(path: Path, head: bytes) -> Layout:
    file = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python's parser, on damaged headers
            shape, _, dtype = read_header(file)
    except Exception as error:  # NumPy evaluates the header as Python: any error may come
        raise InputError(f"{path}: needs an array of NumPy, got: {short(' '.join(str(error).split()))}") from error
    if len(shape) != 2 or not 3 <= shape[1] <= 4096 or shape[0] < 0 or dtype.kind not in "fiu":
        raise InputError(f"{path}: needs numbers in rows of 3, or of 4 or more with intensity, got {short(f'{shape} {dtype}')}")
    fields, row_bytes, row_words = columns((name, dtype.str, 1) for name in _named(shape[1]))
    return Layout(shape[0], fields, "npy", file.tell(), row_bytes, row_words, shape[0] * row_bytes)
