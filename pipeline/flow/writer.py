"""Where a frame leaves a node: an output port takes a slot, the operator fills it, the edges send it.

alloc     a loan: a writeable array inside the slot
write     arrays, header and a new generation into the slot: the frame is complete, but does not exist yet
(the runner commits the step to the event log: now the frame exists)
send      offer it to every edge
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from pipeline.checksum import crc32
from pipeline.errors import FrameError
from pipeline.flow import faults
from pipeline.flow.bell import Bell, Silent
from pipeline.flow.edge import OutEdge, Sent
from pipeline.flow.log import Log
from pipeline.flow.shm import Mapping as Memory
from pipeline.flow.slot import GENERATION, MAX_TEXT, TEXT_AT, TEXT_BYTES, WORDS
from pipeline.frame import Header
from pipeline.graph.layout import SLOT_HEADER, PortLayout
from pipeline.schema import Schema

EPOCH_SHIFT = 40
"""Generations count from epoch << 40, so those of a successor are larger than its predecessor's."""


class OutPort:
    """One output port: its slots, and the frame being written. bell: wakes the thread that publishes here."""

    def __init__(
        self,
        node: str,
        name: str,
        schema: Schema,
        index: int,
        layout: PortLayout,
        memory: Memory,
        log: Log,
        epoch: int,
        verify: bool,
        bell: Bell | Silent,
    ) -> None:
        self.node, self.name, self.schema, self.index, self.layout = node, name, schema, index, layout
        self.label = f"{node}.{name}"
        self.edges: list[OutEdge] = []
        self.blocked_by: OutEdge | None = None
        """The edge that had no room at the last `room()`; None: there was no free slot."""
        self.refs = [0] * layout.slots
        self.free: deque[int] = deque()
        self._log, self._lock, self._memory, self._verify, self._bell = log, log.lock, memory, verify, bell
        self._pack = msgpack.Packer().pack  # one packer per port: creating one per frame costs more than packing
        self._gen = epoch << EPOCH_SHIFT
        self._headers = [layout.offset + slot * layout.stride for slot in range(layout.slots)]
        self._capacity = layout.slot_bytes
        self._slot: int | None = None
        self._used = 0
        self._loans: dict[int, tuple[np.ndarray, int]] = {}  # id of the array -> the array, its offset in the payload
        self._described: list[tuple[str, np.dtype[Any], tuple[int, ...], int]] = []
        self._described_text = self._pack([])

    def ready(self) -> None:
        """All edges are attached: slots without a lease are free."""
        for edge in self.edges:
            for slot in edge.leased:
                self.refs[slot] += 1
        self.free = deque(slot for slot, refs in enumerate(self.refs) if refs == 0)

    # -- room -----------------------------------------------------------------------------------------------------
    def room(self) -> bool:
        """May a step publish here? If not, the readers have been asked to ring."""
        if not self.edges:
            return True
        with self._lock:
            self.blocked_by = None
            for edge in self.edges:
                if not edge.room():
                    self.blocked_by = edge
                    return False
            if self._slot is None and not self.free:
                for edge in self.edges:
                    edge.ask_for_credit()
            return self._slot is not None or bool(self.free)

    def has_credit(self) -> bool:
        """Is there room, without reading the readers' words?"""
        if not self.free and self._slot is None:
            return not self.edges
        for edge in self.edges:
            if edge.spec.policy == "block" and (edge.queue or not edge.credit()):
                return False
        return True

    def unref(self, slot: int) -> None:
        """One edge no longer needs this slot. The caller holds the lock."""
        self.refs[slot] -= 1
        if self.refs[slot] == 0:
            self.free.append(slot)

    def flushed(self) -> None:
        """Credit or slots came back: flush queues, wake the node if it waits. The caller holds the lock."""
        for edge in self.edges:
            edge.flush()
        self._bell.wake()

    # -- writing --------------------------------------------------------------------------------------------------
    def _begin(self) -> int:
        """Take a free slot for the first array of a frame."""
        self._log.check_owner()
        with self._lock:
            if not self.free:
                for edge in self.edges:
                    edge.fetch()
            if not self.free:
                holders = "; ".join(e.describe() for e in self.edges)
                raise FrameError(
                    f"{self.label}: needs a free slot, all {self.layout.slots} are held ({holders}); "
                    "declare holds or copy what is kept"
                )
            slot = self._slot = self.free.popleft()
        self._used = 0
        GENERATION.pack_into(self._memory.view, self._headers[slot], 0)
        if faults.armed:
            faults.point("allocated")
        return slot

    def _reserve(self, nbytes: int) -> int:
        """Payload offset for `nbytes` in the slot being written."""
        at = self._used
        if at + nbytes > self._capacity:
            raise FrameError(
                f"{self.label}: frame needs {(at + nbytes) / 1e6:.3g} MB, its slot holds {self._capacity / 1e6:.3g} MB; "
                f"set pool: {{{self.name}: {{max_mb: {-(-(at + nbytes) // 1_000_000)}}}}} in node {self.node}"
            )
        self._used = (at + nbytes + 63) & ~63
        return at

    def alloc(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """A writeable array inside the slot of the frame being made."""
        kind = np.dtype(dtype)
        slot = self._begin() if self._slot is None else self._slot
        at = self._reserve(math.prod(shape) * kind.itemsize)
        array = np.ndarray(shape, kind, self._memory.map, self._headers[slot] + SLOT_HEADER + at)
        self._loans[id(array)] = array, at
        return array

    def write(
        self, arrays: Mapping[str, np.ndarray], header: Header, who: int, bound: int, made_ns: int, meta: Mapping[str, Any]
    ) -> Sent:
        """Write a frame into its slot and close the slot with a new generation.

        made_ns  when the operator (or `read`) returned the frame, CLOCK_MONOTONIC: start of the hop
        """
        slot = self._begin() if self._slot is None else self._slot
        memory, at_header = self._memory, self._headers[slot]
        payload = at_header + SLOT_HEADER
        described, total, copied = [], 0, 0
        for name, array in arrays.items():
            nbytes = array.nbytes
            at = self._loaned(array, payload) if self._loans else -1
            if at < 0:
                at = self._reserve(nbytes)
                if nbytes:
                    np.ndarray(array.shape, array.dtype, memory.map, payload + at)[...] = array
                copied += nbytes
            described.append((name, array.dtype, array.shape, at))
            total += nbytes
        if described != self._described:  # most frames of a stream have the same layout
            self._described = described
            self._described_text = self._pack([(name, dtype.str, shape, at) for name, dtype, shape, at in described])
        item, arrays_text = header.item.encode(), self._described_text
        facts = self._facts(meta) if meta else b""
        length = len(item) + len(arrays_text) + len(facts)
        lengths = len(item) | len(arrays_text) << 20 | len(facts) << 40
        if length <= TEXT_BYTES:
            text_at = TEXT_AT
        else:
            if length > MAX_TEXT:
                raise FrameError(f"{self.label}: describe() needs at most 1 MB of facts, got {length / 1e6:.3g} MB")
            text_at = SLOT_HEADER + self._reserve(length)
        memory.view[at_header + text_at : at_header + text_at + length] = item + arrays_text + facts
        self._gen += 1
        crc = crc32(memory.view[payload : payload + self._used]) if self._verify else 0
        WORDS.pack_into(
            memory.view, at_header,
            self._gen, crc, who, header.stamp_ns, header.recv_ns, bound, made_ns, self._used, text_at, lengths,
        )  # fmt: skip
        if faults.armed:
            faults.point("written")
        self._end_loans()
        self._slot = None
        return Sent(self, slot, self._gen, who, header.stamp_ns, bound, total, copied)

    def _facts(self, meta: Mapping[str, Any]) -> bytes:
        try:
            facts: bytes = self._pack(meta)
        except (TypeError, ValueError, OverflowError) as error:
            raise FrameError(f"{self.label}: describe() needs numbers and text as facts: {error}") from None
        return facts

    def _loaned(self, array: np.ndarray, payload: int) -> int:
        """Offset of an array already in the slot (a loan or a leading part of it); -1 if it must be copied."""
        loan = self._loans.get(id(array))
        if loan is not None:
            return loan[1]
        if not array.flags.c_contiguous:
            return -1
        at = array.__array_interface__["data"][0] - self._memory.address - payload
        if 0 <= at and at + array.nbytes <= self._used:
            array.flags.writeable = False
            return int(at)
        return -1

    def _end_loans(self) -> None:
        """Make loaned arrays read-only."""
        if self._loans:
            for array, _ in self._loans.values():
                array.setflags(write=False)
            self._loans.clear()

    def abort(self) -> None:
        """The step failed, or left a loan unused: free its slot."""
        if self._slot is not None:
            self._end_loans()
            with self._lock:
                self.free.appendleft(self._slot)
            self._slot = None

    def discard(self, frame: Sent) -> None:
        """Free the slot of a complete frame whose step failed on another port."""
        with self._lock:
            self.free.appendleft(frame.slot)

    # -- sending (the caller holds the lock) ----------------------------------------------------------------------
    def send(self, frame: Sent) -> None:
        """Offer a committed frame to every edge."""
        self.refs[frame.slot] = len(self.edges)
        for edge in self.edges:
            edge.offer(frame)

    def advance(self, bound: int) -> None:
        """Nothing was emitted, but no frame older than `bound` follows."""
        for edge in self.edges:
            edge.advance(bound)
