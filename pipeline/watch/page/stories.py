"""Where the time of single frames went: of the slowest, and of as many others as the page has room for.

A story is {frame, at_s (since the start of the graph's clock), total [ns], spans, drops}; a span is
[node, queued | transport | sync | compute | write, begin [ns], length [ns], 1 = on the critical path]. Begin counts from the
moment when the source began to read the frame; of a source that is paced, from the moment when it sent the frame.
Of a join the input that came last is shown. The critical path leads from the last sink back over these inputs.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

import numpy as np

from pipeline.flow.log import (
    DELIVERED,
    DROPPED,
    GENERATION,
    HEAD,
    LEVEL,
    PUBLISHED,
    REUSED,
    STEP,
    VALUES,
    WHO,
    kinds_and_indices,
    reason_of,
)
from pipeline.watch.history import History, Run

MOST_ROWS, MOST_FRAMES, SLOWEST = 1 << 18, 240, 8
"""Newest events that are looked at; stories; of these, the slowest frames."""
_MOST_OF_A_STEP = 1024

Span = list[Any]


class Stories:
    """add() takes the rows of `History.events()`; total: frames that reached a sink, of the events that are kept."""

    def __init__(self, history: History, most_rows: int = MOST_ROWS, most_frames: int = MOST_FRAMES) -> None:
        self._run = history.run
        self._most_rows, self._most_frames = most_rows, most_frames
        self._rows: deque[np.ndarray] = deque()
        self._held = 0
        self.total = 0
        self.is_cut = False
        self._index_of = {node.name: node.index for node in self._run.nodes}
        start = self._run.start
        self._begin_ns = self._run.time_ns if start is None else start.anchor_mono_ns
        self._paced = start is not None and (start.live or start.rate is not None)

    def add(self, rows: np.ndarray) -> None:
        self._rows.append(rows)
        self._held += len(rows)
        while self._held - len(self._rows[0]) >= self._most_rows:
            self._held -= len(self._rows.popleft())
            self.is_cut = True

    def result(self) -> dict[str, Any]:
        """{frames: stories in the order of their last steps, slow: indices of the slowest, the slowest first}."""
        if not self._rows:
            return {"frames": [], "slow": []}
        rows = np.concatenate(self._rows)[-self._most_rows :]
        self._rows, self._held = deque([rows]), len(rows)
        self._subjects = kinds_and_indices(rows)
        kinds = self._subjects & 0xFF
        sinks = [n.index for n in self._run.nodes if n.kind == "sink"]
        ends = np.flatnonzero((kinds == STEP) & np.isin(self._subjects >> 8, sinks))
        chosen = self._choose(rows, ends)
        mine = np.isin(rows[:, WHO], chosen)
        self._published(rows, np.flatnonzero(mine & (kinds == PUBLISHED)))
        all_steps = np.flatnonzero(kinds == STEP)
        steps: dict[int, dict[int, Step]] = defaultdict(dict)  # who -> node -> its last step
        for place in np.flatnonzero(mine & (kinds == STEP)).tolist():
            before = int(np.searchsorted(all_steps, place)) - 1
            first = max(place - _MOST_OF_A_STEP, int(all_steps[before]) + 1 if before >= 0 else 0)
            step = Step(rows[place].tolist(), rows[first:place].tolist(), self._run, self._index_of)
            steps[int(rows[place, WHO])][step.node] = step
        drops: dict[int, list[str]] = defaultdict(list)
        for row in rows[mine & (kinds == DROPPED)].tolist():
            drops[row[WHO]].append(f"{self._run.edges[row[0] >> 8 & 0xFFFF].name}: {reason_of(row)}")
        whole = [who for who in chosen.tolist() if any(step.is_source for step in steps[who].values())]
        stories = [self._story(who, steps[who], drops[who]) for who in whole]
        slow = sorted(range(len(stories)), key=lambda i: -stories[i]["total"])
        return {"frames": stories, "slow": slow[:SLOWEST]}

    def _choose(self, rows: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """(n,) int64: words WHO, in the order in which the frames first came to a sink; the slowest, and others evenly spread."""
        whos, at = np.unique(rows[ends, WHO], return_index=True)
        latency = np.zeros(len(whos), np.int64)
        np.maximum.at(latency, np.searchsorted(whos, rows[ends, WHO]), rows[ends, VALUES + 1])
        self.total = len(whos)
        order = np.argsort(at, kind="stable")
        if len(whos) <= self._most_frames:
            return whos[order]
        slow = np.argsort(-latency, kind="stable")[:SLOWEST]
        spread = order[np.linspace(0, len(order) - 1, self._most_frames - SLOWEST).astype(np.int64)]
        kept = np.zeros(len(whos), bool)
        kept[slow] = kept[spread] = True
        return whos[order][kept[order]]

    def _published(self, rows: np.ndarray, places: np.ndarray) -> None:
        """(edge, generation) -> when the frame was committed."""
        self._committed: dict[tuple[int, int], int] = {}
        for head, gen, committed in rows[places][:, [HEAD, GENERATION, VALUES + 2]].tolist():
            for edge in self._run.ports[head >> 8 & 0xFFFF].edges:
                self._committed[edge, gen] = committed

    def _story(self, who: int, steps: dict[int, Step], drops: list[str]) -> dict[str, Any]:
        ordered = sorted(steps.values(), key=lambda step: step.started_ns)
        origin = min(step.committed_ns if self._paced else step.began_ns for step in ordered if step.is_source)
        last = max(ordered, key=lambda step: step.ended_ns)
        path = set()
        walk: Step | None = last
        while walk is not None and walk.node not in path:
            path.add(walk.node)
            walk = None if walk.last_input is None else steps.get(walk.last_input.source)
        spans: list[Span] = []
        for step in ordered:
            name = self._run.nodes[step.node].name
            for kind, begin, end in step.spans(self._committed):
                begin = max(begin, origin)
                if end > begin:
                    spans.append([name, kind, begin - origin, end - begin, int(step.node in path)])
        return {
            "frame": self._run.name_of(who),
            "at_s": round((origin - self._begin_ns) * 1e-9, 4),
            "total": last.ended_ns - origin,
            "spans": spans,
            "drops": drops,
        }


class Input:
    """A frame that a step took: when it was made (its process() had returned), sent and taken [CLOCK_MONOTONIC, ns]."""

    __slots__ = ("edge", "gen", "made_ns", "sent_ns", "source", "taken_ns")

    def __init__(self, row: list[int], edge: int, source: int, started_ns: int) -> None:
        self.edge, self.gen, self.source = edge, row[GENERATION], source
        self.made_ns, self.sent_ns = started_ns - row[VALUES], started_ns - row[VALUES + 1]
        self.taken_ns = started_ns - row[VALUES + 3]


class Step:
    """One step of a node, from the rows that stand before it in the log."""

    __slots__ = ("began_ns", "committed_ns", "ended_ns", "is_source", "last_input", "node", "started_ns")

    def __init__(self, row: list[int], before: list[list[int]], run: Run, index_of: dict[str, int]) -> None:
        self.node, write_ns = row[0] >> 8 & 0xFFFF, row[LEVEL] >> 8
        self.is_source = run.nodes[self.node].kind == "source"
        self.last_input: Input | None = None
        if self.is_source:
            self.committed_ns = row[VALUES + 2]
            self.ended_ns = self.committed_ns - write_ns
            self.began_ns = self.started_ns = self.ended_ns - row[VALUES]
            return
        self.started_ns = row[VALUES + 2]
        self.ended_ns = self.started_ns + row[VALUES]
        self.committed_ns = self.ended_ns + write_ns
        for other in before:
            kind, index = other[0] & 0xFF, other[0] >> 8 & 0xFFFF
            if kind in (DELIVERED, REUSED) and index_of[run.edges[index].dst_node] == self.node:
                found = Input(other, index, index_of[run.edges[index].src_node], self.started_ns)
                if self.last_input is None or found.taken_ns >= self.last_input.taken_ns:
                    self.last_input = found
        self.began_ns = self.started_ns if self.last_input is None else self.last_input.made_ns

    def spans(self, committed: dict[tuple[int, int], int]) -> list[tuple[str, int, int]]:
        """(kind, begin, end) [CLOCK_MONOTONIC, ns]; committed: (edge, generation) -> when its frame was committed."""
        out = [("compute", self.started_ns, self.ended_ns), ("write", self.ended_ns, self.committed_ns)]
        if (one := self.last_input) is not None:
            waits = committed.get((one.edge, one.gen), one.made_ns)
            sent = max(waits, one.sent_ns)
            taken = max(sent, one.taken_ns)
            out[:0] = [("queued", waits, sent), ("transport", sent, taken), ("sync", taken, self.started_ns)]
        return out
