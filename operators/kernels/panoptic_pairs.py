"""How many pixels each pair of segments of two maps shares."""

from __future__ import annotations

import numpy as np
from numba import njit

_BLOCK = 16


@njit(nogil=True, cache=True)
def count_pairs(truth: np.ndarray, found: np.ndarray, keys: np.ndarray, pixels: np.ndarray) -> int:
    """The number of different pairs; -1 if the table is too small, which must be cleared then.

    in   truth, found  (N,) int32 or int64   segment ids of the same pixels
    io   keys          (T, 2) int64          hash table: truth id, found id; T a power of 2
         pixels        (T,) int64            0 = empty place
    A run of equal pairs is one step; a block of pixels is compared at once where it goes on.
    """
    num, size, used = len(truth), len(pixels), 0
    mask, most = size - 1, size // 2
    at = 0
    while at < num:
        a, b, start = truth[at], found[at], at
        at += 1
        while at + _BLOCK <= num:
            differs = truth[at] - truth[at]
            for i in range(_BLOCK):
                differs |= (truth[at + i] ^ a) | (found[at + i] ^ b)
            if differs != 0:
                break
            at += _BLOCK
        while at < num and truth[at] == a and found[at] == b:
            at += 1
        place = (a * 40503 + b * 30011 + (a >> 13) + (b >> 11)) & mask
        while pixels[place] != 0 and (keys[place, 0] != a or keys[place, 1] != b):
            place = (place + 1) & mask
        if pixels[place] == 0:
            if used == most:
                return -1
            used += 1
            keys[place, 0], keys[place, 1] = a, b
        pixels[place] += at - start
    return used
