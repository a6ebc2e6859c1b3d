"""A node's waiting line: from the arrival of its frames to the set that is processed next.

OneLine   one stream input: a frame leaves the ring just before it is processed; frames in the ring survive the node's death
JoinLine  several inputs, paired by the joiner, which buffers all arrived frames
TapLine   for a tap: each frame of any input is a set of its own
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic_ns

from pipeline.flow.clock import Clock
from pipeline.flow.log import Log
from pipeline.flow.reader import Arrived, InEdge
from pipeline.flow.sync import Joiner, Match, Miss, Release
from pipeline.frame import FOREVER, NEVER

Item = Match | Arrived
"""The next input of the node: a set, or the frame of a single input."""


class Line:
    """inputs: stream edges by port; trigger: the port whose header the outputs carry."""

    joins = False

    def __init__(self, inputs: Mapping[str, InEdge], trigger: str, log: Log, clock: Clock) -> None:
        self.inputs, self.trigger = inputs, trigger
        self._log, self._clock = log, clock
        self._edges = list(inputs.values())
        self._bounds = dict.fromkeys(inputs, NEVER)
        self.ages = any(edge.spec.max_age_ns is not None for edge in self._edges)
        self.latest = any(edge.spec.policy == "latest" for edge in self._edges)
        # Checked once per process() and at the start: a node that is always too slow must still process some frames.
        self._may_skip = True
        self._overtaken = -1  # frames of the trigger up to this generation are superseded

    def next(self) -> Item | None:
        """The next item, which stays in the line; None if there is none yet."""
        raise NotImplementedError

    def remove(self) -> None:
        """Remove the item of `next`: it is being processed, or was discarded."""
        raise NotImplementedError

    def is_work(self, has_room: Callable[[], bool]) -> bool:
        """Would `next` return a new item that can be processed? Called while marked asleep, so it reads the board's words."""
        raise NotImplementedError

    def is_empty(self) -> bool:
        raise NotImplementedError

    def output_bound(self) -> int:
        """No future set is older."""
        return self._bounds[self.trigger]

    def next_deadline(self) -> int | None:
        """Time at which a join decides without a new frame (CLOCK_MONOTONIC)."""
        return None

    def ended(self) -> bool:
        return self.is_empty() and all(bound == FOREVER for bound in self._bounds.values())

    def keeps_views(self) -> bool:
        """Are views of processed frames still held? They end in any thread, without ringing a bell."""
        for edge in self._edges:
            if edge.kept:
                return True
        return False

    def _has_news(self, bounds_count: bool) -> bool:
        """Is there a frame, an ended view or a bound that was not taken yet?"""
        for edge in self._edges:
            if edge.waiting() or edge.released or (edge.cut and self._bounds[edge.port] != FOREVER):
                return True
            if bounds_count and edge.bound > self._bounds[edge.port]:
                return True
        return False

    # -- endings --------------------------------------------------------------------------------------------------
    def processed(self, trigger: Arrived) -> None:
        """A set was processed, but not yet given back. A newer frame may wait at the sender now."""
        self._overtaken = max(self._overtaken, trigger.edge.overtaken())
        self._may_skip = True

    def _is_overtaken(self, trigger: Arrived) -> bool:
        """`latest` also applies to frames that wait here while this node, or another one of its process, was busy."""
        if self._may_skip:
            self._may_skip = False
            self._overtaken = max(self._overtaken, trigger.edge.overtaken())
        return trigger.gen <= self._overtaken

    def discard(self, item: Item, reason: str) -> None:
        """Discard a set: its trigger is dropped now, its other frames after their last set."""
        if isinstance(item, Arrived):
            self.drop(item, reason)
        else:
            self.drop(item.frames[self.trigger], reason)
            for frame in item.frames.values():
                if frame is not None:
                    frame.lost = reason

    def drop_if_old(self, trigger: Arrived, frames: Mapping[str, Arrived | None]) -> bool:
        """Drop a set whose trigger is older than its reader allows."""
        if not self._clock.too_old(trigger.header.stamp_ns, trigger.edge.spec.max_age_ns):
            return False
        for frame in frames.values():
            if frame is not None and not frame.accounted and (frame is trigger or not self.joins):
                self.drop(frame, "too_old")
        return True

    def drop(self, frame: Arrived, reason: str) -> None:
        """End a frame in the ledger under this reason, and give its slot back."""
        frame.accounted = True
        with self._log.lock:
            self._log.drop(frame.edge.spec.index, frame.gen, frame.who, frame.header.stamp_ns, reason, frame.slot)
            self._log.commit()
        frame.edge.done(frame)

    def ring(self) -> None:
        """No work for now: tell writers that wait for returned credit."""
        for edge in self._edges:
            edge.ring()


class OneLine(Line):
    def __init__(self, inputs: Mapping[str, InEdge], trigger: str, log: Log, clock: Clock) -> None:
        super().__init__(inputs, trigger, log, clock)
        self._edge = inputs[trigger]
        self._bound = NEVER
        self._recent: set[int] = set()  # seen stamps at or above the bound
        self._waiting: Arrived | None = None

    def next(self) -> Arrived | None:
        edge, frame = self._edge, self._waiting
        if edge.released:
            edge.collect()
        while True:
            if frame is None:
                frame = edge.take() or self._look_at_bound()
                if frame is None:
                    return None
                stamp, was, self._bound = frame.header.stamp_ns, self._bound, max(self._bound, frame.bound)
                if stamp < was or stamp in self._recent:
                    self.drop(frame, "stale")
                    frame = None
                    continue
                if frame.bound <= stamp:
                    self._recent.add(stamp)
                if self._recent and self._bound > was:
                    self._recent = {s for s in self._recent if s >= self._bound}
            if self.latest and self._is_overtaken(frame):
                self.drop(frame, "queue_full")
                frame = self._waiting = None
                continue
            self._waiting = frame
            return frame

    def _look_at_bound(self) -> Arrived | None:
        """The ring is empty: has the bound moved? A frame that entered the ring before the move is taken first."""
        edge = self._edge
        bound = FOREVER if edge.cut else edge.bound
        if bound > self._bound:
            frame = edge.take()
            if frame is not None:
                return frame
            self._bound = bound
            if self._recent:
                self._recent = {s for s in self._recent if s >= bound}
        return None

    def remove(self) -> None:
        self._waiting = None

    def is_empty(self) -> bool:
        return self._waiting is None

    def output_bound(self) -> int:
        return self._bound

    def ended(self) -> bool:
        return self._waiting is None and self._bound == FOREVER

    def is_work(self, has_room: Callable[[], bool]) -> bool:
        if self._waiting is not None:
            return has_room()
        edge = self._edge
        return edge.waiting() or bool(edge.released) or edge.bound > self._bound or (edge.cut and self._bound != FOREVER)


class JoinLine(Line):
    joins = True

    def __init__(self, inputs: Mapping[str, InEdge], trigger: str, log: Log, clock: Clock, joiner: Joiner) -> None:
        super().__init__(inputs, trigger, log, clock)
        self._joiner = joiner
        self._pending: deque[Match | Release] = deque()

    def next(self) -> Match | None:
        self._take()
        while self._pending:
            item = self._pending[0]
            if isinstance(item, Release):
                self._release(item.frame)
            elif self.latest and self._is_overtaken(item.frames[self.trigger]):
                self.discard(item, "queue_full")
            else:
                return item
            self._pending.popleft()
        return None

    def _take(self) -> None:
        """Move arrived frames into the joiner, and its decisions into the line."""
        joiner, now = self._joiner, monotonic_ns()
        for port, edge in self.inputs.items():
            if edge.released:
                edge.collect()
            while True:
                bound = FOREVER if edge.cut else edge.bound  # read before the ring: frames that follow are not older
                frame = edge.take()
                if frame is not None:
                    bound = frame.bound
                    joiner.push(port, frame.header.stamp_ns, frame, now)
                if bound > self._bounds[port]:
                    self._bounds[port] = bound
                    joiner.bound(port, bound)
                if frame is None:
                    break
        for event in joiner.pop(monotonic_ns()):
            if isinstance(event, Miss):
                self.drop(event.frame, event.reason)
            else:
                self._pending.append(event)  # the matches of a released frame come before its Release

    def _release(self, frame: Arrived) -> None:
        """End a frame after its last set."""
        if frame.accounted:
            frame.edge.done(frame)
        else:
            self.drop(frame, frame.lost)  # no set with this frame was processed
        frame.edge.ring()

    def remove(self) -> None:
        self._pending.popleft()

    def is_empty(self) -> bool:
        return not self._pending

    def output_bound(self) -> int:
        return self._joiner.output_bound()

    def next_deadline(self) -> int | None:
        return self._joiner.next_deadline(monotonic_ns())

    def is_work(self, has_room: Callable[[], bool]) -> bool:
        return self._has_news(not self._pending) or (bool(self._pending) and has_room())


class TapLine(Line):
    """Takes late and repeated frames too."""

    def __init__(self, inputs: Mapping[str, InEdge], log: Log, clock: Clock) -> None:
        super().__init__(inputs, next(iter(inputs), ""), log, clock)
        self._pending: deque[Arrived] = deque()

    def next(self) -> Arrived | None:
        for port, edge in self.inputs.items():
            if edge.released:
                edge.collect()
            while True:
                bound = FOREVER if edge.cut else edge.bound
                frame = edge.take()
                if frame is None:
                    self._bounds[port] = max(self._bounds[port], bound)
                    break
                self._pending.append(frame)
        return self._pending[0] if self._pending else None

    def remove(self) -> None:
        self._pending.popleft()

    def is_empty(self) -> bool:
        return not self._pending

    def output_bound(self) -> int:
        return NEVER  # it has no outputs

    def is_work(self, has_room: Callable[[], bool]) -> bool:
        return bool(self._pending) or self._has_news(True)

    def batch(self, first: Arrived, most: int, max_bytes: int) -> list[Arrived]:
        """Removes `first` and following frames from the line: at most `most` frames, `max_bytes` in total."""
        frames, nbytes = [first], first.used
        while self._pending and len(frames) < most:
            nbytes += self._pending[0].used
            if nbytes > max_bytes:
                break
            frames.append(self._pending.popleft())
        return frames


def line(inputs: Mapping[str, InEdge], trigger: str, log: Log, clock: Clock, joiner: Joiner | None) -> Line:
    """The line of a node that is no tap."""
    if joiner is not None:
        return JoinLine(inputs, trigger, log, clock, joiner)
    return OneLine(inputs, trigger, log, clock) if inputs else TapLine(inputs, log, clock)
