"""Shared memory: pools of slots for frames, and the board of words that says who holds them.

Pool: one memfd per producing node, made and touched by the supervisor before anything starts. Its ports lie one after the
other; each port is `slots` slots of `stride` bytes:

    slot    | header, 64 bytes               | payload, `slot_bytes`          |
            | generation u64 | crc u64 | ... | array 0 | pad to 64 | array 1 ...

Generation 0 = being written. The producer maps the pool writeable; readers map it PROT_READ through a file description
that was opened read-only, so nobody downstream can write, torch included.

Board: one memfd owned by the supervisor, u64 words, exactly one writer per word (the heir of a dead writer is the
supervisor):

    per edge and slot   sent (writer) | received | released | done (reader)       generation each
    per edge            armed (writer): 1 a credit is waited for, ring when there is one; 2 also, with a newer frame (`latest`)
    per node            busy_since_ns | state | waiting_edge | num_statuses |     the thread that runs the node
                        item, item | status, status
    per process         ring head (process) | ring tail (supervisor) | events     see log.py

Nothing lies in /dev/shm; when the last process dies the kernel frees everything.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from typing import Any

import numpy as np

from pipeline.errors import RunError
from pipeline.graph.layout import (
    ITEM_WORDS,
    ITEMS,
    LEASE_WORDS,
    NODE_WORDS,
    NUM_STATUSES,
    RELEASED,
    SENT,
    STATUS_WORDS,
    STATUSES,
    BoardShape,
)

_MADV_POPULATE_READ, _MADV_POPULATE_WRITE = 22, 23  # Linux 5.14; Python's mmap does not name them
IDLE, PROCESSING, WAITING, READING, OPENING = range(5)
"""Node states on the board. WAITING = has work but no room on `waiting_edge`."""


def create(name: str, size: int) -> int:
    """A sealed memfd of `size` bytes with every page touched; returns the fd (writeable, not inheritable)."""
    fd = os.memfd_create(f"pipe:{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        # A fresh page costs microseconds at its first touch; pay before the start, and learn now if memory is short.
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
    """One mapped memfd. `address` is where it starts in this process."""

    def __init__(self, fd: int, size: int, *, write: bool) -> None:
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
        self.map = mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=prot)
        # The pages exist already; this fills our page table so that the first frames do not fault one by one.
        with contextlib.suppress(OSError):  # Linux < 5.14: they fault
            self.map.madvise(_MADV_POPULATE_WRITE if write else _MADV_POPULATE_READ)
        self.view = memoryview(self.map)
        self.bytes = np.frombuffer(self.map, np.uint8)
        self.address: int = self.bytes.__array_interface__["data"][0]


class Board:
    """The supervisor's words; every process maps it writeable and writes its own words only."""

    def __init__(self, fd: int, shape: BoardShape) -> None:
        self.shape = shape
        self.mapping = Mapping(fd, shape.size, write=True)
        self.words: Any = self.mapping.view.cast("Q")
        self.array = self.mapping.bytes.view(np.int64)

    # -- leases ---------------------------------------------------------------------------------------------------
    def lease(self, edge: int, slot: int) -> int:
        """Index of the first word of a lease: SENT, RECEIVED, RELEASED, DONE follow each other."""
        return self.shape.lease_base[edge] + slot * LEASE_WORDS

    def armed(self, edge: int) -> int:
        """Index of the word by which the writer asks for a credit message."""
        return self.lease(edge, self.shape.edge_slots[edge])

    def leases(self, edge: int, slots: int) -> np.ndarray:
        """(slots, 3) int64 view: sent, received, released."""
        base = self.shape.lease_base[edge]
        return self.array[base : base + slots * LEASE_WORDS].reshape(slots, LEASE_WORDS)[:, SENT : RELEASED + 1]

    # -- nodes ----------------------------------------------------------------------------------------------------
    def node(self, index: int) -> int:
        """Index of a node's first word: BUSY_SINCE, STATE, WAITING_EDGE, NUM_STATUSES follow each other."""
        return self.shape.node_base + index * NODE_WORDS

    def set_item(self, index: int, step: int, item: str) -> None:
        """Name the frame of a step before its commit; two places take turns, so the last committed one is always whole."""
        self._put(self.node(index) + ITEMS + (step & 1) * ITEM_WORDS, ITEM_WORDS, item)

    def item(self, index: int, step: int) -> str:
        return self._text(self.node(index) + ITEMS + (step & 1) * ITEM_WORDS, ITEM_WORDS)

    def set_status(self, index: int, text: str) -> None:
        """What a person sees of the node; two places take turns here, too."""
        node = self.node(index)
        count = self.words[node + NUM_STATUSES] + 1
        self._put(node + STATUSES + (count & 1) * STATUS_WORDS, STATUS_WORDS, text)
        self.words[node + NUM_STATUSES] = count

    def status(self, index: int) -> str:
        """The latest one, "" before the first."""
        node = self.node(index)
        return self._text(node + STATUSES + (self.words[node + NUM_STATUSES] & 1) * STATUS_WORDS, STATUS_WORDS)

    def _put(self, word: int, words: int, text: str) -> None:
        raw = text.encode()[: words * 8 - 1]
        self.mapping.view[word * 8 : word * 8 + len(raw) + 1] = raw + b"\0"

    def _text(self, word: int, words: int) -> str:
        raw = bytes(self.mapping.view[word * 8 : (word + words) * 8])
        return raw.partition(b"\0")[0].decode(errors="replace")

    # -- rings ----------------------------------------------------------------------------------------------------
    def ring(self, process: int) -> int:
        """Index of a ring's first word, RING_HEAD; RING_TAIL and RING_FIRST, the first event, are counted from it."""
        return self.shape.ring_base + process * self.shape.ring_stride


class Delivery:
    """Owner of one received frame's memory: lives as long as any array made from it; its end releases the slot.

    numpy collapses the `.base` chain of slices to the first object that is no plain array, which is the `_View`; that holds
    this. The finalizer can run in any thread, inside any lock: it only appends.
    """

    __slots__ = ("released", "token")

    def __init__(self, released: Any, token: Any) -> None:
        self.released = released
        self.token = token

    def __del__(self) -> None:
        self.released.append(self.token)


class _View:
    __slots__ = ("__array_interface__", "owner")

    def __init__(self, interface: dict[str, Any], owner: Delivery) -> None:
        self.__array_interface__ = interface
        self.owner = owner


def view(address: int, dtype: str, shape: tuple[int, ...], owner: Delivery) -> np.ndarray:
    """A read-only array at `address` that keeps `owner` alive."""
    return np.asarray(_View({"data": (address, True), "shape": shape, "typestr": dtype, "version": 3}, owner))
