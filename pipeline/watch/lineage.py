"""The story of one frame, from the events of a run: every hop in parts, what was dropped, what a sink's latency consisted of.

The parts of a hop: see story.py. Why these times and no others: docs/decisions/034-lineage.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from pipeline.errors import InputError
from pipeline.flow.log import (
    DELIVERED,
    DROPPED,
    ERROR,
    GENERATION,
    HEAD,
    PUBLISHED,
    REUSED,
    STAMP,
    STEP,
    VALUES,
    WHO,
    write_ns_of,
)
from pipeline.flow.slot import ID_MASK, who, whose
from pipeline.graph.layout import EVENT_WORDS
from pipeline.settings import suggest
from pipeline.watch.history import History, Life, Node
from pipeline.watch.story import Arrival, Drop, FrameStory, Hop, Segment

MOST_OF_A_STEP = 1024
"""Events of one step at most."""


class Lineage:
    """Reads the events once: at most 64 MB."""

    def __init__(self, history: History) -> None:
        self.history, self.run = history, history.run
        parts = list(history.events())
        self._rows = rows = np.concatenate(parts) if parts else np.zeros((0, EVENT_WORDS), np.int64)
        self._kind, self._index = rows[:, HEAD] & 0xFF, rows[:, HEAD] >> 8 & 0xFFFFFF
        self._write = write_ns_of(rows)
        self._port_of = {edge: port.index for port in self.run.ports for edge in port.edges}
        is_step = self._kind == STEP
        steps = np.flatnonzero(is_step)
        after = np.cumsum(is_step) - is_step  # of each row: how many steps stand before it
        self._step_after = np.append(steps, -1)[np.minimum(after, len(steps))]  # the next STEP, -1: none

    @cached_property
    def _by_who(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self._rows[:, WHO], kind="stable")
        return order, self._rows[order, WHO]

    def of(self, source: str, frame_id: int) -> FrameStory:
        """Raises InputError in one line where there is no such frame, or its events are gone."""
        run = self.run
        if source not in run.sources:
            raise InputError(f"{source}:{frame_id}: needs a source of {run.graph}{suggest(source, run.sources)}")
        number = who(run.sources.index(source), frame_id)
        rows = self._of(number)
        if not len(rows):
            raise InputError(f"{source}:{frame_id}: {self._why_none(source, frame_id)}")
        sent = {(int(self._index[i]), int(self._rows[i, GENERATION])) for i in rows if self._kind[i] == PUBLISHED}
        ended = {(int(self._index[i]), int(self._rows[i, GENERATION])) for i in rows if self._kind[i] in (DELIVERED, DROPPED)}
        hops = sorted((hop for i in rows if (hop := self._hop(int(i))) is not None), key=lambda hop: hop.ended_ns)
        drops = [self._drop(int(i)) for i in rows if self._kind[i] == DROPPED]
        open_ = [run.edges[e].name for port, gen in sorted(sent) for e in run.ports[port].edges if (e, gen) not in ended]
        errors = [run.nodes[self._index[i]].name for i in rows if self._kind[i] == ERROR]
        arrivals = [arrival for i in rows if (arrival := self._arrival(int(i))) is not None]
        own = [hop.ended_ns for hop in hops if not hop.edge] or [int(self._rows[rows[0], VALUES + 2])]
        story = FrameStory(
            f"{source}:{frame_id}", int(self._rows[rows[0], STAMP]), own[0], hops, drops, open_, errors, arrivals
        )  # fmt: skip
        story.restarts.extend(self._restarts(story))
        return story

    def slowest(self, sink: str, count: int) -> list[tuple[str, int]]:
        """(source, frame_id) of the frames that took longest to a sink, the slowest first."""
        index = self.run.node(sink).index
        steps = self._rows[(self._kind == STEP) & (self._index == index)]
        order = np.argsort(-steps[:, VALUES + 1], kind="stable")[:count]
        frames = (whose(number) for number in steps[order, WHO].tolist())
        return [(self.run.sources[source], frame_id) for source, frame_id in frames]

    # -- rows -----------------------------------------------------------------------------------------------------
    def _of(self, number: int) -> np.ndarray:
        """Indices of all rows of a frame, in their order."""
        order, whos = self._by_who
        first, last = np.searchsorted(whos, [number, number + 1])
        return order[first:last]

    def _why_none(self, source: str, frame_id: int) -> str:
        index = self.run.sources.index(source)
        numbers = self._by_who[1]
        first, last = np.searchsorted(numbers, [who(index, 0), who(index, ID_MASK) + 1])
        if first == last:
            return f"{source} has sent no frame" + (" of which events are left" if self.history.is_cut else " yet")
        least, most = int(numbers[first] & ID_MASK), int(numbers[last - 1] & ID_MASK)
        if frame_id > most:
            return f"{source} has sent no such frame: the last one is {source}:{most}"
        if frame_id < least and self.history.is_cut:
            return f"its events are gone: a run keeps the last million, which begin at {source}:{least}"
        return f"{source} has sent no such frame, but {least} .. {most}: the number was skipped"

    def _step_of(self, row: int) -> int:
        """The STEP that took or made the frame of a row; -1 if the events were cut off before it."""
        step, index = int(self._step_after[row]), int(self._index[row])
        if step < 0 or step - row > MOST_OF_A_STEP:
            return -1
        node = self.run.ports[index].node if self._kind[row] == PUBLISHED else self.run.edges[index].dst_node
        return step if self.run.nodes[self._index[step]].name == node else -1

    def _inputs(self, step: int) -> list[int]:
        """DELIVERED and REUSED of a step, which stand right before it and its outputs."""
        found: list[int] = []
        row = step - 1
        while row >= 0 and self._kind[row] in (PUBLISHED, DELIVERED, REUSED):
            if self._kind[row] != PUBLISHED:
                found.append(row)
            row -= 1
        return [row for row in reversed(found) if self._step_of(row) == step]

    def _committed(self, row: int) -> tuple[int, int]:
        """(row, committed_ns) of the PUBLISHED of an input; -1, its process()'s return: the event is gone."""
        number, gen, port = int(self._rows[row, WHO]), self._rows[row, GENERATION], self._port_of[int(self._index[row])]
        for i in self._of(number):
            if self._kind[i] == PUBLISHED and self._index[i] == port and self._rows[i, GENERATION] == gen:
                return int(i), int(self._rows[i, VALUES + 2])
        return -1, self._started(self._step_of(row)) - int(self._rows[row, VALUES])

    def _started(self, step: int) -> int:
        return int(self._rows[step, VALUES + 2])

    def _call(self, step: int) -> tuple[int, int, int]:
        """started, returned, committed of a call [ns]; of a source's read()."""
        compute, at, write = int(self._rows[step, VALUES]), self._started(step), int(self._write[step])
        if self._node(step).kind == "source":
            return at - write - compute, at - write, at
        return at, at + compute, at + compute + write

    def _node(self, step: int) -> Node:
        return self.run.nodes[self._index[step]]

    # -- parts of the story ---------------------------------------------------------------------------------------
    def _hop(self, row: int) -> Hop | None:
        kind = self._kind[row]
        name = self.run.name_of(int(self._rows[row, WHO]))
        if kind == STEP and self._node(row).kind == "source":
            started, returned, committed = self._call(row)
            due = self._due(row, returned, committed)
            return Hop(
                self._node(row).name, "", name, (), False, 0, 0, 0, due - returned, returned - started, committed - due, committed
            )
        if kind not in (DELIVERED, REUSED) or (step := self._step_of(row)) < 0:
            return None
        started, returned, committed = self._call(step)
        sent, taken = started - int(self._rows[row, VALUES + 1]), started - int(self._rows[row, VALUES + 3])
        edge = self.run.edges[self._index[row]]
        others = [i for i in self._inputs(step) if i != row]
        joined = tuple((self.run.edges[self._index[i]].dst_port, self.run.name_of(int(self._rows[i, WHO]))) for i in others)
        return Hop(
            edge.dst_node, edge.name, name, joined, bool(kind == REUSED), max(0, sent - self._committed(row)[1]), taken - sent,
            self._busy(edge.dst_node, sent, taken), started - taken, returned - started, committed - returned, committed,
        )  # fmt: skip

    def _due(self, step: int, returned: int, committed: int) -> int:
        """When a source's reading, that was read ahead, was due: the start of its hops."""
        for row in self._of(int(self._rows[step, WHO])):
            if self._kind[row] == DELIVERED and (reader := self._step_of(int(row))) >= 0:
                edge = self.run.edges[self._index[row]]
                if edge.src_node == self._node(step).name:
                    return min(max(returned, self._started(reader) - int(self._rows[row, VALUES])), committed)
        return returned

    def _busy(self, node: str, since: int, until: int) -> int:
        """In this span, how long did the thread of a node work?"""
        started, ended = self._work[self.run.node(node).place]
        first, last = int(np.searchsorted(ended, since, side="right")), int(np.searchsorted(started, until))
        overlaps = np.minimum(ended[first:last], until) - np.maximum(started[first:last], since)
        return int(np.maximum(overlaps, 0).sum())

    @cached_property
    def _work(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Place -> start and commit of all calls of its thread, in order."""
        work = {}
        for place in self.run.places:
            indices = [node.index for node in self.run.nodes if node.place == place and node.kind != "source"]
            at = np.flatnonzero((self._kind == STEP) & np.isin(self._index, indices))
            steps = self._rows[at]
            order = np.argsort(steps[:, VALUES + 2], kind="stable")
            started = steps[order, VALUES + 2]
            work[place] = (started, np.maximum.accumulate(started + steps[order, VALUES] + self._write[at][order]))
        return work

    def _drop(self, row: int) -> Drop:
        reason = self.run.reasons[int(self._rows[row, HEAD] >> 32 & 0xFF)]
        return Drop(self.run.edges[self._index[row]].name, reason, int(self._rows[row, VALUES]))

    def _arrival(self, row: int) -> Arrival | None:
        if self._kind[row] != STEP or self._node(row).kind not in ("sink", "tap"):
            return None
        rate = None if self.run.start is None else self.run.start.rate
        latency = round(int(self._rows[row, VALUES + 1]) / (rate or 1.0))  # the graph clock runs at this rate
        return Arrival(self._node(row).name, latency, list(self._path(row, latency)))

    def _path(self, step: int, latency: int) -> list[Segment]:
        """Back from a sink's call: of each call the input that was sent last, to the source; cut where the latency begins."""
        until = self._call(step)[2]
        begin = until - latency
        back: list[Segment] = []
        for node, edge, what, since in self._chain(step):
            since = begin if since is None else max(since, begin)
            if until > since:
                back.append(Segment(node, edge, what, until - since))
                until = since
        return back[::-1]

    def _chain(self, step: int) -> Iterator[tuple[str, str, str, int | None]]:
        """(node, edge, part, when it began) from a call backwards; None: when the latency began."""
        trigger = self._rows[step, WHO]
        while True:
            node, number = self._node(step), self._rows[step, WHO]
            if node.kind == "source":
                own = whose(int(number))[0] == whose(int(trigger))[0]
                yield node.name, "", "capture to send" if own else f"until {self.run.name_of(int(number))} was sent", None
                return
            started, returned, _ = self._call(step)
            yield node.name, "", "write", returned
            yield node.name, "", "compute", started
            inputs = self._inputs(step)
            if not inputs:
                break
            row = min(inputs, key=lambda i: (self._rows[i, VALUES + 1], self._rows[i, WHO] != number))
            edge = self.run.edges[self._index[row]].name
            yield node.name, edge, "sync wait", started - int(self._rows[row, VALUES + 3])
            yield node.name, edge, "transport", started - int(self._rows[row, VALUES + 1])
            published, committed = self._committed(row)
            yield node.name, edge, "queued", committed
            if published < 0 or (step := self._step_of(published)) < 0:
                break
        yield node.name, "", "before: these events are gone", None

    def _restarts(self, story: FrameStory) -> list[Life]:
        """Of processes, while the frame was on its way; and of those whose death has dropped it."""
        times = [story.begun_ns, *(hop.ended_ns for hop in story.hops), *(drop.at_ns for drop in story.drops)]
        lost = [drop for drop in story.drops if drop.reason == "restart"]
        found = []
        for life in self.history.lives:
            ends = {node.name for node in self.run.nodes if node.place == life.place}
            after = [
                drop.at_ns
                for drop in lost
                for edge in self.run.edges
                if edge.name == drop.edge and ends & {edge.src_node, edge.dst_node}
            ]
            if life.epoch and (min(times) <= life.time_ns <= max(times) or any(life.time_ns >= at for at in after)):
                found.append(life)
                lost = [drop for drop in lost if drop.at_ns not in after]
        return found
