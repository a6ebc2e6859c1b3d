"""The pixels that segments of two maps share: all that the scores of a frame need of its pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from operators.kernels.panoptic_pairs import count_pairs
from operators.team import Team

_BANDS = 4  # of a map, shared out to the threads
_LEAST_TABLE = 1 << 12


class Pairs(NamedTuple):
    """truth, found (K,) int64: ids, each pair once, rising; pixels (K,) int64, 1 or more."""

    truth: np.ndarray
    found: np.ndarray
    pixels: np.ndarray


def pairs_of(truth: np.ndarray, found: np.ndarray, team: Team | None = None) -> Pairs:
    """Maps of segment ids, of one shape and any type of integers. Raises ValueError."""
    if truth.shape != found.shape:
        raise ValueError(f"maps: needs two of one size, got {truth.shape} and {found.shape}")
    for name, array in (("truth", truth), ("prediction", found)):
        if array.dtype.kind not in "iu":
            raise ValueError(f"{name}: needs integers, got {array.dtype}")
    both = [np.ascontiguousarray(array).reshape(-1) for array in (truth, found)]
    if not all(array.dtype == np.int32 for array in both):
        both = [array.astype(np.int64) for array in both]
    bands: list[tuple[np.ndarray, np.ndarray]] = [(np.zeros((0, 2), np.int64), np.zeros(0, np.int64))] * _BANDS

    def band(piece: int) -> None:
        low, high = (end * both[0].size // _BANDS for end in (piece, piece + 1))
        size, used = _LEAST_TABLE, -1
        while used < 0:
            keys, pixels = np.zeros((size, 2), np.int64), np.zeros(size, np.int64)
            used = count_pairs(both[0][low:high], both[1][low:high], keys, pixels)
            size *= 8
        there = np.flatnonzero(pixels)
        bands[piece] = keys[there], pixels[there]

    if team is None:
        for piece in range(_BANDS):
            band(piece)
    else:
        team.share(_BANDS, band)
    keys, pixels = (np.concatenate(parts) for parts in zip(*bands, strict=True))
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    keys, pixels = keys[order], pixels[order]
    first = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]).any(1)][: len(keys)])
    sums = np.add.reduceat(pixels, first) if len(first) else pixels
    return Pairs(keys[first, 0], keys[first, 1], sums)


def areas(ids: np.ndarray, pixels: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Pixels of each id of `of`, 0 where it has none."""
    known, inverse = np.unique(ids, return_inverse=True)
    sums = np.bincount(inverse, pixels, minlength=len(known)).astype(np.int64)
    rows = rows_of(known, of)
    return np.where(rows >= 0, np.append(sums, 0)[rows], 0)


def rows_of(ids: np.ndarray, of: np.ndarray) -> np.ndarray:
    """For each of `of` the row of `ids` (any order, each once) that has it; -1 = none."""
    if not len(ids):
        return np.full(len(of), -1)
    order = np.argsort(ids, kind="stable")
    at = np.minimum(np.searchsorted(ids[order], of), len(ids) - 1)
    return np.where(ids[order][at] == of, order[at], -1)
