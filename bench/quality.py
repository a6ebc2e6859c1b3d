"""`pipe bench quality`: frames on time while half of the processors is taken away for a third of the run.

A live LiDAR graph (scans made before, at a rate that keeps at full quality 70 % of the cores busy, but its slowest node at most
85 % of the time) runs for 180 s, with `quality` and without it. From 60 s to 120 s its processes have half of the cores: by the
quota of a cgroup, or, where none may be made, beside as many busy processes as there are cores. Late: of the frames at the sink,
those that came later than the target after their capture. Lost: on the way, replaced in a queue by a newer one. The first 5 s
after the start and after each change of the load are not counted. Takes 7 minutes; needs an idle machine.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from bench.common import header, quantile, watch_sinks
from bench.halved import Load
from pipeline.graph.load import parse
from pipeline.options import RunOptions
from pipeline.runtime.observer import Observer
from pipeline.runtime.session import Session
from pipeline.runtime.shares import Shares
from pipeline.runtime.supervisor import run

SECONDS, SKIP_S, BUSY, SLOWEST = 180.0, 5.0, 0.7, 0.85
TARGET_MS, TARGET_TIMES = 100.0, 1.7
"""Of the latency: at least so many ms, and so many compute times of a frame."""
GRAPH = """version: 1
nodes:
  scans:    {{driver: "bench.live_scans:Scans", config: {{rate_hz: {rate}, seconds: {seconds}}}, live: true}}
  voxelize:
    op: lidar.voxelize
    inputs: {{points: scans.points}}
    config: {{range_m: [0, -25.6, -3, 51.2, 25.6, 1], packed: true}}
  detect:   {{op: detect.pointpillars, inputs: {{pillars: voxelize.pillars}}}}
  tracker:  {{op: track.tracker, inputs: {{boxes3d: detect.boxes3d}}}}
  show:     {{op: render.scene, inputs: {{tracks: tracker.tracks, points: scans.points}}, config: {{png_every: 0}}}}
{quality}
"""


Played = tuple[dict[str, Any], list[tuple[float, float]], str]


def play(rate: float, seconds: float, quality: str, load: Observer, slow_ms: float = 0.0) -> Played:
    """Report; per frame at the sink: time of its capture [s], latency [ms]; where the frames above slow_ms spent their time."""
    graph = parse(GRAPH.format(rate=rate, seconds=seconds, quality=quality), "bench.yaml")
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as folder:
        session = Session(graph, RunOptions(Path(folder), quiet=True))
        seen, shares = watch_sinks(session, ["show"]), Shares(session.plan, session.accountant, {"show": slow_ms})
        outcome = run(session, load)
    if outcome.exit != "completed":
        raise RuntimeError(f"bench graph {outcome.exit}: {outcome.errors}")
    found = shares.of().get("show")
    return outcome.report, seen["show"], str(found[0]) if found else "no slow frame"


def main(seconds: float = SECONDS) -> dict[str, Any]:
    about = header("pipe bench quality", "30 scans of a generated drive, again and again")
    report, _, _ = play(4.0, 10.0, "", Observer())
    each_ms = [node["compute_ms"]["p50"] for name, node in report["nodes"].items() if name != "scans"]
    frame_ms = sum(each_ms)
    rate = round(1000 * min(BUSY * len(os.sched_getaffinity(0)) / frame_ms, SLOWEST / max(each_ms)), 1)
    target_ms = round(max(TARGET_MS, TARGET_TIMES * frame_ms), -1)
    out: dict[str, Any] = {"about": about, "rate_hz": rate, "target_ms": target_ms, "rows": [], "figures": {}, "stages": {}}
    print(f"{frame_ms:.0f} ms of compute per frame, {max(each_ms):.0f} in the slowest node, {rate:g} Hz, target {target_ms:g} ms")
    for name, quality in (("quality", f"quality: {{target_latency_ms: {target_ms}}}"), ("without", "")):
        load = Load(seconds)
        report, seen, slow = play(rate, seconds, quality, load, target_ms)
        print(f"\n{name}: half of the cores from {seconds / 3:.0f} s to {2 * seconds / 3:.0f} s: {load.how}")
        for k, phase in enumerate(("before", "load", "after")):
            begin, end = k * seconds / 3 + SKIP_S, (k + 1) * seconds / 3
            ms = [latency for stamp, latency in seen if begin <= stamp < end] or [float("inf")]
            due = round((end - begin) * rate)
            late, lost = sum(latency > target_ms for latency in ms) / len(ms), max(0.0, 1 - len(ms) / due)
            out["figures"] |= {f"{name}.{phase}.late": late, f"{name}.{phase}.lost": lost}
            out["stages"][f"{name}.{phase}.late"] = slow
            p50, p99 = quantile(ms, 0.5), quantile(ms, 0.99)
            row = {"run": name, "phase": phase, "late": late, "lost": lost, "arrived": len(ms), "p50": p50, "p99": p99}
            out["rows"].append(row)
            print(f"  {phase:>6}: {late:7.2%} late of {len(ms)}, {lost:7.2%} lost of {due}, p50 {p50:.0f} ms, p99 {p99:.0f} ms")
        print(f"  of the frames above {target_ms:g} ms: {slow}")
        last = {row["node"]: row["level"] for row in report["quality"]}
        out["figures"][f"{name}.lower at the end"] = float(sum(level != "full" for level in last.values()))
        out[name] = report["quality"]
        for row in report["quality"]:
            print(f"    {row['at_frame'] / rate:5.0f} s: {row['node']} {row['level']}: {row['reason']}")
    return out
