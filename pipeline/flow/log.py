"""The ring of events: each process logs the events of its frames, the supervisor alone adds them up (see runtime/books.py).

`Log` is the process side: it appends events to the ring of its process on the board. One 8-byte store of the head makes all
added events count (see docs/decisions/001-frame-life.md). `Ring` is the supervisor's side.

Event, 8 int64 words:
    0  kind | edge, port or node index << 8 | reason << 32 | slot << 40
    1  generation; of a STEP its number
    2  source index << 48 | frame_id
    3  stamp_ns
    4-7  by kind:
         PUBLISHED          bytes, copied bytes, committed_ns (CLOCK_MONOTONIC), -
         DELIVERED, REUSED  hop_ns, sent_ns, injected, taken_ns: time from return, sending, taking to the call of process()
         DROPPED            now_ns (CLOCK_MONOTONIC), -, injected, -
         STEP               compute_ns, latency_ns, started_ns (of a source: committed_ns), level | write_ns << 8: level of the
                            operator (0 = the best), time from the end of process() or read() to the commit
         ERROR              now_ns (CLOCK_MONOTONIC), -, -, -
    injected: a bit for each fault of the graph that changed, delayed or dropped the frame

The events of one step follow each other: its inputs (DELIVERED, or REUSED if an earlier set had the frame), its outputs, STEP.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Iterable
from time import monotonic_ns
from typing import Any

import numpy as np

from pipeline.flow.board import Board
from pipeline.flow.fence import ORDERED, fence
from pipeline.graph.layout import EVENT_WORDS, RING_EVENTS, RING_FIRST, RING_HEAD, RING_TAIL

PUBLISHED, DELIVERED, DROPPED, STEP, ERROR, REUSED = range(1, 7)

REASONS = (
    "error",
    "restart",
    "queue_full",
    "too_old",
    "stale",
    "sync_timeout",
    "sync_no_match",
    "shutdown",
    "injected",
)
REASON = {name: i for i, name in enumerate(REASONS)}

HEAD, GENERATION, WHO, STAMP, VALUES, LEVEL = 0, 1, 2, 3, 4, 7
"""Words of an event: the VALUES, 4 to 7, depend on its kind."""

_EVENT = struct.Struct("<8q")
_MASK = RING_EVENTS - 1
_MOST_OF_A_STEP = 1024
"""Events of one step: its ports, and a batch of frames."""


Step = tuple[int, int, int, int, int, int, int]
"""One call of a node: its index, number of the step, who, stamp_ns, compute_ns, latency_ns (of a sink, else -1), started_ns."""


class Log:
    """Appends events of one process. `add` collects events, `commit` makes them count; both under `lock`."""

    def __init__(self, board: Board, process: int, on_full: Callable[[], None]) -> None:
        self.lock = threading.RLock()
        base = board.ring(process)
        self._words = board.words
        self._bytes = board.mapping.view
        self._head, self._tail = base + RING_HEAD, base + RING_TAIL
        self._events = (base + RING_FIRST) * 8
        self._on_full = on_full
        self._abandoned = False
        self._next: int = self._words[self._head]
        self._limit: int = self._words[self._tail] + RING_EVENTS

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
        d: int = 0,
        reason: int = 0,
        slot: int = 0,
    ) -> None:
        n = self._next
        if n >= self._limit:
            self._wait_for_room(n)
        at = self._events + (n & _MASK) * _EVENT.size
        _EVENT.pack_into(self._bytes, at, kind | index << 8 | reason << 32 | slot << 40, gen, who, stamp, a, b, c, d)
        self._next = n + 1

    def step(
        self,
        step: Step,
        inputs: Iterable[Any],
        outputs: Iterable[Any],
        level: int = 0,
        committed_ns: int = 0,
        write_ns: int = 0,
    ) -> None:
        """One step with its inputs and outputs, committed by one store. inputs: `reader.Arrived`, outputs: `edge.Sent`."""
        pack, view, first = _EVENT.pack_into, self._bytes, self._events
        node, number, who, stamp_ns, compute_ns, latency_ns, started_ns = step
        n = self._next
        if n + _MOST_OF_A_STEP >= self._limit:
            self._wait_for_room(n + _MOST_OF_A_STEP)
        for f in inputs:
            kind = (REUSED if f.accounted else DELIVERED) | f.edge.index << 8 | f.slot << 40
            f.accounted = True
            hop_ns, sent_ns, taken_ns = started_ns - f.made_ns, started_ns - f.sent_ns, started_ns - f.taken_ns
            at = first + (n & _MASK) * 64
            pack(view, at, kind, f.gen, f.who, f.header.stamp_ns, hop_ns, sent_ns, f.injected, taken_ns)
            n += 1
        for s in outputs:
            kind = PUBLISHED | s.port.index << 8 | s.slot << 40
            s.committed_ns = committed_ns
            pack(view, first + (n & _MASK) * 64, kind, s.gen, s.who, s.stamp_ns, s.nbytes, s.copied, committed_ns, 0)
            n += 1
        at, last = first + (n & _MASK) * 64, level | write_ns << 8
        pack(view, at, STEP | node << 8, number, who, stamp_ns, compute_ns, latency_ns, started_ns, last)
        self._next = n + 1
        if not ORDERED:
            fence()
        self._words[self._head] = n + 1

    def _wait_for_room(self, n: int) -> None:
        """Wait until the supervisor has read the oldest events; none is overwritten."""
        while n >= self._words[self._tail] + RING_EVENTS:
            self._on_full()
        self._limit = self._words[self._tail] + RING_EVENTS

    def commit(self) -> None:
        """Makes all added events count at once."""
        if not ORDERED:
            fence()
        self._words[self._head] = self._next

    def abandon(self) -> None:
        """In a forked child: board and frames are not its own."""
        self._abandoned = True

    def check_owner(self) -> None:
        """After each call of a node, and before a slot is taken: ends a child of the node that goes on as if it were the run."""
        if self._abandoned:
            os._exit(1)

    def drop(self, edge: int, gen: int, who: int, stamp: int, reason: str, slot: int = 0, injected: int = 0) -> None:
        """Records one dropped frame. The caller commits it, alone or together with its step."""
        with self.lock:
            self.add(DROPPED, edge, gen, who, stamp, monotonic_ns(), c=injected, reason=REASON[reason], slot=slot)


class Ring:
    """Events of one process that are committed, but not yet read by the supervisor."""

    def __init__(self, board: Board, process: int) -> None:
        base = board.ring(process)
        self._array, self._words = board.array, board.words
        self._head, self._tail = base + RING_HEAD, base + RING_TAIL
        first = base + RING_FIRST
        self._events = board.array[first : first + RING_EVENTS * EVENT_WORDS].reshape(RING_EVENTS, EVENT_WORDS)

    def take(self) -> np.ndarray:
        """(n, 8) int64."""
        head, tail = self._words[self._head], self._words[self._tail]
        if head == tail:
            return self._events[:0]
        if not ORDERED:
            fence()
        return self._events[np.arange(tail, head, dtype=np.int64) % RING_EVENTS]

    def done(self, count: int) -> None:
        """The first `count` events are booked: frees their room."""
        self._words[self._tail] += count


def kinds_and_indices(events: np.ndarray) -> np.ndarray:
    """One number per event for its kind and its edge, port or node; see `kind_and_index`."""
    return events[:, HEAD] & 0xFFFFFF


def kind_and_index(number: int) -> tuple[int, int]:
    return number & 0xFF, number >> 8


def level_of(steps: np.ndarray) -> np.ndarray:
    """Level of the operator in each STEP."""
    return steps[:, LEVEL] & 0xFF


def write_ns_of(steps: np.ndarray) -> np.ndarray:
    """Time from the end of process() or read() to the commit, of each STEP."""
    return steps[:, LEVEL] >> 8


def reason_of(event: list[int]) -> str:
    """The reason of one DROPPED event."""
    return REASONS[(event[HEAD] >> 32) & 0xFF]


def wait_for_supervisor(nudge: Callable[[], None]) -> Callable[[], None]:
    """`on_full` of a worker: a full ring waits for the supervisor to read it; no event is overwritten."""

    def wait() -> None:
        nudge()
        time.sleep(0.001)

    return wait
