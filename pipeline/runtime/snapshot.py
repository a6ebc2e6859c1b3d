"""The state of a running graph in one JSON-able dict: what `pipe top`, the metrics and the run page show.

Made from the books and the board when somebody asks, in the thread of the supervisor: the books change there. Nothing is
computed before.

    run, graph       names; exit: None while it runs, else as in the report; live: has the graph a live source?
    time_ns, wall_s  CLOCK_MONOTONIC; since the start of the run; frames: readings of the first source
    processes        place -> pid, cpu_s, rss_mb, restarts, state (starting | running | restarting | given up | ended)
    nodes            name -> place, kind, state (open | read | busy | wait | idle | done), steps, out, errors, restarts,
                     level (None: it has none), status, waits_for (the edge without room), compute, latency (of a sink)
    edges            name -> from, to, produced, delivered, dropped by reason, in_flight, bytes, copied_bytes, hop,
                     oldest_ms (since the oldest open frame was committed)
    quality, injected  as in the report; board: what `machine/sampler.py` read last

compute, latency and hop are histograms, `Histogram.sparse()`; two snapshots are subtracted with `Histogram.from_sparse`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from time import monotonic_ns
from typing import Any

from pipeline.graph.layout import CLOSING, IDLE, OPENING, PROCESSING, READING, STATE, WAITING, WAITING_EDGE
from pipeline.machine.read import text
from pipeline.runtime import memory
from pipeline.runtime.books import EdgeBook
from pipeline.runtime.children import Child
from pipeline.runtime.report import injected
from pipeline.runtime.runfile import kind_of
from pipeline.runtime.session import Session

STATES = {IDLE: "idle", PROCESSING: "busy", WAITING: "wait", READING: "read", OPENING: "open", CLOSING: "busy"}


def snapshot(session: Session) -> dict[str, Any]:
    """See the module."""
    now, plan, outcome = monotonic_ns(), session.plan, session.outcome
    processes = session.processes()
    sources = plan.sources
    return {
        "run": plan.run_id,
        "graph": plan.graph.name,
        "exit": None if outcome is None else outcome.exit,
        "time_ns": now,
        "wall_s": round((now - session.started_ns) * 1e-9, 3),
        "frames": session.node_books[sources[0]].steps if sources else 0,
        "live": plan.graph.live,
        "processes": processes,
        "nodes": {name: _node(session, name, processes) for name in plan.graph.order()},
        "edges": {e.name: _edge(session.edge_books[e.id], e.name, now) for e in plan.edges if not e.static},
        "quality": list(session.levels.switches),
        "injected": injected(plan, session.edge_books),
        "board": session.sampler.last(),
    }


def _node(session: Session, name: str, processes: dict[str, Any]) -> dict[str, Any]:
    plan, book, board = session.plan, session.node_books[name], session.board
    index, spec = plan.node_index[name], plan.graph.nodes[name]
    at = board.node(index)
    state = "done" if name in session.done else STATES.get(board.words[at + STATE], "idle")
    edge = board.words[at + WAITING_EDGE] - 1
    waits = state == "wait" and 0 <= edge < len(plan.edges)
    return {
        "place": spec.place,
        "kind": kind_of(spec),
        "state": state,
        "steps": book.steps,
        "out": book.out,
        "errors": book.errors,
        "restarts": processes[spec.place]["restarts"] if spec.place in processes else 0,
        "level": session.levels.level(name),
        "status": board.status(index),
        "waits_for": plan.edges[edge].name if waits else None,
        "compute": book.compute.sparse(),
        "latency": book.latency.sparse() if spec.is_sink else None,
    }


def _edge(book: EdgeBook, name: str, now: int) -> dict[str, Any]:
    origin, _, end = name.partition("->")
    oldest = next(iter(book.open.values()), None)  # frames are opened in the order of their commits
    return {
        "from": origin,
        "to": end,
        "produced": book.produced,
        "delivered": book.delivered,
        "dropped": dict(book.dropped),
        "in_flight": book.in_flight,
        "oldest_ms": None if oldest is None else round((now - oldest[2]) * 1e-6, 3),
        "bytes": book.bytes,
        "copied_bytes": book.copied_bytes,
        "hop": book.hop.sparse(),
    }


def processes(children: Iterable[Child], done: set[str]) -> dict[str, Any]:
    """Place -> its row."""
    return {child.place: _process(child, done) for child in children}


def _process(child: Child, done: set[str]) -> dict[str, Any]:
    if child.gone:
        state = "given up"
    elif not child.alive:
        state = "restarting" if child.respawn_at_ns else "ended"
    elif child.ready:
        state = "ended" if done.issuperset(child.nodes) else "running"
    else:
        state = "restarting" if child.epoch else "starting"
    pid = None if child.proc is None else child.proc.pid
    return {
        "pid": pid,
        "cpu_s": round(child.cpu_s + (0.0 if pid is None else _cpu_s(pid)), 3),
        "rss_mb": round(0.0 if pid is None else memory.rss_mb(pid), 1),
        "restarts": child.epoch,
        "state": state,
    }


def _cpu_s(pid: int) -> float:
    """CPU time of a living process; 0 if it has ended."""
    fields = text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if len(fields) > 12 else 0.0
