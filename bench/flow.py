"""`pipe bench flow`: behaviour with a node that is too slow, for one second or permanently.

stall     live at 30 Hz, one node stops for one second. Shown: the age (emitted -> at the sink) of ordinary frames; the number of
          frames emitted before the end of the stall that arrive later than that age plus one period (the frame being processed
          is one of them); the age of the first frame emitted after the stall, and of the next twenty
overload  live at 10 Hz, a node that needs 200 ms, under each policy: frames it computed, frames that arrived, where and why the
          others were dropped, ages at the sink
Offline runs, and readers that keep their frames: tests/pipeline/runtime/test_flow.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.common import header, quantile, run_graph

RATE_HZ, STALL_AT, FRAMES = 30, 30, 90
PERIOD_MS = 1000 / RATE_HZ
SOURCE = f"  src: {{driver: test.counter, config: {{frames: {FRAMES}, rate_hz: {RATE_HZ}}}, live: true}}\n"
SLOW = f"config: {{kind: slow, slow_ms: 1000, at: {STALL_AT}}}"
SINK = '  snk: {{op: "bench.nodes:Age", inputs: {{in: {}}}{}}}\n'
STALLS = {
    "one operator": f"  op: {{op: test.fault, inputs: {{data: src.out}}, {SLOW}}}\n" + SINK.format("op.out", ""),
    "chain": "  a: {op: test.fault, inputs: {data: src.out}}\n"
    f"  op: {{op: test.fault, inputs: {{data: a.out}}, {SLOW}}}\n"
    "  b: {op: test.fault, inputs: {data: op.out}}\n" + SINK.format("b.out", ""),
    "chain, one process": "  a: {op: test.fault, inputs: {data: src.out}, place: g}\n"
    f"  op: {{op: test.fault, inputs: {{data: a.out}}, {SLOW}, place: g}}\n"
    "  b: {op: test.fault, inputs: {data: op.out}, place: g}\n" + SINK.format("b.out", ", place: g"),
}
POLICIES = (
    "{policy: latest}",
    "{policy: drop_oldest, size: 4}",
    "{policy: drop_oldest, size: 50, max_age_ms: 400}",
    "{policy: block, size: 1}",
)
OVERLOAD = """
  src:    {{driver: test.counter, config: {{frames: 60, rate_hz: 10}}, live: true}}
  before: {{op: test.fault, inputs: {{data: src.out}}}}
  costly: {{op: test.fault, inputs: {{data: before.out}}, queue: {{data: {}}}, config: {{kind: slow, slow_ms: 200}}}}
  snk:    {{op: "bench.nodes:Age", inputs: {{in: costly.out}}}}
"""


def ages(nodes: str) -> tuple[dict[str, Any], list[tuple[int, int, float]]]:
    """Report, and per frame at the sink: number, time of emission [ns], age [ms]."""
    rows: list[tuple[int, int, float]] = []

    def read(folder: Path) -> None:
        told = [json.loads(line) for line in (folder / "snk" / "ages.jsonl").read_text().splitlines()]
        rows.extend((frame, emitted_ns, (at_ns - emitted_ns) * 1e-6) for frame, emitted_ns, at_ns in told)

    return run_graph("version: 1\nnodes:\n" + nodes, results=read), rows


def stall(name: str) -> dict[str, Any]:
    for _ in range(5):  # under other load the frame meant to stall may be dropped earlier
        _, rows = ages(SOURCE + STALLS[name])
        if STALL_AT in (frame for frame, _, age in rows if age > 900):
            break
    base = quantile([age for frame, _, age in rows if 5 <= frame < STALL_AT], 0.5)
    first_ns = rows[0][1] - rows[0][0] * round(PERIOD_MS * 1e6)
    end_ns = first_ns + round((STALL_AT + 1) * PERIOD_MS * 1e6) + 1_000_000_000
    waited = [age for frame, emitted, age in rows if frame >= STALL_AT and emitted <= end_ns]
    fresh = [age for _, emitted, age in rows if emitted > end_ns]
    return {
        "base_ms": base,
        "old": sum(age > base + PERIOD_MS for age in waited),
        "oldest_ms": max(waited, default=0.0),
        "first_fresh_ms": fresh[0],
        "then_ms": quantile(fresh[1:21], 0.5),
    }


def overload(queue: str) -> dict[str, Any]:
    report, rows = ages(OVERLOAD.format(queue))
    dropped = {name: edge["dropped"] for name, edge in report["edges"].items() if edge["dropped"]}
    found = [age for _, _, age in rows[2:]]
    return {
        "produced": report["nodes"]["src"]["out"],
        "computed": report["nodes"]["costly"]["out"],
        "delivered": len(rows),
        "dropped": dropped,
        "age_p50_ms": quantile(found, 0.5),
        "age_max_ms": max(found),
    }


def main() -> dict[str, Any]:
    out: dict[str, Any] = {"about": header("pipe bench flow", "counters made here"), "figures": {}}
    out["stall"] = _table("stall of 1 s", STALLS, stall, out["figures"])
    out["overload"] = _table("2x overload", {p: p for p in POLICIES}, overload, out["figures"])
    return out


def _table(title: str, rows: Any, measure: Callable[[str], dict[str, Any]], figures: dict[str, float]) -> dict[str, Any]:
    print(f"\n{title}")
    made = {}
    for name in rows:
        row = made[name] = measure(name)
        cells = (f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {json.dumps(v)}" for k, v in row.items())
        print(f"  {name:>40} | " + ", ".join(cells), flush=True)
        figures |= {f"{title}.{name}.{k}": float(v) for k, v in row.items() if isinstance(v, (int, float))}
    return made
