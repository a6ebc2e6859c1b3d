"""The last lines of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def summary(report: dict[str, Any], out: Path) -> list[str]:
    """From the run's report."""
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
    lines += [f"  {n}: {v['status']}" for n, v in report["nodes"].items() if "status" in v]
    if report["quality"]:
        switches = [f"{q['node']} {q['level']} from frame {q['at_frame']}" for q in report["quality"]]
        more = f", {len(switches) - 4} more before" if len(switches) > 4 else ""
        lines.append(f"  quality: {', '.join(switches[-4:])}{more}")
    if report.get("budget"):
        lines.append("  budget: " + ", ".join(_held(row) for row in report["budget"]))
    if report["injected"]:
        lines.append("  injected: " + ", ".join(f"{i['text']} {i['frames']} frames" for i in report["injected"]))
    restarts = {n: v["restarts"] for n, v in report["nodes"].items() if v["restarts"]}
    if restarts:
        lines.append("  restarted: " + ", ".join(f"{n} {k}×" for n, k in restarts.items()))
    errors = {n: v["errors"] for n, v in report["nodes"].items() if v["errors"]}
    if errors:
        saved = f" (frames saved in {out / 'poison'})" if (out / "poison").is_dir() else ""  # of a source there are none
        lines.append("  errors: " + ", ".join(f"{n} {k}" for n, k in errors.items()) + saved)
    lines.append(f"  results in {out}")
    return lines


def _held(row: dict[str, Any]) -> str:
    got = "no frame" if row["figure"] is None else f"{row['figure']:.4g}"
    at = f" at {row['at']}" if row["at"] and row["figure"] is not None else ""
    return f"{row['key']} {got}{at} {'kept' if row['kept'] else 'BROKEN'} ({row['limit']:g})"
