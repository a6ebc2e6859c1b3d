"""Quality under load: which operator steps down a level or up again, and when. Pure: times and durations in, switches out.

Down  a sink is late: at least the share of its frames in a window of DOWN came later than the target. The step with the smallest
      loss of quality per ms saved is taken, first among the operators on the way to that sink.
Up    no frame of UP_S was late, nor would one have been with the time that the step is expected to cost, and most of them would
      leave room below the target. The step with the largest gain of quality per ms is taken.
After a switch nothing is judged until the frames on their way have passed. A step up that fails, because a step down follows
within FAILED_S, waits twice as long the next time. Why these rules: docs/decisions/033-quality-under-load.md.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from pipeline.operator import Level

DOWN = ((2.0, 0.10, 2), (20.0, 0.01, 3))
"""Window [s], share of late frames in it, least number of them. The first shows overload, the second a few late frames."""
UP_S, ROOM, LAST_ROOM = 5.0, 0.8, 0.95
"""Frames of this time decide on a step up; shares of the target that the expected latencies may take: p95, and the largest."""
HOLD_S, MOST_HOLD_S, FAILED_S = 5.0, 40.0, 10.0
SETTLE_S, SETTLE_TARGETS = 0.5, 5.0
"""Frames are not judged for this time, or for this many targets, after a switch, a restart and the start."""
RECENT_S, LEARN_S = 2.0, 1.0
"""Compute times of this time count; time after a step up when its cost is measured (or at a switch before that)."""


@dataclass(frozen=True, slots=True)
class Stage:
    """An operator with levels. readers: operators that read its outputs; sinks: all that its frames reach."""

    node: str
    levels: tuple[Level, ...]
    readers: tuple[str, ...] = ()
    sinks: frozenset[str] = frozenset()

    def costs(self, level: int) -> tuple[float, float]:
        """Shares of the compute time of this operator and of its readers."""
        return (1.0, 1.0) if level == 0 else (max(self.levels[level - 1].cost, 1e-3), max(self.levels[level - 1].readers, 1e-3))

    def loss(self, level: int) -> float:
        return 0.0 if level == 0 else self.levels[level - 1].loss


class Switch(NamedTuple):
    node: str
    level: int
    reason: str


class _Recent:
    """(time [s], duration [ms]) of the last `span_s`."""

    def __init__(self, span_s: float) -> None:
        self._span_s, self._values = span_s, deque[tuple[float, float]]()

    def add(self, now_s: float, values: Iterable[float]) -> None:
        self._values.extend((now_s, value) for value in values)
        while self._values and self._values[0][0] < now_s - self._span_s:
            self._values.popleft()

    def since(self, time_s: float) -> list[float]:
        return [value for at_s, value in takewhile(lambda pair: pair[0] >= time_s, reversed(self._values))]

    def clear(self) -> None:
        self._values.clear()


class Controller:
    """One switch at a time. The caller reports what it sees, asks `decide` a few times a second, and does what it says."""

    def __init__(self, target_ms: float, stages: Sequence[Stage], now_s: float = 0.0) -> None:
        self.target_ms = target_ms
        self.level = {stage.node: 0 for stage in stages}
        self.helpless = ""  # the reason for a step down, while there is none left
        self._stages = {stage.node: stage for stage in stages}
        self._latency: dict[str, _Recent] = {}
        self._compute = {name: _Recent(RECENT_S) for stage in stages for name in (stage.node, *stage.readers)}
        self._hold_s: dict[str, float] = {}
        self._raised_s: dict[str, float] = {}
        self._factors: dict[tuple[str, int], float] = {}  # node, level -> time of the group there, against the level above
        self._unlearned: tuple[Stage, float] | None = None  # of the last step up, and the time of its group before it
        self._switched_s = now_s
        self._from_s = 0.0
        self.pause(now_s)

    # -- what the caller sees ---------------------------------------------------------------------------------------
    def arrived(self, now_s: float, sink: str, latencies_ms: Iterable[float]) -> None:
        """Frames at a sink: time from capture."""
        if now_s >= self._from_s:
            self._latency.setdefault(sink, _Recent(max(window_s for window_s, _, _ in DOWN))).add(now_s, latencies_ms)

    def computed(self, now_s: float, node: str, times_ms: Iterable[float]) -> None:
        """Frames of an operator at the level that it is to have: time inside process()."""
        if now_s >= self._from_s and node in self._compute:
            self._compute[node].add(now_s, times_ms)

    def pause(self, now_s: float) -> None:
        """What was seen says nothing about what comes: the run has started, a level has changed, a process restarts."""
        self._from_s = now_s + max(SETTLE_S, SETTLE_TARGETS * self.target_ms * 1e-3)
        for recent in (*self._latency.values(), *self._compute.values()):
            recent.clear()

    # -- decisions --------------------------------------------------------------------------------------------------
    def decide(self, now_s: float) -> Switch | None:
        if now_s - self._from_s >= LEARN_S:
            self._learn(now_s)
        late = self._late(now_s)
        if late is None:
            self.helpless = ""
        switch = self._up(now_s) if late is None else self._down(now_s, *late)
        if switch is not None:
            self._switch(now_s, switch)
        return switch

    def _late(self, now_s: float) -> tuple[str, str] | None:
        """A sink that is late, and the words for it."""
        for window_s, share, least in DOWN:
            for sink, recent in self._latency.items():
                latencies = recent.since(now_s - window_s)
                num_late = sum(ms > self.target_ms for ms in latencies)
                if num_late >= least and num_late >= share * len(latencies):
                    within_s = min(window_s, max(now_s - self._from_s, 0.1))
                    text = f"{num_late} of {len(latencies)} frames in {within_s:.1f} s later than {self.target_ms:g} ms at {sink}"
                    return sink, f"{text}, p95 {_quantile(latencies, 0.95):.0f} ms"
        return None

    def _down(self, now_s: float, sink: str, reason: str) -> Switch | None:
        steps = []
        for node, stage in self._stages.items():
            level = self.level[node]
            if level < len(stage.levels):
                saved_ms = -self._change_ms(stage, level + 1, now_s)
                if saved_ms > 0:
                    loss = stage.loss(level + 1) - stage.loss(level)
                    steps.append((sink not in stage.sinks, loss / saved_ms, node, level + 1))
        if not steps:
            self.helpless = reason
            return None
        node, level = min(steps, key=lambda step: step[:2])[2:]
        for raised, at_s in self._raised_s.items():
            if now_s - at_s < FAILED_S:
                self._hold_s[raised] = min(2 * self._hold_s.get(raised, HOLD_S), MOST_HOLD_S)
            elif raised == node:
                self._hold_s[node] = HOLD_S
        self._raised_s.clear()
        return Switch(node, level, reason)

    def _up(self, now_s: float) -> Switch | None:
        seen = {sink: latencies for sink, recent in self._latency.items() if (latencies := recent.since(now_s - UP_S))}
        if now_s - self._from_s < UP_S or any(max(latencies) > self.target_ms for latencies in seen.values()):
            return None
        steps = []
        for node, stage in self._stages.items():
            level = self.level[node]
            if level == 0 or now_s - self._switched_s < self._hold_s.get(node, HOLD_S) or not stage.sinks & set(seen):
                continue
            more_ms = self._change_ms(stage, level - 1, now_s)
            sink, p95 = max(((s, _quantile(seen[s], 0.95)) for s in stage.sinks & set(seen)), key=lambda pair: pair[1])
            largest = max(max(seen[s]) for s in stage.sinks & set(seen))
            if p95 + more_ms <= ROOM * self.target_ms and largest + more_ms <= LAST_ROOM * self.target_ms:
                gain = stage.loss(level) - stage.loss(level - 1)
                reason = f"p95 {p95:.0f} ms in {UP_S:g} s at {sink} leaves room for {max(more_ms, 0):.0f} ms more"
                steps.append((-gain / max(more_ms, 1e-3), node, Switch(node, level - 1, reason)))
        if not steps:
            return None
        _, node, switch = min(steps, key=lambda step: step[0])
        self._raised_s[node] = now_s
        return switch

    def _switch(self, now_s: float, switch: Switch) -> None:
        self._learn(now_s)
        stage = self._stages[switch.node]
        is_up = switch.level < self.level[switch.node]
        self._unlearned = (stage, sum(self._group_ms(stage, now_s))) if is_up else None
        self.level[switch.node] = switch.level
        self._switched_s = now_s
        self.pause(now_s)

    # -- costs --------------------------------------------------------------------------------------------------------
    def _group_ms(self, stage: Stage, now_s: float) -> tuple[float, float]:
        """Median compute times: of the operator, of its readers together."""
        times = [self._compute[name].since(now_s - RECENT_S) for name in (stage.node, *stage.readers)]
        own, *readers = (_quantile(t, 0.5) if t else 0.0 for t in times)
        return own, sum(readers)

    def _change_ms(self, stage: Stage, level: int, now_s: float, declared: bool = False) -> float:
        """Expected change of the compute time by a step to the neighbour `level`."""
        own, readers = self._group_ms(stage, now_s)
        now = self.level[stage.node]
        (own_now, readers_now), (own_then, readers_then) = stage.costs(now), stage.costs(level)
        learned = self._factors.get((stage.node, max(now, level)))
        if learned is None or declared:
            return own * (own_then / own_now - 1) + readers * (readers_then / readers_now - 1)
        return (own + readers) * ((learned if level > now else 1 / learned) - 1)

    def _learn(self, now_s: float) -> None:
        """The factor of the last step up, before which the load was steady. It stays near the declared one."""
        if self._unlearned is None:
            return
        stage, before_ms = self._unlearned
        self._unlearned = None
        level, after_ms = self.level[stage.node], sum(self._group_ms(stage, now_s))
        if after_ms <= 0:
            return
        declared = 1 + self._change_ms(stage, level + 1, now_s, declared=True) / after_ms
        if 0 < declared < 1:
            self._factors[stage.node, level + 1] = min(max(before_ms / after_ms, declared**2), math.sqrt(declared))


def _quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[min(int(q * len(values)), len(values) - 1)]
