"""`make soak`: an hour of a robot's graph, to see whether anything creeps: memory, latency, descriptors, files.

    make soak [SECONDS=60] [SHIELD=1]        python -m bench.soak [--seconds 60] [--shield]

Live, as separate processes, well below one core: LiDAR and boxes of generated traffic at 10 Hz, a 1080p camera at 10 Hz, a
parking lot with its own LiDAR, camera and the trained net at 1 Hz, voxelizer, tracker, a join of unequal stamps, a renderer
with video, three writers and the recorder of `--record`. Once a window (a minute; shorter when the run is) it notes of every
process, the supervisor too, resident memory (RSS, its anonymous part, PSS), descriptors, threads and CPU; of every sink the
latencies capture -> `process()` returned of that window's frames (the report's own histograms, told apart by window); drops by
edge and reason; bytes on disk; and what else the machine did: load average, cores that others used or the hypervisor took, and a
process that only wakes and computes (bench/probe.py).

Judged are, after a warm-up, RSS of every process and p99 of every sink: first against last third, and the trend
(bench/drift.py), within 5 %. Shown beside it, for a machine that is not equally fast all the time: latencies of earlier and
later windows in which the bare process was. Exit 1 when something is not flat, has more descriptors or threads at the end
(without the files of losses, which are opened at the first loss), a node restarted or failed, or the ledger does not add up. Not
in the graph: what grows by its contract, that is score.*, which needs all detections until the end, and a long drive of
synthetic.world, which keeps the shapes it has met (3,260 bodies: 500 MB after half an hour, then no more).

--shield, against others' load (needs root): once all are ready, every process of the run, and the bare one beside it, gets
nice -20 for its autogroup (each session has one of its own) and time slices of 0.1 ms, so that it is run soon after it wakes.
SCHED_RR was tried and is worse beside busy neighbours: Linux 6.18 then holds real-time tasks up for 50 ms at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import json
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench import drift
from bench.common import header, machine_name
from pipeline.graph.load import parse
from pipeline.options import Outcome, Record, RunOptions
from pipeline.recording import recorder as record
from pipeline.runtime.session import Session
from pipeline.runtime.supervisor import run
from pipeline.watch.display import Display
from pipeline.watch.report import unbalanced

GRAPH = """
version: 1
nodes:
  lidar:   {driver: synthetic.traffic, live: true, config: {frames: FRAMES, rate_hz: 10}}
  camera:  {driver: "bench.nodes:Camera", live: true, config: {frames: FRAMES, rate_hz: 10}}
  lot:
    driver: synthetic.world
    live: true
    config:
      frames: FRAMES
      rate_hz: 1
      lidar: {view_deg: 180}
      density: 0
      ego_speed_mps: 0
      objects:
        - {label: Car, x_m: 12, y_m: 3}
        - {label: Car, x_m: 25, y_m: -4, yaw_rad: 1.5, body: 7}
        - {label: Van, x_m: 35, y_m: 4}
        - {label: Pedestrian, x_m: 9, y_m: -3, body: 3}
        - {label: Cyclist, x_m: 16, y_m: 6}
  pillars: {op: lidar.voxelize, inputs: {points: lidar.points}}
  tracker: {op: track.tracker, inputs: {boxes3d: lidar.boxes3d, pose: lidar.pose}}
  results: {op: write.kitti_tracking, inputs: {tracks: tracker.tracks, calibration: lidar.calibration}}
  layout:  {op: write.kitti_layout, inputs: {truth: lidar.truth, pose: lidar.pose, calibration: lidar.calibration}}
  render:
    op: render.scene
    inputs:
      points: lidar.points
      tracks: tracker.tracks
      boxes3d: lidar.boxes3d
      pose: lidar.pose
      calibration: lidar.calibration
    config: {range_m: [-4, -32, 60, 32], px_per_m: 5, png_every: 100, video_preset: ultrafast, video_crf: 28}
  pair:
    op: "bench.nodes:Pair"
    inputs: {image: camera.image, pillars: pillars.pillars}
    sync: {policy: nearest, trigger: image, tolerance_ms: 60, timeout_ms: 200}
  lot_pillars:
    op: lidar.voxelize
    inputs: {points: lot.points}
    config: {cell_m: [0.16, 0.16], range_m: [0, -25.6, -3, 51.2, 25.6, 1], max_points: 32, max_pillars: 12000}
    place: net
  detect:  {op: detect.pointpillars, inputs: {pillars: lot_pillars.pillars}, place: net}
  lot_tracker: {op: track.tracker, inputs: {boxes3d: detect.boxes3d, pose: lot.pose}}
  lot_results:
    op: write.kitti_tracking
    inputs: {tracks: lot_tracker.tracks, calibration: lot.calibration}
"""
RECORDED = "lidar.boxes3d,lidar.pose,tracker.tracks,lot.points,lot.image,lot.calibration"
WARM_UP_S = 300.0
WINDOW_S = 60.0
PROBE = "probe.txt"
RESULTS = Path(__file__).resolve().parent / "results"
AUTOGROUP_NICE, SLICE_NS = -20, 100_000
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_TICKS = os.sysconf("SC_CLK_TCK")


def main(
    seconds: float = 3600.0, out: Path = Path("out/soak"), shield: bool = False, results: Path | None = RESULTS
) -> dict[str, Any]:
    """The JSON, `ok` says whether all is well. `results`: a folder that gets a copy."""
    window_s, warm_up_s = min(WINDOW_S, seconds / 15), min(WARM_UP_S, seconds / 5)
    command = f"make soak SECONDS={seconds:g}" + (" SHIELD=1" if shield else "")
    about = header(command, f"a live graph of generated sensors; windows of {window_s:g} s, {warm_up_s:g} s to warm up")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    frames = str(int(seconds * 10) + 600)
    text = GRAPH.replace("FRAMES", frames)
    recording = Record(out.resolve() / "soak.mcap", RECORDED, images="jpeg")
    graph = record.with_recorder(parse(text, "soak.yaml"), recording)
    session = Session(graph, RunOptions((out / "run").resolve(), duration_s=seconds, quiet=True, record=recording))
    with probing(out / PROBE) as beside:
        watch = Watch(session, out, window_s, shield, beside)
        outcome = run(session, watch)
    record.finish(session, outcome)
    windows = [json.loads(line) for line in (out / "windows.jsonl").read_text().splitlines()]
    made = judge(windows, warm_up_s, outcome)
    made = {"about": about | {"priority": watch.priority}, **made, "windows": [compact(w) for w in windows]}
    show(made, outcome)
    if outcome.recorded is not None:
        outcome.recorded.path.unlink()  # gigabytes of an hour; what it held is in the windows and the summary
    for path in (out / "soak.json", *([] if results is None else [results / f"soak-{machine_name()}.json"])):
        path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        print(f"written: {path}")
    return made


# -- sampling ---------------------------------------------------------------------------------------------------------


class Watch(Display):
    """Rides on the supervisor's loop: a line of windows.jsonl per window; keeps nothing itself that grows."""

    def __init__(self, session: Session, out: Path, window_s: float, shield: bool, beside: subprocess.Popen[bytes]) -> None:
        super().__init__(session, quiet=True)
        self.out, self.window_s, self.shield, self.beside = out, window_s, shield, beside
        self.probe = out / PROBE
        self.priority = "normal"
        self._next_at = self._started_at = 0.0
        self._before: dict[str, Any] = {}
        self._events = 0

    def event(self, text: str) -> None:
        super().event(text)
        self._events += 1

    def started(self, run: Any = None) -> None:
        super().started(run)
        if self.shield:
            pids = [os.getpid(), self.beside.pid, *(c.proc.pid for c in run.children.values() if c.proc is not None)]
            self.priority = raise_priority(pids)
            print(f"priority: {self.priority}")
        self._started_at = time.monotonic()
        self._next_at = self._started_at + self.window_s
        self._before = self._now(run)

    def update(self, run: Any = None) -> None:
        now = time.monotonic()
        if not self._before or now < self._next_at or run.exiting:
            return
        self._next_at += self.window_s
        after = self._now(run)
        window = between(self._before, after)
        self._before = after
        with (self.out / "windows.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(window) + "\n")
        print(line_of(window), flush=True)

    def _now(self, run: Any) -> dict[str, Any]:
        session, graph = self.session, self.session.graph
        session.accountant.drain()
        pids = {"(supervisor)": os.getpid()} | {p: c.proc.pid for p, c in run.children.items() if c.proc is not None}
        return {
            "t_s": time.monotonic() - self._started_at,
            "processes": {name: process(pid) | {"pid": pid} for name, pid in pids.items()},
            "latency": {n: session.node_books[n].latency.bins.copy() for n in graph.nodes if graph.nodes[n].is_sink},
            "steps": {n: book.steps for n, book in session.node_books.items()},
            "dropped": {b.name: dict(b.dropped) for b in session.edge_books if b.dropped},
            "disk": sizes(self.out),
            "machine": machine(),
            "probe": self.probe.stat().st_size if self.probe.exists() else 0,
            "probe_file": str(self.probe),
            "events": self._events,
        }


def raise_priority(pids: list[int]) -> str:
    """Their autogroups, and the slices of all their threads; those they start later inherit both."""
    libc = ctypes.CDLL(None, use_errno=True)
    attr = struct.pack("<IIQiIQQQII", 56, 0, 0, 0, 0, SLICE_NS, 0, 0, 0, 0)  # struct sched_attr: policy and nice 0, the slice
    try:
        for pid in pids:
            Path(f"/proc/{pid}/autogroup").write_text(str(AUTOGROUP_NICE))
            for task in os.listdir(f"/proc/{pid}/task"):
                if libc.syscall(SCHED_SETATTR[os.uname().machine], int(task), attr, 0):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    except (OSError, KeyError) as error:
        return f"normal (more was refused: {error})"
    return f"autogroups at nice {AUTOGROUP_NICE}, slices of {SLICE_NS * 1e-6:g} ms"


def between(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What happened from one look to the next, as JSON."""
    seconds = after["t_s"] - before["t_s"]
    ours = {
        name: (p["cpu_s"] - before["processes"].get(name, {}).get("cpu_s", 0.0)) / seconds
        for name, p in after["processes"].items()
    }
    busy, stolen = ((after["machine"][k] - before["machine"][k]) / seconds for k in ("busy_s", "stolen_s"))
    dropped = {
        f"{edge} {reason}": n - before["dropped"].get(edge, {}).get(reason, 0)
        for edge, reasons in after["dropped"].items()
        for reason, n in reasons.items()
        if n != before["dropped"].get(edge, {}).get(reason, 0)
    }
    with open(after["probe_file"], encoding="utf-8") as file:
        file.seek(before["probe"])
        rows = np.array([line.split() for line in file.read(after["probe"] - before["probe"]).splitlines()], np.float64)
    return {
        "t_s": round(after["t_s"], 1),
        "processes": {
            name: {k: v for k, v in p.items() if k != "cpu_s"} | {"cores": round(ours[name], 4)}
            for name, p in after["processes"].items()
        },
        "latency": {
            name: {str(i): int(n) for i, n in enumerate(bins - before["latency"][name]) if n}
            for name, bins in after["latency"].items()
        },
        "steps": {n: k - before["steps"][n] for n, k in after["steps"].items()},
        "dropped": dropped,
        "disk_mb": {k: round(v / 1e6, 3) for k, v in after["disk"].items()},
        "load": after["machine"]["load"],
        "our_cores": round(sum(ours.values()), 3),
        "other_cores": round(max(0.0, busy - sum(ours.values())), 3),
        "stolen_cores": round(stolen, 3),
        "probe_us": probe_us(rows) if len(rows) else {},
        "events": after["events"] - before["events"],
    }


def probe_us(rows: np.ndarray) -> dict[str, float]:
    """Of bench/probe.py's rows in a window: how late it was woken, how long its work took."""
    columns = {"woken late": rows[:, 0], "work": rows[:, 1]}
    told = {
        f"{what} {name}": np.quantile(column, q) for what, column in columns.items() for name, q in (("p50", 0.5), ("p99", 0.99))
    }
    return {key: round(float(value), 1) for key, value in {**told, "work mean": rows[:, 1].mean()}.items()}


def process(pid: int) -> dict[str, Any]:
    """Memory [MB], descriptors, threads, CPU seconds; nothing of one that is gone."""
    with contextlib.suppress(OSError):
        folder = Path(f"/proc/{pid}")
        told = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        rollup = dict(line.split(":", 1) for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
        stat = (folder / "stat").read_text().rpartition(")")[2].split()
        return {
            "rss_mb": _mb(told["VmRSS"]),
            "anon_mb": _mb(told["RssAnon"]),
            "pss_mb": _mb(rollup["Pss"]),
            "fds": len(descriptors(folder / "fd")),
            "threads": int(told["Threads"]),
            "cpu_s": (int(stat[11]) + int(stat[12])) / _TICKS,
        }
    return {"cpu_s": 0.0}


def descriptors(folder: Path) -> list[str]:
    """What is open, without files of losses."""
    out = []
    for fd in os.listdir(folder):
        with contextlib.suppress(OSError):  # that of the list itself
            out.append(os.readlink(folder / fd))
    return [name for name in out if not name.endswith(".jsonl")]


def _mb(text: str) -> float:
    return round(int(text.split()[0]) * 1024 / 1e6, 3)


def sizes(folder: Path) -> dict[str, int]:
    """Bytes below a folder, by file in it, or by folder of a node."""
    out: dict[str, int] = {}
    for root, _, files in os.walk(folder):
        for name in files:
            path = Path(root) / name
            parts = path.relative_to(folder).parts
            key = "/".join(parts[:2] if parts[0] == "run" and parts[1] != "logs" else parts)
            with contextlib.suppress(OSError):
                out[key] = out.get(key, 0) + path.stat().st_size
    return out


def machine() -> dict[str, float]:
    """Load average, and seconds of all cores that were busy or taken by the hypervisor so far."""
    user, nice, system, _, _, irq, soft, stolen = (int(x) / _TICKS for x in Path("/proc/stat").read_text().split()[1:9])
    return {"load": os.getloadavg()[0], "busy_s": user + nice + system + irq + soft, "stolen_s": stolen}


@contextlib.contextmanager
def probing(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    beside = subprocess.Popen([sys.executable, "-m", "bench.probe", str(file), str(os.getpid())])
    try:
        yield beside
    finally:
        beside.kill()
        beside.wait()


# -- judging ----------------------------------------------------------------------------------------------------------


def judge(windows: list[dict[str, Any]], warm_up_s: float, outcome: Outcome) -> dict[str, Any]:
    """Memory per process, latency per sink, what went wrong, and `ok`. Raises ValueError where too few windows are left."""
    kept = [w for w in windows if w["t_s"] - windows[0]["t_s"] >= warm_up_s - 1e-6] if warm_up_s else windows
    memory: dict[str, dict[str, Any]] = {}
    for name in windows[-1]["processes"]:
        rows = [w["processes"][name] for w in kept if "rss_mb" in w["processes"].get(name, {})]
        memory[name] = {key: drift.of_values([row[key] for row in rows]).row() for key in ("rss_mb", "anon_mb", "pss_mb")}
        memory[name] |= {key: [rows[0][key], rows[-1][key]] for key in ("fds", "threads")}
        memory[name]["cores"] = round(float(np.mean([row["cores"] for row in rows])), 4)
    latency: dict[str, dict[str, Any]] = {}
    for sink in kept[0]["latency"]:
        bins = [dense(w["latency"][sink]) for w in kept]
        if sum(int(b.sum()) for b in bins):
            latency[sink] = {
                name: _ms(drift.of_counts(bins, q)).row() | {"equal_speed": at_equal_speed(kept, bins, q)}
                for name, q in (("p50", 0.50), ("p99", 0.99))
            }
    beside = {
        key: drift.of_values([w["probe_us"][key] for w in kept if w["probe_us"]]).row() for key in sorted(kept[0]["probe_us"])
    }
    wrong = [*outcome.errors, *unbalanced(outcome.report)]
    wrong += [f"{n}: restarted {v['restarts']} times" for n, v in outcome.report["nodes"].items() if v["restarts"]]
    wrong += [f"{n}: {v['errors']} errors" for n, v in outcome.report["nodes"].items() if v["errors"]]
    wrong += [
        f"{name}: RSS {rss['verdict']}, {rss['first']:.1f} -> {rss['last']:.1f} MB"
        for name, row in memory.items()
        if (rss := row["rss_mb"])["verdict"] != "flat"
    ]
    wrong += [
        f"{name}: {key} {before} -> {after}"
        for name, row in memory.items()
        for key, (before, after) in ((key, row[key]) for key in ("fds", "threads"))
        if after > before
    ]
    wrong += [
        f"{sink}: latency {key} {row['verdict']}, {row['first']:.2f} -> {row['last']:.2f} ms"
        for sink, both in latency.items()
        for key, row in both.items()
        if key == "p99" and row["verdict"] != "flat"
    ]
    hours = (windows[-1]["t_s"] - windows[0]["t_s"]) / 3600 or 1.0
    grown = {k: (v - windows[0]["disk_mb"].get(k, 0.0)) / hours for k, v in windows[-1]["disk_mb"].items()}
    return {
        "ok": not wrong,
        "wrong": wrong,
        "exit": outcome.exit,
        "memory": memory,
        "latency_ms": latency,
        "probe": beside,
        "dropped": {n: e["dropped"] for n, e in outcome.report["edges"].items() if e["dropped"]},
        "files_mb_per_hour": {k: round(v, 2) for k, v in sorted(grown.items()) if v > 0},
        "our_cores": round(float(np.mean([w["our_cores"] for w in kept])), 3),
        "other_cores": [w["other_cores"] for w in kept],
        "load": [round(w["load"], 2) for w in kept],
    }


def at_equal_speed(kept: list[dict[str, Any]], bins: list[np.ndarray], q: float) -> dict[str, float] | None:
    """Shown, not judged; None where the bare process said nothing."""
    bare = [w["probe_us"].get("work mean", 0.0) for w in kept]
    return drift.at_equal_speed(bins, bare, q) if all(bare) else None


def dense(bins: dict[str, int]) -> np.ndarray:
    out = np.zeros(len(drift.Histogram().bins), np.int64)
    for i, n in bins.items():
        out[int(i)] = n
    return out


def _ms(of: drift.Drift) -> drift.Drift:
    return dataclasses.replace(of, first=of.first * 1e-6, last=of.last * 1e-6)


def compact(window: dict[str, Any]) -> dict[str, Any]:
    """As committed: quantiles in place of bins."""
    latency = {}
    for sink, bins in window["latency"].items():
        found = [drift.quantile(dense(bins), q) for q in (0.5, 0.99)]
        latency[sink] = [None if x is None else round(x * 1e-6, 3) for x in found]
    processes = {n: [p.get(k) for k in ("rss_mb", "anon_mb", "pss_mb", "fds")] for n, p in window["processes"].items()}
    kept = {k: v for k, v in window.items() if k not in ("steps", "disk_mb", "events")}
    return {**kept, "processes": processes, "latency": latency}


# -- showing ----------------------------------------------------------------------------------------------------------


def line_of(window: dict[str, Any]) -> str:
    rss = sum(p.get("rss_mb", 0.0) for p in window["processes"].values())
    p99 = {}
    for sink, bins in window["latency"].items():
        value = drift.quantile(dense(bins), 0.99)
        p99[sink] = "-" if value is None else f"{value * 1e-6:.1f}"
    drops, disk = sum(window["dropped"].values()), sum(window["disk_mb"].values())
    return (
        f"{window['t_s']:6.0f} s  RSS {rss:.0f} MB  p99 ms {' '.join(f'{k} {v}' for k, v in p99.items())}  drops {drops}  "
        f"disk {disk:.0f} MB  cores ours {window['our_cores']:.2f}, others' {window['other_cores']:.2f}  "
        f"load {window['load']:.2f}  bare p99 {window['probe_us'].get('woken late p99', 0):.0f} us"
    )


def show(made: dict[str, Any], outcome: Outcome) -> None:
    print(f"\n{'process':>14} | RSS MB, first -> last third   | anonymous MB                  | PSS MB | fds | cores")
    for name, row in made["memory"].items():
        print(
            f"{name:>14} | {_cell(row['rss_mb'])} | {_cell(row['anon_mb'])} | {row['pss_mb']['last']:6.1f} "
            f"| {row['fds'][1]:3d} | {row['cores']:.3f}"
        )
    print(f"\n{'sink':>14} | latency p50 ms                | p99 ms                        | p99 changes, 95 % of redraws")
    for sink, row in made["latency_ms"].items():
        print(f"{sink:>14} | {_cell(row['p50'])} | {_cell(row['p99'])} | {_span(row['p99'])}")
    print(f"\n{'sink':>14} | later against earlier windows in which the bare process was equally fast: p50 | p99")
    for sink, row in made["latency_ms"].items():
        print(f"{sink:>14} | " + " | ".join(_change(row[key]["equal_speed"]) for key in ("p50", "p99")))
    for key, row in made["probe"].items():
        print(f"the bare machine: {key} {row['first']:.0f} -> {row['last']:.0f} us ({row['change']:+.1%})")
    load, others = made["load"], float(np.mean(made["other_cores"]))
    before, after = (float(np.median(third)) for third in drift.thirds(load))
    print(
        f"cores: ours {made['our_cores']:.2f}, others' {others:.2f}; "
        f"load {min(load):.2f} .. {max(load):.2f}, first third {before:.1f}, last {after:.1f}"
    )
    print("dropped:", json.dumps(made["dropped"]) if made["dropped"] else "none")
    print("files that grow, MB per hour:", ", ".join(f"{k} {v:.4g}" for k, v in made["files_mb_per_hour"].items()))
    if outcome.recorded is not None:
        print(outcome.recorded)
    for text in made["wrong"]:
        print(f"not flat or wrong: {text}")
    print(f"soak: {'all flat within 5 %' if made['ok'] else 'NOT all flat'}, {outcome.exit}")


def _change(row: dict[str, float] | None) -> str:
    return "too short a run" if row is None else f"{row['change']:+.1%} ({_span(row)})"


def _span(row: dict[str, Any]) -> str:
    return "" if row["low"] is None else f"{row['low']:+.1%} .. {row['high']:+.1%}"


def _cell(row: dict[str, Any]) -> str:
    return f"{row['first']:7.2f} -> {row['last']:7.2f} {row['change']:+6.1%} {row['verdict']:>5}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--shield", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("out/soak"))
    args = parser.parse_args()
    sys.exit(0 if main(args.seconds, args.out, args.shield)["ok"] else 1)
