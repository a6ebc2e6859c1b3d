"""Thermal counts -> 8 bits: the distribution of a picture's counts, two limits, a linear stretch between them."""

from __future__ import annotations

import numpy as np
from numba import njit

NUM_COUNTS = 1 << 16


@njit(nogil=True, cache=True)
def distribution(counts: np.ndarray, bins: np.ndarray) -> None:
    """counts (H, W) uint16; fills bins (NUM_COUNTS,) int32: pixels of each count."""
    bins[:] = 0
    for row in range(counts.shape[0]):
        for column in range(counts.shape[1]):
            bins[counts[row, column]] += 1


@njit(nogil=True, cache=True)
def count_at(bins: np.ndarray, rank: int) -> int:
    """The count of the pixel at `rank` (0 = coldest) of a distribution; the warmest count where there are fewer pixels."""
    seen, last = 0, 0
    for count in range(len(bins)):
        if bins[count]:
            last = count
            seen += bins[count]
            if seen > rank:
                return count
    return last


@njit(nogil=True, cache=True)
def stretch(counts: np.ndarray, low: float, high: float, out: np.ndarray) -> None:
    """counts (H, W) uint16; fills out (H, W) uint8: low -> 0, high -> 255, linear between, cut beyond. high > low."""
    first, scale = np.float32(low), np.float32(255.0 / (high - low))
    for row in range(counts.shape[0]):
        for column in range(counts.shape[1]):
            value = (np.float32(counts[row, column]) - first) * scale + np.float32(0.5)
            out[row, column] = np.uint8(min(max(value, np.float32(0.0)), np.float32(255.0)))
