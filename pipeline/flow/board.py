"""The board: one memfd owned by the supervisor, with the run's state in signed 64-bit words. Each word has exactly one writer.

    per edge      head, bound, armed (writer) | tail (reader) | sent (writer), released, done (reader) per slot | ring (writer)
    per node      busy since, state, edge waited for, number of statuses, first stamp | two items | two statuses      its thread
                  level wanted                                                                           the supervisor
    per bell      asleep                                                                                 its thread
    per process   head (process) | tail (supervisor) | events: see log.py

`graph/layout.py` computes the place of each word. The supervisor takes over the words of a dead writer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.errors import FrameError, printable
from pipeline.flow.shm import Mapping
from pipeline.graph.layout import (
    BELL_WORDS,
    DESCRIPTOR_WORDS,
    EDGE_HEAD,
    EDGE_TAIL,
    ITEM_BYTES,
    ITEM_WORDS,
    ITEMS,
    LEASE_WORDS,
    LEASES,
    NODE_WORDS,
    NUM_STATUSES,
    STATUS_WORDS,
    STATUSES,
    BoardShape,
    ring_size,
)


class Board:
    """The board's memory; every process maps it writeable and writes only its own words."""

    def __init__(self, fd: int, shape: BoardShape) -> None:
        self.shape = shape
        self.mapping = Mapping(fd, shape.size, write=True)
        self.words: Any = self.mapping.view.cast("q")
        self.array = self.mapping.bytes.view(np.int64)

    # -- edges ----------------------------------------------------------------------------------------------------
    def edge(self, edge: int) -> int:
        """Index of an edge's first word; EDGE_HEAD, BOUND, ARMED, EDGE_TAIL, LEASES count from it."""
        return self.shape.edge_base[edge]

    def lease(self, edge: int, slot: int) -> int:
        """Index of the first word of a lease; SENT, RELEASED, DONE count from it."""
        return self.shape.edge_base[edge] + LEASES + slot * LEASE_WORDS

    def ring_of(self, edge: int) -> tuple[int, int]:
        """Index of the first descriptor of an edge's ring, and the mask from a frame's number to its place."""
        slots = self.shape.edge_slots[edge]
        return self.lease(edge, slots), max(0, ring_size(slots) - 1)

    def leases(self, edge: int) -> np.ndarray:
        """(slots, 3) int64 view: SENT, RELEASED, DONE."""
        slots, first = self.shape.edge_slots[edge], self.lease(edge, 0)
        return self.array[first : first + slots * LEASE_WORDS].reshape(slots, LEASE_WORDS)

    def last_sent(self, edge: int) -> int:
        """Generation of the last frame sent on an edge, 0 before the first."""
        return self._before(edge, EDGE_HEAD)

    def last_received(self, edge: int) -> int:
        """Generation of the last frame received on an edge, 0 before the first."""
        return self._before(edge, EDGE_TAIL)

    def _before(self, edge: int, word: int) -> int:
        count = self.words[self.edge(edge) + word]
        ring, mask = self.ring_of(edge)
        return int(self.words[ring + DESCRIPTOR_WORDS * ((count - 1) & mask) + 1]) if count else 0

    # -- bells ----------------------------------------------------------------------------------------------------
    def asleep(self, bell: int) -> int:
        """Index of the word `asleep` of a bell's thread."""
        return self.shape.bell_base + bell * BELL_WORDS

    # -- nodes ----------------------------------------------------------------------------------------------------
    def node(self, index: int) -> int:
        """Index of a node's first word: BUSY_SINCE, STATE, WAITING_EDGE, NUM_STATUSES follow each other."""
        return self.shape.node_base + index * NODE_WORDS

    def set_item(self, index: int, step: int, item: str) -> None:
        """Name the frame of a step before its commit; two places alternate, so the last committed one is always whole.

        Raises FrameError for an item that does not fit; sources are refused it when they read it.
        """
        raw = item.encode(errors="backslashreplace")
        if len(raw) > ITEM_BYTES:
            raise FrameError(f"item {item[:ITEM_BYTES]!a}: needs at most {ITEM_BYTES} bytes, got {len(raw)}")
        self._put(self.node(index) + ITEMS + (step & 1) * ITEM_WORDS, raw)

    def item(self, index: int, step: int) -> str:
        return self._text(self.node(index) + ITEMS + (step & 1) * ITEM_WORDS, ITEM_WORDS)

    def set_status(self, index: int, text: str) -> None:
        """The node's status line for the user, cut where it does not fit; two places alternate here too."""
        node = self.node(index)
        count = self.words[node + NUM_STATUSES] + 1
        raw = printable(str(text)).encode()[: 8 * STATUS_WORDS - 1]
        self._put(node + STATUSES + (count & 1) * STATUS_WORDS, raw)
        self.words[node + NUM_STATUSES] = count

    def status(self, index: int) -> str:
        """The latest status, "" before the first."""
        node = self.node(index)
        return self._text(node + STATUSES + (self.words[node + NUM_STATUSES] & 1) * STATUS_WORDS, STATUS_WORDS)

    def _put(self, word: int, raw: bytes) -> None:
        self.mapping.view[word * 8 : word * 8 + len(raw) + 1] = raw + b"\0"

    def _text(self, word: int, words: int) -> str:
        raw = bytes(self.mapping.view[word * 8 : (word + words) * 8])
        return raw.partition(b"\0")[0].decode(errors="replace")

    # -- rings ----------------------------------------------------------------------------------------------------
    def ring(self, process: int) -> int:
        """Index of a ring's first word, RING_HEAD; RING_TAIL and RING_FIRST, the first event, are counted from it."""
        return self.shape.ring_base + process * self.shape.ring_stride
