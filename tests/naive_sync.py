"""The joiner's rules, slow and obvious: every decision re-examines all frames. The oracle of test_sync*.py.

`match` sees the complete streams at once. `NaiveJoiner` receives frames like `Joiner`, one after another, and tries every frame
that could still come; therefore stamps must be small integers.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.flow.sync import Event, Match, Miss, Release
from pipeline.frame import FOREVER

LOWEST = -(2**63)


@dataclass(frozen=True)
class Rules:
    """The rules of a graph; stamps are adjusted by the port's offset before any comparison."""

    ports: tuple[str, ...]
    policy: str
    tolerance_ns: int = 0
    offset_ns: Mapping[str, int] = field(default_factory=dict)
    timeout_ns: int | None = None
    optional: frozenset[str] = frozenset()
    live: bool = False

    @property
    def trigger(self) -> str:
        return self.ports[0]

    def offset(self, port: str) -> int:
        return self.offset_ns.get(port, 0)

    @property
    def tolerance(self) -> int:
        return self.tolerance_ns if self.policy == "nearest" else 0


def choose(rules: Rules, frames: Sequence[int], at: int) -> tuple[int | None, bool]:
    """(the frame for a trigger at `at`, whether the only candidate came too late), from these adjusted stamps in order."""
    if rules.policy == "exact":
        here = bisect_left(frames, at)
        return (at if here < len(frames) and frames[here] == at else None), False
    if rules.policy == "latest":
        before = bisect_right(frames, at)
        return (frames[before - 1] if before else None), False
    within = frames[bisect_left(frames, at - rules.tolerance) : bisect_right(frames, at + rules.tolerance)]
    in_time = [f for f in within if rules.live or rules.timeout_ns is None or f <= at + rules.timeout_ns]
    best = min(in_time, key=lambda f: (abs(f - at), f), default=None)
    return best, best is None and bool(within)


def admitted(ops: Sequence[tuple[str, int]]) -> tuple[list[int], list[int]]:
    """(accepted stamps, stale stamps) of one port, in the order of arrival. ops: ("push" | "bound", stamp)."""
    bound, seen, good, stale = LOWEST, set[int](), list[int](), list[int]()
    for kind, value in ops:
        if kind == "bound":
            bound = max(bound, value)
        elif value < bound or value in seen:
            stale.append(value)
        else:
            seen.add(value)
            good.append(value)
    return good, stale


def match(rules: Rules, streams: Mapping[str, Sequence[tuple[str, int]]]) -> list[tuple[Any, ...]]:
    """The result of each trigger, in order: ("match", {port: stamp}, missing) or ("miss", stamp, reason). Offline only."""
    frames = {p: sorted(s + rules.offset(p) for s in admitted(streams[p])[0]) for p in rules.ports}
    out: list[tuple[Any, ...]] = []
    for at in frames[rules.trigger]:
        chosen, missing, late = {rules.trigger: at}, [], False
        for p in rules.ports[1:]:
            best, too_late = choose(rules, frames[p], at)
            if best is None:
                missing.append(p)
                late |= too_late and p not in rules.optional
            else:
                chosen[p] = best
        if rules.optional.issuperset(missing):
            out.append(("match", {p: f - rules.offset(p) for p, f in chosen.items()}, tuple(missing)))
        else:
            out.append(("miss", at - rules.offset(rules.trigger), "sync_timeout" if late else "sync_no_match"))
    return out


class NaiveJoiner:
    """The naive twin of `Joiner`, with the same methods."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.items: dict[str, list[tuple[int, int, Any]]] = {p: [] for p in rules.ports}  # adjusted stamp, arrival, frame
        self.bounds = dict.fromkeys(rules.ports, LOWEST)
        self.seen: dict[str, set[int]] = {p: set() for p in rules.ports}
        self.used: set[tuple[str, int]] = set()
        self.events: list[Event] = []

    def push(self, port: str, stamp_ns: int, frame: Any, now_ns: int = 0) -> None:
        at = stamp_ns + self.rules.offset(port)
        if at < self.bounds[port] or at in self.seen[port]:
            self.events.append(Miss(port, frame, "stale"))
            return
        self.seen[port].add(at)
        self.items[port] = sorted([*self.items[port], (at, now_ns, frame)], key=lambda i: i[0])

    def bound(self, port: str, stamp_ns: int) -> None:
        adjusted = FOREVER if stamp_ns >= FOREVER else stamp_ns + self.rules.offset(port)
        self.bounds[port] = max(self.bounds[port], adjusted)

    def pop(self, now_ns: int = 0) -> list[Event]:
        rules = self.rules
        while self.items[rules.trigger] and self._decide(now_ns):
            self._end_useless()
        self._end_useless()
        events, self.events = self.events, []
        return events

    def _decide(self, now_ns: int) -> bool:
        rules = self.rules
        at, arrived, frame = self.items[rules.trigger][0]
        timed_out = rules.live and rules.timeout_ns is not None and now_ns - arrived >= rules.timeout_ns
        if not timed_out and (self.bounds[rules.trigger] < at or not all(self._sure(p, at) for p in rules.ports[1:])):
            return False
        self.items[rules.trigger].pop(0)
        self.bounds[rules.trigger] = max(self.bounds[rules.trigger], at + 1)
        chosen, missing, late = {rules.trigger: frame}, [], timed_out
        for p in rules.ports[1:]:
            best, too_late = choose(rules, [i[0] for i in self.items[p]], at)
            if best is None:
                missing.append(p)
                late |= too_late and p not in rules.optional
            else:
                chosen[p] = next(f for a, _, f in self.items[p] if a == best)
        if rules.optional.issuperset(missing):
            self.used |= {(p, a) for p in chosen for a, _, f in self.items[p] if f is chosen[p]}
            self.events.append(Match(at - rules.offset(rules.trigger), chosen, tuple(missing)))
        else:
            self.events.append(Miss(rules.trigger, frame, "sync_timeout" if late else "sync_no_match"))
        return True

    def _sure(self, port: str, at: int) -> bool:
        """Whether no future frame of this port can change the choice for a trigger at `at`. Tries every possible frame."""
        rules = self.rules
        frames = [i[0] for i in self.items[port]]
        now = choose(rules, frames, at)
        if rules.live and rules.policy == "latest":
            return now[0] is not None or port in rules.optional or self.bounds[port] > at
        low = max(self.bounds[port], at - rules.tolerance if rules.policy != "latest" else min([at, *frames]))
        return all(choose(rules, sorted([*frames, come]), at) == now for come in range(low, at + rules.tolerance + 1))

    def _end_useless(self) -> None:
        """Ends frames that no future trigger would choose. Tries every possible stamp of a trigger."""
        rules = self.rules
        first = self.items[rules.trigger][0][0] if self.items[rules.trigger] else FOREVER
        limit = min(first, self.bounds[rules.trigger])
        for p in rules.ports[1:]:
            frames = [i[0] for i in self.items[p]]
            high = max(frames, default=0) + rules.tolerance + 1
            low = max(limit, min(frames, default=0) - rules.tolerance)
            wanted = {choose(rules, frames, at)[0] for at in range(low, high + 1)} if limit < FOREVER else set()
            if limit < FOREVER and low > high:
                wanted = {choose(rules, frames, low)[0]}
            for at, _, frame in self.items[p]:
                if at not in wanted:
                    self.events.append(Release(p, frame) if (p, at) in self.used else Miss(p, frame, "sync_no_match"))
            self.items[p] = [i for i in self.items[p] if i[0] in wanted]
