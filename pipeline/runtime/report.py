"""The run's report (report.json), made from the books when the run has ended."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import GraphError
from pipeline.graph.plan import Plan
from pipeline.runtime.books import EdgeBook, NodeBook, balance


@dataclass(frozen=True)
class Life:
    """Restarts and resource use of a node's process. restart_ms: a row of times for each restart."""

    restarts: int
    restart_ms: list[dict[str, float | None]]
    cpu_s: float
    rss_mb: float


def make(
    plan: Plan,
    node_books: Mapping[str, NodeBook],
    edge_books: list[EdgeBook],
    exit_: str,
    wall_s: float,
    lives: Mapping[str, Life],
    digests: Mapping[str, str | None],
    statuses: Mapping[str, str],
    switches: list[dict[str, Any]],
    sets: list[dict[str, Any]],
) -> dict[str, Any]:
    graph = plan.graph
    nodes: dict[str, Any] = {}
    for name, book in node_books.items():
        spec = graph.nodes[name]
        nodes[name] = {
            "in": 0
            if spec.is_source
            else sum(edge_books[e.id].delivered for e in plan.edges if e.dst_node == name and not e.static),
            "out": book.out,
            "errors": book.errors,
            "restarts": lives[name].restarts,
            "restart_ms": lives[name].restart_ms,
            "compute_ms": book.compute.percentiles(1e6, ("p50", "p95", "p99")),
            "cpu_s": lives[name].cpu_s,
            "rss_mb": lives[name].rss_mb,
        } | ({"status": statuses[name]} if statuses[name] else {})
    restarted = any(n["restarts"] for n in nodes.values())
    lossy = any(e.policy != "block" for e in plan.edge_specs if not e.static)  # drops of such a queue depend on timing
    streams = [e for e in plan.edges if not e.static]
    return {
        "graph": graph.name,
        "run": plan.run_id,
        "exit": exit_,
        "wall_s": round(wall_s, 3),
        "frames": node_books[plan.sources[0]].steps if plan.sources else 0,
        "comparable": exit_ == "completed" and not graph.live and not restarted and not lossy and not sets,
        "nodes": nodes,
        "edges": {e.name: balance(edge_books[e.id]) for e in streams},
        "quality": switches,
        "injected": injected(plan, edge_books),
        "set": sets,
        "sinks": {
            n: {
                "frames": node_books[n].steps,
                "latency_ms": node_books[n].latency.percentiles(1e6, ("p50", "p95", "p99", "p999")),
            }
            for n in graph.nodes
            if graph.nodes[n].is_sink
        },
        "digest": {n: d for n, d in digests.items() if d is not None and not lives[n].restarts},
    }


def injected(plan: Plan, edge_books: list[EdgeBook]) -> list[dict[str, Any]]:
    """Each fault, and the frames that it changed, delayed or dropped: of a port with several readers the largest number."""
    ids = {e.name: e.id for e in plan.edges}
    rows = []
    for bit, injection in enumerate(plan.graph.faults):
        frames: dict[str, int] = {}
        for target in injection.targets:
            count = edge_books[ids[target.edge]].injected.get(bit, 0) if target.edge in ids else 0
            frames[target.port] = max(count, frames.get(target.port, 0))
        rows.append({"node": injection.node, "fault": injection.fault, "frames": sum(frames.values()), "text": injection.text})
    return rows


def unbalanced(report: dict[str, Any]) -> list[str]:
    """Edges whose ledger does not balance: an error of the engine, never of the user."""
    return [
        f"{name}: produced {e['produced']}, delivered {e['delivered']} + dropped {sum(e['dropped'].values())} "
        f"+ in flight {e['in_flight']}"
        for name, e in report["edges"].items()
        if e["produced"] != e["delivered"] + sum(e["dropped"].values()) + e["in_flight"]
    ]


def require_writable(path: Path, option: str = "--report") -> None:
    """Before the start. Raises GraphError if no file can be written there."""
    there = os.path.lexists(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o644))  # a pipe needs its reader
        if not there:
            path.unlink()
    except OSError as error:
        raise GraphError(f"{option} {path}: needs a file that can be written, got: {error.strerror}; use another one") from None


def save(report: dict[str, Any], path: Path) -> None:
    """Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
