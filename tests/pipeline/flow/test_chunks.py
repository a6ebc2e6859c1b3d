"""Events on disk: whole rows in files of bounded number and size; a full disk delays them."""

import os

import numpy as np
import pytest

from pipeline.flow import chunks as module
from pipeline.flow.chunks import ROW_BYTES, Chunks


def rows(first, count):
    """(count, 8) int64, numbered."""
    return np.arange(first * 8, (first + count) * 8, dtype=np.int64).reshape(count, 8)


def read(folder):
    return {path.name: np.fromfile(path, "<i8").reshape(-1, 8)[:, 0].tolist() for path in sorted(folder.glob("*"))}


def test_nothing_was_added(tmp_path):
    chunks = Chunks(tmp_path / "events")
    chunks.flush()
    chunks.close()
    assert not (tmp_path / "events").exists()


def test_rows_are_in_the_file_after_each_flush(tmp_path):
    chunks = Chunks(tmp_path / "events")
    for first in (0, 2):
        chunks.add(rows(first, 1))
        chunks.add(rows(first + 1, 1)[:, ::1])
        chunks.flush()
        assert read(tmp_path / "events") == {"00000000.events": [8 * i for i in range(first + 2)]}
    chunks.close()


def test_the_oldest_file_goes_first(tmp_path):
    chunks = Chunks(tmp_path, chunk_bytes=4 * ROW_BYTES, most=3)
    for first in range(0, 50, 2):
        chunks.add(rows(first, 2))
        chunks.flush()
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3 * 4 * ROW_BYTES
    chunks.close()
    assert list(read(tmp_path)) == ["00000010.events", "00000011.events", "00000012.events"]
    assert [i for part in read(tmp_path).values() for i in part] == [8 * i for i in range(40, 50)]


def test_rows_added_together_stay_together(tmp_path):
    chunks = Chunks(tmp_path, chunk_bytes=4 * ROW_BYTES, most=3)
    for first, count in ((0, 3), (3, 9), (12, 1)):
        chunks.add(rows(first, count))
        chunks.flush()
    chunks.close()
    assert [len(part) for part in read(tmp_path).values()] == [12, 1]


def test_a_full_disk_delays_the_rows(tmp_path, monkeypatch):
    """The disk takes 100 bytes, a row and a half, then nothing; later it has room again."""
    room, write = [100], os.write

    def small(fd, data):
        if not room[0]:
            raise OSError(28, "No space left on device")
        room[0] -= (written := write(fd, bytes(data[: room[0]])))
        return written

    chunks = Chunks(tmp_path)
    chunks.add(rows(0, 3))
    monkeypatch.setattr(module.os, "write", small)
    chunks.flush()
    assert (chunks.pending, chunks.why) == (3 * ROW_BYTES - 100, "No space left on device")
    chunks.add(rows(3, 1))
    room[0] = 10_000
    chunks.flush()
    assert read(tmp_path) == {"00000000.events": [0, 8, 16, 24]}
    chunks.close()
    assert (chunks.pending, chunks.missing) == (0, 0)


def test_what_waits_for_a_disk_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_PENDING", 5 * ROW_BYTES)
    (tmp_path / "events").write_text("a file where the folder should be")
    chunks = Chunks(tmp_path / "events")
    for first in range(0, 100, 2):
        chunks.add(rows(first, 2))
        chunks.flush()
    assert (chunks.pending, chunks.missing) == (6 * ROW_BYTES, 94)
    assert chunks.why == "File exists"
    chunks.close()


@pytest.mark.parametrize("count", [0, 1])
def test_few_rows(tmp_path, count):
    chunks = Chunks(tmp_path)
    chunks.add(rows(0, count))
    chunks.close()
    assert read(tmp_path) == ({"00000000.events": [0]} if count else {})
