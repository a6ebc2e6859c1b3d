"""The run's report: the JSON of docs (contracts.md), and the summary a person reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.runtime.books import balance
from pipeline.runtime.session import Session


def make(
    session: Session, exit_: str, wall_s: float, life: dict[str, dict[str, Any]], digests: dict[str, str | None]
) -> dict[str, Any]:
    """`life`: node -> restarts, restart_ms, cpu_s, rss_mb."""
    graph, plan = session.graph, session.plan
    nodes: dict[str, Any] = {}
    for name, book in session.node_books.items():
        spec = graph.nodes[name]
        nodes[name] = {
            "in": 0
            if spec.is_source
            else sum(session.edge_books[e.id].delivered for e in plan.edges if e.dst_node == name and not e.static),
            "out": book.out,
            "errors": book.errors,
            "restarts": life[name]["restarts"],
            "restart_ms": life[name]["restart_ms"],
            "compute_ms": book.compute.percentiles(1e6, ("p50", "p95", "p99")),
            "cpu_s": life[name]["cpu_s"],
            "rss_mb": life[name]["rss_mb"],
        }
    restarted = any(n["restarts"] for n in nodes.values())
    lossy = any(e.policy != "block" for e in plan.edge_specs if not e.static)  # what such a queue drops is a matter of time
    streams = [e for e in plan.edges if not e.static]
    return {
        "graph": graph.name,
        "run": session.run_id,
        "exit": exit_,
        "wall_s": round(wall_s, 3),
        "frames": session.node_books[plan.sources[0]].steps if plan.sources else 0,
        "comparable": exit_ == "completed" and not graph.live and not restarted and not lossy,
        "nodes": nodes,
        "edges": {e.name: balance(session.edge_books[e.id]) for e in streams},
        "sinks": {
            n: {
                "frames": session.node_books[n].steps,
                "latency_ms": session.node_books[n].latency.percentiles(1e6, ("p50", "p95", "p99", "p999")),
            }
            for n in graph.nodes
            if graph.nodes[n].is_sink
        },
        "digest": {n: d for n, d in digests.items() if d is not None and not life[n]["restarts"]},
    }


def unbalanced(report: dict[str, Any]) -> list[str]:
    """Edges whose ledger does not add up: an error of the engine, never of the user."""
    return [
        f"{name}: produced {e['produced']}, delivered {e['delivered']} + dropped {sum(e['dropped'].values())} "
        f"+ in flight {e['in_flight']}"
        for name, e in report["edges"].items()
        if e["produced"] != e["delivered"] + sum(e["dropped"].values()) + e["in_flight"]
    ]


def save(report: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def summary(report: dict[str, Any], out: Path) -> list[str]:
    """The last lines of a run."""
    dropped: dict[str, int] = {}
    for edge in report["edges"].values():
        for reason, n in edge["dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + n
    rate = report["frames"] / report["wall_s"] if report["wall_s"] else 0.0
    drops = ", ".join(f"{n} {reason}" for reason, n in sorted(dropped.items())) or "none"
    lines = [
        f"{report['graph']}: {report['exit']}, {report['frames']} frames in {report['wall_s']:.1f} s ({rate:.1f}/s), "
        f"dropped: {drops}"
    ]
    for name, sink in report["sinks"].items():
        p50, p99 = sink["latency_ms"]["p50"], sink["latency_ms"]["p99"]
        latency = "" if p50 is None else f", latency p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        digest = report["digest"].get(name)
        lines.append(f"  {name}: {sink['frames']} frames{latency}" + (f", digest {digest[:16]}" if digest else ""))
    restarts = {n: v["restarts"] for n, v in report["nodes"].items() if v["restarts"]}
    if restarts:
        lines.append("  restarted: " + ", ".join(f"{n} {k}×" for n, k in restarts.items()))
    errors = {n: v["errors"] for n, v in report["nodes"].items() if v["errors"]}
    if errors:
        lines.append("  errors: " + ", ".join(f"{n} {k}" for n, k in errors.items()) + f" (frames saved in {out / 'poison'})")
    lines.append(f"  results in {out}")
    return lines
