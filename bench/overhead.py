"""`pipe bench overhead`: the cost of the engine: CPU time of all processes per frame and operator, with idle operators.

Chains of 1, 2, 4, 8 operators and fan-outs to 1, 2, 4, 8 sinks; the cost must grow linearly. Subtracting a short run from
a long one removes the start-up (interpreter, imports). Memory: resident size of every process after the short and after the
long run.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from bench.common import header, run_graph

WIDTHS = (1, 2, 4, 8)
SOURCE = 'version: 1\nnodes:\n  ping: {{driver: "bench.nodes:Ping", config: {{frames: {}, wait: false}}}}\n'
SINK = '  end{}: {{op: "bench.nodes:Idle", inputs: {{in: {}.out}}}}\n'


def chain(operators: int, frames: int) -> str:
    names = ["ping", *(f"op{i}" for i in range(operators - 1))]
    passing = [f'  {b}: {{op: "bench.nodes:Pong", inputs: {{in: {a}.out}}}}\n' for a, b in pairwise(names)]
    return SOURCE.format(frames) + "".join(passing) + SINK.format("", names[-1])


def fan(sinks: int, frames: int) -> str:
    return SOURCE.format(frames) + "".join(SINK.format(i, "ping") for i in range(sinks))


def cost(make: Any, width: int, short: int, long: int) -> dict[str, float]:
    """CPU microseconds per frame and operator, source and supervisor included; growth of the largest process [MB]."""
    first, second = run_graph(make(width, short)), run_graph(make(width, long))
    cpu = [sum(n["cpu_s"] for n in r["nodes"].values()) + r["supervisor_cpu_s"] for r in (first, second)]
    grown = max(second["nodes"][n]["rss_mb"] - first["nodes"][n]["rss_mb"] for n in first["nodes"])
    return {
        "us": (cpu[1] - cpu[0]) / ((long - short) * width) * 1e6,
        "grown_mb": grown,
        "frames_per_s": long / second["wall_s"],
    }


def main(short: int = 2_000, long: int = 12_000) -> dict[str, Any]:
    about = header("pipe bench overhead", f"8-byte frames, {long} - {short} of them; operators that do nothing")
    out: dict[str, Any] = {"about": about, "rows": [], "figures": {}}
    print(f"{'graph':>10} | CPU us per frame and operator | frames/s | growth of the largest process, MB")
    for name, make in (("chain", chain), ("fan-out", fan)):
        for width in WIDTHS:
            row = {"graph": f"{name} {width}", **cost(make, width, short, long)}
            out["rows"].append(row)
            out["figures"] |= {f"{row['graph']}.us": row["us"], f"{row['graph']}.grown_mb": row["grown_mb"]}
            print(f"{row['graph']:>10} | {row['us']:29.0f} | {row['frames_per_s']:8.0f} | {row['grown_mb']:.1f}", flush=True)
        totals = [row["us"] * width for row, width in zip(out["rows"][-len(WIDTHS) :], WIDTHS, strict=True)]
        slope, start = np.polyfit(WIDTHS, totals, 1)
        bend = float(max(abs(start + slope * w - t) / t for w, t in zip(WIDTHS, totals, strict=True)))
        out["figures"] |= {f"{name}.one_more_us": float(slope), f"{name}.bend": bend}
        print(f"{name}: one more costs {slope:.0f} us, the line misses no point by more than {100 * bend:.0f} %")
    return out
