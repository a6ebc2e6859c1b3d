import errno
import os
import resource
from contextlib import contextmanager

import numpy as np
import pytest

from operators.files import append, exact_decimals, extend, failed, frame_number, replace


@contextmanager
def small_files():
    """No file may exceed 1000 bytes. As on a full disk, a short write comes first and then an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))  # before pytest writes into its own output


@pytest.mark.parametrize("data", [b"", b"one\n", b"many\n" * 500])
def test_replace_writes_the_whole_file_over_the_old_one(tmp_path, data):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old and longer than the new one\n")
    replace(path, data)
    assert path.read_bytes() == data and os.listdir(tmp_path) == ["a.txt"]


def test_append_adds_to_the_end_and_makes_the_file(tmp_path):
    path = tmp_path / "a.txt"
    for data in (b"", b"one\n", b"two\n"):
        append(path, data)
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_full_disk_leaves_what_was_there(tmp_path):
    with small_files():
        path = tmp_path / "a.txt"
        append(path, b"x" * 900)
        with pytest.raises(OSError, match="File too large"):
            append(path, b"y" * 200)
        assert path.read_bytes() == b"x" * 900
        with pytest.raises(OSError, match="File too large"):
            replace(path, b"z" * 2000)
        assert path.read_bytes() == b"x" * 900 and os.listdir(tmp_path) == ["a.txt"]
        append(path, b"y" * 100)
        assert path.stat().st_size == 1000


def test_short_writes_are_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    append(tmp_path / "a.txt", b"0123456789")
    assert (tmp_path / "a.txt").read_bytes() == b"0123456789"


def test_extend_takes_back_a_part_of_a_write(tmp_path, monkeypatch):
    fd = os.open(tmp_path / "a.txt", os.O_WRONLY | os.O_CREAT)
    write, calls = os.write, []

    def half_then_full(fd, data):
        calls.append(len(data))
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half_then_full)
    with pytest.raises(OSError, match="No space left on device"):
        extend(fd, b"0123456789")
    os.close(fd)
    assert calls == [10, 5] and (tmp_path / "a.txt").read_bytes() == b""


def test_the_message(tmp_path):
    error = failed(
        "results", tmp_path / "0000.txt", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "frame dets:7 (0000/000007)"
    )
    assert str(error) == (
        f"results: {tmp_path}/0000.txt: cannot write frame dets:7 (0000/000007): No space left on device; "
        "what came before is complete; free space, or choose another --out?"
    )


@pytest.mark.parametrize(
    ("item", "frame_id", "number"),
    [("0000/000134", 3, 134), ("000007", 3, 7), ("drive/left_12", 3, 3), ("", -1, -1), ("²", 4, 4)],
)
def test_frame_number(item, frame_id, number):
    assert frame_number(item, frame_id) == number


@pytest.mark.parametrize("values", [[], [16.1234], [0.1, -3.7e-5, 1234567.0, np.nan]])
def test_exact_decimals_mean_the_same_float32(values):
    single = np.array(values, np.float32)
    got = exact_decimals(single)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, np.array(values, np.float64))
    np.testing.assert_array_equal(got.astype(np.float32), single)
