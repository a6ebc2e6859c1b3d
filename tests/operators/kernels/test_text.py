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
        (b"  1\t2  3 \r\n", ([[1, 2, 3]], [3], [0]), "blanks of all kinds"),
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
        (b"1,2,\n", [3], [1], "an empty column at the end"),
        (b"1,,3\n", [3], [1], "an empty column"),
        (b"1,2 3\n", [3], [1], "a comma is missing"),
    ],
)
def test_commas(data, widths, kinds, why):
    assert read(data, ",")[1:] == (widths, kinds), why


@pytest.mark.parametrize(
    "cell", [b"x", b"1e5", b"nan", b"-inf", b"-", b".", b"1.2.3", b"1_0", b"1234567890.123456", b"0x10", b"--1"]
)
def test_what_is_not_plain_is_for_somebody_else(cell):
    assert read(b"1 " + cell + b" 3\n1 2 3")[2] == [text.OTHER, text.PLAIN]


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


def test_plain_python_computes_the_same():
    data = b"1 -2.25 3 4\n5\n\nx 1 2\n"
    assert read(data) == read(data, function=getattr(text.read_table, "py_func", text.read_table))
