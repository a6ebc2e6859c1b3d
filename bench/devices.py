"""`pipe bench devices`: frames/s and memory of detectors, tracker and FairMOT, in the layout of the report's Tables 21-24 and 28.

Nets of the released sizes for cars, random weights, points of generated scenes in, boxes out, in torch on every device that this
machine has; FairMOT of 1088 x 608 with random weights, a generated picture in; the tracker (preset ab3dmot) on generated traffic,
one core. Engines of other runtimes are measured by `pipe bench runtimes`. Memory: largest resident size of the process of a net,
on CUDA torch's largest allocation; beside it the estimate that `memory_budget_mb` is held against. Rows carry the board and its
power mode, where it has one, and joules per frame where power can be read. Writes bench/results/devices-<machine>.json.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import RESULTS, header, save
from bench.device_nets import FAIRMOT, THREADS, apart, here, random_weights
from bench.rivals import published
from bench.scenes import generate
from operators.nets.runtimes import available
from pipeline.machine.facts import facts, line

SCENES, TRACKED = 6, 400
NETS = list(published.TABLE_21)


def main(
    scenes: int = SCENES,
    nets: list[tuple[str, int]] = NETS,
    results: Path = RESULTS,
    fairmot: bool = True,
    tracked: int = TRACKED,
) -> dict[str, Any]:
    about = header("pipe bench devices", f"{scenes} generated scans, random weights, {THREADS} threads")
    found = facts()
    where = {"board": line(found), "power_mode": found.get("power_mode", "")}
    scans = [scene.points for scene in generate(scenes)]
    rows = []
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as folder:
        for net, voxel in [*nets, *([(FAIRMOT, 0)] if fairmot else [])]:
            made = random_weights(Path(folder), net, voxel)
            frames = [np.zeros((608, 1088, 3), np.uint8)] * scenes if net == FAIRMOT else scans
            for runtime, device in here(net):
                rows.append({"net": net, "voxel_cm": voxel, "runtime": runtime, "device": device, **where})
                rows[-1] |= apart(net, made, runtime, device, frames)
    out: dict[str, Any] = {"about": about, "rows": rows}
    out["tracker"] = {"preset": "ab3dmot", "frames": tracked, "fps": _tracker_fps(tracked), **where}
    out["figures"] = {f"{row['net']}.{row['voxel_cm']}.{row['runtime']}.{row['device']}.ms": row["ms"] for row in rows}
    out["figures"]["tracker.fps"] = out["tracker"]["fps"]
    out["runtimes"] = available()
    print("\n".join([*_lines(out), "runtimes: " + ", ".join(f"{name} {text}" for name, text in out["runtimes"].items())]))
    save(results, "devices", out)
    return out


def _tracker_fps(frames: int) -> float:
    from bench import track

    took = track.play("ab3dmot", track.generated(frames), False)
    return len(took.cpu) / sum(took.cpu)


def _lines(out: dict[str, Any]) -> list[str]:
    """Tables 21, 22 and 23, 24, 28, each with this machine's rows."""
    rows = [row for row in out["rows"] if row["net"] != FAIRMOT]
    lines = [
        f"{'device':>24} {'net':>12} {'voxel':>5} | {'frames/s':>8} {'memory MB':>9} {'estimate':>8} {'J/frame':>8}   (Table 21)"
    ]
    for (net, voxel), (fps, memory) in published.TABLE_21.items():
        lines.append(f"{'RTX 2080':>24} {net:>12} {voxel:5d} | {fps:8.2f} {memory:9d} {'-':>8} {'-':>8}")
    for row in rows:
        estimate = "-" if row["estimate_mb"] is None else f"{row['estimate_mb']:.0f}"
        joules = f"{row['power']['energy_per_frame_j']:.2f}" if row["power"] else "-"
        name = f"here: {row['runtime']} {row['device']}"
        text = f"{row['net']:>12} {row['voxel_cm']:5d} | {1e3 / row['ms']:8.2f} {row['memory_mb']:9.0f} {estimate:>8} {joules:>8}"
        lines.append(f"{name:>24} {text}")
    ours: dict[str, dict[tuple[str, int], float]] = {}
    for row in rows:
        ours.setdefault(_mode(row), {})[row["net"], row["voxel_cm"]] = 1e3 / row["ms"]
    tables = (
        ("Jetson TX2", "22", published.TABLE_22),
        ("Jetson AGX Xavier", "23", published.TABLE_23),
        ("this machine", "", ours),
    )
    columns = [("TANet", 16), ("TANet", 20), ("TANet", 28), ("PointPillars", 16)]
    lines += ["", f"{'device':>20} {'power mode':>22} | " + " ".join(f"{f'{n} {v}':>15}" for n, v in columns) + "   frames/s"]
    for device, number, table in tables:
        for mode, speeds in table.items():
            cells = " ".join(f"{speeds[key]:15.2f}" if key in speeds else f"{'-':>15}" for key in columns)
            lines.append(f"{device:>20} {mode:>22} | {cells}" + (f"   Table {number}" if number else ""))
    tracker = out["tracker"]
    lines += published.lines(published.TABLE_24 | {"this machine": {f"{tracker['power_mode']} one core".strip(): tracker["fps"]}})
    fairmot = {_mode(row): 1e3 / row["ms"] for row in out["rows"] if row["net"] == FAIRMOT}
    return [*lines, *published.by_mode("28", published.TABLE_28 | ({"this machine": fairmot} if fairmot else {})), ""]


def _mode(row: dict[str, Any]) -> str:
    return f"{row['power_mode']} {row['runtime']} {row['device']}".strip()
