"""`pipe bench hop`: process() returned -> next process() entered, process to process, beside bare pyzmq in the same run.

Back-to-back: one frame under way at a time, the cores stay awake. Paced: 50 Hz, live, the cores fall asleep in between.
Rounds of rival and engine take turns; figures are medians over the rounds.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from bench.common import header, quantile, run_graph
from bench.rivals import one_way_us

SIZES = {"8 B": 8, "4 KB": 4096, "6.2 MB": 6_220_800, "40 MB": 40_000_000}


def graph(size: int, frames: int, live: bool) -> str:
    config = f"{{frames: {frames}, bytes: {size}, wait: {str(not live).lower()}}}"
    return f"""
version: 1
nodes:
  ping: {{driver: "bench.nodes:Ping", config: {config}, live: {str(live).lower()}, place: ends}}
  pong: {{op: "bench.nodes:Pong", inputs: {{in: ping.out}}}}
  end:  {{op: "bench.nodes:End", inputs: {{in: pong.out}}, place: ends}}
"""


def engine(size: int, frames: int, live: bool) -> dict[str, float]:
    edge = run_graph(graph(size, frames, live))["edges"]["ping.out->pong.in"]
    if edge["delivered"] < 0.9 * frames or edge["copied_bytes"]:
        raise RuntimeError(f"hop: needs {frames} loaned frames, got {edge}")
    return edge["hop_us"]


def main(rounds: int = 3, frames: int = 2000, paced_frames: int = 250) -> dict[str, Any]:
    out: dict[str, Any] = {
        "about": header("pipe bench hop", f"{rounds} rounds of {frames} frames back-to-back, {paced_frames} at 50 Hz"),
        "rows": [],
        "figures": {},
    }
    print(f"{'frame':>8} {'pace':>13} | {'pipe p50':>9} {'p99':>8} | {'pyzmq p50':>9} {'p99':>8} | ratio p50   [us, one way]")
    eight: dict[bool, float] = {}
    for paced in (False, True):
        for name, size in SIZES.items():
            count = paced_frames if paced else frames if size < 10**6 else frames // 4
            ours, theirs = [], []
            for _ in range(rounds):
                rival_count = count if size < 10**6 else min(count, 100)
                times = one_way_us(rival_count, size, 0.02 if paced else 0.0)
                theirs.append((quantile(times, 0.5), quantile(times, 0.99)))
                hop = engine(size, count, paced)
                ours.append((hop["p50"], hop["p99"]))
            row: dict[str, Any] = {
                "frame": name,
                "pace": "50 Hz" if paced else "back-to-back",
                "pipe_us": {"p50": median([o[0] for o in ours]), "p99": median([o[1] for o in ours])},
                "pyzmq_us": {"p50": median([t[0] for t in theirs]), "p99": median([t[1] for t in theirs])},
            }
            p, z = row["pipe_us"], row["pyzmq_us"]
            row["ratio"] = p["p50"] / z["p50"]
            eight.setdefault(paced, p["p50"])
            row["of_8B"] = p["p50"] / eight[paced]
            out["rows"].append(row)
            out["figures"] |= {
                f"{name}.{row['pace']}.{k}": v
                for k, v in (("p50_us", p["p50"]), ("ratio", row["ratio"]), ("of_8B", row["of_8B"]))
            }
            print(
                f"{name:>8} {row['pace']:>13} | {p['p50']:9.0f} {p['p99']:8.0f} | {z['p50']:9.0f} {z['p99']:8.0f} | "
                f"{row['ratio']:.2f}  ({row['of_8B']:.2f} of our 8 B)"
            )
    return out
