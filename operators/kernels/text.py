"""Tables of plain decimal numbers, read straight from a file's bytes: some 20 ns per number."""

from __future__ import annotations

import numpy as np
from numba import njit

MAX_DIGITS = 15
"""This many digits make a whole number below 2**53, whose quotient by a power of ten up to 10**22 is the nearest double, as from
float()."""

PLAIN, OTHER = 0, 1

_POWERS = 10.0 ** np.arange(MAX_DIGITS + 1)


@njit(nogil=True, cache=True)
def read_table(
    data: np.ndarray,
    separator: int,
    word_column: int,
    words: np.ndarray,
    values: np.ndarray,
    widths: np.ndarray,
    kinds: np.ndarray,
) -> int:
    """-> L, the number of lines; blank ones count.

    data       (B,) uint8, lines ended by \\n (the last one perhaps not), \\r before it is blank
    separator  byte between columns; 32: any run of blanks and tabs. Blanks around another separator are skipped
    words      (K, W) uint8, lower case, zero-padded: what may stand in word_column (-1: numbers only), in either case
    values     (>= L, C) float64: the numbers of each line, in word_column the row of `words`; columns beyond C are not kept
    widths     (>= L,) int32: columns found
    kinds      (>= L,) uint8: PLAIN, or OTHER if a column is not a plain decimal number of up to MAX_DIGITS digits, not one of
               the words, or empty; the values of an OTHER line are undefined, the caller parses it
    """
    n, keep = data.shape[0], values.shape[1]
    at, line = 0, 0
    while at < n:
        column, kind = 0, PLAIN
        while True:
            while at < n and (data[at] == 32 or data[at] == 9 or data[at] == 13):
                at += 1
            if at >= n or data[at] == 10:
                if separator != 32 and column > 0:  # a separator came last: an empty column
                    column += 1
                    kind = OTHER
                break
            begin = at
            while at < n and data[at] > 32 and data[at] != separator:
                at += 1
            if column < keep:
                if column == word_column:
                    found = _word(data, begin, at, words)
                    values[line, column] = found
                    if found < 0:
                        kind = OTHER
                elif not _number(data, begin, at, values, line, column):
                    kind = OTHER
            column += 1
            while at < n and (data[at] == 32 or data[at] == 9 or data[at] == 13):
                at += 1
            if separator != 32:
                if at < n and data[at] == separator:
                    at += 1
                    continue
                if at < n and data[at] != 10:  # two values without a separator between them
                    kind = OTHER
                    continue
            if at >= n or data[at] == 10:
                break
        widths[line] = column
        kinds[line] = kind
        line += 1
        at += 1
    return line


@njit(nogil=True, cache=True)
def _word(data: np.ndarray, begin: int, end: int, words: np.ndarray) -> int:
    for k in range(words.shape[0]):
        if end - begin > words.shape[1] or (end - begin < words.shape[1] and words[k, end - begin] != 0):
            continue
        same = True
        for i in range(end - begin):
            c = data[begin + i]
            if 65 <= c <= 90:
                c += 32
            if c != words[k, i]:
                same = False
                break
        if same:
            return k
    return -1


@njit(nogil=True, cache=True)
def _number(data: np.ndarray, begin: int, end: int, values: np.ndarray, line: int, column: int) -> bool:
    at = begin
    negative = at < end and data[at] == 45
    if at < end and (data[at] == 45 or data[at] == 43):
        at += 1
    whole, digits, decimals, point = 0, 0, 0, False
    while at < end:
        c = data[at]
        if 48 <= c <= 57:
            whole = whole * 10 + (np.int64(c) - 48)
            digits += 1
            if point:
                decimals += 1
            if digits > MAX_DIGITS:
                return False
        elif c == 46 and not point:
            point = True
        else:
            return False
        at += 1
    if digits == 0:
        return False
    value = np.float64(whole) / _POWERS[decimals]
    values[line, column] = -value if negative else value
    return True
