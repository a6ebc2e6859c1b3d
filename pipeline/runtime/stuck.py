"""Detects nodes that hang, graphs that are stuck, readers that keep all views; makes the messages for the user."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from time import monotonic_ns

from pipeline.graph.layout import (
    BUSY_SINCE,
    CLOSING,
    IDLE,
    OPENING,
    PROCESSING,
    READING,
    STATE,
    WAITING,
    WAITING_EDGE,
)
from pipeline.graph.spec import DEFAULT_OPEN_HANG_S
from pipeline.runtime.children import Child
from pipeline.runtime.session import Session

CALLS = {PROCESSING: "process()", READING: "read()", OPENING: "open()", CLOSING: "close()"}
"""States of a node that is inside one of its own methods."""
STUCK_S = 3.0
"""A graph without any event for this time, while nodes wait for room, is stuck for good."""


class Stuck:
    """Reads the words of the nodes and the books, and remembers the time of the last event."""

    def __init__(self, session: Session, children: Mapping[str, Child]) -> None:
        self.session, self.plan, self.graph, self.board = session, session.plan, session.graph, session.board
        self.children = children
        self.moved_at_ns = monotonic_ns()
        self._events = -1

    def hanging(self, now: int, ended_ns: int = 0) -> Iterator[tuple[Child, str]]:
        """Each process with a node in one call for more than `hang_s`, and the message. Each call is reported once.

        ended_ns  when the sources were told to end, 0 = not yet. Until then read() may wait for a sensor as long as it likes
        """
        words = self.board.words
        for child in self.children.values():
            # No node of it has begun anything yet, so their `hang_s` do not count.
            if child.alive and not child.said_hello and now - child.times.get("spawn", now) > DEFAULT_OPEN_HANG_S * 1e9:
                yield child, f"{child.place}: its process did not start within {DEFAULT_OPEN_HANG_S:g} s; killed"
        for name, index in self.plan.node_index.items():
            at = self.board.node(index)
            since, state = words[at + BUSY_SINCE], words[at + STATE]
            child, spec = self.children[self.plan.place_of(name)], self.graph.nodes[name]
            hang_s = spec.open_hang_s if state == OPENING else spec.hang_s
            if state == READING:
                since = max(since, ended_ns) if ended_ns else 0
            if since and state in CALLS and child.alive and now - since > hang_s * 1e9:
                words[at + BUSY_SINCE], words[at + STATE] = 0, IDLE
                child.ends_late |= state in (READING, CLOSING)
                yield child, f"{name}: in {CALLS[state]} for more than hang_s = {hang_s:g} s; killed"

    def forever(self, now: int, running: bool, done: Collection[str]) -> str | None:
        """No events, no node computes, a node waits for room: the message that names the join or the reader at fault. Else None.

        running: the graph clock has started; done: nodes that have ended.
        """
        if self.session.accountant.events != self._events:
            self._events, self.moved_at_ns = self.session.accountant.events, now
            return None
        if not running or now - self.moved_at_ns < STUCK_S * 1e9:
            return None
        if any(not c.ready and not c.gone for c in self.children.values()):
            self.moved_at_ns = now  # waiting for a restart does not count
            return None
        edges = self._stuck_edges(done)
        if edges is None:
            return None
        if any(c.proc is not None and not asleep(c.proc.pid) for c in self.children.values()):
            self.moved_at_ns = now  # a process may continue: it was stopped from outside, or has work and no processor
            return None
        return stuck_text(self.session, edges) or "the graph is stuck: a pool has no free slot"

    def _stuck_edges(self, done: Collection[str]) -> list[int] | None:
        """Edges that are blocked for good; empty list: a pool has no free slot; None: the graph is not stuck."""
        words = self.board.words
        waiting: list[int] = []
        for index in self.plan.node_index.values():
            at = self.board.node(index)
            if words[at + STATE] in CALLS:
                return None
            if words[at + STATE] == WAITING:
                waiting.append(words[at + WAITING_EDGE] - 1)
        paced = self.graph.live or self.plan.rate is not None or self.session.options.rate == "step"
        if waiting and not paced:
            return [e for e in waiting if e >= 0]
        # In a paced run a join may wait long; but a reader that holds all its credit as views never gets another frame.
        over = all(source in done for source in self.plan.sources)
        candidates = [e for e in self.plan.edges if (over or e.id in waiting) and e.dst_node not in done]
        return [e.id for e in candidates if keeps_all(self.session, e.id)] or None


def stuck_text(session: Session, edges: Collection[int]) -> str:
    """Why these edges are blocked for good; "" without edges."""
    return " / ".join(sorted({_edge_text(session, edge) for edge in edges}))


def _edge_text(session: Session, edge: int) -> str:
    """The message about one edge: a join that needs more room, or a reader that keeps all views."""
    planned, book, spec = session.plan.edges[edge], session.edge_books[edge], session.plan.edge_specs[edge]
    if keeps_all(session, edge):
        kept = kept_views(session, edge)
        return (
            f"{session.graph.name}: {planned.dst_node} keeps views of {kept} frames of {planned.src_node}.{planned.src_port}, "
            f"{spec.holds} declared; "
            f"set holds = {{'{planned.dst_port}': {kept}}} in its class or copy what it keeps"
        )
    others = [
        e.dst_port
        for e in session.plan.edges
        if e.dst_node == planned.dst_node and e.id != edge and not e.static and not session.edge_books[e.id].open
    ]
    return (
        f"{session.graph.name}: {planned.dst_node}.{planned.dst_port}: its buffer of {book.in_flight} frames is full "
        "while it waits for "
        f"{', '.join(others) or 'its other inputs'}; raise queue: {{{planned.dst_port}: {{size: {spec.size * 2}}}}}"
    )


def kept_views(session: Session, edge: int) -> int:
    """Number of frames of an edge that were processed but are still held."""
    book, leases = session.edge_books[edge], session.board.leases(edge)
    return sum(1 for sent, released, _ in leases.tolist() if sent != released and sent not in book.open)


def keeps_all(session: Session, edge: int) -> bool:
    """The reader's views hold all the credit of the edge: no frame can be sent on it any more."""
    spec = session.plan.edge_specs[edge]
    return not spec.static and kept_views(session, edge) >= spec.window + spec.holds


def asleep(pid: int) -> bool:
    """Every thread of a process sleeps: none runs, waits for a processor or a disk, or is stopped."""
    try:
        tasks = [Path(f"/proc/{pid}/task/{task}/stat").read_text() for task in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return False  # a thread just ended
    return all(stat.rpartition(")")[2].split()[0] == "S" for stat in tasks)
