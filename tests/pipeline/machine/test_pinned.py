"""Which pools are registered with the CUDA driver, with which flags, how often; a stand-in records the calls. No GPU was here."""

import logging
import os
import sys
from types import SimpleNamespace

import pytest

from pipeline.flow import shm
from pipeline.machine import pinned
from pipeline.machine.pinned import (
    CAN_MAP,
    INTEGRATED,
    MAPPED,
    PORTABLE,
    READ_ONLY,
    READ_ONLY_SUPPORTED,
    REGISTER_SUPPORTED,
    Pinned,
)

SIZE = 8192
PC = {CAN_MAP: 1, REGISTER_SUPPORTED: 1, READ_ONLY_SUPPORTED: 1}
JETSON = PC | {INTEGRATED: 1}


class Cuda:
    """The driver: what was called, and addresses on a device 1 TB further up."""

    def __init__(self, attributes, fails=0):
        self.attributes, self.fails, self.registered, self.calls = attributes, fails, {}, []

    def attribute(self, number):
        return self.attributes.get(number, 0)

    def register(self, address, size, flags):
        assert address not in self.registered
        self.calls.append((size, flags))
        if not self.fails:
            self.registered[address] = size
        return self.fails

    def unregister(self, address):
        del self.registered[address]
        return 0

    def device_address(self, address):
        return address + (1 << 40)


@pytest.fixture
def maps():
    """A pool as its writer and as a reader map it."""
    fd = shm.create("test", SIZE)
    reading = shm.readonly(fd)
    yield shm.Mapping(fd, SIZE, write=True), shm.Mapping(reading, SIZE, write=False)
    os.close(fd)
    os.close(reading)


def test_no_pools():
    cuda, locked = Cuda(PC), Pinned()
    locked.lock([], cuda)
    locked.unlock()
    assert cuda.calls == []


def test_each_pool_once_and_none_at_the_end(maps):
    cuda, locked = Cuda(PC), Pinned()
    locked.lock(maps, cuda)
    locked.lock(maps, cuda)
    assert cuda.calls == [(SIZE, PORTABLE | MAPPED), (SIZE, PORTABLE | MAPPED | READ_ONLY)]
    assert set(cuda.registered) == {m.address for m in maps} and not locked.refused
    locked.unlock()
    locked.unlock()
    assert cuda.registered == {} and locked.ranges == []


def test_what_lies_in_a_pool(maps):
    locked = Pinned()
    locked.lock(maps[1:], Cuda(PC))
    start = maps[1].address
    assert locked.find(start, SIZE) and locked.find(start + 100, 8).start == start
    assert (
        locked.find(start + SIZE - 4, 8) is None and locked.find(start - 1, 8) is None and locked.find(maps[0].address, 8) is None
    )
    assert locked.find(start, 8).device == 0, "a GPU of its own copies the frame"


def test_an_integrated_gpu_sees_the_pool_itself(maps):
    locked = Pinned()
    locked.lock(maps, Cuda(JETSON))
    assert [r.device for r in locked.ranges] == [m.address + (1 << 40) for m in maps]


@pytest.mark.parametrize(
    "lacks, calls, reason",
    [
        (READ_ONLY_SUPPORTED, [(SIZE, PORTABLE | MAPPED)], "cannot register read-only memory"),
        (REGISTER_SUPPORTED, [], "cannot register memory of the CPU"),
        (CAN_MAP, [(SIZE, PORTABLE), (SIZE, PORTABLE | READ_ONLY)], ""),
    ],
)
def test_only_what_the_device_can(maps, lacks, calls, reason):
    cuda, locked = Cuda({k: v for k, v in JETSON.items() if k != lacks}), Pinned()
    locked.lock(maps, cuda)
    assert cuda.calls == calls and (reason in " ".join(locked.refused)) and bool(locked.refused) == bool(reason)
    if lacks == CAN_MAP:
        assert all(r.device == 0 for r in locked.ranges)


def test_a_driver_that_refuses(maps, caplog):
    locked = Pinned()
    locked.lock(maps, Cuda(PC, fails=801))
    assert locked.ranges == [] and locked.refused == ["0.0 MB: the CUDA driver says 801"] * 2
    with caplog.at_level(logging.INFO):
        locked.unlock()
    assert "page-locked for CUDA: 0 pools" in caplog.text and "801" in caplog.text


@pytest.mark.parametrize("torch", [None, SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: False))])
def test_nothing_happens_where_no_node_uses_cuda(maps, monkeypatch, torch):
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(pinned, "Libcuda", lambda device: pytest.fail("the driver was loaded"))
    monkeypatch.setattr(pinned, "PINNED", Pinned())
    pinned.lock(maps)
    assert pinned.PINNED.ranges == [] and pinned.PINNED.refused == []


def test_a_context_of_torch_locks_the_pools_of_the_process(maps, monkeypatch):
    cuda = Cuda(PC)
    torch = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True, current_device=lambda: 2))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(pinned, "PINNED", Pinned())
    monkeypatch.setattr(pinned, "Libcuda", lambda device: cuda if device == 2 else None)
    pinned.lock(maps[1:])
    assert cuda.calls == [(SIZE, PORTABLE | MAPPED | READ_ONLY)]
    pinned.PINNED.unlock()
    assert cuda.registered == {}


def test_without_a_driver_it_is_a_warning(maps, monkeypatch, caplog):
    def missing(device):
        raise OSError("libcuda.so.1: cannot open shared object file")

    torch = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True, current_device=lambda: 0))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(pinned, "Libcuda", missing)
    pinned.lock(maps)
    assert "pools are not page-locked: libcuda.so.1" in caplog.text
