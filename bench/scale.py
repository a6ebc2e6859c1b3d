"""`pipe bench scale`: what a frame costs against nodes in a chain, edges, fan-out, frame size, rate; straight lines are expected.

Live graphs whose nodes do nothing, one process each. Per point: CPU time of all processes per frame (against the rate: per
second), p50 and p99 of a hop over all edges, start-up (from the session to the graph clock), memory (sum of PSS: shared frames
count once). Each figure gets a line of least squares. A line bends at the first point that is not on one line with the points
before it (lines.py); what was measured there tells why: busy cores, dropped frames, a frame larger than a cache. The source
writes every byte of a frame: in the CPU time, not in the hop. Takes 7 minutes; `python -m bench.measured` makes the plots.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench.common import RESULTS, header, save
from bench.lines import bends, fit, why
from bench.watched import Cost, watched

RATE_HZ, SECONDS, ROUNDS = 50.0, 4.0, 2
SOURCE = """version: 1
nodes:
  ping: {{driver: "bench.nodes:Ping", config: {{frames: {}, bytes: {}, rate_hz: {:g}, wait: false}}, live: true}}
"""
SINK = '  end{}: {{op: "bench.nodes:Idle", inputs: {{in: {}.out}}}}\n'
FIGURES = {"cpu_us": "CPU us", "p50_us": "hop p50 us", "p99_us": "hop p99 us", "startup_ms": "start-up ms", "pss_mb": "memory MB"}


def chain(nodes: float) -> str:
    names = ["ping", *(f"op{i}" for i in range(int(nodes) - 1))]
    passing = [f'  {b}: {{op: "bench.nodes:Pong", inputs: {{in: {a}.out}}}}\n' for a, b in pairwise(names)]
    return "".join(passing) + SINK.format("", names[-1])


def edges(count: float) -> str:
    inputs = ", ".join(f"in{k}: ping.out" for k in range(int(count)))
    return f'  end: {{op: "bench.sinks:Many", inputs: {{{inputs}}}}}\n'


def fan(readers: float) -> str:
    return "".join(SINK.format(i, "ping") for i in range(int(readers)))


class Axis(NamedTuple):
    """What is varied. graph: the nodes behind the source at x; bytes, rate_hz: of the source at x."""

    unit: str
    points: tuple[float, ...]
    graph: Callable[[float], str]
    bytes: Callable[[float], int] = lambda x: 8
    rate_hz: Callable[[float], float] = lambda x: RATE_HZ


AXES = {
    "nodes": Axis("nodes in a chain behind the source", (1, 2, 4, 8, 16, 32), chain),
    "edges": Axis("edges from one node to another", (1, 2, 4, 8, 16), edges),
    "fan-out": Axis("readers of one port", (1, 2, 4, 8, 16), fan),
    "size": Axis("MB per frame", (8e-6, 4e-3, 0.064, 1.0, 6.2208, 20.0, 40.0), lambda x: chain(1), lambda x: round(x * 1e6)),
    "rate": Axis("frames per second", (5, 10, 20, 50, 100, 200, 400), lambda x: chain(2), rate_hz=float),
}


def measure(axis: Axis, x: float, seconds: float) -> Cost:
    rate = axis.rate_hz(x)
    return watched(SOURCE.format(max(50, round(rate * seconds)), axis.bytes(x), rate) + axis.graph(x))


def main(
    rounds: int = ROUNDS, seconds: float = SECONDS, axes: dict[str, Axis] = AXES, folder: Path | None = RESULTS
) -> dict[str, Any]:
    data = f"{rounds} rounds of {seconds:g} s at {RATE_HZ:g} Hz, 8-byte frames where nothing else is said"
    out: dict[str, Any] = {"about": header("pipe bench scale", data), "axes": {}, "figures": {}}
    for name, axis in axes.items():
        print(f"\n{name}: {axis.unit}" + ("; CPU per second, else per frame" if name == "rate" else ""))
        rows = []
        for x in axis.points:
            rows.append({"x": x, **_median([measure(axis, x, seconds) for _ in range(rounds)])})
            if name == "rate":
                rows[-1]["cpu_us"] *= x
            cells = [*(f"{FIGURES[k]} {rows[-1][k]:9.1f}" for k in FIGURES), f"dropped {rows[-1]['dropped']:.0f}"]
            print(f"  {x:8.4g} | " + " | ".join(cells), flush=True)
        out["axes"][name] = {"unit": axis.unit, "rows": rows, "lines": {key: _line(rows, key) for key in FIGURES}}
        out["figures"] |= {f"{name}.{row['x']:g}.{key}": row[key] for row in rows for key in FIGURES}
        for key, line in out["axes"][name]["lines"].items():
            out["figures"] |= {f"{name}.{key}.slope": line["slope"], f"{name}.{key}.miss": line["miss"]}
            bend = "straight" if line["bends_at"] is None else f"bends at {line['bends_at']:g}: {line['why']}"
            line_text = f"{line['start']:.1f} + {line['slope']:.3g} x, misses by up to {100 * line['miss']:.0f} %"
            print(f"  {FIGURES[key]}: {line_text}; {bend}")
    if folder is not None:
        save(folder, "scale", {key: out[key] for key in ("about", "axes")})
    return out


def _median(costs: list[Cost]) -> dict[str, float]:
    return {key: round(median(getattr(cost, key) for cost in costs), 4) for key in Cost._fields}


def _line(rows: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """The fit of a figure, where it bends, and why."""
    xs, ys = [row["x"] for row in rows], [row[key] for row in rows]
    at = bends(xs, ys)
    return fit(xs, ys)._asdict() | {"bends_at": None if at is None else xs[at], "why": None if at is None else why(rows[at])}
