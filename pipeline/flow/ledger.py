"""The drop ledger: every process logs what happened to frames, the supervisor alone adds it up.

`Log` is the process side: events are appended to a ring on the board and become true together when the head moves, one
8-byte store (see docs/decisions/001-frame-life.md). `Accountant` is the supervisor side.

Event, 8 int64 words:
    0  kind | edge, port or node index << 8 | reason << 32 | slot << 40
    1  generation; of a STEP its number
    2  source index << 48 | frame_id
    3  stamp_ns
    4-6  by kind:  PUBLISHED bytes, copied bytes, -   DELIVERED hop_ns, wait_ns, -   STEP compute_ns, latency_ns, started_ns
    7  check: xor of the others and the event's number
"""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.flow.lines import Lines
from pipeline.flow.shm import Board
from pipeline.graph.layout import EVENT_WORDS, RING_EVENTS, RING_FIRST, RING_HEAD, RING_TAIL
from pipeline.watch.histogram import Histogram

PUBLISHED, DELIVERED, DROPPED, STEP, ERROR = range(1, 6)

REASONS = (
    "error",
    "restart",
    "queue_full",
    "too_old",
    "stale",
    "sync_timeout",
    "sync_no_match",
    "shutdown",
)
REASON = {name: i for i, name in enumerate(REASONS)}

_EVENT = struct.Struct("<8q")
_BLANK = (0,) * 8
_ID = (1 << 48) - 1


class Log:
    """Appends events of one process. `add` collects, `commit` makes them true; both under `lock`."""

    def __init__(self, board: Board, process: int, on_full: Callable[[], None]) -> None:
        self.lock = threading.RLock()
        base = board.ring(process)
        self._words = board.words
        self._bytes = board.mapping.view
        self._head, self._tail = base + RING_HEAD, base + RING_TAIL
        self._events = (base + RING_FIRST) * 8
        self._on_full = on_full
        self._next: int = self._words[self._head]

    def add(
        self,
        kind: int,
        index: int,
        gen: int,
        who: int,
        stamp: int,
        a: int = 0,
        b: int = 0,
        c: int = 0,
        *,
        reason: int = 0,
        slot: int = 0,
    ) -> None:
        n = self._next
        while n - self._words[self._tail] >= RING_EVENTS:
            self._on_full()
        w0 = kind | index << 8 | reason << 32 | slot << 40
        _EVENT.pack_into(
            self._bytes,
            self._events + (n % RING_EVENTS) * 64,
            w0, gen, who, stamp, a, b, c, n ^ w0 ^ gen ^ who ^ stamp ^ a ^ b ^ c,
        )  # fmt: skip
        self._next = n + 1

    def rehearse(self) -> None:
        """Touch what the next event touches; nothing is committed."""
        with self.lock:
            if self._next - self._words[self._tail] < RING_EVENTS:
                _EVENT.pack_into(self._bytes, self._events + (self._next % RING_EVENTS) * 64, *_BLANK)

    def commit(self) -> None:
        self._words[self._head] = self._next

    def drop(self, edge: int, gen: int, who: int, stamp: int, reason: str, slot: int = 0) -> None:
        """One dropped frame, true at once unless a step of this thread is being collected."""
        with self.lock:
            self.add(DROPPED, edge, gen, who, stamp, reason=REASON[reason], slot=slot)


def who(source: int, frame_id: int) -> int:
    return source << 48 | frame_id & _ID


@dataclass
class EdgeBook:
    """What the supervisor knows of one edge."""

    name: str
    sink: str | None = None
    produced: int = 0
    delivered: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    copied_bytes: int = 0
    hop: Histogram = field(default_factory=Histogram)
    open: dict[int, tuple[int, int]] = field(default_factory=dict)  # generation -> (who, stamp)
    early: dict[int, tuple[int, int]] = field(default_factory=dict)  # settled before its PUBLISHED was read

    @property
    def in_flight(self) -> int:
        return len(self.open)


@dataclass
class NodeBook:
    """What the supervisor knows of one node."""

    steps: int = 0
    out: int = 0
    errors: int = 0
    compute: Histogram = field(default_factory=Histogram)
    latency: Histogram = field(default_factory=Histogram)
    last_step: int = -1
    last_who: int = -1
    last_stamp_ns: int = 0
    last_started_ns: int = 0
    watch_from_ns: int = 0  # of a restarted node: when it was ready
    first_after_ns: int = 0  # ... and when its first step after that began


class Accountant:
    """Drains every ring and keeps the books. One thread (the supervisor's) uses it.

    ports  index -> (node index, [edge index, ...]) of every output port
    """

    def __init__(
        self,
        board: Board,
        edges: list[EdgeBook],
        nodes: list[NodeBook],
        ports: list[tuple[int, list[int]]],
        sources: list[str],
        drops_file: Path | None = None,
        lost_dir: Path | None = None,
    ) -> None:
        self.board, self.edges, self.nodes, self.ports, self.sources = board, edges, nodes, ports, sources
        self._drops = Lines(drops_file) if drops_file is not None else None
        names = {e.sink for e in edges if e.sink is not None} if lost_dir is not None else set()
        self._lost = {sink: Lines(lost_dir / sink / "lost.jsonl") for sink in names if lost_dir is not None}
        self._rings = [_Ring(board, p) for p in range(board.shape.processes)]
        self.events = 0

    def drain(self) -> int:
        """Read all committed events; returns how many there were."""
        # Rings are read one after the other: a DELIVERED may be read before its PUBLISHED; `early` holds those.
        count = 0
        for ring in self._rings:
            events = ring.take()
            if len(events):
                count += len(events)
                self._book(events)
                ring.done(len(events))
        self.events += count
        self.flush()
        return count

    def _book(self, events: np.ndarray) -> None:
        w0 = events[:, 0]
        kinds, index = w0 & 0xFF, (w0 >> 8) & 0xFFFF
        for port in np.unique(index[kinds == PUBLISHED]):
            rows = events[(kinds == PUBLISHED) & (index == port)]
            node, edges = self.ports[port]
            self.nodes[node].out += len(rows)
            gens, whos, stamps = rows[:, 1].tolist(), rows[:, 2].tolist(), rows[:, 3].tolist()
            total, copied = int(rows[:, 4].sum()), int(rows[:, 5].sum())
            for i, e in enumerate(edges):
                book = self.edges[e]
                book.produced += len(rows)
                book.bytes += total
                if i == 0:  # one copy into the slot, however many read it: it counts once, on the port's first edge
                    book.copied_bytes += copied
                if book.early:
                    for gen, who_, stamp in zip(gens, whos, stamps, strict=True):
                        if book.early.pop(gen, None) is None:
                            book.open[gen] = (who_, stamp)
                else:
                    book.open.update(zip(gens, zip(whos, stamps, strict=True), strict=True))
        for e in np.unique(index[kinds == DELIVERED]):
            rows = events[(kinds == DELIVERED) & (index == e)]
            book = self.edges[e]
            book.delivered += len(rows)
            book.hop.add(rows[:, 4])
            for gen, who_, stamp in zip(rows[:, 1].tolist(), rows[:, 2].tolist(), rows[:, 3].tolist(), strict=True):
                self._close(book, gen, who_, stamp)
        for row in events[kinds == DROPPED].tolist():
            book = self.edges[(row[0] >> 8) & 0xFFFF]
            self._close(book, row[1], row[2], row[3])
            self._drop(book, row[2], REASONS[(row[0] >> 32) & 0xFF], row[3])
        for n in np.unique(index[kinds == STEP]):
            rows = events[(kinds == STEP) & (index == n)]
            node_book = self.nodes[n]
            node_book.steps += len(rows)
            node_book.compute.add(rows[:, 4])
            node_book.latency.add(rows[rows[:, 5] >= 0, 5])
            node_book.last_step, node_book.last_who = int(rows[-1, 1]), int(rows[-1, 2])
            node_book.last_stamp_ns, node_book.last_started_ns = int(rows[-1, 3]), int(rows[-1, 6])
            if node_book.watch_from_ns and not node_book.first_after_ns:
                later = rows[rows[:, 6] >= node_book.watch_from_ns, 6]
                node_book.first_after_ns = int(later[0]) if len(later) else 0
        for n, c in zip(*np.unique(index[kinds == ERROR], return_counts=True), strict=True):
            self.nodes[n].errors += int(c)

    def _close(self, book: EdgeBook, gen: int, who_: int, stamp: int) -> None:
        if book.open.pop(gen, None) is None:
            book.early[gen] = (who_, stamp)

    def _drop(self, book: EdgeBook, who_: int, reason: str, stamp: int) -> None:
        book.dropped[reason] = book.dropped.get(reason, 0) + 1
        line = {"edge": book.name, "reason": reason, "frame": f"{self.sources[who_ >> 48]}:{who_ & _ID}", "stamp_ns": stamp}
        for file in (self._drops, self._lost.get(book.sink or "")):
            if file is not None:
                file.add(json.dumps(line))

    def settle(self, edge: int, gen: int, reason: str) -> bool:
        """Close one open frame in the name of a dead process (or of the end of the run)."""
        book = self.edges[edge]
        entry = book.open.pop(gen, None)
        if entry is None:
            return False
        self._drop(book, entry[0], reason, entry[1])
        return True

    def settle_all(self, edge: int, reason: str) -> int:
        """Close every open frame of an edge; returns how many."""
        gens = sorted(self.edges[edge].open)
        for gen in gens:
            self.settle(edge, gen, reason)
        return len(gens)

    def name_of(self, who_: int) -> tuple[str, int]:
        return self.sources[who_ >> 48], who_ & _ID

    def flush(self) -> None:
        """Bring the lines of all drops into their files, as far as there is room."""
        for file in self._files:
            if file.pending:
                file.flush()

    def unwritten(self) -> list[str]:
        """Files that lack lines, and why, in words."""
        self.flush()
        return [
            f"{f.path}: needs room for {f.pending} bytes more, got: {f.why}; it does not name every lost frame"
            for f in self._files
            if f.pending
        ]

    @property
    def _files(self) -> list[Lines]:
        return [*([self._drops] if self._drops is not None else []), *self._lost.values()]

    def close(self) -> None:
        for file in self._files:
            file.close()


class _Ring:
    def __init__(self, board: Board, process: int) -> None:
        base = board.ring(process)
        self._array, self._words = board.array, board.words
        self._head, self._tail = base + RING_HEAD, base + RING_TAIL
        first = base + RING_FIRST
        self._events = board.array[first : first + RING_EVENTS * EVENT_WORDS].reshape(RING_EVENTS, EVENT_WORDS)

    def take(self) -> np.ndarray:
        head, tail = self._words[self._head], self._words[self._tail]
        if head == tail:
            return self._events[:0]
        numbers = np.arange(tail, head, dtype=np.int64)
        events = self._events[numbers % RING_EVENTS]
        check = numbers.copy()
        for w in range(EVENT_WORDS):
            check ^= events[:, w]
        bad = np.flatnonzero(check)
        # On a weakly ordered CPU the head may be visible before an event: take the rest next time.
        return events[: bad[0]] if len(bad) else events

    def done(self, count: int) -> None:
        self._words[self._tail] += count


def wait_for_supervisor(nudge: Callable[[], None]) -> Callable[[], None]:
    """`on_full` of a worker: the books are the supervisor's, so a full ring waits for it; nothing is overwritten."""

    def wait() -> None:
        nudge()
        time.sleep(0.001)

    return wait


def balance(book: EdgeBook) -> dict[str, Any]:
    """The report's row of an edge."""
    return {
        "produced": book.produced,
        "delivered": book.delivered,
        "dropped": dict(sorted(book.dropped.items())),
        "in_flight": book.in_flight,
        "bytes": book.bytes,
        "copied_bytes": book.copied_bytes,
        "hop_us": book.hop.percentiles(1e3, ("p50", "p95", "p99")),
    }
