"""Text files of truth and results -> arrays, with line numbers: errors of an evaluator name file and line.

Numbers are read as float() does. Rows are sorted by frame, within a frame in the order of the file; frames of a file may have
any order. Rows with a negative id belong to no track and are left out, as in TrackEval.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from operators.kernels import text
from pipeline.errors import InputError

MAX_FRAMES = 10_000_000


class Table(NamedTuple):
    """values (L, C) float64, one row per line of the file; lines (L,) their numbers, from 1."""

    values: np.ndarray
    lines: np.ndarray


def read_table(
    path: Path, widths: Sequence[int], columns: int, separator: str = " ", word_column: int = -1, words: Sequence[str] = ()
) -> Table:
    """The first `columns` numbers of every line; a line has as many columns as one of `widths`, the same in the whole file.

    separator  of columns; if the first line has none, columns are separated by blanks
    words      allowed in `word_column`, in upper or lower case; their index is the value
    Columns that the file does not have are NaN. An empty file: L = 0. Raises InputError for any other line.
    """
    try:
        data = np.frombuffer(path.read_bytes().rstrip(), np.uint8)
    except OSError as error:
        raise InputError(f"{path}: needs to be readable, got {error.strerror}") from error
    raw = bytes(data).split(b"\n")
    if separator.encode() not in raw[0]:
        separator = " "
    values = np.full((len(raw), columns), np.nan)
    found, kinds = np.zeros(len(raw), np.int32), np.zeros(len(raw), np.uint8)
    length = text.read_table(data, ord(separator), word_column, _padded(words), values, found, kinds)
    width = len(_cells(raw[0], separator))
    as_expected = (found[:length] == width) & (kinds[:length] == text.PLAIN) & (width in widths)
    for line in np.flatnonzero(~as_expected).tolist():
        cells = _cells(raw[line], separator)
        if len(cells) not in widths:
            refuse(path, line + 1, f"{' or '.join(map(str, widths))} columns", str(len(cells)) if cells else "an empty line")
        if len(cells) != width:
            refuse(path, line + 1, f"{width} columns as in line 1", str(len(cells)))
        values[line] = _slowly(path, line + 1, cells[:columns], columns, word_column, words)
    return Table(values[:length], np.arange(1, length + 1))


def _cells(raw: bytes, separator: str) -> list[str]:
    line = raw.decode("utf-8", "replace")
    if separator == " ":
        return line.split()
    cells = [cell.strip() for cell in line.split(separator)]
    return cells if cells[-1] else cells[:-1]  # some writers end lines with a separator


def _slowly(path: Path, number: int, cells: list[str], columns: int, word_column: int, words: Sequence[str]) -> list[float]:
    """One line that the fast reader cannot read: with an exponent, with many digits, or invalid."""
    out = []
    for column, cell in enumerate(cells):
        if column == word_column:
            if cell.lower() not in words:
                refuse(path, number, f"a type of {', '.join(words)} in column {column + 1}", cell)
            out.append(float(words.index(cell.lower())))
            continue
        try:
            out.append(float(cell))
        except ValueError:
            refuse(path, number, f"a number in column {column + 1}", repr(cell))
    return out + [np.nan] * (columns - len(out))


def refuse(path: Path, number: int, needs: str, got: str) -> NoReturn:
    raise InputError(f"{path}:{number}: needs {needs}, got {got}")


def check_finite(path: Path, table: Table, columns: slice, what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(table.values[:, columns]).all(1))
    if len(bad):
        row = bad[0]
        column = int(np.flatnonzero(~np.isfinite(table.values[row, columns]))[0]) + columns.start
        refuse(path, int(table.lines[row]), f"finite {what}", f"{table.values[row, column]:g} in column {column + 1}")


def whole(path: Path, table: Table, column: int, what: str, least: int | None = None) -> np.ndarray:
    """The column as (L,) int64; `least` is the smallest number allowed."""
    values = table.values[:, column]
    good = np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 2**53)
    if least is not None:
        good &= values >= least
    if not good.all():
        row = int(np.argmin(good))
        numbers = "whole number" if least is None else f"number {least}, {least + 1}, .."
        refuse(path, int(table.lines[row]), f"a {what} ({numbers}) in column {column + 1}", f"{values[row]:g}")
    return values.astype(np.int64)


def frames(path: Path, table: Table, first: int) -> np.ndarray:
    """Column 1 as (L,) int64, counted from `first`. The largest number is limited: every frame takes memory."""
    out = whole(path, table, 0, "frame", least=first)
    if len(out) and out.max() >= MAX_FRAMES:
        row = int(np.argmax(out >= MAX_FRAMES))
        refuse(path, int(table.lines[row]), f"a frame below {MAX_FRAMES:,} in column 1", f"{out[row]}")
    return out


def check_unique(path: Path, frames: np.ndarray, ids: np.ndarray, groups: np.ndarray, lines: np.ndarray) -> None:
    """No id twice in one frame and group; rows of group -1 are not checked. Rows may have any order."""
    order = np.lexsort((lines, ids, groups, frames))
    order = order[groups[order] >= 0]
    same = np.ones(max(len(order) - 1, 0), bool)
    for key in (frames, ids, groups):
        same &= key[order][1:] == key[order][:-1]
    if same.any():
        twice = order[1:][same]
        row = int(twice[np.argmin(lines[twice])])
        first = int(order[int(np.flatnonzero(order == row)[0]) - 1])
        got = f"id {ids[row]} of frame {frames[row]} again, first in line {lines[first]}"
        refuse(path, int(lines[row]), "every track id once per frame", got)


def _padded(words: Sequence[str]) -> np.ndarray:
    out = np.zeros((len(words), max(map(len, words), default=0)), np.uint8)
    for row, word in enumerate(words):
        out[row, : len(word)] = np.frombuffer(word.encode(), np.uint8)
    return out
