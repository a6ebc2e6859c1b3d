"""The sender's end of an edge: ring, queue, credit, policy.

The queue is at the sender: without credit a frame waits here or is replaced here, and a replaced frame's slot returns at once.
Sent frames go into the edge's ring on the board, where the reader takes them. The lock of the process's event log guards
everything here: the node's thread offers frames, the I/O thread flushes the queue while the node computes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from time import monotonic_ns
from typing import Protocol

from pipeline.flow import faults
from pipeline.flow.bell import Bell, Silent
from pipeline.flow.board import Board
from pipeline.flow.clock import Clock
from pipeline.flow.fence import ORDERED, fence
from pipeline.flow.log import Log
from pipeline.frame import NEVER
from pipeline.graph.layout import ARMED, BOUND, DESCRIPTOR_WORDS, DONE, EDGE_HEAD, LEASE_WORDS, RELEASED, SENT, EdgeSpec

ASKED, NEWER = 1, 2
"""Values of ARMED. ASKED: the writer waits for credit. NEWER: it also holds a frame newer than all sent ones (`latest`)."""


class Port(Protocol):
    """The part of its output port (`writer.OutPort`) that an edge uses."""

    index: int

    def unref(self, slot: int) -> None: ...
    def flushed(self) -> None: ...
    def send(self, frame: Sent) -> None: ...
    def discard(self, frame: Sent) -> None: ...


@dataclass(slots=True)
class Sent:
    """One complete frame in its slot; it exists once its step is committed, at `committed_ns`. copied: bytes that were not on
    loan."""

    port: Port
    slot: int
    gen: int
    who: int
    stamp_ns: int
    bound: int
    nbytes: int
    copied: int
    committed_ns: int = 0


class OutEdge:
    """bell: wakes the reader's thread."""

    def __init__(self, spec: EdgeSpec, port: Port, board: Board, log: Log, clock: Clock, bell: Bell | Silent) -> None:
        self.spec, self.port = spec, port
        self._words, self._log, self._clock, self._bell = board.words, log, clock, bell
        at = board.edge(spec.index)
        self._head, self._bound_word, self._armed = at + EDGE_HEAD, at + BOUND, at + ARMED
        self._leases = board.lease(spec.index, 0)
        self._ring, self._mask = board.ring_of(spec.index)
        self._most = spec.window + spec.holds
        self.gone = False
        self.queue: deque[Sent] = deque()
        self.undone: set[int] = set()
        self.leased: dict[int, int] = {}
        self._bound = NEVER
        self._seq = self._words[self._head]
        self._words[self._armed] = self._asked = 0
        # Frames of the predecessor process may still be in the ring or held by the reader.
        for slot in range(spec.slots):
            lease = self._leases + LEASE_WORDS * slot
            gen = self._words[lease + SENT]
            if gen != self._words[lease + RELEASED]:
                self.leased[slot] = gen
                if gen != self._words[lease + DONE]:
                    self.undone.add(gen)

    # -- credit ---------------------------------------------------------------------------------------------------
    def credit(self) -> bool:
        return len(self.undone) < self.spec.window and len(self.leased) < self._most

    def room(self) -> bool:
        """May the node start a step that publishes here? `block` waits for credit; other policies drop frames."""
        if self.spec.policy != "block" or self.gone:
            return True
        return not self.queue and self.find_credit()

    def find_credit(self) -> bool:
        """`credit()` after reading what the reader has given back. If there is none, ask the reader to ring."""
        if not self.credit():
            self.fetch()
            if not self.credit():
                self.ask_for_credit()
                if not self.credit():
                    return False
        if self._asked and not self.queue:
            self._words[self._armed] = self._asked = 0
        return True

    def fetch(self) -> None:
        """Read the reader's words: frames done, slots released."""
        words, leases = self._words, self._leases
        for slot, gen in list(self.leased.items()):
            at = leases + LEASE_WORDS * slot
            if words[at + RELEASED] == gen:  # released implies done, even if DONE was read before
                self.undone.discard(gen)
                del self.leased[slot]
                self.port.unref(slot)
            elif words[at + DONE] == gen:
                self.undone.discard(gen)

    def ask_for_credit(self) -> None:
        """Ask the reader to ring at its next release. It may have released just before, so fetch again."""
        self._asked = NEWER if self.queue and self.spec.policy == "latest" else ASKED
        self._words[self._armed] = self._asked
        fence()
        self.fetch()

    # -- frames ---------------------------------------------------------------------------------------------------
    def offer(self, frame: Sent) -> None:
        """Take a published frame: send it, queue it, or drop frames by the policy."""
        if frame.bound > self._bound:
            self._bound = frame.bound  # sent with the frame, unless `flush` drops the frame
        if self.gone:
            self._drop(frame, "restart")
        elif not self.queue and (self.credit() or self.find_credit()):
            self._send(frame, frame.committed_ns)
        elif self.spec.tap and self.spec.policy != "block":
            self._drop(frame, "queue_full")
        else:
            policy = self.spec.policy
            if policy != "block":
                while len(self.queue) >= (1 if policy == "latest" else self.spec.size):
                    self._drop(self.queue.popleft(), "queue_full")
            self.queue.append(frame)
            self.ask_for_credit()
            self.flush()

    def flush(self) -> None:
        """Send queued frames while there is credit; then the bound, if no frame carried it."""
        while self.queue and (self.credit() or self._find_more()):
            frame = self.queue.popleft()
            if self._asked == NEWER:
                self._words[self._armed] = self._asked = ASKED  # before sending: a frame must not supersede itself
            if self._clock.too_old(frame.stamp_ns, self.spec.max_age_ns):
                self._drop(frame, "too_old")
            else:
                self._send(frame, monotonic_ns())
        if not self.queue and self._bound > self._words[self._bound_word]:
            if not ORDERED:
                fence()
            self._words[self._bound_word] = self._bound
            self._bell.wake()

    def _find_more(self) -> bool:
        """Asks for credit, unless the reader is asked already; it may have taken all sent frames and given them back before."""
        if not self._asked:
            self.ask_for_credit()
        return self.credit()

    def advance(self, bound: int) -> None:
        """No frame older than `bound` follows."""
        if bound > self._bound:
            self._bound = bound
            if not self.gone:
                self.flush()

    def _send(self, frame: Sent, now_ns: int) -> None:
        words, slot, gen, seq = self._words, frame.slot, frame.gen, self._seq
        at = self._ring + DESCRIPTOR_WORDS * (seq & self._mask)
        words[at] = slot
        words[at + 1] = gen
        words[at + 2] = now_ns
        words[self._leases + LEASE_WORDS * slot] = gen
        self.leased[slot] = gen
        self.undone.add(gen)
        if faults.armed:
            faults.point("recorded")
        if not ORDERED:
            fence()
        self._seq = words[self._head] = seq + 1
        # The frame carries its bound; the word tells it to a successor of the reader, should the reader die with the frame.
        if frame.bound > words[self._bound_word]:
            if not ORDERED:
                fence()
            words[self._bound_word] = frame.bound
        if faults.armed:
            faults.point("sent")
        self._bell.wake()
        if faults.armed:
            faults.point("rung")

    def _drop(self, frame: Sent, reason: str, injected: int = 0) -> None:
        self._log.drop(self.spec.index, frame.gen, frame.who, frame.stamp_ns, reason, frame.slot, injected)
        self._log.commit()
        self.port.unref(frame.slot)

    # -- messages of the reader or the supervisor -----------------------------------------------------------------
    def rung(self) -> None:
        """The reader gave something back after the writer asked."""
        if self._asked:
            self._words[self._armed] = self._asked = 0
            fence()
            self.fetch()
            self.port.flushed()

    def give_up(self) -> None:
        """There will be no reader any more: drop the queue. The supervisor settles the frames sent to it."""
        self.gone = True
        for slot in list(self.leased):
            del self.leased[slot]
            self.port.unref(slot)
        self.undone.clear()
        while self.queue:
            self._drop(self.queue.popleft(), "restart")
        self.port.flushed()

    def describe(self) -> str:
        kept = len(self.leased) - len(self.undone)
        return f"{self.spec.name}: {len(self.undone)} in work, {kept} kept as views, {len(self.queue)} queued"
