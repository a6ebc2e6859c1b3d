"""The graph under test. It states the slots of its pools, so that no checker has to ask the engine.

           +-> left ---------------+
 src ------+-> [right -+-> near]   +-> join -> snk          [ ] = one process (`place: g`)
(gate)     |           +-----------+
           +-> tap (keeps views of two frames)

join also reads a static value of src.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FULL_HD = 1920 * 1080 * 3
KINDS = {"src": "source", "left": "operator", "g": "group", "join": "join", "snk": "sink", "tap": "sink"}
"""Place (one process each) -> what it is."""
SINKS = ("snk", "near", "tap")
HOLDS = {"tap": 2}
STATICS = frozenset({"src.base"})


def wide(
    gate: Path, size: int, *, queue: int = 4, live: bool = False, rate_hz: float | None = None, on_error: str = "stop"
) -> dict[str, Any]:
    """Fan-out, a group, a join, three sinks; `live` at `rate_hz`, else at full speed."""

    def node(what: dict[str, Any], slots: int = 0, **inputs: str) -> dict[str, Any]:
        out = {**what, "on_error": on_error, "restart": {"max": 1_000_000, "backoff_s": 0}}
        if inputs:
            ports = {port.rstrip("_"): origin for port, origin in inputs.items()}
            out["inputs"] = ports
            if not live:
                out["queue"] = {port: {"size": queue} for port in ports if ports[port] not in STATICS}
        if slots:
            out["pool"] = {"out": {"slots": slots, "max_mb": size / 1e6}}
        return out

    source = {"bytes": size, "checksum": True, "frames": 1_000_000, "gate": str(gate), "rate_hz": rate_hz}
    passing = {"op": "test.pass", "config": {"max_mb": size / 1e6}}
    sink = {"op": "chaos.nodes:Note"}
    nodes = {
        "src": node({"driver": "chaos.nodes:Gated", "config": source, "live": live}, 3 * queue + 12),
        "left": node(passing, queue + 12, in_="src.out"),
        "right": node({**passing, "place": "g"}, 2 * queue + 12, in_="src.out"),
        "near": node({**sink, "place": "g"}, in_="right.out"),
        "join": node(
            {"op": "chaos.nodes:Both", "config": {"bytes": size}}, queue + 4, a="left.out", b="right.out", base="src.base"
        ),
        "snk": node(sink, in_="join.out"),
        "tap": node({"op": "chaos.nodes:Held"}, in_="src.out"),
    }
    return {"version": 1, "nodes": nodes}
