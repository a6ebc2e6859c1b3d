"""The pixels that segments of two maps share: all that the scores of a frame need of its pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from operators.kernels.panoptic_pairs import MAX_ID, MAX_IDS, ROW, count_pairs, tabulate
from operators.team import Team

_LEAST_TABLE = 1 << 12
_DENSE = 1 << 16  # ids below it are looked up in an array


class Pairs(NamedTuple):
    """truth, found (K,) int64: ids, each pair once, rising; pixels (K,) int64, 1 or more."""

    truth: np.ndarray
    found: np.ndarray
    pixels: np.ndarray


class Rows(NamedTuple):
    """truth, found (K,): the row of each pair's segment in a list of ids; -1 = not in the list."""

    truth: np.ndarray
    found: np.ndarray


class PairCounter:
    """Keeps threads and memory from frame to frame."""

    def __init__(self, threads: int = 1) -> None:
        self.team = Team(max(threads, 1))
        self._tables: list[_Table | None] = [None] * self.team.threads

    def close(self) -> None:
        self.team.close()

    def count(self, truth: np.ndarray, found: np.ndarray) -> Pairs:
        """Maps of segment ids, of one shape and any type of integers. Raises ValueError."""
        if truth.shape != found.shape:
            raise ValueError(f"maps: needs two of one size, got {truth.shape} and {found.shape}")
        for name, array in (("truth", truth), ("prediction", found)):
            if array.dtype.kind not in "iu":
                raise ValueError(f"{name}: needs integers, got {array.dtype}")
        both = [np.ascontiguousarray(array).reshape(-1) for array in (truth, found)]
        if any(array.dtype != np.int32 for array in both):
            small = all(0 <= array.min(initial=0) and array.max(initial=0) <= MAX_ID for array in both)
            both = [array.astype(np.int32 if small else np.int64) for array in both]
        num, size = len(self._tables), both[0].size
        parts: list[tuple[np.ndarray, np.ndarray]] = [(np.zeros((0, 2), np.int64), np.zeros(0, np.int64))] * num

        def part(piece: int) -> None:
            low, high = (end * (size // 16) // num * 16 if end < num else size for end in (piece, piece + 1))
            table = self._tables[piece]
            if table is None:
                table = self._tables[piece] = _Table()
            parts[piece] = table.count(both[0][low:high], both[1][low:high])

        self.team.share(num, part)
        keys, pixels = (np.concatenate(lists) for lists in zip(*parts, strict=True))
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        keys, pixels = keys[order], pixels[order]
        new = np.ones(len(keys), bool)
        new[1:] = (keys[1:, 0] != keys[:-1, 0]) | (keys[1:, 1] != keys[:-1, 1])
        first = np.flatnonzero(new)
        return Pairs(keys[first, 0], keys[first, 1], np.add.reduceat(pixels, first) if len(first) else pixels)


class _Table:
    """Memory of one thread; all zeros between two calls."""

    def __init__(self) -> None:
        self._ids = [np.empty(MAX_IDS, np.int32) for _ in "tf"]
        self._clear()

    def _clear(self) -> None:
        self._numbers = [np.zeros(MAX_ID + 1, np.uint16) for _ in "tf"]
        self._pixels = np.zeros((MAX_IDS + 1) * ROW, np.int32)

    def count(self, truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N,) each -> keys (K, 2) int64, pixels (K,) int64, in any order."""
        if truth.dtype == np.int32:
            even = len(truth) // 2 * 2
            t_words, f_words = truth[:even].view(np.int64), found[:even].view(np.int64)
            (t_numbers, f_numbers), (t_ids, f_ids) = self._numbers, self._ids
            rows, columns = tabulate(truth, found, t_words, f_words, t_numbers, f_numbers, t_ids, f_ids, self._pixels)
            if columns >= 0:
                return self._take(rows, columns)
            self._clear()
            truth, found = truth.astype(np.int64), found.astype(np.int64)
        size, used = _LEAST_TABLE, -1
        while used < 0:
            keys, pixels = np.zeros((size, 2), np.int64), np.zeros(size, np.int64)
            used = count_pairs(truth, found, keys, pixels)
            size *= 8
        there = np.flatnonzero(pixels)
        return keys[there], pixels[there]

    def _take(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        t_ids, f_ids = self._ids[0][:rows], self._ids[1][:columns]
        here = self._pixels.reshape(MAX_IDS + 1, ROW)[1 : rows + 1, 4 : 4 * (columns + 1)]
        sums = here.reshape(rows, columns, 4).sum(2, dtype=np.int64)
        here[...] = 0
        self._numbers[0][t_ids] = 0
        self._numbers[1][f_ids] = 0
        row, column = np.nonzero(sums)
        return np.stack([t_ids[row], f_ids[column]], 1).astype(np.int64), sums[row, column]


def pairs_of(truth: np.ndarray, found: np.ndarray) -> Pairs:
    """Of one frame; see PairCounter."""
    return PairCounter().count(truth, found)


def rows_of(ids: np.ndarray, of: np.ndarray) -> np.ndarray:
    """For each of `of` the row of `ids` (any order, each once) that has it; -1 = none."""
    if not len(ids):
        return np.full(len(of), -1)
    if 0 <= ids.min() and (last := int(ids.max())) < _DENSE:
        table = np.full(last + 2, -1)
        table[ids] = np.arange(len(ids))
        return table[np.where((of >= 0) & (of <= last), of, last + 1)]
    order = np.argsort(ids, kind="stable")
    at = np.minimum(np.searchsorted(ids[order], of), len(ids) - 1)
    return np.where(ids[order][at] == of, order[at], -1)


def areas(rows: np.ndarray, pixels: np.ndarray, num: int) -> np.ndarray:
    """(num,) int64 pixels of each row."""
    return np.bincount(rows + 1, pixels, minlength=num + 1)[1:].astype(np.int64)
