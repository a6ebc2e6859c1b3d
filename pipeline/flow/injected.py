"""The two ends of an edge with faults (`--inject`, `inject:`). All other edges are `OutEdge` and `InEdge`.

At the writer frames are dropped (drop, disconnect), or held back until they are due (delay, jitter; live only). At the reader an
operator `inject.NAME` changes the arrays of a frame. A frame that no fault concerns takes the ordinary way, without a copy.
All choices follow from seed, source, frame id and stamp: not from time, and not from the placement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import monotonic_ns
from typing import Any

import numpy as np

from pipeline.flow.board import Board
from pipeline.flow.edge import OutEdge, Sent
from pipeline.flow.reader import Arrived, InEdge
from pipeline.flow.slot import whose
from pipeline.frame import FOREVER, Header
from pipeline.graph.fault import TIMED, EdgeFault
from pipeline.graph.layout import FIRST_STAMP, HAS_FIRST
from pipeline.operator import Operator
from pipeline.outputs import by_port
from pipeline.schema import ports

_MASK = 2**64 - 1


def chance(seed: int, number: int) -> float:
    """A number in [0, 1) that follows from the two (SplitMix64)."""
    z = (seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return float((z ^ (z >> 31)) >> 11) / 2**53


class Active:
    """Tells for which frames a fault holds."""

    def __init__(self, fault: EdgeFault, board: Board) -> None:
        self.fault, self.bit = fault, 1 << fault.bit
        self._window, self._words, self._origin = fault.window, board.words, board.node(fault.origin)

    def holds(self, frame_id: int, stamp_ns: int) -> bool:
        window = self._window
        if window.frames:
            return window.since <= frame_id < window.until
        words, at = self._words, self._origin
        first = words[at + FIRST_STAMP] if words[at + HAS_FIRST] else stamp_ns
        return bool(window.since <= stamp_ns - first < window.until)


class FaultyOutEdge(OutEdge):
    """ring_io: wakes the thread that calls `deliver`."""

    def __init__(self, faults: Sequence[EdgeFault], board: Board, ring_io: Callable[[], None], *args: Any) -> None:
        super().__init__(*args)
        self._faults = [Active(fault, board) for fault in faults if fault.cls is None]
        self._ring_io = ring_io
        self._held: deque[tuple[int, Sent | None, int]] = deque()  # due [CLOCK_MONOTONIC ns], frame or None, bound
        self._due_ns = 0

    def offer(self, frame: Sent) -> None:
        _, frame_id = whose(frame.who)
        drops, late_ns = 0, 0
        for active in self._faults:
            fault = active.fault
            if not active.holds(frame_id, frame.stamp_ns):
                continue
            share = chance(fault.seed, frame.who)
            if fault.name == "disconnect" or (fault.name == "drop" and share < fault.level):
                drops |= active.bit
            elif fault.name in TIMED:
                late_ns += round(fault.level * 1e6 * (share if fault.name == "jitter" else 1.0))
        if drops:
            self._drop(frame, "injected", drops)
            self.advance(frame.bound)
        elif self._clock.live and (late_ns or self._held):
            self._hold(monotonic_ns() + late_ns, frame, frame.bound)
        else:
            super().offer(frame)

    def advance(self, bound: int) -> None:
        if self._held:
            self._hold(self._due_ns, None, bound)  # after the frames that it follows
        else:
            super().advance(bound)

    def _send(self, frame: Sent, now_ns: int) -> None:
        super()._send(frame, monotonic_ns())  # it may have been held back since its commit

    def _hold(self, due_ns: int, frame: Sent | None, bound: int) -> None:
        first = not self._held
        self._due_ns = due_ns if first else max(due_ns, self._due_ns)  # frames stay in order
        self._held.append((self._due_ns, frame, bound))
        if first:
            self._ring_io()

    @property
    def due_ns(self) -> int:
        """When the first frame that is held back is due; FOREVER: there is none."""
        return self._held[0][0] if self._held else FOREVER

    def deliver(self) -> None:
        """Offer the frames that are due. The caller holds the lock."""
        now, moved = monotonic_ns(), False
        while self._held and self._held[0][0] <= now:
            _, frame, bound = self._held.popleft()
            moved = True
            if frame is None:
                super().advance(bound)
            else:
                super().offer(frame)
        if moved:
            self.port.flushed()

    def give_up(self) -> None:
        for _, frame, _ in self._held:
            if frame is not None:
                self._drop(frame, "restart")
        self._held.clear()
        super().give_up()


class Corruption(Active):
    """The operator of a fault, put on an edge."""

    def __init__(self, fault: EdgeFault, board: Board, operator: Operator, edge: str) -> None:
        super().__init__(fault, board)
        self._operator = operator
        inputs, self._outputs = ports(operator.inputs, edge), ports(operator.outputs, edge)
        self._nothing = dict.fromkeys(inputs)
        self._port, self._schema = fault.port, inputs[fault.port].schema
        self._label = f"{edge}: {fault.name}"

    def change(self, header: Header, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._operator.header = header
        given = {name: arrays[name] for name in self._schema.arrays}
        result = self._operator.process(**self._nothing | {self._port: self._schema.pack(given)})
        value = by_port(result, self._outputs, self._label)[self._port]
        changed = self._outputs[self._port].schema.accept(value, self._label)
        for array in changed.values():
            array.flags.writeable = False
        return {name: changed.get(name, array) for name, array in arrays.items()}


class FaultyInEdge(InEdge):
    """live: frames are held back at the writer, see above."""

    def __init__(self, changes: Sequence[Corruption], late: Sequence[Active], live: bool, *args: Any) -> None:
        super().__init__(*args)
        self._changes = changes
        self._marks = [*changes, *(late if live else ())]
        self._clean: dict[int, dict[str, np.ndarray]] = {}

    def take(self) -> Arrived | None:
        frame = super().take()
        if frame is not None:
            for active in self._marks:
                if active.holds(frame.header.frame_id, frame.header.stamp_ns):
                    frame.injected |= active.bit
        return frame

    def views(self, frame: Arrived) -> dict[str, np.ndarray]:
        if frame.arrays is not None:
            return frame.arrays
        arrays = super().views(frame)
        for change in self._changes:
            if frame.injected & change.bit:
                # The slot stays the frame's until `done`, so its own views live until then.
                self._clean.setdefault(frame.gen, arrays)
                frame.arrays = arrays = change.change(frame.header, arrays)
        return arrays

    def done(self, frame: Arrived) -> None:
        self._clean.pop(frame.gen, None)
        super().done(frame)
