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
    per process         ring head (process) | ring tail (supervisor) | events     see ledger.py

Nothing lies in /dev/shm; when the last process dies the kernel frees everything.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import RunError

_MADV_POPULATE_READ, _MADV_POPULATE_WRITE = 22, 23  # Linux 5.14; Python's mmap does not name them
SLOT_HEADER = 64
RING_EVENTS = 8192
LEASE_WORDS = 4
ITEM_WORDS = 16
STATUS_WORDS = 32
NODE_WORDS = 8 + 2 * ITEM_WORDS + 2 * STATUS_WORDS
EVENT_WORDS = 8

IDLE, PROCESSING, WAITING, READING, OPENING = range(5)
"""Node states on the board. WAITING = has work but no room on `waiting_edge`."""


def align(n: int, to: int = 64) -> int:
    return -(-n // to) * to


@dataclass(frozen=True, slots=True)
class PortLayout:
    """Where one port's slots lie in its node's pool."""

    port: str
    offset: int
    slots: int
    slot_bytes: int

    @property
    def stride(self) -> int:
        return SLOT_HEADER + align(self.slot_bytes)


def layout(ports: list[tuple[str, int, int]]) -> list[PortLayout]:
    """(port, slots, slot_bytes) of one node -> their places in its pool."""
    out, offset = [], 0
    for port, slots, slot_bytes in ports:
        place = PortLayout(port, offset, slots, slot_bytes)
        out.append(place)
        offset = align(offset + slots * place.stride, mmap.PAGESIZE)
    return out


def pool_bytes(ports: list[PortLayout]) -> int:
    return align(max((p.offset + p.slots * p.stride for p in ports), default=0), mmap.PAGESIZE)


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
        """Index of the `sent` word; +1 is `received`, +2 `released`, +3 `done`."""
        return self.shape.lease_base[edge] + slot * LEASE_WORDS

    def armed(self, edge: int) -> int:
        """Index of the word by which the writer asks for a credit message."""
        return self.lease(edge, self.shape.edge_slots[edge])

    def leases(self, edge: int, slots: int) -> np.ndarray:
        """(slots, 3) int64 view: sent, received, released."""
        base = self.shape.lease_base[edge]
        return self.array[base : base + slots * LEASE_WORDS].reshape(slots, LEASE_WORDS)[:, :3]

    # -- nodes ----------------------------------------------------------------------------------------------------
    def node(self, index: int) -> int:
        """Index of `busy_since_ns`; +1 is the state, +2 the edge waited for, +3 how many statuses there were."""
        return self.shape.node_base + index * NODE_WORDS

    def set_item(self, index: int, step: int, item: str) -> None:
        """Name the frame of a step before its commit; two places take turns, so the last committed one is always whole."""
        self._put(self.node(index) + 8 + (step & 1) * ITEM_WORDS, ITEM_WORDS, item)

    def item(self, index: int, step: int) -> str:
        return self._text(self.node(index) + 8 + (step & 1) * ITEM_WORDS, ITEM_WORDS)

    def set_status(self, index: int, text: str) -> None:
        """What a person sees of the node; two places take turns here, too."""
        node = self.node(index)
        count = self.words[node + 3] + 1
        self._put(node + 8 + 2 * ITEM_WORDS + (count & 1) * STATUS_WORDS, STATUS_WORDS, text)
        self.words[node + 3] = count

    def status(self, index: int) -> str:
        """The latest one, "" before the first."""
        node = self.node(index)
        return self._text(node + 8 + 2 * ITEM_WORDS + (self.words[node + 3] & 1) * STATUS_WORDS, STATUS_WORDS)

    def _put(self, word: int, words: int, text: str) -> None:
        raw = text.encode()[: words * 8 - 1]
        self.mapping.view[word * 8 : word * 8 + len(raw) + 1] = raw + b"\0"

    def _text(self, word: int, words: int) -> str:
        raw = bytes(self.mapping.view[word * 8 : (word + words) * 8])
        return raw.partition(b"\0")[0].decode(errors="replace")

    # -- rings ----------------------------------------------------------------------------------------------------
    def ring(self, process: int) -> int:
        """Index of the head word; the tail lies 8 words on, the events from 16 words on."""
        return self.shape.ring_base + process * self.shape.ring_stride


class BoardShape:
    """Where which word lies: follows from the counts alone, so that every process finds the same."""

    def __init__(self, edge_slots: list[int], nodes: int, processes: int) -> None:
        self.edge_slots, self.nodes, self.processes = list(edge_slots), nodes, processes
        self.lease_base: list[int] = []
        at = 8
        for slots in edge_slots:
            self.lease_base.append(at)
            at = align(at + slots * LEASE_WORDS + 1, 8)
        self.node_base = at
        self.ring_base = at + nodes * NODE_WORDS
        self.ring_stride = 16 + RING_EVENTS * EVENT_WORDS
        self.size = align((self.ring_base + processes * self.ring_stride) * 8, mmap.PAGESIZE)

    def pack(self) -> list[Any]:
        return [self.edge_slots, self.nodes, self.processes]


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
