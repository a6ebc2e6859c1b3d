"""Where the slow frames of a sink spent their time: in which node's process(), or between which two nodes.

A frame keeps its number (source, frame_id) on its way along the trigger inputs, from the source to the sink. So the steps of the
nodes on this way divide its latency without a gap: capture to the source's send, then in turns the hop to the next node (queue,
transport, in a join the wait for the other inputs) and the time in its process(). Steps are taken as they are booked; the last
RECENT of each node are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pipeline.flow.log import VALUES, WHO
from pipeline.graph.plan import Plan
from pipeline.graph.spec import GraphSpec
from pipeline.runtime.books import Accountant

RECENT = 8192
"""Steps of a node that are kept, and slow frames that wait for the steps of slower processes' logs."""


class Share(NamedTuple):
    """Part of the latency of a sink's slow frames: mean, of the mean of the whole latency; how many; the slowest one."""

    stage: str
    ms: float
    of_ms: float
    frames: int
    slowest: str

    def __str__(self) -> str:
        mean = f"mean of {self.frames} slow frames; pipe why RUN {self.slowest} tells of the slowest"
        return f"{self.stage} takes {self.ms:.3g} of {self.of_ms:.3g} ms ({mean})"


class Shares:
    """Watches the books of a run. limit_ms: a frame that takes longer from capture to the sink is slow."""

    def __init__(self, plan: Plan, accountant: Accountant, sinks: Mapping[str, float]) -> None:
        """sinks: name -> limit_ms."""
        nodes = list(plan.node_index)
        self._limit_ns = {plan.node_index[sink]: limit * 1e6 for sink, limit in sinks.items()}
        self._way = {plan.node_index[sink]: _way(plan.graph, sink) for sink in sinks}
        self._index, self._names = plan.node_index, nodes
        self._recent = {
            plan.node_index[name]: _Recent(plan.graph.nodes[name].is_source) for way in self._way.values() for name, _ in way
        }
        self._waiting: dict[int, np.ndarray] = {sink: np.zeros((0, 2), np.int64) for sink in self._limit_ns}
        self._sums: dict[int, Counter[str]] = {sink: Counter() for sink in self._limit_ns}
        self._frames: Counter[int] = Counter()
        self._slowest: dict[int, tuple[int, int]] = dict.fromkeys(self._limit_ns, (0, 0))  # latency [ns], who
        self._name_of = accountant.name_of
        self._inner = accountant.watch
        accountant.watch = self._booked

    def of(self) -> dict[str, list[Share]]:
        """Sink -> shares, the largest first; of sinks with slow frames. Call it when the books are closed."""
        out = {}
        for sink, sums in self._sums.items():
            self._divide(sink)
            frames = self._frames[sink]
            if frames:
                whole, slowest = sums.total() * 1e-6 / frames, "{}:{}".format(*self._name_of(self._slowest[sink][1]))
                out[self._names[sink]] = [
                    Share(stage, ns * 1e-6 / frames, whole, frames, slowest) for stage, ns in sums.most_common()
                ]
        return out

    def _booked(self, index: int, rows: np.ndarray) -> None:
        """Steps of a node (flow/log.py), as they are booked."""
        if index in self._recent:
            self._recent[index].add(rows)
        if index in self._limit_ns:
            slow = rows[rows[:, VALUES + 1] > self._limit_ns[index]][:, [WHO, VALUES + 1]]
            self._waiting[index] = np.concatenate([self._waiting[index], slow])[-RECENT:]
            self._divide(index)
        if self._inner is not None:
            self._inner(index, rows)

    def _divide(self, sink: int) -> None:
        """Adds the shares of the waiting frames whose steps are all booked; the others wait on."""
        waiting = self._waiting[sink]
        if not len(waiting):
            return
        found = [self._recent[self._index[name]].find(waiting[:, 0]) for name, _ in self._way[sink]]
        whole = np.logical_and.reduce([there for there, _, _ in found])
        self._waiting[sink] = waiting[~whole]
        for who, latency_ns in waiting[whole].tolist():
            self._slowest[sink] = max(self._slowest[sink], (latency_ns, who))
        left = waiting[whole, 1].copy()
        sums, ended = self._sums[sink], None
        for (name, hop), (_, began_ns, ended_ns) in zip(self._way[sink], found, strict=True):
            if ended is not None:
                spent = {hop: began_ns[whole] - ended, name: ended_ns[whole] - began_ns[whole]}
                for stage, ns in spent.items():
                    sums[stage] += int(ns.sum())
                    left -= ns
            ended = ended_ns[whole]
        source = self._way[sink][0][0]
        sums[f"{source}, from capture to send,"] += int(left.sum())
        self._frames[sink] += int(whole.sum())


def _way(graph: GraphSpec, sink: str) -> list[tuple[str, str]]:
    """From the source to the sink along triggers: (node, name of the hop that leads to it)."""
    way, name = [], sink
    while (port := graph.nodes[name].trigger) is not None:
        i = graph.nodes[name].inputs[port]
        way.append((name, f"the hop {i.source_node}.{i.source_port}->{name}.{port}"))
        name = i.source_node
    return [(name, ""), *reversed(way)]


class _Recent:
    """The last steps of one node: frame, when process() began and ended [monotonic ns]; of a source when it sent."""

    def __init__(self, is_source: bool) -> None:
        self._is_source = is_source
        self._rows = np.zeros((0, 3), np.int64)

    def add(self, rows: np.ndarray) -> None:
        began = rows[:, VALUES + 2]  # of a source: when it sent, after its read()
        ended = began if self._is_source else began + rows[:, VALUES]
        self._rows = np.concatenate([self._rows, np.stack([rows[:, WHO], began, ended], axis=1)])[-RECENT:]

    def find(self, whos: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each frame: is its step here?, began, ended; of a frame with two steps (a source restarted) the later one."""
        if not len(self._rows):
            none = np.zeros(len(whos), np.int64)
            return none.astype(bool), none, none
        order = np.argsort(self._rows[:, 0], kind="stable")
        rows = self._rows[order]
        at = np.searchsorted(rows[:, 0], whos, side="right") - 1
        there = (at >= 0) & (rows[at, 0] == whos)
        return there, rows[at, 1], rows[at, 2]
