"""The ring of events: each process logs what happened to frames, the supervisor alone adds it up (see runtime/books.py).

`Log` is the process side: it appends events to the ring of its process on the board. They become true together when the head
moves, one 8-byte store (see docs/decisions/001-frame-life.md). `Ring` is the supervisor's side.

Event, 8 int64 words:
    0  kind | edge, port or node index << 8 | reason << 32 | slot << 40
    1  generation; of a STEP its number
    2  source index << 48 | frame_id
    3  stamp_ns
    4-6  by kind:  PUBLISHED bytes, copied bytes, -   DELIVERED hop_ns, wait_ns, -   STEP compute_ns, latency_ns, started_ns
    7  check: xor of the others and the event's number
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable

import numpy as np

from pipeline.flow.shm import Board
from pipeline.graph.layout import EVENT_WORDS, RING_EVENTS, RING_FIRST, RING_HEAD, RING_TAIL

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

HEAD, GENERATION, WHO, STAMP, VALUES = range(5)
"""Words of an event: the three VALUES depend on its kind."""

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
        """Records one dropped frame. The caller commits it, alone or together with the step that it belongs to."""
        with self.lock:
            self.add(DROPPED, edge, gen, who, stamp, reason=REASON[reason], slot=slot)


def who(source: int, frame_id: int) -> int:
    return source << 48 | frame_id & _ID


def name_of(who_: int) -> tuple[int, int]:
    """(source index, frame_id): the inverse of `who`."""
    return who_ >> 48, who_ & _ID


class Ring:
    """What one process has committed and the supervisor has not read yet."""

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
        numbers = np.arange(tail, head, dtype=np.int64)
        events = self._events[numbers % RING_EVENTS]
        check = numbers.copy()
        for w in range(EVENT_WORDS):
            check ^= events[:, w]
        bad = np.flatnonzero(check)
        # On a weakly ordered CPU the head may be visible before an event: take the rest next time.
        return events[: bad[0]] if len(bad) else events

    def done(self, count: int) -> None:
        """The first `count` events are booked: their room is free again."""
        self._words[self._tail] += count


def kinds(events: np.ndarray) -> np.ndarray:
    return events[:, HEAD] & 0xFF


def indices(events: np.ndarray) -> np.ndarray:
    """Of the edge, port or node that each event is about."""
    return (events[:, HEAD] >> 8) & 0xFFFF


def reason_of(event: list[int]) -> str:
    """Of one DROPPED event."""
    return REASONS[(event[HEAD] >> 32) & 0xFF]


def wait_for_supervisor(nudge: Callable[[], None]) -> Callable[[], None]:
    """`on_full` of a worker: the books are the supervisor's, so a full ring waits for it; nothing is overwritten."""

    def wait() -> None:
        nudge()
        time.sleep(0.001)

    return wait
