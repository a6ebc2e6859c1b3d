import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.kernels import text

WORDS = np.array([list(b"car\0\0"), list(b"van\0\0"), list(b"truck")], np.uint8)


def read(data: bytes, separator=" ", word_column=-1, columns=3, function=text.read_table):
    lines = data.count(b"\n") + 1
    values, widths, kinds = np.full((lines, columns), -7.0), np.zeros(lines, np.int32), np.zeros(lines, np.uint8)
    n = function(np.frombuffer(data, np.uint8), ord(separator), word_column, WORDS, values, widths, kinds)
    return values[:n].tolist(), widths[:n].tolist(), kinds[:n].tolist()


@pytest.mark.parametrize(
    ("data", "expected", "why"),
    [
        (b"", ([], [], []), "nothing"),
        (b"1 -2.5 +3", ([[1, -2.5, 3]], [3], [0]), "no end of line"),
        (b"  1\t2  3 \t\n", ([[1, 2, 3]], [3], [0]), "blanks of all kinds"),
        (b"1 2 3 4\n5\n", ([[1, 2, 3], [5, -7, -7]], [4, 1], [0, 0]), "columns beyond those kept are counted"),
        (b"1 2 3\n\n4 5 6\n", ([[1, 2, 3], [-7] * 3, [4, 5, 6]], [3, 0, 3], [0, 0, 0]), "an empty line"),
        (b".5 5. 00.50", ([[0.5, 5, 0.5]], [3], [0]), "digits on one side of the point"),
    ],
)
def test_blanks(data, expected, why):
    assert read(data) == expected, why


@pytest.mark.parametrize(
    ("data", "widths", "kinds", "why"),
    [
        (b"1,-2.5, 3\n", [3], [0], "commas"),
        (b"1,2,\n", [2], [0], "a comma at the end"),
        (b"1,,3\n", [3], [1], "an empty column"),
        (b",2,3\n", [3], [1], "an empty column at the beginning"),
        (b",\n\n , ,\n", [1, 0, 2], [1, 0, 1], "nothing but commas"),
        (b"1,2 3\n1\t2 , 3 , \n", [3, 3], [0, 0], "blanks, with a comma or without"),
    ],
)
def test_commas(data, widths, kinds, why):
    assert read(data, ",")[1:] == (widths, kinds), why


FOR_OTHERS = b"x nan -inf - . 1.2.3 1_0 1234567890.123456 0x10 --1 1e 1e+ e5 1e5x 1e23 1e-23 1e99999999999 1\xd9\xa1 \x1a 1\0"


@pytest.mark.parametrize("cell", FOR_OTHERS.split(b" "))
def test_what_is_not_plain_is_for_somebody_else(cell):
    assert read(b"1 " + cell + b" 3\n1 2 3")[2] == [text.OTHER, text.PLAIN]


@pytest.mark.parametrize("separator", [" ", ","])
def test_every_byte_is_read_wherever_it_stands(separator):
    """A byte that is neither blank nor part of a column must not stop the reader: it ends, and its line is somebody else's."""
    for byte, data in itertools.product(range(256), (b"%c", b"1 2%c", b"1 2 %c\n", b"%c\n1 2 3", b"1 %c 3\n")):
        if bytes([byte]) in b" \t\n":
            continue
        values, widths, kinds = read(data % byte, separator)
        assert len(values) == len(widths) == len(kinds) == data.count(b"\n", 0, -1) + 1


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_it_stops_where_the_table_is_full(lines):
    values, widths, kinds = np.zeros((lines, 3)), np.zeros(lines, np.int32), np.zeros(lines, np.uint8)
    data = np.frombuffer(b"1 2 3\n4 5 6\n7 8 9\n", np.uint8)
    assert text.read_table(data, 32, -1, WORDS, values, widths, kinds) == lines
    assert values.tolist() == [[1, 2, 3], [4, 5, 6]][:lines]


EXPONENTS = (
    "1e5 -1.5E+3 1.000000000000000000e+00 0.000e-99 12300000000000000000000 1e22 0.0000000000000000000123 -0 00.50 1e-22 "
    "9.99999999999999e22 1e+0022"
)


@pytest.mark.parametrize("cell", EXPONENTS.split())
def test_exponents_and_zeros_at_either_end(cell):
    values, _, kinds = read(cell.encode(), columns=1)
    assert (kinds, values) == ([text.PLAIN], [[float(cell)]])
    assert np.signbit(values[0][0]) == np.signbit(float(cell))


def test_words_in_either_case():
    values, _, kinds = read(b"1 Car 2\n1 TRUCK 2\n1 van 2\n1 ca 2\n1 cars 2\n1 trucks 2", word_column=1)
    assert [row[1] for row in values[:3]] == [0, 2, 1] and kinds == [0, 0, 0, 1, 1, 1]


@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 15))
def test_numbers_are_those_of_float(digits, decimals):
    whole = f"{abs(digits):0{decimals + 1}d}"[-15:]
    cut = max(0, len(whole) - decimals)
    cell = ("-" if digits < 0 else "") + whole[:cut] + "." + whole[cut:]
    values, _, kinds = read(cell.encode(), columns=1)
    assert kinds == [text.PLAIN] and values == [[float(cell)]]


@given(st.from_regex(rb"[+-]?([0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,20})([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_any_spelling_of_a_number_is_that_of_float_or_is_for_somebody_else(cell):
    values, _, kinds = read(cell, columns=1)
    assert kinds == [text.OTHER] or values == [[float(cell)]]


@given(st.floats(-1e6, 1e6), st.sampled_from(["%.18e", "%f", "%g", "%.6e", "%.1f"]))
def test_what_savetxt_writes(number, form):
    cell = (form % number).encode()
    values, _, kinds = read(cell, columns=1)
    assert (kinds == [text.OTHER] and form in ("%.18e", "%.6e", "%g")) or values == [[float(cell)]]


def test_plain_python_computes_the_same():
    data = b"1 -2.25 3 4\n5\n\nx 1 2\n"
    assert read(data) == read(data, function=getattr(text.read_table, "py_func", text.read_table))
