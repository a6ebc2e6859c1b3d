"""Pools: who may write, when a view's slot comes back."""

import errno
import gc
import mmap
import os
from collections import deque

import numpy as np
import pytest

from pipeline.errors import RunError
from pipeline.flow import shm
from pipeline.flow.shm import Delivery, Mapping, only_view, view

# -- memory ---------------------------------------------------------------------------------------------------------------


def test_a_memfd_is_touched_named_and_sealed():
    fd = shm.create("run-1:node", 3 * mmap.PAGESIZE)
    try:
        assert os.readlink(f"/proc/self/fd/{fd}") == "/memfd:pipe:run-1:node (deleted)"
        assert not os.get_inheritable(fd)
        assert os.fstat(fd).st_blocks * 512 == 3 * mmap.PAGESIZE, "every page exists already"
        for size in (0, 10 * mmap.PAGESIZE):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, size)
    finally:
        os.close(fd)


def test_too_little_memory_is_an_error_with_a_hint(monkeypatch):
    def full(fd, offset, length):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(RunError) as error:
        shm.create("run:big", 3_000_000)
    assert (
        str(error.value)
        == "run:big: needs 3.0 MB of memory for its frames, got: No space left on device; lower pool: slots or max_mb"
    )


def test_readers_cannot_map_for_writing():
    fd = shm.create("run:node", mmap.PAGESIZE)
    reader = shm.readonly(fd)
    try:
        with pytest.raises(PermissionError):
            mmap.mmap(reader, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        writer, seen = Mapping(fd, mmap.PAGESIZE, write=True), Mapping(reader, mmap.PAGESIZE, write=False)
        writer.view[10] = 42
        assert seen.view[10] == 42
        assert not seen.bytes.flags.writeable
        with pytest.raises(TypeError):
            seen.view[10] = 1
    finally:
        os.close(fd)
        os.close(reader)


# -- views ----------------------------------------------------------------------------------------------------------------


class Pool:
    def __init__(self):
        fd = shm.create("run:node", mmap.PAGESIZE)
        self.memory = Mapping(fd, mmap.PAGESIZE, write=True)
        os.close(fd)
        self.memory.view[: 16 * 4] = np.arange(16, dtype=np.float32).tobytes()
        self.released = deque()

    def view(self, shape=(4, 4), token=("slot", 1)):
        return only_view(self.memory.address, "<f4", shape, self.released, token)


def keep_in_exception(array):
    try:
        raise ValueError(len(array))
    except ValueError as error:
        return error


def keep_in_cycle(array):
    node = {"array": array}
    node["self"] = node
    return node


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a,
        lambda a: a[1:3][0],
        lambda a: a.reshape(2, 8).T,
        lambda a: a.view(np.uint8)[5:],
        np.asarray,
        memoryview,
        lambda a: np.frombuffer(a, np.uint32),
        lambda a: a.flat,
        keep_in_exception,
        keep_in_cycle,
    ],
    ids=["itself", "slice", "reshape", "other dtype", "asarray", "memoryview", "frombuffer", "flat", "exception", "cycle"],
)
def test_whatever_is_made_of_a_view_keeps_it(make):
    pool = Pool()
    kept = make(pool.view())
    gc.collect()
    assert list(pool.released) == [], "still in use"
    del kept
    gc.collect()
    assert list(pool.released) == [("slot", 1)], "once"


def test_copies_keep_nothing():
    pool = Pool()
    array = pool.view()
    copies = [array.copy(), array + 1, array.tolist(), np.ascontiguousarray(array.T)]
    del array
    assert list(pool.released) == [("slot", 1)]
    assert len(copies) == 4


def test_several_arrays_of_one_frame_release_once():
    pool = Pool()
    owner = Delivery(pool.released, "frame")
    arrays = [view(pool.memory.address + 16 * i, "<f4", (4,), owner) for i in range(3)]
    del owner
    while arrays:
        assert list(pool.released) == []
        arrays.pop()
    assert list(pool.released) == ["frame"]


def test_a_view_reads_the_memory_and_cannot_write():
    pool = Pool()
    array = pool.view((2, 3))
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert array.__array_interface__["data"] == (pool.memory.address, True)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1
    with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
        array.flags.writeable = True


def test_empty_view():
    pool = Pool()
    array = pool.view((0, 4))
    assert array.shape == (0, 4)
    del array
    assert list(pool.released) == [("slot", 1)]
