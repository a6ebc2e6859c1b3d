"""Every id on every path from a source to a sink: once in the sink's file or once in drops.jsonl. Imports no engine.

Reads the graph's YAML, DIR/<sink>/frames.txt (`frame_id ...` per line), DIR/logs/drops.jsonl and DIR/report.json.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml


def nodes_of(graph: Path, statics: frozenset[str]) -> dict[str, Any]:
    """The nodes, without inputs from static ports, which carry no frames."""
    nodes = dict(yaml.safe_load(graph.read_text())["nodes"])
    for node in nodes.values():
        node["inputs"] = {port: origin for port, origin in node.get("inputs", {}).items() if origin not in statics}
    return nodes


def ways(nodes: dict[str, Any], sink: str) -> list[list[str]]:
    """Every path from a source to a sink, as names of edges."""
    inputs = nodes[sink]["inputs"]
    if not inputs:
        return [[]]
    return [
        [*way, f"{origin}->{sink}.{port}"] for port, origin in inputs.items() for way in ways(nodes, origin.partition(".")[0])
    ]


def rows(out: Path, sink: str) -> list[list[int]]:
    """The sink's lines as numbers; the last one only if it is complete."""
    path = out / sink / "frames.txt"
    text = path.read_bytes() if path.exists() else b""
    return [[int(word) for word in line.split()] for line in text[: text.rfind(b"\n") + 1].splitlines()]


def drops(out: Path) -> list[dict[str, Any]]:
    path = out / "logs" / "drops.jsonl"
    text = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]


def check_ids(
    graph: Path,
    out: Path,
    produced: int,
    sinks: tuple[str, ...],
    reasons: frozenset[str],
    statics: frozenset[str] = frozenset(),
) -> list[str]:
    """Errors in ids 0 .. produced - 1; empty if every id is accounted for exactly once, in order.

    reasons  allowed drop reasons; any other is an error
    """
    nodes, wrong = nodes_of(graph, statics), []
    lost: dict[str, Counter[int]] = {}
    for drop in drops(out):
        lost.setdefault(drop["edge"], Counter())[int(drop["frame"].rpartition(":")[2])] += 1
        if drop["reason"] not in reasons:
            wrong.append(f"{drop['edge']}: {drop['frame']} dropped: {drop['reason']}")
    for sink in sinks:
        ids = [row[0] for row in rows(out, sink)]
        for before, after in itertools.pairwise(ids):
            if after <= before:
                wrong.append(f"{sink}: {after} after {before}")
        for way in ways(nodes, sink):
            seen = Counter(ids)
            for edge in way:
                seen += lost.get(edge, Counter())
            missing = [i for i in range(produced) if not seen[i]]
            twice = sorted(i for i, n in seen.items() if n > 1)
            strange = sorted(i for i in seen if i >= produced)
            for what, which in (("unaccounted", missing), ("more than once", twice), ("never produced", strange)):
                if which:
                    wrong.append(f"{' '.join(way)}: {len(which)} {what}: {which[:5]}")
    return wrong


def check_report(graph: Path, out: Path, sinks: tuple[str, ...]) -> list[str]:
    """Disagreements of the report's ledger, drops.jsonl and the sinks' files."""
    wrong = []
    report = json.loads((out / "report.json").read_text())
    logged = Counter((d["edge"], d["reason"]) for d in drops(out))
    for name, edge in report["edges"].items():
        dropped = edge["dropped"]
        if edge["in_flight"]:
            wrong.append(f"{name}: {edge['in_flight']} in flight after the end")
        if edge["produced"] != edge["delivered"] + sum(dropped.values()):
            wrong.append(f"{name}: produced {edge['produced']}, delivered {edge['delivered']}, dropped {dropped}")
        if dropped != {reason: n for (e, reason), n in logged.items() if e == name}:
            wrong.append(f"{name}: the report says dropped {dropped}, drops.jsonl something else")
    nodes = nodes_of(graph, frozenset())
    for sink in sinks:
        for port, origin in nodes[sink]["inputs"].items():
            delivered = report["edges"][f"{origin}->{sink}.{port}"]["delivered"]
            lines = len(rows(out, sink))
            if delivered != lines:
                wrong.append(f"{sink}: {delivered} delivered, {lines} lines in its file")
    return wrong
