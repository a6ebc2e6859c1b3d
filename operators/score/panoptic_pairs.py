"""The pixels that segments of two maps share: all that the scores of a frame need of its pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from operators.kernels.panoptic_pairs import MAX_ID, MAX_IDS, ROW, count_pairs, gather, tabulate
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
        self._tables: _Tables | None = None

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
        if both[0].dtype == np.int32:
            if self._tables is None:
                self._tables = _Tables(self.team.threads)
            pairs = self._tables.count(self.team, *both)
            if pairs is not None:
                return pairs
            self._tables = None
        return _any_ids(*(array.astype(np.int64) for array in both))


class _Tables:
    """Memory of the threads; all zeros between two calls, but for the ids."""

    def __init__(self, threads: int) -> None:
        self._ids = np.empty((threads, 2, MAX_IDS), np.int32)
        self._numbers = np.zeros((threads, 2, MAX_ID + 1), np.uint16)
        self._pixels = np.zeros((threads, (MAX_IDS + 1) * ROW), np.int32)

    def count(self, team: Team, truth: np.ndarray, found: np.ndarray) -> Pairs | None:
        """(N,) int32 each. None, and no use any more, where an id is too large or there are too many."""
        num, size = len(self._ids), len(truth)
        num_ids = np.empty((num, 2), np.int64)

        def part(piece: int) -> None:
            low, high = (end * (size // 16) // num * 16 if end < num else size for end in (piece, piece + 1))
            t, f, even = truth[low:high], found[low:high], (high - low) // 2 * 2
            t_words, f_words = t[:even].view(np.int64), f[:even].view(np.int64)
            (t_numbers, f_numbers), (t_ids, f_ids) = self._numbers[piece], self._ids[piece]
            num_ids[piece] = tabulate(t, f, t_words, f_words, t_numbers, f_numbers, t_ids, f_ids, self._pixels[piece])

        team.share(num, part)
        if num_ids.min() < 0:
            return None
        most = min(int(num_ids.prod(1).sum()), size)
        keys, pixels = np.empty((most, 2), np.int64), np.empty(most, np.int64)
        used = gather(num_ids, self._numbers, self._ids, self._pixels, keys, pixels)
        return Pairs(keys[:used, 0], keys[:used, 1], pixels[:used])


def _any_ids(truth: np.ndarray, found: np.ndarray) -> Pairs:
    """(N,) int64 each."""
    size, used = _LEAST_TABLE, -1
    while used < 0:
        keys, pixels = np.zeros((size, 2), np.int64), np.zeros(size, np.int64)
        used = count_pairs(truth, found, keys, pixels)
        size *= 8
    there = np.flatnonzero(pixels)
    order = there[np.lexsort((keys[there, 1], keys[there, 0]))]
    return Pairs(keys[order, 0], keys[order, 1], pixels[order])


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
