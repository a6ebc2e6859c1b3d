"""The board words that say which process holds which slot, read from the supervisor's memfds. Imports no engine.

The layout is that of docs/decisions/001-frame-life.md and of pipeline/graph/layout.py. A change of the board there must be
repeated in the constants below and in `Words.taken`; tests/chaos/test_chaos.py compares the two.

Board: words of 8 bytes. FIRST_EDGE words of header; then per edge, in the order of the readers in the graph file: EDGE_WORDS,
of which the first is `head` (frames sent) and word TAIL is `tail` (frames received); per slot `sent | released | done`; a ring of
descriptors (slot, generation, time of sending), a power of two that holds at least two more than there are slots; padding up to
EDGE_ALIGN words.
Pool of a node with one port: per slot SLOT_HEADER bytes (generation first) and the payload, padded to SLOT_ALIGN.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORD = 8
"""Bytes of a word."""
FIRST_EDGE = 8
"""Words before the first edge."""
EDGE_WORDS, TAIL = 16, 8
"""Words of an edge before its leases; where `tail` stands."""
LEASE = struct.Struct("<3Q")
"""sent, released, done: generations."""
LEASE_WORDS = LEASE.size // WORD
DESCRIPTOR_WORDS = 3
EDGE_ALIGN = 8
SLOT_HEADER, SLOT_ALIGN = 512, 64


@dataclass(frozen=True)
class Edge:
    """slots: of the pool it reads from; holds: views the reader may keep."""

    name: str
    slots: int
    holds: int


def edges_of(nodes: dict[str, Any], holds: dict[str, int]) -> list[Edge]:
    """Edges by reader, in file order. Every output states its slots under `pool`; static ports have none.

    holds  reader -> views it may keep
    """
    out = []
    for name, node in nodes.items():
        for port, origin in node.get("inputs", {}).items():
            writer, _, its_port = origin.partition(".")
            slots = nodes[writer]["pool"].get(its_port, {"slots": 0})["slots"]  # of a static port: none
            out.append(Edge(f"{origin}->{name}.{port}", slots, holds.get(name, 0)))
    return out


def memfds(pid: int) -> dict[str, str]:
    """Last part of the name of a run's memfd (`board` or the node) -> a path by which it can be opened."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        try:
            name = os.readlink(path)
        except OSError:
            continue
        if name.startswith("/memfd:pipe:"):
            found[name.removesuffix(" (deleted)").rpartition(":")[2]] = path
    return found


class Words:
    """The memory of one run, mapped read-only."""

    def __init__(self, pid: int, nodes: dict[str, Any], holds: dict[str, int]) -> None:
        paths = memfds(pid)
        self.edges = edges_of(nodes, holds)
        self._board = _map(paths["board"])
        self._pools = {}
        for name, node in nodes.items():
            for port in node.get("pool", {}).values():
                stride = SLOT_HEADER + _padded(int(port["max_mb"] * 1e6), SLOT_ALIGN)
                self._pools[name] = (_map(paths[name]), port["slots"], stride)

    def close(self) -> None:
        for memory in (self._board, *(pool for pool, _, _ in self._pools.values())):
            memory.close()

    def taken(self) -> list[str]:
        """One line per slot that a reader has not given back, except as many views as the reader declares to keep."""
        out, word = [], FIRST_EDGE
        for edge in self.edges:
            head, tail = self._word(word), self._word(word + TAIL)
            if head != tail:
                out.append(f"{edge.name}: {head - tail} frames in its ring")
            held = []
            for slot in range(edge.slots):
                sent, released, done = LEASE.unpack_from(self._board, (word + EDGE_WORDS + LEASE_WORDS * slot) * WORD)
                if sent != released:
                    held.append((slot, sent, done))
            # views kept by declaration are done
            if len(held) > edge.holds or any(done != sent for _, sent, done in held):
                out += [f"{edge.name}: slot {s}: sent {g:#x}, done {d:#x}, not released" for s, g, d in held]
            ring = 1 << (edge.slots + 1).bit_length() if edge.slots else 0
            word += _padded(EDGE_WORDS + edge.slots * LEASE_WORDS + ring * DESCRIPTOR_WORDS, EDGE_ALIGN)
        return out

    def _word(self, index: int) -> int:
        return int(struct.unpack_from("<Q", self._board, index * WORD)[0])

    def generations(self) -> dict[str, list[int]]:
        """Node -> generation in each slot of its pool."""
        return {
            name: [struct.unpack_from("<Q", memory, slot * stride)[0] for slot in range(slots)]
            for name, (memory, slots, stride) in self._pools.items()
        }


def _padded(size: int, to: int) -> int:
    return -(-size // to) * to


def _map(path: str) -> mmap.mmap:
    fd = os.open(Path(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        return mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    finally:
        os.close(fd)
