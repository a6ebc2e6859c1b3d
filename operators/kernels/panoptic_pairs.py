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
def gather(
    num_ids: np.ndarray,
    numbers: np.ndarray,
    ids: np.ndarray,
    tables: np.ndarray,
    keys: np.ndarray,
    pixels: np.ndarray,
) -> int:
    """Adds up the tables of P parts of two maps, and empties them. -> the number of different pairs K

    in   num_ids  (P, 2) int64            ids of truth and prediction in each part, from `tabulate`
         ids      (P, 2, MAX_IDS) int32   theirs
    io   numbers  (P, 2, MAX_ID + 1) uint16, tables (P, (MAX_IDS + 1) * ROW) int32: as `tabulate` left them; all zeros afterwards
    out  keys     (K or more, 2) int64    truth id, found id; each pair once, rising
         pixels   (K or more,) int64
    keys has room for as many pairs as all parts together have.
    """
    parts = len(num_ids)
    truth_ids, found_ids = _together(num_ids, ids, 0), _together(num_ids, ids, 1)
    sums = np.zeros((len(truth_ids), len(found_ids)), np.int64)
    for part in range(parts):
        rows, columns = num_ids[part]
        table, of_truth, of_found = tables[part], ids[part, 0, :rows], ids[part, 1, :columns]
        column_of = np.searchsorted(found_ids, of_found)
        row_of = np.searchsorted(truth_ids, of_truth)
        for r in range(rows):
            row, at = sums[row_of[r]], (r + 1) * ROW + 4
            for c in range(columns):
                row[column_of[c]] += table[at] + table[at + 1] + table[at + 2] + table[at + 3]
                table[at : at + 4] = 0
                at += 4
            numbers[part, 0, of_truth[r]] = 0
        for c in range(columns):
            numbers[part, 1, of_found[c]] = 0
    used = 0
    for r in range(len(truth_ids)):
        for c in range(len(found_ids)):
            if sums[r, c] > 0:
                keys[used, 0], keys[used, 1], pixels[used] = truth_ids[r], found_ids[c], sums[r, c]
                used += 1
    return used


@njit(nogil=True, cache=True)
def _together(num_ids: np.ndarray, ids: np.ndarray, side: int) -> np.ndarray:
    """(M,) int32: the ids of all parts, each once, rising."""
    every = np.empty(num_ids[:, side].sum(), np.int32)
    at = 0
    for part in range(len(num_ids)):
        num = num_ids[part, side]
        every[at : at + num] = ids[part, side, :num]
        at += num
    every.sort()
    used = 0
    for k in range(len(every)):
        if used == 0 or every[k] != every[used - 1]:
            every[used] = every[k]
            used += 1
    return every[:used]


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
