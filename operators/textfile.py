"""Text files from outside -> lines, and tables of numbers. Every reader of text in drivers and evaluators reads through here.

A file is UTF-8, with or without a byte order mark; its lines end with LF, CR LF or CR; blank lines at the end do not count. A
control byte other than a tab is an error that names its line: it is what is left of UTF-16, a crash or a binary file.
Numbers are those of float(), up to MAX_SIZE. Errors name file and line; memory and time follow the size of the file, not its
numbers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from operators import folders
from operators.kernels import text
from pipeline.errors import InputError

MAX_BYTES, MAX_BYTES_OF_LINES = 1 << 28, 1 << 26
MAX_FRAMES = 1_000_000
"""Frames of a sequence: 27 hours at 10 Hz. Every frame takes memory, also one that no row names."""
MAX_SIZE = 1e30
"""Largest number of a box or a pose: products of three of them, and float32, stay finite."""

_MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_UTF8_MARK = b"\xef\xbb\xbf"
_ALLOWED = bytes({*range(256)} - {*range(32), 127} | {9, 10})


def read(path: Path, most: int = MAX_BYTES) -> bytes:
    """The text with LF at the end of each line but the last, without blank lines at its end. Raises InputError."""
    with os.fdopen(folders.open_file(path), "rb", buffering=0) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise InputError(f"{path}: needs at most {most >> 20} MB of text, got {size >> 20} MB")
        try:
            data = file.readall()
        except OSError as error:
            raise folders.unreadable(path, error) from None
    for mark, name in _MARKS:
        if data.startswith(mark):
            raise InputError(f"{path}: needs UTF-8, got {name}; save it as UTF-8 (iconv -f {name} -t UTF-8)")
    data = data.removeprefix(_UTF8_MARK)
    if b"\r" in data:  # CR CR LF: written twice in Windows' text mode
        data = data.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if control := data.translate(None, _ALLOWED):
        at = data.index(control[:1])
        hint = "; is it UTF-16 or cut off by a crash?" if control[0] == 0 else ""
        refuse(path, data.count(b"\n", 0, at) + 1, "text", f"the control byte 0x{control[0]:02x}{hint}")
    return data.rstrip(b" \t\n")


def lines(path: Path) -> list[str]:
    """Bytes that are no UTF-8 are escaped. Raises InputError."""
    data = read(path, MAX_BYTES_OF_LINES)
    return _decoded(data).split("\n") if data else []


def count_lines(path: Path) -> int:
    data = read(path)
    return data.count(b"\n") + 1 if data else 0


class Table(NamedTuple):
    """values (L, C) float64: row i is line i + 1."""

    path: Path
    values: np.ndarray

    def refuse(self, row: int, needs: str, got: str) -> NoReturn:
        refuse(self.path, row + 1, needs, got)


def read_table(
    path: Path,
    widths: Sequence[int] | int,
    columns: int,
    *,
    comma: bool = False,
    word_column: int = -1,
    words: Sequence[str] = (),
    names: str = "",
) -> Table:
    """The first `columns` numbers of every line.

    widths  columns that a line may have, the same in the whole file; a number: that many or more, in any line
    comma   a comma may stand between columns; one at the end of a line is no column
    words   allowed in `word_column`, in upper or lower case; their index is the value
    names   of the columns, for the error
    Columns that the file does not have are NaN. An empty file: L = 0. Raises InputError for any other line.
    """
    data = read(path)
    least = widths if isinstance(widths, int) else min(widths)
    # A file with more lines than this has one that is too short, and the kernel reaches it: memory stays a multiple of the file.
    most_lines = min(data.count(b"\n") + 1, len(data) // (2 * least) + 1)
    values = np.full((most_lines, columns), np.nan)
    found, kinds = np.zeros(most_lines, np.int32), np.zeros(most_lines, np.uint8)
    separator = b"," if comma else b" "
    length = text.read_table(np.frombuffer(data, np.uint8), ord(separator), word_column, _padded(words), values, found, kinds)
    if not length:
        return Table(path, values[:0])
    width = int(found[0])
    fits = found[:length] >= widths if isinstance(widths, int) else (found[:length] == width) & (width in widths)
    bad = np.flatnonzero(~fits | (kinds[:length] != text.PLAIN)).tolist()
    raw = data.split(b"\n", length)[:length] if bad else []
    for line in bad:
        if not fits[line]:
            _refuse_width(path, line, int(found[line]), widths, width, names)
        cells = _cells(raw[line], comma)[:columns]
        values[line, : len(cells)] = [_value(path, line, k, cell, word_column, words) for k, cell in enumerate(cells)]
    return Table(path, values[:length])


def column(path: Path, comma: bool = False) -> np.ndarray:
    """The numbers that lines begin with; lines that begin with anything else are left out."""
    data = read(path)
    most_lines = data.count(b"\n") + 1
    values, found, kinds = np.zeros((most_lines, 1)), np.zeros(most_lines, np.int32), np.zeros(most_lines, np.uint8)
    separator = b"," if comma else b" "
    length = text.read_table(np.frombuffer(data, np.uint8), ord(separator), -1, _padded(()), values, found, kinds)
    odd = np.flatnonzero((kinds[:length] != text.PLAIN) & (found[:length] > 0)).tolist()
    raw = data.split(b"\n", length) if odd else []
    for line in odd:
        try:
            values[line] = number(_cells(raw[line], comma)[0])
        except ValueError:
            values[line] = np.nan
    first = values[:length, 0][found[:length] > 0]
    return first[np.isfinite(first)]


def number(cell: bytes) -> float:
    """As float(), without Python's underscores. Raises ValueError."""
    if b"_" in cell:
        raise ValueError(cell)
    return float(cell)


def numbers(path: Path, line: int, key: str, written: str, how_many: int) -> np.ndarray:
    """(how_many,) float64 of a line such as `KEY: 1 2 3`. Raises InputError."""
    cells = written.split()
    if len(cells) != how_many:
        refuse(path, line, f"{how_many} numbers after {key}", str(len(cells)))
    try:
        values = np.array([number(cell.encode()) for cell in cells])
    except ValueError:
        refuse(path, line, f"{how_many} numbers after {key}", shown(written))
    if not (np.abs(values) <= MAX_SIZE).all():
        refuse(path, line, f"{how_many} numbers after {key}, finite", shown(written))
    return values


def refuse(path: Path, line: int, needs: str, got: str) -> NoReturn:
    raise InputError(f"{path}:{line}: needs {needs}, got {got}")


def shown(written: str) -> str:
    """Foreign text in an error: the first 40 characters, quoted, control characters escaped."""
    return repr(written.strip()[:40])


def check_finite(table: Table, columns: slice, what: str) -> None:
    bad = ~(np.abs(table.values[:, columns]) <= MAX_SIZE)
    if bad.any():
        row = int(np.argmax(bad.any(1)))
        at = columns.start + int(np.argmax(bad[row]))
        table.refuse(row, f"finite {what}", f"{table.values[row, at]:g} in column {at + 1}")


def whole(table: Table, column: int, what: str, least: int | None = None) -> np.ndarray:
    """The column as (L,) int64; `least` is the smallest number allowed. 3 may be written as 3.0 or 3e+00."""
    values = table.values[:, column]
    good = (np.abs(values) < 2**53) & (values == np.round(values))
    if least is not None:
        good &= values >= least
    if not good.all():
        row = int(np.argmin(good))
        needs = "whole number" if least is None else f"number {least}, {least + 1}, .."
        table.refuse(row, f"a {what} ({needs}) in column {column + 1}", f"{values[row]:.10g}")
    return values.astype(np.int64)


def frames(table: Table, first: int) -> np.ndarray:
    """Column 1 as (L,) int64, counted from `first`."""
    out = whole(table, 0, "frame", least=first)
    if len(out) and out.max() >= MAX_FRAMES:
        row = int(np.argmax(out >= MAX_FRAMES))
        table.refuse(row, f"a frame below {MAX_FRAMES:,} in column 1", f"{out[row]}; is it a time?")
    return out


def check_last(path: Path, frame: int) -> None:
    """Raises InputError if the last frame of a file is too high for all frames before it to be listed one by one."""
    if frame >= MAX_FRAMES:
        raise InputError(f"{path}: needs frames below {MAX_FRAMES:,}, got {frame}; is it a time?")


def small(values: np.ndarray) -> np.ndarray:
    """Finite numbers to int64, towards 0; those that do not fit become the nearest that does."""
    return np.clip(values, -(2.0**31), 2.0**31 - 1).astype(np.int64)


def _refuse_width(path: Path, line: int, got: int, widths: Sequence[int] | int, first: int, names: str) -> NoReturn:
    if not isinstance(widths, int) and got in widths:
        refuse(path, line + 1, f"{first} columns as in line 1", str(got))
    asked = f"{widths} or more" if isinstance(widths, int) else " or ".join(map(str, widths))
    refuse(path, line + 1, f"{asked} columns" + (f" ({names})" if names else ""), str(got) if got else "an empty line")


def _cells(line: bytes, comma: bool) -> list[bytes]:
    if not comma:
        return line.split()
    cells = [cell for between in line.split(b",") for cell in between.split() or [b""]]
    return cells if cells[-1] else cells[:-1]


def _value(path: Path, line: int, at: int, cell: bytes, word_column: int, words: Sequence[str]) -> float:
    """A column that the kernel could not read: with many digits, or invalid."""
    written = _decoded(cell)
    if at == word_column:
        lower = [word.lower() for word in words]
        if written.lower() not in lower:
            refuse(path, line + 1, f"a type of {', '.join(words)} in column {at + 1}", shown(written)[1:-1])
        return float(lower.index(written.lower()))
    try:
        return number(cell)
    except ValueError:
        refuse(path, line + 1, f"a number in column {at + 1}", shown(written))


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _padded(words: Sequence[str]) -> np.ndarray:
    out = np.zeros((len(words), max(map(len, words), default=0)), np.uint8)
    for row, word in enumerate(words):
        out[row, : len(word)] = np.frombuffer(word.lower().encode(), np.uint8)
    return out
