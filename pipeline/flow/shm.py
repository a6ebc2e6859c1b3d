"""Shared memory: pools of slots for frames, and read-only views that keep their slot.

Pool: one memfd per producing node, created and touched by the supervisor before any node starts. It holds the ports one after
the other; each port is `slots` slots of `stride` bytes:

    slot    | header, see slot.py | payload, `slot_bytes`          |
            | generation ...      | array 0 | pad to 64 | array 1 ...

The producer maps the pool writeable. Readers map it PROT_READ through a file description opened read-only, so no code
downstream can write to it, not even torch. /dev/shm is not used; when the last process dies the kernel frees all memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from typing import Any

import numpy as np

from pipeline.errors import RunError

_MADV_POPULATE_READ, _MADV_POPULATE_WRITE = 22, 23  # Linux 5.14; Python's mmap lacks these names


def create(name: str, size: int) -> int:
    """A sealed memfd of `size` bytes with every page touched; returns the fd (writeable, not inheritable)."""
    fd = os.memfd_create(f"pipe:{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        # The first touch of a page costs microseconds: touch before the start, where lack of memory also shows.
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        os.close(fd)
        raise RunError(
            f"{name}: needs {size / 1e6:.1f} MB of memory for its frames, got: {error.strerror}; lower pool: slots or max_mb"
        ) from None
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd


def readonly(fd: int) -> int:
    """A second descriptor of the same memory that cannot be mapped writeable."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


class Mapping:
    """One mapped memfd. `address` is where it starts in this process; write: it may be written there."""

    def __init__(self, fd: int, size: int, *, write: bool) -> None:
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
        self.size, self.write = size, write
        self.map = mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=prot)
        # The pages exist; this fills the page table of this process, so that the first frames cause no page faults.
        with contextlib.suppress(OSError):  # Linux < 5.14: page faults
            self.map.madvise(_MADV_POPULATE_WRITE if write else _MADV_POPULATE_READ)
        self.view = memoryview(self.map)
        self.bytes = np.frombuffer(self.map, np.uint8)
        self.address: int = self.bytes.__array_interface__["data"][0]


class Delivery:
    """Owner of one received frame's memory: lives as long as any array made from it; its end releases the slot.

    numpy shortens the `.base` chain of slices to the first object that is no plain array: `_OnlyView`, which is a Delivery, or
    `_View`, which holds one. The finalizer may run in any thread, inside any lock: it only appends.
    """

    __slots__ = ("released", "token")

    def __init__(self, released: Any, token: Any) -> None:
        self.released = released
        self.token = token

    def __del__(self) -> None:
        self.released.append(self.token)


class _OnlyView(Delivery):
    """View of a frame with one array: view and owner in one object."""

    __slots__ = ("__array_interface__",)

    def __init__(self, interface: dict[str, Any], released: Any, token: Any) -> None:
        self.__array_interface__ = interface
        self.released = released
        self.token = token


class _View:
    """View of a frame with several arrays."""

    __slots__ = ("__array_interface__", "owner")

    def __init__(self, interface: dict[str, Any], owner: Delivery) -> None:
        self.__array_interface__ = interface
        self.owner = owner


def only_view(address: int, dtype: str, shape: tuple[int, ...], released: Any, token: Any) -> np.ndarray:
    """A read-only array at `address`; `token` is appended to `released` when the last array made of it ends."""
    interface = {"data": (address, True), "shape": shape, "typestr": dtype, "version": 3}
    return np.asarray(_OnlyView(interface, released, token))


def view(address: int, dtype: str, shape: tuple[int, ...], owner: Delivery) -> np.ndarray:
    """A read-only array at `address` that keeps `owner` alive."""
    return np.asarray(_View({"data": (address, True), "shape": shape, "typestr": dtype, "version": 3}, owner))
