"""What every reader of text shares: encodings, control bytes, tables. Each reader for itself: tests/test_text_readers.py."""

import math
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import textfile
from pipeline.errors import InputError


@pytest.fixture
def file(tmp_path):
    def write(data: bytes):
        path = tmp_path / "a.txt"
        path.write_bytes(data)
        return path

    return write


def refused(call, *args, **named):
    with pytest.raises(InputError) as e:
        call(*args, **named)
    return str(e.value)


ENDS = [b"", b"\n", b"\n\n \t\n", b"\r\n"]


@pytest.mark.parametrize("end", ENDS)
def test_line_ends_and_marks_make_no_difference(file, end):
    for ends in (b"\n", b"\r\n", b"\r", b"\r\r\n"):
        for mark in (b"", b"\xef\xbb\xbf"):
            assert textfile.lines(file(mark + ends.join([b"1 2", b"", b"3 4"]) + end)) == ["1 2", "", "3 4"]
            assert textfile.count_lines(file(mark + ends.join([b"1 2", b"", b"3 4"]) + end)) == 3
        assert textfile.lines(file(end)) == [] and textfile.count_lines(file(end)) == 0


@pytest.mark.parametrize("name", ["UTF-16", "UTF-16-LE", "UTF-16-BE", "UTF-32", "UTF-32-BE"])
def test_other_encodings_are_named(file, name):
    message = refused(textfile.read, path := file("1 2 3\n".encode(name)))
    if name.endswith("E"):
        assert message == f"{path}:1: needs text, got the control byte 0x00; is it UTF-16 or cut off by a crash?"
    else:
        assert message == f"{path}: needs UTF-8, got {name}; save it as UTF-8 (iconv -f {name} -t UTF-8)"


@pytest.mark.parametrize("byte", [b for b in (*range(32), 127) if b not in (9, 10, 13)])
def test_a_control_byte_is_named_wherever_it_stands(file, byte):
    for data, line in ((b"%c", 1), (b"1 2\n3 4%c\n", 2), (b"1\r\n2\r\n%c 3\r\n", 3), (b"1 2\n%c1 2\n", 2), (b"1\n\n\n%c", 4)):
        path = file(data % byte)
        for read in (textfile.lines, textfile.count_lines, textfile.column, lambda path: textfile.read_table(path, (2,), 2)):
            assert refused(read, path).startswith(f"{path}:{line}: needs text, got the control byte 0x{byte:02x}")


def test_other_bytes_are_escaped_and_lines_are_those_of_an_editor(file):
    written = "ä\xa0\x85 \u2028é".encode() + b"\xff\n\tb\n"
    assert textfile.lines(file(written)) == ["ä\xa0\x85 \u2028é\\xff", "\tb"]


def test_a_file_that_is_too_large_is_refused_before_memory_is_taken(file):
    path = file(b"")
    os.truncate(path, 1 << 40)
    tracemalloc.start()
    assert refused(textfile.read, path) == f"{path}: needs at most 256 MB of text, got 1048576 MB"
    assert refused(textfile.lines, path) == f"{path}: needs at most 64 MB of text, got 1048576 MB"
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def table(path, widths=(2, 3), columns=3, **named):
    return textfile.read_table(path, widths, columns, **named).values.tolist()


def test_tables(file):
    assert table(file(b"")) == []
    assert table(file(b"1 2e0\n 3\t4.50\n"), columns=2) == [[1, 2], [3, 4.5]]
    assert table(file(b"1,2, 3,\r\n4 5 , 6\r\n"), comma=True) == [[1, 2, 3], [4, 5, 6]]
    assert table(file(b"1 2 3 4\n5 6 7\n"), 3, 2) == [[1, 2], [5, 6]]
    assert math.isnan(table(file(b"1 2\n"))[0][2])
    assert table(file(b"1 Car 0.12345678901234567890\n2 VAN 3\n"), word_column=1, words=("Van", "Car")) == [
        [1, 1, 0.12345678901234567890],
        [2, 0, 3],
    ]


BAD = [
    (b"1\n", ":1: needs 2 or 3 columns, got 1"),
    (b"1 2\n1 2 3\n", ":2: needs 2 columns as in line 1, got 3"),
    (b"1 2\n\n1 2\n", ":2: needs 2 or 3 columns, got an empty line"),
    (b"1 2\n1 x\n", ":2: needs a number in column 2, got 'x'"),
    (b"1 2\n1 1_0\n", ":2: needs a number in column 2, got '1_0'"),
    (b"1 2\n1 \xd9\xa1\n", ":2: needs a number in column 2, got '\u0661'"),
    (b"1 2\n1 0x10\n", ":2: needs a number in column 2, got '0x10'"),
    (b"1 2\n1 2,5\n", ":2: needs a number in column 2, got '2,5'"),
    (b"1 2\n1\xc2\xa02\n", ":2: needs 2 or 3 columns, got 1"),
    (b"1 " + b"\xe9" * 100, ":1: needs a number in column 2, got '" + "\\\\xe9" * 10 + "'"),
]


@pytest.mark.parametrize(("data", "message"), BAD)
def test_bad_lines_are_named(file, data, message):
    path = file(data)
    assert refused(table, path) == f"{path}{message}"


def test_bad_lines_with_commas_and_words(file):
    path = file(b"1,2\n1,,2\n")
    assert refused(table, path, comma=True) == f"{path}:2: needs 2 columns as in line 1, got 3"
    path = file(b"1,2,3\n1,,2\n")
    assert refused(table, path, comma=True) == f"{path}:2: needs a number in column 2, got ''"
    path = file(b"1;2;3\n")
    assert refused(table, path, 3, comma=True, names="a b c") == f"{path}:1: needs 3 or more columns (a b c), got 1"
    path = file(b"1 caf\xc3\xa9\n")
    message = refused(table, path, word_column=1, words=("Car", "Van"))
    assert message == f"{path}:1: needs a type of Car, Van in column 2, got café"


@pytest.mark.parametrize("written", ["-1", "0.5", "nan", "inf", "1e300", "9007199254740993", "9" * 400, "x"])
def test_what_is_no_frame_number(file, written):
    path = file(f"3 1\n{written} 1\n".encode())
    with pytest.raises(InputError, match=f"^{path}:2: needs a "):
        textfile.frames(textfile.read_table(path, (2,), 2), first=0)


@pytest.mark.parametrize("frame", [1_000_000, 17123456, 1712345678, 1712345678000, 1712345678000000])
def test_a_time_is_no_frame_number(file, frame):
    path = file(f"3 1\n{frame} 1\n".encode())
    message = f"{path}:2: needs a frame below 1,000,000 in column 1, got {frame}; is it a time?"
    assert refused(textfile.frames, textfile.read_table(path, (2,), 2), 0) == message


@pytest.mark.parametrize("form", ["%d", "%.1f", "%f", "%.18e", "%06d", "%+d", "%g", "%.3E"])
def test_whole_numbers_as_others_write_them(file, form):
    path = file("".join(form % k + " 1\n" for k in (0, 1, 250)).encode())
    assert textfile.frames(textfile.read_table(path, (2,), 2), 0).tolist() == [0, 1, 250]
    assert textfile.column(path).tolist() == [0, 1, 250]


def test_the_first_numbers_of_lines(file):
    assert textfile.column(file(b"")).tolist() == []
    data = b"1,2\n\nx,3\n 0.12345678901234567890 \n-4\n,5\nnan,1\n9999999999999999999999999,1\n7"
    assert textfile.column(file(data), comma=True).tolist() == [1, 0.12345678901234567890, -4, 1e25, 7]


def test_numbers_of_a_line(file):
    path = file(b"")
    assert textfile.numbers(path, 3, "P2", " 1 -2e3\t.5 ", 3).tolist() == [1, -2000, 0.5]
    assert refused(textfile.numbers, path, 3, "P2", "1 2", 3) == f"{path}:3: needs 3 numbers after P2, got 2"
    assert refused(textfile.numbers, path, 3, "P2", "1 \x1b[31m", 2) == f"{path}:3: needs 2 numbers after P2, got '1 \\x1b[31m'"
    assert refused(textfile.numbers, path, 3, "P2", "1 nan", 2) == f"{path}:3: needs 2 numbers after P2, finite, got '1 nan'"


def test_finite_numbers(file):
    good = textfile.read_table(file(b"1 1e30\n-1e30 2\n"), (2,), 2)
    textfile.check_finite(good, slice(0, 2), "numbers")
    path = file(b"1 2\n3 1e31\n")
    assert refused(textfile.check_finite, textfile.read_table(path, (2,), 2), slice(1, 2), "sizes") == (
        f"{path}:2: needs finite sizes, got 1e+31 in column 2"
    )
    assert textfile.small(np.array([0.9, -0.9, 1e30, -1e30])).tolist() == [0, 0, 2**31 - 1, -(2**31)]


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_a_table_or_one_line_of_error(tmp_path_factory, data, comma):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(data)
    message = ""
    try:
        values = textfile.read_table(path, (1, 2), 2, comma=comma).values
    except InputError as error:
        message, values = str(error), np.empty((0, 2))
    if message:
        assert message.startswith(f"{path}:") and message.isprintable()
    else:
        assert values.shape == (textfile.count_lines(path), 2)


@pytest.mark.parametrize("data", [b"\n" * 3_000_000 + b"x", b"1\n" * 10**6, b"1 " * 10**6, b"," * 3_000_000, b"9" * 3_000_000])
@pytest.mark.timeout(20)
def test_memory_follows_the_size_of_the_file(file, data):
    path = file(data)
    tracemalloc.start()
    with pytest.raises(InputError):
        textfile.read_table(path, (17, 18), 18, comma=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(data)
