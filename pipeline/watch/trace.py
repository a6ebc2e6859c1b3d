"""`--trace F.json`: the events of a run as a trace that ui.perfetto.dev and chrome://tracing open.

A process per place, a track per node: a slice per call (of a source: per read()), an arrow per frame and edge from the call that
made it to the call that took it, a counter of the frames in flight per edge, an instant per drop and per restart.
Source: Trace Event Format (Google, 2016). Times are µs since the start of the run.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.flow.log import DELIVERED, DROPPED, GENERATION, HEAD, PUBLISHED, REUSED, STEP, VALUES, WHO, write_ns_of
from pipeline.graph.layout import EVENT_WORDS
from pipeline.watch.history import History, Run

Row = tuple[int, str]
"""Time [ns since the start of the run], the event as JSON without its time."""
_AT_ONCE = 4096


def write(history: History, path: Path) -> None:
    """Replaces the file when the trace is complete. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write('{"displayTimeUnit": "ms", "otherData": ' + json.dumps(_about(history.run)) + ', "traceEvents": [\n')
            file.write(",\n".join(json.dumps(event) for event in _names(history.run)))
            texts: list[str] = []
            for at, text in heapq.merge(*_streams(history), key=itemgetter(0)):
                texts.append(f',\n{{"ts": {at // 1000}.{at % 1000:03d}, {text}}}')
                if len(texts) == _AT_ONCE:
                    file.write("".join(texts))
                    texts.clear()
            file.write("".join(texts) + "\n]}\n")
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _about(run: Run) -> dict[str, Any]:
    return {"run": run.run, "graph": run.graph, "commit": run.raw.get("commit"), "versions": run.raw.get("versions")}


def _pid(run: Run, node: str) -> int:
    return 1 + list(run.places).index(run.node(node).place)


def _names(run: Run) -> Iterator[dict[str, Any]]:
    """Processes and tracks in the order of the plan, which is that of the frames."""
    for i, place in enumerate(run.places):
        yield {"ph": "M", "pid": i + 1, "tid": 0, "name": "process_name", "args": {"name": place}}
        yield {"ph": "M", "pid": i + 1, "tid": 0, "name": "process_sort_index", "args": {"sort_index": i}}
    for node in run.nodes:
        pid, tid = _pid(run, node.name), node.index + 1
        name = f"{node.name} ({node.op or node.driver})"
        yield {"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": name}}


def _streams(history: History) -> list[Iterator[Row]]:
    """Each in the order of its times. Only the rows are in memory: at most 64 MB."""
    run = history.run
    parts = list(history.events())
    rows = np.concatenate(parts) if parts else np.zeros((0, EVENT_WORDS), np.int64)
    calls = _Calls(run, rows)
    tracks = [f'"pid": {_pid(run, node.name)}, "tid": {node.index + 1}' for node in run.nodes]
    streams = [_slices(run, calls, tracks), _drops(run, rows, tracks), _restarts(history)]
    return [*streams, *_arrows(run, rows, calls, tracks), *_counters(run, rows, calls)]


def _in_order(times: np.ndarray, *columns: np.ndarray) -> Iterator[tuple[int, ...]]:
    """(time, value of each column) by time, a few thousand at once."""
    order = np.argsort(times, kind="stable")
    for first in range(0, len(order), _AT_ONCE):
        part = order[first : first + _AT_ONCE]
        yield from zip(times[part].tolist(), *(column[part].tolist() for column in columns), strict=True)


class _Calls:
    """Every STEP as a call. Of the rows of `steps`: began and ended (of the slice), committed [ns since the start of the run].

    of  row -> index of the call that took or made its frame, -1: its STEP is gone
    """

    def __init__(self, run: Run, rows: np.ndarray) -> None:
        kind, index = rows[:, HEAD] & 0xFF, rows[:, HEAD] >> 8 & 0xFFFFFF
        is_step = kind == STEP
        self.steps, self.node = rows[is_step], index[is_step]
        is_source = np.array([node.kind == "source" for node in run.nodes], bool)[self.node]
        compute, at, write = self.steps[:, VALUES], self.steps[:, VALUES + 2] - run.time_ns, write_ns_of(self.steps)
        began = np.where(is_source, at - write - compute, at)
        # The calls of a batch (TapRunner) have one start: each is given its share of the time.
        again = np.zeros(len(at), bool)
        again[1:] = (self.node[1:] == self.node[:-1]) & (at[1:] == at[:-1]) & ~is_source[1:]
        before = np.cumsum(compute) - compute
        first = np.maximum.accumulate(np.where(again, 0, np.arange(len(at))))
        self.began = began + np.where(again, before - before[first], 0) if len(at) else began
        self.ended = self.began + compute
        self.committed = np.where(is_source, at, at + compute + write)
        writers = np.array([run.node(port.node).index for port in run.ports] or [0])
        readers = np.array([run.node(edge.dst_node).index for edge in run.edges] or [0])
        self.of = np.minimum(np.cumsum(is_step) - is_step, len(self.steps) - 1)
        made, took = kind == PUBLISHED, (kind == DELIVERED) | (kind == REUSED)
        expected = np.full(len(rows), -1)
        expected[made], expected[took] = writers[index[made]], readers[index[took]]
        self.of = np.where((made | took) & (self.node[self.of] == expected), self.of, -1) if len(self.steps) else self.of


def _slices(run: Run, calls: _Calls, tracks: list[str]) -> Iterator[Row]:
    names = [json.dumps(f"{node.name}: read" if node.kind == "source" else node.name) for node in run.nodes]
    columns = (calls.ended - calls.began, calls.node, calls.steps[:, WHO], calls.steps[:, GENERATION])
    for began, ns, node, number, step in _in_order(calls.began, *columns):
        args = f'{{"frame": {json.dumps(run.name_of(number))}, "step": {step}}}'
        dur = f"{ns // 1000}.{ns % 1000:03d}"
        yield began, f'"ph": "X", {tracks[node]}, "dur": {dur}, "name": {names[node]}, "cat": "call", "args": {args}'


def _arrows(run: Run, rows: np.ndarray, calls: _Calls, tracks: list[str]) -> list[Iterator[Row]]:
    """From within the writer's slice to the begin of the reader's. A frame in several sets has an arrow to each."""
    kind, index, gens = rows[:, HEAD] & 0xFF, rows[:, HEAD] >> 8 & 0xFFFFFF, rows[:, GENERATION]
    found = []
    for port in run.ports:
        made = np.flatnonzero((kind == PUBLISHED) & (index == port.index) & (calls.of >= 0))
        made = made[np.argsort(gens[made], kind="stable")]
        for edge in port.edges if len(made) else ():
            took = np.flatnonzero(((kind == DELIVERED) | (kind == REUSED)) & (index == edge) & (calls.of >= 0))
            at = np.minimum(np.searchsorted(gens[made], gens[took]), len(made) - 1)
            both = gens[made[at]] == gens[took]  # else the event of the writer is gone
            writer, reader = calls.of[made[at[both]]], calls.of[took[both]]
            found.append(np.stack([writer, reader, np.full(len(writer), edge)], axis=1))
    arrows = np.concatenate([*found, np.zeros((0, 3), np.int64)])
    writer, reader, edges = arrows.T
    since = np.maximum(calls.began[writer], calls.ended[writer] - 1)
    until = np.maximum(calls.began[reader], since)
    names = [json.dumps(edge.name) for edge in run.edges]

    def ends(times: np.ndarray, call: np.ndarray, head: str) -> Iterator[Row]:
        for at, node, edge, number in _in_order(times, calls.node[call], edges, np.arange(len(edges))):
            yield at, f'{head}, {tracks[node]}, "id": {number}, "name": {names[edge]}, "cat": "frame"'

    return [ends(since, writer, '"ph": "s"'), ends(until, reader, '"ph": "f", "bp": "e"')]


def _counters(run: Run, rows: np.ndarray, calls: _Calls) -> list[Iterator[Row]]:
    """Frames in flight per edge: from the commit of the writer to that of the reader, or to the drop."""
    kind, index = rows[:, HEAD] & 0xFF, rows[:, HEAD] >> 8 & 0xFFFFFF
    took, dropped = (kind == DELIVERED) & (calls.of >= 0), kind == DROPPED
    ends_at = rows[:, VALUES] - run.time_ns
    ends_at[took] = calls.committed[calls.of[took]]
    streams = []
    for port in run.ports:
        begun = rows[(kind == PUBLISHED) & (index == port.index), VALUES + 2] - run.time_ns
        streams += [_counter(run, edge, begun, ends_at[(took | dropped) & (index == edge)]) for edge in port.edges]
    return streams


def _counter(run: Run, edge: int, begun: np.ndarray, ended: np.ndarray) -> Iterator[Row]:
    times = np.concatenate([begun, ended])
    order = np.argsort(times, kind="stable")
    times = times[order]
    counts = np.cumsum(np.where(order < len(begun), 1, -1))
    counts -= min(0, int(counts.min(initial=0)))  # the begin of a long run is gone
    last = np.diff(times, append=np.iinfo(np.int64).max) > 0
    name = json.dumps(f"in flight {run.edges[edge].name}")
    head = f'"ph": "C", "pid": {_pid(run, run.edges[edge].dst_node)}, "tid": 0, "name": {name}'
    for at, count in _in_order(times[last], counts[last]):
        yield at, f'{head}, "args": {{"frames": {count}}}'


def _drops(run: Run, rows: np.ndarray, tracks: list[str]) -> Iterator[Row]:
    """At the reader, whoever dropped the frame."""
    rows = rows[rows[:, HEAD] & 0xFF == DROPPED]
    for at, head, number in _in_order(rows[:, VALUES] - run.time_ns, rows[:, HEAD], rows[:, WHO]):
        edge, reason = run.edges[head >> 8 & 0xFFFFFF], run.reasons[head >> 32 & 0xFF]
        args = json.dumps({"frame": run.name_of(number), "edge": edge.name})
        track = tracks[run.node(edge.dst_node).index]
        yield at, f'"ph": "i", "s": "t", {track}, "name": "dropped: {reason}", "cat": "drop", "args": {args}'


def _restarts(history: History) -> Iterator[Row]:
    for life in history.lives:
        if life.epoch and life.place in history.run.places:
            name = json.dumps(f"{'given up' if life.pid is None else 'restart'}: {life.why}")
            pid = 1 + list(history.run.places).index(life.place)
            at = life.time_ns - history.run.time_ns
            yield at, f'"ph": "i", "s": "p", "pid": {pid}, "tid": 0, "name": {name}, "cat": "life"'
