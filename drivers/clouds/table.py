"""The columns of a point cloud file whose layout is known and fits the size of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from drivers.clouds.layout import Column, Layout, short
from operators import folders
from pipeline.errors import InputError


def read(path: Path, found: Layout, names: list[str]) -> list[np.ndarray]:
    """(N,) of each named column. Raises InputError naming the file, and the line if it is text."""
    if found.data == "ascii":
        return _text(path, found, names)
    if not found.num:
        return [np.empty(0, np.float32)] * len(names)
    return {"binary": _binary, "compressed": _compressed, "npy": _array}[found.data](path, found, names)


def _binary(path: Path, found: Layout, names: list[str]) -> list[np.ndarray]:
    wanted = [found.columns[name] for name in names]
    offsets, formats = [column.byte for column in wanted], [column.dtype for column in wanted]
    row = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": found.row_bytes})
    rows = np.fromfile(path, row, found.num, offset=found.start + found.first)
    if len(rows) != found.num:
        raise _changed(path, found, len(rows))
    return [rows[name] for name in names]


def follow_lists(path: Path, found: Layout) -> None:
    """Raises InputError if the lists after the points do not end with the file: the number of points is another one."""
    at = found.first + found.num * found.row_bytes
    order: Literal["big", "little"] = "big" if found.columns["x"].dtype.startswith(">") else "little"
    with folders.reading(path) as file:
        file.seek(found.start)
        data = file.read()
    for num, sizes in found.lists:
        for _ in range(num if sizes else 0):
            for size, item in sizes:
                at += size + (item * int.from_bytes(data[at : at + size], order) if item else 0)
            if at > len(data):
                break
    if at != len(data):
        got = "more" if at < len(data) else "fewer"
        raise InputError(
            f"{path}: needs {found.num} points and after them lists that end with the file, as its header says, got {got} bytes; "
            f"{'another count in the header?' if at < len(data) else 'copied incompletely?'}"
        )


def _array(path: Path, found: Layout, names: list[str]) -> list[np.ndarray]:
    try:
        return list(np.load(path, allow_pickle=False)[:, : len(names)].T)
    except (ValueError, EOFError, IndexError):
        raise _changed(path, found, "another array") from None


def _compressed(path: Path, found: Layout, names: list[str]) -> list[np.ndarray]:
    """After decompression the columns follow one another, each with all its numbers of all points."""
    from operators.kernels import lzf  # numba is slow to import, and needed for these files only

    packed = np.fromfile(path, np.uint8, offset=found.start)
    data = np.empty(found.num * found.row_bytes, np.uint8)
    got = lzf.unpack(packed[8 : 8 + int(packed[:4].view("<u4")[0])], data)
    if got != len(data):
        raise InputError(f"{path}: needs {found.num} points, got LZF data that do not decompress to them; damaged?")
    return [_column(data, found, found.columns[name]) for name in names]


def _column(data: np.ndarray, found: Layout, column: Column) -> np.ndarray:
    step = np.dtype(column.dtype).itemsize * column.numbers
    return np.ndarray(found.num, column.dtype, data.data, found.num * column.byte, (step,))


# -- text -----------------------------------------------------------------------------------------------------------------
def count_rows(path: Path, found: Layout) -> None:
    """Raises InputError if a text file has more or fewer rows, or words in a row, than its header says. Parses no number."""
    lines = _lines(path, found)
    if any(len(row.split()) != found.row_words for row in _rows(path, found, lines)):
        raise _wrong_line(path, found, lines)


def _text(path: Path, found: Layout, names: list[str]) -> list[np.ndarray]:
    lines = _lines(path, found)
    rows = _rows(path, found, lines)
    if not rows:
        return [np.empty(0, np.float32)] * len(names)
    try:
        table = np.loadtxt((row.decode("latin-1") for row in rows), np.float64, comments=None, ndmin=2)
    except ValueError:
        table = np.empty((0, 0))
    if table.shape != (found.num, found.row_words):
        raise _wrong_line(path, found, lines)
    return [_typed(path, found, name, table[:, found.columns[name].word]) for name in names]


def _lines(path: Path, found: Layout) -> list[bytes]:
    with folders.reading(path) as file:
        file.seek(found.start)
        return file.read().replace(b"\n\r", b"\n").splitlines()


def _rows(path: Path, found: Layout, lines: list[bytes]) -> list[bytes]:
    """The lines of points; blank ones do not count."""
    rows = [line for line in lines if line.strip()]
    others = found.first + found.after
    if len(rows) != found.num + others:
        also = f" and {others} rows of other elements" if others else ""
        got = f"{len(rows) - others} of {len(rows)}" if others else f"{len(rows)}"
        hint = "copied incompletely?" if len(rows) < found.num + others else "another count in the header?"
        raise InputError(f"{path}: needs {found.num} points{also} as its header says, got {got} rows; {hint}")
    return rows[found.first : found.first + found.num]


def _wrong_line(path: Path, found: Layout, lines: list[bytes]) -> InputError:
    """The error for the first row that is not as many numbers as the header has columns."""
    row = -found.first
    for number, line in enumerate(lines, found.header_lines + 1):
        words = line.decode("latin-1").split()
        if words and 0 <= row < found.num and (len(words) != found.row_words or not all(map(_is_number, words))):
            count = f"{len(words)}: " if len(words) != found.row_words else ""
            got = f"{count}{short(line.decode('latin-1').strip())!r}"
            return InputError(f"{path}:{number}: needs {found.row_words} numbers as its header says, got {got}")
        row += bool(words)
    return InputError(f"{path}: needs {found.num} rows of {found.row_words} numbers, got rows that NumPy does not read")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word


def _typed(path: Path, found: Layout, name: str, values: np.ndarray) -> np.ndarray:
    """In the type that the header says, but text keeps its digits: float columns stay float64."""
    dtype = np.dtype(found.columns[name].dtype)
    if dtype.kind == "f":
        return values
    with np.errstate(invalid="ignore"):
        typed = values.astype(dtype)
    wrong = np.flatnonzero(typed != values)
    if len(wrong):
        raise InputError(f"{path}: needs {dtype.name} in column {name} as its header says, got {values[wrong[0]]:g}")
    return typed


def _changed(path: Path, found: Layout, got: int | str) -> InputError:
    return InputError(f"{path}: needs {found.num} points as at the start, got {got}; written to while being read?")
