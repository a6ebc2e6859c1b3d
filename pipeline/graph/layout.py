"""The layout of the memory that a run's processes share: slots in pools, words on the board; what both ends of an edge know.

It follows from the graph alone, so every process computes the same layout. `flow/shm.py` maps the memory that this describes.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from functools import cached_property

SLOT_HEADER = 512
"""Bytes before the payload of a slot: the header of the frame, see `flow/slot.py`."""

EDGE_HEAD, BOUND, ARMED, EDGE_TAIL, LEASES = 0, 1, 2, 8, 16
"""Words of an edge. The writer stores: frames sent so far, bound of the stream, "ring when you give credit". The reader stores:
frames received so far. Behind them are the leases of the slots, then the ring of descriptors."""
SENT, RELEASED, DONE = range(3)
"""Words of a lease, each a generation: of the frame last sent, last given back, last processed."""
LEASE_WORDS = 3
DESCRIPTOR_WORDS = 3
"""Words of a descriptor in a ring: slot, generation, when it was sent (CLOCK_MONOTONIC, ns)."""
BELL_WORDS = 8
"""Words of a bell, a cache line: the first says that its thread sleeps."""

IDLE, PROCESSING, WAITING, READING, OPENING, CLOSING = range(6)
"""States of a node. WAITING: it has work, but WAITING_EDGE has no room."""

BUSY_SINCE, STATE, WAITING_EDGE, NUM_STATUSES, FIRST_STAMP, HAS_FIRST, WANTED_LEVEL = range(7)
"""First words of a node. WAITING_EDGE is the index of an edge + 1, 0 = none. FIRST_STAMP: of a source, if HAS_FIRST.
WANTED_LEVEL: of an operator (Operator.levels), from its next frame on; written by the supervisor."""
ITEM_WORDS, STATUS_WORDS = 32, 32
ITEM_BYTES = 8 * ITEM_WORDS - 1
"""Longest item. It fits into the header of a slot, too, beside the description of the arrays."""
ITEMS = 8
STATUSES = ITEMS + 2 * ITEM_WORDS
"""Where a node's two item names and its two statuses begin."""
NODE_WORDS = STATUSES + 2 * STATUS_WORDS

RING_HEAD, RING_TAIL, RING_FIRST = 0, 8, 16
"""Words of a process's event log: head and tail in cache lines of their own, then the events."""
RING_EVENTS, EVENT_WORDS = 8192, 8


@dataclass(slots=True)
class EdgeSpec:
    """What both ends of an edge know.

    window  frames the reader may have unprocessed at a time; holds: processed frames whose views it may keep
    tap     the reader only watches: unless it blocks, nothing is queued for it (see Operator.tap)
    spare   the reader also works without this edge: an optional static input, or a stream that sync calls optional
    """

    index: int
    name: str
    static: bool
    policy: str
    size: int
    window: int
    holds: int
    max_age_ns: int | None
    slots: int
    tap: bool = False
    spare: bool = False
    writer_epoch: int = 0
    reader_epoch: int = 0


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


def ring_size(slots: int) -> int:
    """Descriptors of an edge's ring, a power of two: one for every slot, and those before head and tail, which stay intact."""
    return 1 << (slots + 1).bit_length() if slots else 0


@dataclass(frozen=True)
class BoardShape:
    """Counts of edges (with their slots), nodes, processes and bells on the board, and where their words lie."""

    edge_slots: tuple[int, ...]
    nodes: int
    processes: int
    bells: int

    @property
    def edge_base(self) -> list[int]:
        """First word of each edge."""
        return self._edges[0]

    @property
    def node_base(self) -> int:
        return self._edges[1]

    @property
    def bell_base(self) -> int:
        return self.node_base + self.nodes * NODE_WORDS

    @property
    def ring_base(self) -> int:
        return self.bell_base + self.bells * BELL_WORDS

    @property
    def ring_stride(self) -> int:
        return RING_FIRST + RING_EVENTS * EVENT_WORDS

    @property
    def size(self) -> int:
        """Bytes."""
        return align((self.ring_base + self.processes * self.ring_stride) * 8, mmap.PAGESIZE)

    @cached_property
    def _edges(self) -> tuple[list[int], int]:
        """First word of each edge, and the first word behind all edges."""
        bases, at = [], 8
        for slots in self.edge_slots:
            bases.append(at)
            at = align(at + LEASES + slots * LEASE_WORDS + ring_size(slots) * DESCRIPTOR_WORDS, 8)
        return bases, at


def align(n: int, to: int = 64) -> int:
    return -(-n // to) * to
