"""Pair frames of several streams by their stamps. Pure: no engine, no clock, no threads.

Frames are compared by adjusted stamp, `stamp_ns + offset_ns[port]`. One port is the trigger; each of its frames becomes one
set or a miss. Triggers are decided in the order of their stamps, each as soon as no future frame can change its set: no future
frame of a port has a stamp below the port's `bound`.

exact    equal adjusted stamps
nearest  smallest distance, at most the tolerance; of two at the same distance the earlier
latest   newest at or before the trigger; live: among those that have arrived

Offline (`live=False`) the result depends on stamps and bounds alone, not on time or on the order in which frames of different
ports arrive. Live, a trigger that has waited `timeout_ns` since its arrival takes the frames that are there.

Every pushed frame has exactly one end: Match (a trigger), Release (of another port, after one or more matches), or Miss.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.frame import FOREVER, NEVER


@dataclass(frozen=True, slots=True)
class Match:
    """A set to process. `frames` lacks the ports named in `missing`; `stamp_ns` is the trigger's own."""

    stamp_ns: int
    frames: dict[str, Any]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Miss:
    """A frame in no set. reason: stale | sync_no_match | sync_timeout"""

    port: str
    frame: Any
    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """A frame that was in one or more sets and can be in no further set."""

    port: str
    frame: Any


Event = Match | Miss | Release


@dataclass(slots=True, order=True)
class _Item:
    """A buffered frame, ordered by its adjusted stamp."""

    at: int
    arrived_ns: int = field(compare=False)
    frame: Any = field(compare=False)
    used: bool = field(default=False, compare=False)


@dataclass(slots=True)
class _Stream:
    """One port: its frames by adjusted stamp, its bound (adjusted), the stamps already seen at or above the bound."""

    name: str
    offset_ns: int
    items: list[_Item] = field(default_factory=list)
    bound: int = NEVER
    seen: set[int] = field(default_factory=set)

    def raise_bound(self, bound: int) -> None:
        if bound > self.bound:
            self.bound = bound
            self.seen = {at for at in self.seen if at >= bound}


class Joiner:
    """See the module. `timeout_ns` None = wait forever; offline it limits how far a frame may lie after its trigger."""

    def __init__(
        self,
        ports: Iterable[str],
        trigger: str,
        policy: str,
        tolerance_ns: int = 0,
        offset_ns: Mapping[str, int] | None = None,
        timeout_ns: int | None = None,
        optional: frozenset[str] = frozenset(),
        live: bool = False,
    ) -> None:
        self._streams = {port: _Stream(port, (offset_ns or {}).get(port, 0)) for port in ports}
        self._trigger = self._streams[trigger]
        self._others = [s for s in self._streams.values() if s is not self._trigger]
        self._policy = policy
        self._tolerance_ns = tolerance_ns if policy == "nearest" else 0
        self._timeout_ns = timeout_ns
        self._optional = optional
        self._live = live
        self._events: list[Event] = []

    def push(self, port: str, stamp_ns: int, frame: Any, now_ns: int = 0) -> None:
        """A frame arrived. It is stale if below the port's bound, or if its stamp was already seen."""
        stream = self._streams[port]
        at = stamp_ns + stream.offset_ns
        if at < stream.bound or at in stream.seen:
            self._events.append(Miss(port, frame, "stale"))
            return
        stream.seen.add(at)
        item = _Item(at, now_ns, frame)
        if not stream.items or stream.items[-1].at < at:
            stream.items.append(item)
        else:
            insort(stream.items, item)

    def bound(self, port: str, stamp_ns: int) -> None:
        """No future frame of this port has a stamp below `stamp_ns`; FOREVER at the end of the stream."""
        stream = self._streams[port]
        stream.raise_bound(FOREVER if stamp_ns >= FOREVER else stamp_ns + stream.offset_ns)

    def pop(self, now_ns: int = 0) -> list[Event]:
        """All events decided by now, in the order of decision."""
        while self._trigger.items and self._decide(self._trigger.items[0], now_ns):
            del self._trigger.items[0]
            self._prune()
        self._prune()
        events, self._events = self._events, []
        return events

    def next_deadline(self, now_ns: int = 0) -> int | None:
        """Time at which `pop` decides something without a new frame; None = never. At or before `now_ns`: now."""
        if not self._live or self._timeout_ns is None or not self._trigger.items:
            return None
        return self._trigger.items[0].arrived_ns + self._timeout_ns

    def output_bound(self) -> int:
        """No future Match has a stamp below this."""
        at = self._next_trigger()
        return at if at in (FOREVER, NEVER) else at - self._trigger.offset_ns

    def waiting_for(self) -> list[str]:
        """The ports that delay the next decision."""
        if not self._trigger.items:
            return [] if self._trigger.bound == FOREVER else [self._trigger.name]
        at = self._trigger.items[0].at
        own = [self._trigger.name] if self._trigger.bound < at else []
        return own + [s.name for s in self._others if not self._settled(s, at, self._best(s, at))]

    def buffered(self, port: str) -> int:
        return len(self._streams[port].items)

    def _next_trigger(self) -> int:
        """No undecided or future trigger has an adjusted stamp below this."""
        first = self._trigger.items[0].at if self._trigger.items else FOREVER
        return min(first, self._trigger.bound)

    def _decide(self, trigger: _Item, now_ns: int) -> bool:
        """Make a Match or a Miss of the first trigger; False if it must wait."""
        at = trigger.at
        best = {s.name: self._best(s, at) for s in self._others}
        timed_out = self._live and self._timeout_ns is not None and now_ns - trigger.arrived_ns >= self._timeout_ns
        # sets are made in the order of stamps, so wait while an earlier trigger may come
        if not timed_out and (self._trigger.bound < at or not all(self._settled(s, at, best[s.name]) for s in self._others)):
            return False
        self._trigger.raise_bound(at + 1)
        missing = tuple(name for name in self._streams if name in best and best[name] is None)
        if not self._optional.issuperset(missing):
            late = timed_out or any(self._late(self._streams[name], at) for name in missing if name not in self._optional)
            self._events.append(Miss(self._trigger.name, trigger.frame, "sync_timeout" if late else "sync_no_match"))
            return True
        frames: dict[str, Any] = {}
        for name, stream in self._streams.items():
            item = trigger if stream is self._trigger else best[name]
            if item is not None:
                item.used = True
                frames[name] = item.frame
        self._events.append(Match(at - self._trigger.offset_ns, frames, missing))
        return True

    def _best(self, stream: _Stream, at: int) -> _Item | None:
        """The buffered frame of `stream` that fits a trigger at `at` best."""
        items = stream.items
        after = bisect_left(items, at, key=_at)  # first at or after the trigger
        if after < len(items) and items[after].at == at:
            return items[after]
        if self._policy == "exact":
            return None
        before = items[after - 1] if after else None
        if self._policy == "latest":
            return before
        found = before if before is not None and at - before.at <= self._tolerance_ns else None
        if after < len(items) and items[after].at - at <= self._reach_ns():
            next_item = items[after]
            if found is None or next_item.at - at < at - found.at:
                found = next_item
        return found

    def _reach_ns(self) -> int:
        """How far after its trigger a frame may lie."""
        if self._live or self._timeout_ns is None:
            return self._tolerance_ns
        return min(self._tolerance_ns, self._timeout_ns)

    def _settled(self, stream: _Stream, at: int, best: _Item | None) -> bool:
        """Is `best` final for a trigger at `at`: can no future frame of `stream` be better?"""
        if stream.bound > at + self._tolerance_ns:
            return True
        if stream.bound > at + self._reach_ns() and (best is not None or self._late(stream, at)):
            return True  # every future frame is beyond the reach, and changes neither the set nor the reason of a miss
        if best is None:
            return self._live and self._policy == "latest" and stream.name in self._optional
        if best.at == at or (self._live and self._policy == "latest"):
            return True
        # nearest: a future frame is at least `bound - at` away; at equal distance the earlier frame wins
        return self._policy == "nearest" and stream.bound - at >= abs(best.at - at)

    def _late(self, stream: _Stream, at: int) -> bool:
        """Offline: is there a frame within the tolerance but beyond the timeout?"""
        first = bisect_right(stream.items, at + self._reach_ns(), key=_at)
        return first < len(stream.items) and stream.items[first].at <= at + self._tolerance_ns

    def _prune(self) -> None:
        """End the frames that no future trigger can use."""
        limit = self._next_trigger()
        for stream in self._others:
            count = 0
            while count < len(stream.items) and self._useless(stream.items, count, limit):
                item = stream.items[count]
                self._events.append(
                    Release(stream.name, item.frame) if item.used else Miss(stream.name, item.frame, "sync_no_match")
                )
                count += 1
            del stream.items[:count]

    def _useless(self, items: list[_Item], index: int, limit: int) -> bool:
        """Is this frame useless for every trigger at or after `limit`?"""
        if limit == FOREVER:
            return True
        if self._policy != "latest" and items[index].at < limit - self._tolerance_ns:
            return True
        # an input frame older than every future trigger is superseded by a newer one
        return self._policy != "exact" and index + 1 < len(items) and items[index + 1].at <= limit


def _at(item: _Item) -> int:
    return item.at
