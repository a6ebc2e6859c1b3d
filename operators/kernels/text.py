"""Tables of decimal numbers, read straight from a file's bytes: some 20 ns per number."""

from __future__ import annotations

import numpy as np
from numba import njit

MAX_DIGITS = 15
"""This many digits make a whole number below 2**53, whose product with or quotient by a power of ten up to 10**22 is the nearest
double, as from float(). Zeros before the first and after the last other digit do not count."""

PLAIN, OTHER = 0, 1

_MAX_POWER = 22
_POWERS = np.array([float(f"1e{k}") for k in range(_MAX_POWER + 1)])
_WHOLE_POWERS = 10 ** np.arange(MAX_DIGITS + 1)
_MAX_EXPONENT = 9_999


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
    """-> L, the number of lines read; blank ones count. Stops where `values` is full.

    data       (B,) uint8, lines ended by \\n (the last one perhaps not)
    separator  between columns: 32, any run of blanks and tabs; else this byte, blanks around it, or blanks alone. One at the end
               of a line is no column
    words      (K, W) uint8, lower case, zero-padded: what may stand in word_column (-1: numbers only), in either case
    values     (L', C) float64: the numbers of each line, in word_column the row of `words`; columns beyond C are not kept
    widths     (>= L',) int32: columns found
    kinds      (>= L',) uint8: PLAIN, or OTHER if a column is not one of the words, empty, or not a decimal number of up to
               MAX_DIGITS digits and a small exponent; the values of an OTHER line are undefined, the caller parses it
    """
    n, keep = data.shape[0], values.shape[1]
    at, line = 0, 0
    while at < n and line < values.shape[0]:
        column, kind = 0, PLAIN
        while True:
            while at < n and (data[at] == 32 or data[at] == 9):
                at += 1
            if at >= n or data[at] == 10:
                break
            begin = at
            while at < n:
                c = data[at]
                if c > 32:
                    if c == separator:
                        break
                elif c == 32 or c == 9 or c == 10:
                    break
                at += 1
            if column < keep:
                if column == word_column:
                    found = _word(data, begin, at, words)
                    values[line, column] = found
                    if found < 0:
                        kind = OTHER
                elif not (_number(data, begin, at, values, line, column) or _long_number(data, begin, at, values, line, column)):
                    kind = OTHER
            column += 1
            if separator != 32:
                while at < n and (data[at] == 32 or data[at] == 9):
                    at += 1
                if at < n and data[at] == separator:
                    at += 1
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
    """A number of up to MAX_DIGITS digits without an exponent. Small, so that it is compiled into the loop over the columns."""
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


@njit(nogil=True, cache=True)
def _long_number(data: np.ndarray, begin: int, end: int, values: np.ndarray, line: int, column: int) -> bool:
    """With an exponent, or with zeros before the first and after the last other digit, as np.savetxt writes numbers."""
    at = begin
    negative = at < end and data[at] == 45
    if at < end and (data[at] == 45 or data[at] == 43):
        at += 1
    whole, digits, zeros, any_digit, power, point = 0, 0, 0, False, 0, False
    while at < end:
        c = data[at]
        if 48 <= c <= 57:
            any_digit = True
            if point:
                power -= 1
            if c != 48:
                digits += zeros + 1
                if digits > MAX_DIGITS:
                    return False
                whole = whole * _WHOLE_POWERS[zeros + 1] + (np.int64(c) - 48)
                zeros = 0
            elif whole > 0:
                zeros += 1
        elif c == 46 and not point:
            point = True
        else:
            break
        at += 1
    if not any_digit:
        return False
    if at < end:
        shift, good = _exponent(data, at, end)
        if not good:
            return False
        power += shift
    power += zeros
    value = np.float64(whole)
    if whole > 0:
        if power > _MAX_POWER or power < -_MAX_POWER:
            return False
        value = value * _POWERS[power] if power >= 0 else value / _POWERS[-power]
    values[line, column] = -value if negative else value
    return True


@njit(nogil=True, cache=True)
def _exponent(data: np.ndarray, at: int, end: int) -> tuple[int, bool]:
    """The exponent that begins with its `e`, and whether it is one."""
    if data[at] != 101 and data[at] != 69:
        return 0, False
    at += 1
    negative = at < end and data[at] == 45
    if at < end and (data[at] == 45 or data[at] == 43):
        at += 1
    shift, good = 0, at < end
    while at < end and good:
        c = data[at]
        good = 48 <= c <= 57 and shift <= _MAX_EXPONENT
        shift = shift * 10 + (np.int64(c) - 48)
        at += 1
    return (-shift if negative else shift), good
