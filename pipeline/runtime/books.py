"""The books of a run: frames produced, delivered and dropped on every edge, and the steps of every node.

Only the supervisor keeps them, from the events in the rings (see flow/log.py). For each edge it knows the generations still
open; those of a dead process it settles with a reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns
from typing import Any

import numpy as np

from pipeline.flow.board import Board
from pipeline.flow.chunks import ROW_BYTES, Chunks
from pipeline.flow.lines import Lines
from pipeline.flow.log import (
    DELIVERED,
    DROPPED,
    ERROR,
    GENERATION,
    PUBLISHED,
    REASON,
    STAMP,
    STEP,
    VALUES,
    WHO,
    Ring,
    kind_and_index,
    kinds_and_indices,
    reason_of,
)
from pipeline.flow.slot import whose
from pipeline.runtime.histogram import Histogram


@dataclass
class EdgeBook:
    """The supervisor's account of one edge."""

    name: str
    sink: str | None = None
    produced: int = 0
    delivered: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    copied_bytes: int = 0
    injected: dict[int, int] = field(default_factory=dict)  # bit of a fault -> frames
    hop: Histogram = field(default_factory=Histogram)
    open: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # generation -> (who, stamp, committed_ns)
    early: dict[int, tuple[int, int]] = field(default_factory=dict)  # settled before its PUBLISHED was read

    @property
    def in_flight(self) -> int:
        return len(self.open)


@dataclass
class NodeBook:
    """The supervisor's account of one node."""

    steps: int = 0
    out: int = 0
    errors: int = 0
    compute: Histogram = field(default_factory=Histogram)
    latency: Histogram = field(default_factory=Histogram)
    last_step: int = -1
    last_who: int = -1
    last_stamp_ns: int = 0
    last_started_ns: int = 0
    watch_from_ns: int = 0  # of a restarted node: when it was ready
    first_after_ns: int = 0  # ... and when its first step after that began


class Accountant:
    """Drains every ring and keeps the books. One thread (the supervisor's) uses it.

    ports  index -> (node index, [edge index, ...]) of every output port
    """

    def __init__(
        self,
        board: Board,
        edges: list[EdgeBook],
        nodes: list[NodeBook],
        ports: list[tuple[int, list[int]]],
        sources: list[str],
        drops_file: Path | None = None,
        lost_dir: Path | None = None,
        events_dir: Path | None = None,
    ) -> None:
        self.board, self.edges, self.nodes, self.ports, self.sources = board, edges, nodes, ports, sources
        self._drops = Lines(drops_file) if drops_file is not None else None
        self._chunks = None if events_dir is None else Chunks(events_dir)
        self._settled: list[list[int]] = []  # events of dead processes, not yet on disk
        names = {e.sink for e in edges if e.sink is not None} if lost_dir is not None else set()
        self._lost = {sink: Lines(lost_dir / sink / "lost.jsonl") for sink in names if lost_dir is not None}
        self._rings = [Ring(board, p) for p in range(board.shape.processes)]
        self.events = 0
        self.watch: Callable[[int, np.ndarray], None] | None = None  # is called with the index of a node and its new steps

    def drain(self) -> int:
        """Read all committed events; returns how many there were."""
        # Rings are read one after the other, so a DELIVERED may be read before its PUBLISHED: `early` keeps it.
        count = 0
        for ring in self._rings:
            events = ring.take()
            if len(events):
                count += len(events)
                if self._chunks is not None:
                    self._chunks.add(events)
                self._book(events)
                ring.done(len(events))
        self.events += count
        self.flush()
        return count

    def _book(self, events: np.ndarray) -> None:
        subjects = kinds_and_indices(events)
        for subject in sorted(set(subjects.tolist())):
            kind, index = kind_and_index(subject)
            rows = events[subjects == subject]
            if kind == PUBLISHED:
                self._published(index, rows)
            elif kind == DELIVERED:
                self._delivered(self.edges[index], rows)
            elif kind == DROPPED:
                self._dropped(self.edges[index], rows)
            elif kind == STEP:
                self._steps(self.nodes[index], rows)
                if self.watch is not None:
                    self.watch(index, rows)
            elif kind == ERROR:
                self.nodes[index].errors += len(rows)

    def _published(self, port: int, rows: np.ndarray) -> None:
        node, edges = self.ports[port]
        self.nodes[node].out += len(rows)
        gens, whos, stamps = rows[:, GENERATION].tolist(), rows[:, WHO].tolist(), rows[:, STAMP].tolist()
        committed = rows[:, VALUES + 2].tolist()
        total, copied = rows[:, VALUES : VALUES + 2].sum(axis=0).tolist()
        for i, e in enumerate(edges):
            book = self.edges[e]
            book.produced += len(rows)
            book.bytes += total
            if i == 0:  # one copy into the slot serves all readers: count it once, on the port's first edge
                book.copied_bytes += copied
            if book.early:
                for gen, entry in zip(gens, zip(whos, stamps, committed, strict=True), strict=True):
                    if book.early.pop(gen, None) is None:
                        book.open[gen] = entry
            else:
                book.open.update(zip(gens, zip(whos, stamps, committed, strict=True), strict=True))

    def _delivered(self, book: EdgeBook, rows: np.ndarray) -> None:
        book.delivered += len(rows)
        book.hop.add(rows[:, VALUES])
        self._count_injected(book, rows)
        for gen, who, stamp in zip(rows[:, GENERATION].tolist(), rows[:, WHO].tolist(), rows[:, STAMP].tolist(), strict=True):
            self._close(book, gen, who, stamp)

    def _dropped(self, book: EdgeBook, rows: np.ndarray) -> None:
        self._count_injected(book, rows)
        for event in rows.tolist():
            self._close(book, event[GENERATION], event[WHO], event[STAMP])
            self._drop(book, event[WHO], reason_of(event), event[STAMP])

    @staticmethod
    def _count_injected(book: EdgeBook, rows: np.ndarray) -> None:
        masks = rows[:, VALUES + 2]
        for mask in masks[masks != 0].tolist():
            for bit in range(mask.bit_length()):
                if mask >> bit & 1:
                    book.injected[bit] = book.injected.get(bit, 0) + 1

    def _steps(self, book: NodeBook, rows: np.ndarray) -> None:
        compute_ns, latency_ns, started_ns = rows[:, VALUES], rows[:, VALUES + 1], rows[:, VALUES + 2]
        book.steps += len(rows)
        book.compute.add(compute_ns)
        book.latency.add(latency_ns[latency_ns >= 0])
        book.last_step, book.last_who, book.last_stamp_ns = rows[-1, [GENERATION, WHO, STAMP]].tolist()
        book.last_started_ns = int(started_ns[-1])
        if book.watch_from_ns and not book.first_after_ns:
            later = started_ns[started_ns >= book.watch_from_ns]
            book.first_after_ns = int(later[0]) if len(later) else 0

    def _close(self, book: EdgeBook, gen: int, who: int, stamp: int) -> None:
        if book.open.pop(gen, None) is None:
            book.early[gen] = (who, stamp)

    def _drop(self, book: EdgeBook, who: int, reason: str, stamp: int) -> None:
        book.dropped[reason] = book.dropped.get(reason, 0) + 1
        source, frame_id = self.name_of(who)
        line = {"edge": book.name, "reason": reason, "frame": f"{source}:{frame_id}", "stamp_ns": stamp}
        for file in (self._drops, self._lost.get(book.sink or "")):
            if file is not None:
                file.add(json.dumps(line))

    def settle(self, edge: int, gen: int, reason: str) -> bool:
        """Close one open frame for a dead process (or at the end of the run)."""
        book = self.edges[edge]
        entry = book.open.pop(gen, None)
        if entry is None:
            return False
        who, stamp, _ = entry
        self._drop(book, who, reason, stamp)
        if self._chunks is not None:
            self._settled.append([DROPPED | edge << 8 | REASON[reason] << 32, gen, who, stamp, monotonic_ns(), 0, 0, 0])
        return True

    def settle_all(self, edge: int, reason: str) -> int:
        """Close every open frame of an edge; returns how many."""
        gens = sorted(self.edges[edge].open)
        for gen in gens:
            self.settle(edge, gen, reason)
        return len(gens)

    def name_of(self, who: int) -> tuple[str, int]:
        """(source, frame_id)."""
        source, frame_id = whose(who)
        return self.sources[source], frame_id

    def flush(self) -> None:
        """Write events, and the lines of all drops, to their files, as far as the disk has room."""
        if self._chunks is not None:
            if self._settled:
                self._chunks.add(np.array(self._settled, np.int64))
                self._settled.clear()
            self._chunks.flush()
        for file in self._files:
            if file.pending:
                file.flush()

    def unwritten(self) -> list[str]:
        """Texts: each file that lacks lines or events, and why."""
        self.flush()
        chunks, texts = self._chunks, []
        if chunks is not None and (chunks.pending or chunks.missing):
            lack = chunks.pending + chunks.missing * ROW_BYTES
            texts.append(f"{chunks.path}: needs room for {lack} bytes more, got: {chunks.why}; pipe why lacks these events")
        return texts + [
            f"{f.path}: needs room for {f.pending} bytes more, got: {f.why}; it does not name every lost frame"
            for f in self._files
            if f.pending
        ]

    @property
    def _files(self) -> list[Lines]:
        return [*([self._drops] if self._drops is not None else []), *self._lost.values()]

    def close(self) -> None:
        if self._chunks is not None:
            self._chunks.close()
        for file in self._files:
            file.close()


def balance(book: EdgeBook) -> dict[str, Any]:
    """The report's row of an edge."""
    return {
        "produced": book.produced,
        "delivered": book.delivered,
        "dropped": dict(sorted(book.dropped.items())),
        "in_flight": book.in_flight,
        "bytes": book.bytes,
        "copied_bytes": book.copied_bytes,
        "hop_us": book.hop.percentiles(1e3, ("p50", "p95", "p99")),
    }
