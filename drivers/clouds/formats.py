"""Point clouds from single files: PLY, PCD, NumPy's npy, and float32 rows without a header (bin).

The header says where the columns lie; the columns are views of the file's bytes. Only `binary_compressed` PCD is read by Open3D.
Open3D could read the other kinds, but open3d 0.20 returns uninitialised memory for a truncated text file, omits columns of some
types, and crashes on PCL's padding (`FIELDS x y z _ intensity _`).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drivers.clouds import pcd, ply
from drivers.clouds.layout import Layout, columns
from drivers.extra import load_open3d, need_open3d
from pipeline.errors import InputError

SUFFIXES = (".ply", ".pcd", ".npy", ".bin")
_MAX_HEADER = 1 << 16


class Cloud(NamedTuple):
    xyz: np.ndarray
    """(N, 3) in the file's unit, axes and type."""
    intensity: np.ndarray | None
    """(N,) as the file has it."""


def survey(path: Path, bin_columns: int) -> Layout:
    """The layout, from the first bytes and the file size. Raises InputError if columns, bytes or the package are missing."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_MAX_HEADER)
    except OSError as error:
        raise InputError(f"{path}: needs to be readable, got {error.strerror}") from error
    kind = path.suffix.lower()
    if kind == ".bin":
        found = _bin(path, size, bin_columns)
    elif kind == ".npy":
        found = _npy(path, head)
    else:
        found = (ply if kind == ".ply" else pcd).layout(path, head)
    if not {"x", "y", "z"} <= set(found.columns):
        raise InputError(f"{path}: needs columns x y z, got {' '.join(found.columns) or 'none'}")
    needed = found.start + found.data_bytes
    if size < needed:
        raise InputError(f"{path}: needs {needed} bytes for {found.num} points, got {size}; copied incompletely?")
    if found.data == "compressed":
        need_open3d(f"{path}: binary_compressed")
    return found


def read(path: Path, bin_columns: int) -> Cloud:
    """The points of one file. Raises InputError naming the file."""
    found = survey(path, bin_columns)
    names = [*"xyz", *([found.intensity] if found.intensity else [])]
    if not found.num:
        taken = [np.empty(0, np.float32)] * len(names)
    else:
        taken = {"binary": _binary, "ascii": _text, "compressed": _compressed, "npy": _array}[found.data](path, found, names)
    return Cloud(np.stack(taken[:3], 1), taken[3] if found.intensity else None)


def _binary(path: Path, found: Layout, names: list[str]) -> list[np.ndarray]:
    wanted = [found.columns[name] for name in names]
    offsets, formats = [column.byte for column in wanted], [column.dtype for column in wanted]
    row = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": found.row_bytes})
    rows = np.fromfile(path, row, found.num, offset=found.start)
    if len(rows) != found.num:
        raise InputError(f"{path}: needs {found.num} points as at the start, got {len(rows)}; written to while being read?")
    return [rows[name] for name in names]


def _text(path: Path, found: Layout, names: list[str]) -> list[np.ndarray]:
    with path.open("rb") as file:
        file.seek(found.start)
        kinds = np.dtype([(name, found.columns[name].dtype) for name in names])
        words = [found.columns[name].word for name in names]
        try:
            rows = np.loadtxt(file, kinds, usecols=words, skiprows=found.skipped, max_rows=found.num, ndmin=1, comments=None)
        except ValueError as error:
            raise InputError(f"{path}: needs {found.num} rows of numbers, got: {' '.join(str(error).split())}") from error
    if len(rows) != found.num:
        raise InputError(f"{path}: needs {found.num} points, got {len(rows)}; copied incompletely?")
    return [rows[name] for name in names]


def _compressed(path: Path, found: Layout, names: list[str]) -> list[np.ndarray]:
    cloud = load_open3d(f"{path}: binary_compressed").t.io.read_point_cloud(str(path)).point
    got = {name: cloud[name].numpy() for name in ("positions", *names[3:]) if name in cloud}
    if len(got) != len(names) - 2 or any(len(column) != found.num for column in got.values()):
        raise InputError(f"{path}: needs {found.num} points, got data that Open3D does not decompress; damaged?")
    return [*got["positions"].T, *(got[name].reshape(-1) for name in names[3:])]


def _array(path: Path, found: Layout, names: list[str]) -> list[np.ndarray]:
    return list(np.load(path, allow_pickle=False)[:, : len(names)].T)


def _named(num: int) -> list[str]:
    """Column names of rows without a header."""
    return ["x", "y", "z", "intensity", *(f"column{k}" for k in range(4, num))][:num]


def _bin(path: Path, size: int, num_columns: int) -> Layout:
    row_bytes = 4 * num_columns
    if size % row_bytes:
        raise InputError(
            f"{path}: needs a multiple of {row_bytes} bytes ({num_columns} columns of float32), got {size}; "
            "copied incompletely, or another config.bin_columns?"
        )
    fields, _ = columns((name, "<f4", 1) for name in _named(num_columns))
    return Layout(size // row_bytes, fields, "binary", 0, row_bytes, size)


def _npy(path: Path, head: bytes) -> Layout:
    file = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
    except ValueError as error:
        raise InputError(f"{path}: needs an array of NumPy, got: {' '.join(str(error).split())}") from error
    if len(shape) != 2 or shape[1] < 3 or dtype.kind not in "fiu":
        raise InputError(f"{path}: needs numbers in rows of 3, or of 4 or more with intensity, got {shape} {dtype}")
    fields, row_bytes = columns((name, dtype.str, 1) for name in _named(shape[1]))
    return Layout(shape[0], fields, "npy", file.tell(), row_bytes, shape[0] * row_bytes)
