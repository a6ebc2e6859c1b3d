"""The words that say who holds which slot, read from the supervisor's memfds by their layout. Knows nothing of the engine.

Board (see flow/shm.py): u64 words. From word 8 on, per edge in file order: per slot `sent | received | released | done`,
then `armed`, then up to a multiple of 8. Pool of a node with one port: `slots` times 64 bytes of header (generation u64, crc u64)
and the payload, padded to 64.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LEASE = struct.Struct("<4Q")


@dataclass(frozen=True)
class Edge:
    """slots: of the pool it reads from; holds: views the reader may keep."""

    name: str
    slots: int
    holds: int


def edges_of(nodes: dict[str, Any], holds: dict[str, int]) -> list[Edge]:
    """By reader in file order. Every output states its slots under `pool`; static ones have none.

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
                stride = 64 + -(-int(port["max_mb"] * 1e6) // 64) * 64
                self._pools[name] = (_map(paths[name]), port["slots"], stride)

    def close(self) -> None:
        for memory in (self._board, *(pool for pool, _, _ in self._pools.values())):
            memory.close()

    def taken(self) -> list[str]:
        """Every slot that a reader has not given back, in words; as many as a reader declares to keep are its right."""
        out, word = [], 8
        for edge in self.edges:
            held = []
            for slot in range(edge.slots):
                sent, received, released, done = _LEASE.unpack_from(self._board, (word + 4 * slot) * 8)
                if sent != released:
                    held.append((slot, sent, received, done))
            # what is kept rightly was received and is done with
            if len(held) > edge.holds or any(received != sent or done != sent for _, sent, received, done in held):
                out += [f"{edge.name}: slot {s}: sent {g:#x}, received {r:#x}, done {d:#x}, not released" for s, g, r, d in held]
            word += -(-(edge.slots * 4 + 1) // 8) * 8
        return out

    def generations(self) -> dict[str, list[int]]:
        """Node -> generation in each slot of its pool."""
        return {
            name: [struct.unpack_from("<Q", memory, slot * stride)[0] for slot in range(slots)]
            for name, (memory, slots, stride) in self._pools.items()
        }


def _map(path: str) -> mmap.mmap:
    fd = os.open(Path(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        return mmap.mmap(fd, 0, prot=mmap.PROT_READ)
    finally:
        os.close(fd)
