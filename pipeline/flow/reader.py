"""Where frames enter a node: takes descriptors from the edge's ring, makes read-only views of the slot, gives slots back."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic_ns
from typing import Any

import msgpack
import numpy as np

from pipeline.checksum import crc32
from pipeline.errors import FrameError, explain
from pipeline.flow import faults
from pipeline.flow.board import Board
from pipeline.flow.edge import NEWER
from pipeline.flow.fence import ORDERED, fence
from pipeline.flow.shm import Delivery, only_view, view
from pipeline.flow.shm import Mapping as Memory
from pipeline.flow.slot import GENERATION_CRC, ID_BITS, ID_MASK, MAX_TEXT, WORDS, whose
from pipeline.frame import Header, new_header
from pipeline.graph.layout import (
    ARMED,
    BOUND,
    DESCRIPTOR_WORDS,
    DONE,
    EDGE_HEAD,
    EDGE_TAIL,
    LEASE_WORDS,
    RELEASED,
    SLOT_HEADER,
    EdgeSpec,
    PortLayout,
)

_itemsizes: dict[str, int] = {}
"""Of every dtype that has been seen: looking a dtype up costs more than all other checks of a layout."""


def _itemsize(dtype: str) -> int:
    if not re.fullmatch(r"[<>|=][a-zA-Z]\d{0,6}", dtype):  # np.dtype() parses other texts as Python
        raise ValueError(f"array of dtype {dtype!r}")
    kind = np.dtype(dtype)
    if kind.hasobject or kind.itemsize == 0:
        raise ValueError(f"array of dtype {dtype!r}")
    _itemsizes[dtype] = kind.itemsize
    return kind.itemsize


@dataclass(slots=True, eq=False)
class Arrived:
    """A frame at its reader.

    made, sent, taken  when its node returned it, its descriptor was sent, this reader took it (CLOCK_MONOTONIC, ns)
    accounted  its end is in the event log
    lost       drop reason if none of the sets containing this frame is processed
    injected   a bit for each fault that changed or delayed it
    """

    edge: InEdge
    slot: int
    gen: int
    who: int
    header: Header
    bound: int
    made_ns: int
    used: int
    described: Sequence[tuple[str, str, tuple[int, ...], int]]
    meta: dict[str, Any]
    sent_ns: int = 0
    taken_ns: int = 0
    accounted: bool = False
    lost: str = "too_old"
    arrays: dict[str, np.ndarray] | None = None
    injected: int = 0


class InEdge:
    """The reader's end of one edge. Only the node's thread uses it, except `cut`."""

    def __init__(
        self, spec: EdgeSpec, port: str, layout: PortLayout, memory: Memory, board: Board, sources: Sequence[str], verify: bool
    ) -> None:
        self.spec, self.port, self.index = spec, port, spec.index
        self.released: deque[tuple[int, int]] = deque()
        self.kept = 0
        self.cut = False  # no frame follows: the writer was given up
        self.give_credit: Callable[[], None] = lambda: None
        """Tells a writer that has armed the edge to read the reader's words. Set when both ends are wired."""
        self._memory, self._words, self._sources, self._verify = memory, board.words, sources, verify
        self._headers = [layout.offset + slot * layout.stride for slot in range(layout.slots)]
        self._capacity = layout.stride - SLOT_HEADER
        at = board.edge(spec.index)
        self._head, self._bound, self._armed, self._tail_word = at + EDGE_HEAD, at + BOUND, at + ARMED, at + EDGE_TAIL
        self._leases = board.lease(spec.index, 0)
        self._ring, self._mask = board.ring_of(spec.index)
        self._tail = self._words[self._tail_word]
        self._given = 0
        # `latest` needs the next frame at once; a `block` reader has more in its window and may collect half a queue of credit.
        self._batch = max(1, spec.size // 2) if spec.policy == "block" else 1
        self._text = b""
        self._described: list[tuple[str, str, tuple[int, ...], int]] = []

    # -- arriving -------------------------------------------------------------------------------------------------
    def waiting(self) -> bool:
        """Is there a frame in the ring?"""
        return bool(self._words[self._head] != self._tail)

    @property
    def bound(self) -> int:
        """No frame older than this follows the frames in the ring. Read the bound first, then the ring."""
        return int(self._words[self._bound])

    def take(self) -> Arrived | None:
        """The next frame, or None. Raises FrameError if its slot holds another frame, or a description that does not fit it."""
        words, tail = self._words, self._tail
        if words[self._head] == tail:
            return None
        if not ORDERED:
            fence()
        at = self._ring + DESCRIPTOR_WORDS * (tail & self._mask)
        slot, gen, sent_ns = words[at], words[at + 1], words[at + 2]
        try:
            memory, start = self._memory.view, self._headers[slot]
            got, _, who, stamp_ns, recv_ns, bound, made_ns, used, text_at, lengths = WORDS.unpack_from(memory, start)
            if got != gen:
                source, frame_id = whose(who)
                raise self._torn(f"{self._sources[source]}:{frame_id}", slot, gen, got)
            item_bytes, facts_bytes = lengths & MAX_TEXT, lengths >> 40
            facts_at = item_bytes + (lengths >> 20 & MAX_TEXT)
            text = bytes(memory[start + text_at : start + text_at + facts_at + facts_bytes])
            arrays_text = text[item_bytes:facts_at]
            if arrays_text != self._text:  # most frames of a stream have the same layout
                self._described = self._layout(arrays_text)
                self._text = arrays_text
            meta = msgpack.unpackb(text[facts_at:], strict_map_key=False) if facts_bytes else {}
            item = text[:item_bytes].decode()
            header = new_header(Header, (self._sources[who >> ID_BITS], who & ID_MASK, item, stamp_ns, recv_ns))
        except (IndexError, TypeError, ValueError, OverflowError, msgpack.UnpackException) as error:
            raise FrameError(f"{self.spec.name}: slot {slot} needs the description of a frame, got {explain(error)}") from None
        self._tail = words[self._tail_word] = tail + 1
        if faults.armed:
            faults.point("received")
        return Arrived(self, slot, gen, who, header, bound, made_ns, used, self._described, meta, sent_ns, monotonic_ns())

    def _layout(self, text: bytes) -> list[tuple[str, str, tuple[int, ...], int]]:
        """The arrays of a frame. Checked once for each layout: a view must lie in its slot, and bytes are no pointers."""
        described = [(name, dtype, tuple(shape), at) for name, dtype, shape, at in msgpack.unpackb(text)]
        for name, dtype, shape, at in described:
            itemsize = _itemsizes.get(dtype) or _itemsize(dtype)
            if at < 0 or at + itemsize * math.prod(shape) > self._capacity:
                raise ValueError(f"array {name!r}, {shape} {dtype} at {at}, in {self._capacity} bytes")
        return described

    def overtaken(self) -> int:
        """Generation up to which frames of this edge are superseded: under `latest`, by a newer frame that waits at the sender.
        -1: none."""
        words = self._words
        if words[self._armed] != NEWER:
            return -1
        last = words[self._ring + DESCRIPTOR_WORDS * ((words[self._head] - 1) & self._mask) + 1]
        return int(last) if words[self._armed] == NEWER else -1  # else the newer frame is being sent: `last` may be its own

    # -- reading --------------------------------------------------------------------------------------------------
    def views(self, frame: Arrived) -> dict[str, np.ndarray]:
        """Read-only arrays over the slot. Raises FrameError if the slot already holds another frame."""
        if frame.arrays is None:
            if self._verify:
                self.verify(frame)
            base, token = self._memory.address + self._headers[frame.slot] + SLOT_HEADER, (frame.slot, frame.gen)
            self.kept += 1
            if len(frame.described) == 1:
                name, dtype, shape, at = frame.described[0]
                frame.arrays = {name: only_view(base + at, dtype, shape, self.released, token)}
            else:
                owner = Delivery(self.released, token)
                frame.arrays = {name: view(base + at, dtype, shape, owner) for name, dtype, shape, at in frame.described}
        return frame.arrays

    def verify(self, frame: Arrived) -> None:
        """Check that the slot still holds this frame: its generation, and with --verify-frames its checksum."""
        at = self._headers[frame.slot]
        gen, crc = GENERATION_CRC.unpack_from(self._memory.view, at)
        if gen != frame.gen:
            raise self._torn(str(frame.header), frame.slot, frame.gen, gen)
        if self._verify:
            got = crc32(self._memory.view[at + SLOT_HEADER : at + SLOT_HEADER + frame.used])
            if got != crc:
                raise FrameError(
                    f"{self.spec.name}: frame {frame.header} changed after it was published: checksum {crc:08x}, got {got:08x}; "
                    "who still writes to it?"
                )

    def _torn(self, name: str, slot: int, gen: int, got: int) -> FrameError:
        return FrameError(
            f"{self.spec.name}: torn frame {name}: slot {slot} needs generation {gen}, got {got}; please report this"
        )

    # -- giving back ----------------------------------------------------------------------------------------------
    def done(self, frame: Arrived) -> None:
        """The frame is processed or dropped: credit for another. Its slot is released with its last view (now, if none)."""
        at = self._leases + LEASE_WORDS * frame.slot
        words, gen = self._words, frame.gen
        if frame.arrays is not None:
            frame.arrays = None
            # A view may end between any two steps, so the last entry is compared after it is popped.
            last = self.released.pop() if self.released else None
            if last != (frame.slot, gen):
                if last is not None:
                    self.released.append(last)
                words[at + DONE] = gen
                self._give()
                return
            self.kept -= 1
        words[at + DONE] = gen
        words[at + RELEASED] = gen
        if faults.armed:
            faults.point("released")
        self._give()

    def collect(self) -> None:
        """Give back slots whose last view ended after `done`."""
        while self.released:
            slot, gen = self.released.popleft()
            self.kept -= 1
            self._words[self._leases + LEASE_WORDS * slot + RELEASED] = gen
            self._give()

    def _give(self) -> None:
        self._given += 1
        if self._given >= self._batch:
            self.ring()

    def ring(self) -> None:
        """Tell the writer about returned credit if it waits; otherwise it reads the words when it needs credit."""
        if self._given:
            fence()
            if self._words[self._armed]:
                self._given = 0
                self.give_credit()
