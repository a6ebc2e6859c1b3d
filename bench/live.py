"""`pipe bench live`: graphs/live_full.yaml on sensors of the loopback, then with each of them cut and returned.

`pipe run rehearsal` makes the recordings; two processes of `pipe send` play them, LiDAR packets at 10 Hz over UDP and pictures
at 30 Hz as MJPEG over HTTP; the thermal pictures are read from their folder at 9 Hz. After the steady time each sensor is cut
for 10 s and then back for 10 s. Latency: from the capture's stamp until the sink is done; `results` has the fused tracks of the
scans, `results2d` those of the pictures. Memory: resident memory of all processes of the graph. Takes 13 minutes.
`python -m bench.live SECONDS [FOLDER]`: another steady time, and recordings that `pipe run rehearsal --out FOLDER` has made.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from bench.common import header, quantile, watch_sinks
from bench.rehearsal import Rehearsal
from pipeline.graph.load import load
from pipeline.options import RunOptions
from pipeline.runtime.observer import Observer
from pipeline.runtime.session import Session
from pipeline.runtime.shares import Shares
from pipeline.runtime.supervisor import run

SECONDS, START_S, CUT_S = 600.0, 10.0, 10.0
AIM_MS = 100.0
"""Of the p99 of `results`."""
SENSORS, SINKS = ("lidar", "camera", "thermal"), ("results", "results2d", "render")
Seen = dict[str, list[tuple[float, float]]]
"""Sink -> time of the capture [s from the start], latency [ms] of each frame."""


def main(seconds: float = SECONDS, recordings: Path | None = None, cut_s: float = CUT_S) -> dict[str, Any]:
    about = header("pipe bench live", "20 s of a generated drive, again and again, over loopback")
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as folder:
        if recordings is None:
            recordings = Path(folder) / "rehearsal"
            run(Session(load("rehearsal"), RunOptions(recordings, quiet=True)), Observer())
        return {"about": about, **_measure(recordings, Path(folder) / "live", seconds, cut_s)}


def _measure(recordings: Path, out: Path, seconds: float, cut_s: float) -> dict[str, Any]:
    end = START_S + seconds
    phases = {
        "steady": (START_S, end), "first tenth": (START_S, START_S + seconds / 10), "last tenth": (end - seconds / 10, end),
    }  # fmt: skip
    for k, name in enumerate(SENSORS):
        begin = end + 2 * cut_s * k
        phases |= {f"{name} cut": (begin, begin + cut_s), f"{name} back": (begin + cut_s, begin + 2 * cut_s)}
    rehearsal = Rehearsal(recordings, {name: phases[f"{name} cut"] for name in SENSORS})
    report, seen, slow = _play(rehearsal, out, end + 2 * cut_s * len(SENSORS))
    figures = dict[str, float]()
    for phase, (begin, end) in phases.items():
        texts = [
            _row(figures, phase, sink, [ms for at_s, ms in rows if begin <= at_s < end], end - begin)
            for sink, rows in seen.items()
        ]
        print(f"  {phase:>12}: " + "; ".join(texts))
    begin, end = phases["steady"]
    steady = [mb for at_s, mb in rehearsal.memory_mb if begin <= at_s < end]
    figures |= {"memory.first_mb": steady[0], "memory.last_mb": steady[-1]}
    print(f"  memory {steady[0]:.0f} MB at {begin:g} s, {steady[-1]:.0f} MB at {end:g} s")
    drops: Counter[str] = Counter()
    for name, edge in report["edges"].items():
        drops.update({f"{name}: {reason}": count for reason, count in edge["dropped"].items()})
    print("  dropped: " + (", ".join(f"{count} {what}" for what, count in drops.most_common()) or "none"))
    costs = {name: (node["compute_ms"]["p50"], node["cpu_s"]) for name, node in report["nodes"].items() if name not in SENSORS}
    print("  compute p50, CPU: " + ", ".join(f"{name} {ms:.0f} ms, {cpu:.0f} s" for name, (ms, cpu) in costs.items()))
    states = {name: (out / "logs" / f"{name}.log").read_text().splitlines() for name in SENSORS}
    for name in SENSORS:
        print(f"  {name}: {report['nodes'][name].get('status', '')}\n    " + "\n    ".join(states[name]))
    for row in report["quality"]:
        print(f"  {row['node']} {row['level']} at frame {row['at_frame']}: {row['reason']}")
    for sink, share in slow.items():
        print(f"  {sink}, frames above {AIM_MS:g} ms: {share}")
    stages = {f"{phase}.{sink}.p99_ms": share for phase in phases for sink, share in slow.items()}
    return {"figures": figures, "dropped": drops, "states": states, "quality": report["quality"], "stages": stages}


def _play(rehearsal: Rehearsal, out: Path, seconds: float) -> tuple[dict[str, Any], Seen, dict[str, str]]:
    """Report, frames at the sinks, and per sink the stage with the largest share of the frames above AIM_MS."""
    session = Session(load("live_full", rehearsal.sets), RunOptions(out, duration_s=seconds, quiet=True))
    seen, shares = watch_sinks(session, SINKS), Shares(session.plan, session.accountant, dict.fromkeys(SINKS, AIM_MS))
    outcome = run(session, rehearsal)
    if outcome.exit != "completed":
        raise RuntimeError(f"live_full {outcome.exit}: {outcome.errors}")
    began_s = rehearsal.began_ns * 1e-9
    frames = {sink: [(at_s - began_s, ms) for at_s, ms in rows] for sink, rows in seen.items()}
    return outcome.report, frames, {sink: str(found[0]) for sink, found in shares.of().items()}


def _row(figures: dict[str, float], phase: str, sink: str, ms: list[float], seconds: float) -> str:
    key = f"{phase}.{sink}"
    figures[f"{key}.hz"] = len(ms) / seconds
    if not ms:
        return f"{sink} none"
    p50, p99 = quantile(ms, 0.5), quantile(ms, 0.99)
    figures |= {f"{key}.p50_ms": p50, f"{key}.p99_ms": p99}
    return f"{sink} {len(ms) / seconds:.1f}/s p50 {p50:.0f} p99 {p99:.0f} ms"


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None)
