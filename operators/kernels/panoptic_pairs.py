"""How many pixels each pair of segments of two maps shares."""

from __future__ import annotations

import numpy as np
from numba import njit

MAX_ID, MAX_IDS = (1 << 24) - 1, 511
"""Of `tabulate`: the largest id, the most ids of a map."""
ROW = 4 * (MAX_IDS + 1) + 16
"""Places of a row of its table; no power of 2, or rows would take each other's place in the cache."""
_BLOCK = 16


@njit(nogil=True, cache=True)
def _number(value: int, numbers: np.ndarray, ids: np.ndarray, used: int) -> int:
    """Gives an id the next number, if it has none; how many are used then, -1 if there are too many."""
    if numbers[value] != 0:
        return used
    if used == len(ids):
        return -1
    ids[used] = value
    numbers[value] = np.uint16(used + 1)
    return used + 1


@njit(nogil=True, cache=True)
def tabulate(
    truth: np.ndarray,
    found: np.ndarray,
    truth_words: np.ndarray,
    found_words: np.ndarray,
    truth_numbers: np.ndarray,
    found_numbers: np.ndarray,
    truth_ids: np.ndarray,
    found_ids: np.ndarray,
    table: np.ndarray,
) -> tuple[int, int]:
    """How many ids each map has; -1, -1 where an id is above MAX_ID or below 0, or a map has more than MAX_IDS.

    in   truth, found              (N,) int32            segment ids of the same pixels
         truth_words, found_words  (N // 2,) int64       views of them, two pixels a word
    io   truth_numbers, found_..   (MAX_ID + 1,) uint16, zeros    1 .. of each id; memory is used where ids are
         table                     ((MAX_IDS + 1) * ROW,) int32, zeros    pixels of each pair, in four neighbouring places: no sum
                                   waits for the one before
    out  truth_ids, found_ids      (MAX_IDS,) int32      the id of each number
    A block of pixels of one pair is one step. Indices are unsigned, as a check for negative ones takes time.
    """
    num_truth, num_found, blocks, row_size = 0, 0, len(truth) // _BLOCK, np.uint64(ROW)
    for block in range(blocks + 1):
        at, step, num = np.uint64(block) * np.uint64(_BLOCK), np.int32(1), _BLOCK
        if block < blocks:
            first = at // np.uint64(2)
            a0, b0, differs = truth_words[first], found_words[first], np.int64(0)
            for i in range(_BLOCK // 2):
                a, b = truth_words[first + np.uint64(i)], found_words[first + np.uint64(i)]
                differs |= (a ^ a0) | (b ^ b0)
            if differs == 0 and truth[at + np.uint64(1)] == truth[at] and found[at + np.uint64(1)] == found[at]:
                step, num = np.int32(_BLOCK), 1
        else:
            num = len(truth) - blocks * _BLOCK
        for i in range(num):
            t, f = np.uint64(truth[at + np.uint64(i)]), np.uint64(found[at + np.uint64(i)])
            if (t | f) > np.uint64(MAX_ID):  # so is a negative id
                return -1, -1
            row, column = np.uint64(truth_numbers[t]), np.uint64(found_numbers[f])
            if row * column == np.uint64(0):
                num_truth = _number(t, truth_numbers, truth_ids, num_truth)
                num_found = _number(f, found_numbers, found_ids, num_found)
                if num_truth < 0 or num_found < 0:
                    return -1, -1
                row, column = np.uint64(truth_numbers[t]), np.uint64(found_numbers[f])
            table[row * row_size + column * np.uint64(4) + np.uint64(i & 3)] += step
    return num_truth, num_found


@njit(nogil=True, cache=True)
def count_pairs(truth: np.ndarray, found: np.ndarray, keys: np.ndarray, pixels: np.ndarray) -> int:
    """The number of different pairs; -1 if the table is too small. Slower than `tabulate`, for any ids.

    in   truth, found  (N,) int64            segment ids of the same pixels
    io   keys          (T, 2) int64          hash table: truth id, found id; T a power of 2
         pixels        (T,) int64, zeros     0 = empty place
    """
    num, size, used = len(truth), len(pixels), 0
    mask, most = size - 1, size // 2
    at = 0
    while at < num:
        a, b, start = truth[at], found[at], at
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
