"""Pools page-locked for a CUDA device, so that it copies a frame out of its slot by itself, or (a Jetson) reads it where it is.

A process registers each mapped pool once (cuMemHostRegister), when its nodes are open and one of them uses CUDA, and unregisters
them at its end; when it is killed, the driver does. Read-only maps need the read-only flag, which not every device has: what is
not registered goes through a page-locked copy (operators/nets/upload.py), and is counted here. On a device that shares its memory
with the CPU, `Range.device` is the address at which it sees the pool.

Source: CUDA driver API, cuMemHostRegister, cuMemHostGetDevicePointer, CUdevice_attribute. Tested with a stand-in for the driver.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

PORTABLE, MAPPED, READ_ONLY = 1, 2, 8
INTEGRATED, CAN_MAP, REGISTER_SUPPORTED, READ_ONLY_SUPPORTED = 18, 19, 99, 113
"""CUdevice_attribute."""


class Pool(Protocol):
    """A mapped pool (`flow/shm.py`)."""

    address: int
    size: int
    write: bool


class Driver(Protocol):
    """The calls of the CUDA driver that are needed; each returns 0 or an error number."""

    def attribute(self, number: int) -> int:
        """Of the device that torch uses; 0 where the driver does not know the attribute."""
        ...

    def register(self, address: int, size: int, flags: int) -> int: ...

    def unregister(self, address: int) -> int: ...

    def device_address(self, address: int) -> int:
        """0: there is none."""
        ...


class Libcuda:
    """`Driver` of libcuda.so.1, in the context that torch made on its current device."""

    def __init__(self, device: int) -> None:
        self._cuda: Any = ctypes.CDLL("libcuda.so.1")
        self._device = ctypes.c_int(0)
        context = ctypes.c_void_p()
        for failed in (
            self._cuda.cuInit(0),
            self._cuda.cuDeviceGet(ctypes.byref(self._device), device),
            self._cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), self._device),
            self._cuda.cuCtxSetCurrent(context),
        ):
            if failed:
                raise OSError(f"the CUDA driver says {failed}")

    def attribute(self, number: int) -> int:
        value = ctypes.c_int(0)
        failed = self._cuda.cuDeviceGetAttribute(ctypes.byref(value), number, self._device)
        return 0 if failed else value.value

    def register(self, address: int, size: int, flags: int) -> int:
        return int(self._cuda.cuMemHostRegister_v2(ctypes.c_void_p(address), ctypes.c_size_t(size), flags))

    def unregister(self, address: int) -> int:
        return int(self._cuda.cuMemHostUnregister(ctypes.c_void_p(address)))

    def device_address(self, address: int) -> int:
        there = ctypes.c_uint64(0)
        failed = self._cuda.cuMemHostGetDevicePointer_v2(ctypes.byref(there), ctypes.c_void_p(address), 0)
        return 0 if failed else there.value


@dataclass(frozen=True)
class Range:
    """device: where an integrated GPU sees `start`; 0: it must be copied."""

    start: int
    end: int
    device: int = 0


@dataclass
class Pinned:
    """What is page-locked in this process. staged, staged_bytes: arrays that went through a copy because they are not."""

    ranges: list[Range] = field(default_factory=list)
    staged: int = 0
    staged_bytes: int = 0
    refused: list[str] = field(default_factory=list)
    _driver: Driver | None = None

    def lock(self, pools: Iterable[Pool], driver: Driver) -> None:
        """Register each pool that is not registered yet. A pool that the device refuses is left as it is, and named."""
        self._driver, self.staged, self.staged_bytes = driver, 0, 0  # arrays before this were to warm up
        flags = PORTABLE | (MAPPED if driver.attribute(CAN_MAP) else 0)
        shared = bool(driver.attribute(INTEGRATED)) and bool(flags & MAPPED)
        for pool in pools:
            start, size = pool.address, pool.size
            if self.find(start, size) is not None:
                continue
            if not driver.attribute(REGISTER_SUPPORTED):
                self.refused.append(f"{size / 1e6:.1f} MB: the device cannot register memory of the CPU")
            elif not pool.write and not driver.attribute(READ_ONLY_SUPPORTED):
                self.refused.append(f"{size / 1e6:.1f} MB: the device cannot register read-only memory")
            elif failed := driver.register(start, size, flags | (0 if pool.write else READ_ONLY)):
                self.refused.append(f"{size / 1e6:.1f} MB: the CUDA driver says {failed}")
            else:
                self.ranges.append(Range(start, start + size, driver.device_address(start) if shared else 0))

    def find(self, address: int, size: int) -> Range | None:
        """The registered pool that holds these bytes."""
        return next((r for r in self.ranges if r.start <= address and address + size <= r.end), None)

    def unlock(self) -> None:
        """Unregister everything; may be called again. The frames' views must not be in use on the device."""
        if self._driver is None:
            return
        logging.info("%s", self)
        for each in self.ranges:
            self._driver.unregister(each.start)
        self.ranges.clear()
        self.refused.clear()
        self._driver = None

    def __str__(self) -> str:
        total = sum(r.end - r.start for r in self.ranges) / 1e6
        refused = f"; refused: {'; '.join(self.refused)}" if self.refused else ""
        copies = f"{self.staged} arrays ({self.staged_bytes / 1e6:.1f} MB) copied through page-locked memory"
        return f"page-locked for CUDA: {len(self.ranges)} pools, {total:.1f} MB; {copies}{refused}"


PINNED = Pinned()
"""Of this process."""


def lock(pools: Iterable[Pool]) -> None:
    """Page-lock the pools of this process if torch has a CUDA context here, which means that a node uses it."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return
    try:
        PINNED.lock(pools, Libcuda(int(torch.cuda.current_device())))
    except (OSError, AttributeError) as error:  # no driver, or an old one
        logging.warning("pools are not page-locked: %s", error)
