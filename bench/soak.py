"""`make soak`: an hour of a robot's graph (bench/soak.yaml), to find slow growth of memory, latency, descriptors or files.

Each window (a minute, or less in a short run) gives a line of DIR/windows.jsonl: resident memory, descriptors, threads and CPU
of every process, the supervisor included; latencies from capture to the return of `process()` at every sink for the frames of
that window; bytes on disk; load, cores used by other processes; and the time of the same work in a bare process, which only
wakes and computes.

Judged after a warm-up: RSS of every process and p99 of every sink, first against last third, and the trend (bench/drift.py),
within 5 %. For a machine of varying speed, also the latencies of earlier and later windows in which the bare process was equally
fast. Exit 1 if a figure is not flat, a process has more descriptors or threads at the end, a node restarted or failed, or the
ledger does not add up. Not in the graph, because they grow by contract: score.*, which needs all detections until the end, and
a long drive of synthetic.world, which keeps the shapes it has built.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench import drift
from bench.bare import bare_process
from bench.common import RESULTS, header, save
from bench.proc import busy_s, process, sizes
from pipeline.graph.load import parse
from pipeline.options import Outcome, Record, RunOptions
from pipeline.recording import recorder as record
from pipeline.runtime.observer import Pids
from pipeline.runtime.report import unbalanced
from pipeline.runtime.session import Session
from pipeline.runtime.supervisor import run
from pipeline.watch.display import Display

GRAPH = Path(__file__).with_name("soak.yaml")
RECORDED = "lidar.boxes3d,lidar.pose,tracker.tracks,lot.points,lot.image,lot.calibration"
WARM_UP_S, WINDOW_S = 300.0, 60.0
MACHINE = ("our_cores", "other_cores", "load")


def main(seconds: float = 3600.0, out: Path = Path("out/soak"), results: Path | None = RESULTS) -> dict[str, Any]:
    """Returns the summary; `ok` is true if everything is flat. `results`: a folder that gets a copy."""
    window_s, warm_up_s = min(WINDOW_S, seconds / 15), min(WARM_UP_S, seconds / 5)
    data = f"a live graph of generated sensors; windows of {window_s:g} s, {warm_up_s:g} s to warm up"
    about = header(f"make soak SECONDS={seconds:g}", data)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    text = GRAPH.read_text(encoding="utf-8").replace("FRAMES", str(int(seconds * 10) + 600))
    recording = Record(out.resolve() / "soak.mcap", RECORDED, images="jpeg")
    graph = record.with_recorder(parse(text, "soak.yaml"), recording)
    session = Session(graph, RunOptions((out / "run").resolve(), duration_s=seconds, quiet=True, record=recording))
    with bare_process(out / "bare.txt"):
        outcome = run(session, Watch(session, out, window_s))
    record.finish(session, outcome)
    windows = [json.loads(line) for line in (out / "windows.jsonl").read_text().splitlines()]
    made = {"about": about, **judge(windows, warm_up_s, outcome)}
    show(made)
    if outcome.recorded is not None:
        outcome.recorded.path.unlink()  # gigabytes of an hour
    save(out, "soak", made)
    if results is not None:
        save(results, "soak", made)
    return made


class Watch(Display):
    """Writes a line of windows.jsonl per window, from the supervisor's loop; its own memory does not grow."""

    def __init__(self, session: Session, out: Path, window_s: float) -> None:
        super().__init__(session, quiet=True)
        self.out, self.window_s = out, window_s
        self._next_at = self._started_at = 0.0
        self._before: dict[str, Any] = {}

    def started(self, pids: Pids) -> None:
        super().started(pids)
        self._started_at = time.monotonic()
        self._next_at = self._started_at + self.window_s
        self._before = self._now(pids)

    def update(self, pids: Pids) -> None:
        if not self._before or time.monotonic() < self._next_at:
            return
        self._next_at += self.window_s
        after = self._now(pids)
        window = between(self._before, after, self.out / "bare.txt")
        self._before = after
        with (self.out / "windows.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(window) + "\n")
        rss = sum(p.get("rss_mb", 0.0) for p in window["processes"].values())
        cores = f"cores ours {window['our_cores']:.2f}, others' {window['other_cores']:.2f}"
        print(f"{window['t_s']:6.0f} s  RSS {rss:.0f} MB  {cores}  load {window['load']:.2f}", flush=True)

    def _now(self, pids: Pids) -> dict[str, Any]:
        session, graph = self.session, self.session.graph
        session.accountant.drain()
        return {
            "t_s": time.monotonic() - self._started_at,
            "processes": {name: process(pid) for name, pid in {"(supervisor)": os.getpid(), **pids}.items()},
            "latency": {n: session.node_books[n].latency.bins.copy() for n in graph.nodes if graph.nodes[n].is_sink},
            "disk": sizes(self.out),
            "busy_s": busy_s(),
            "bare": bare.stat().st_size if (bare := self.out / "bare.txt").exists() else 0,
        }


def between(before: dict[str, Any], after: dict[str, Any], bare: Path) -> dict[str, Any]:
    """The difference of two samples, as JSON."""
    seconds = after["t_s"] - before["t_s"]
    cores = {n: (p["cpu_s"] - before["processes"].get(n, p)["cpu_s"]) / seconds for n, p in after["processes"].items()}
    with bare.open(encoding="utf-8") as file:
        file.seek(before["bare"])
        work_us = [float(line) for line in file.read(after["bare"] - before["bare"]).splitlines()]
    return {
        "t_s": round(after["t_s"], 1),
        "processes": after["processes"],
        "latency": {
            name: {str(i): int(n) for i, n in enumerate(bins - before["latency"][name]) if n}
            for name, bins in after["latency"].items()
        },
        "disk_mb": {k: round(v / 1e6, 3) for k, v in after["disk"].items()},
        "load": os.getloadavg()[0],
        "our_cores": round(sum(cores.values()), 3),
        "other_cores": round(max(0.0, (after["busy_s"] - before["busy_s"]) / seconds - sum(cores.values())), 3),
        "bare_us": float(np.mean(work_us)) if work_us else 0.0,
    }


def judge(windows: list[dict[str, Any]], warm_up_s: float, outcome: Outcome) -> dict[str, Any]:
    """Memory per process, latency per sink, problems, and `ok`. Raises ValueError if too few windows are left."""
    kept = [w for w in windows if w["t_s"] - windows[0]["t_s"] >= warm_up_s - 1e-6] if warm_up_s else windows
    memory: dict[str, dict[str, Any]] = {}
    for name in windows[-1]["processes"]:
        rows = [w["processes"][name] for w in kept if "rss_mb" in w["processes"].get(name, {})]
        memory[name] = {"rss_mb": drift.of_values([row["rss_mb"] for row in rows]).row()}
        memory[name] |= {key: [rows[0][key], rows[-1][key]] for key in ("fds", "threads")}
    bare = [w["bare_us"] for w in kept]
    latency: dict[str, dict[str, Any]] = {}
    for sink in kept[0]["latency"]:
        bins = [dense(w["latency"][sink]) for w in kept]
        if sum(int(b.sum()) for b in bins):
            latency[sink] = {
                name: _ms(drift.of_counts(bins, q)) | {"equal_speed": drift.at_equal_speed(bins, bare, q) if all(bare) else None}
                for name, q in (("p50", 0.50), ("p99", 0.99))
            }
    wrong = [*outcome.errors, *unbalanced(outcome.report), *unwell(outcome.report, memory, latency)]
    hours = (windows[-1]["t_s"] - windows[0]["t_s"]) / 3600 or 1.0
    grown = {k: (v - windows[0]["disk_mb"].get(k, 0.0)) / hours for k, v in windows[-1]["disk_mb"].items()}
    return {
        "ok": not wrong,
        "wrong": wrong,
        "exit": outcome.exit,
        "windows": len(kept),
        "memory": memory,
        "latency_ms": latency,
        "bare_us": drift.of_values(bare).row(),
        "dropped": {n: e["dropped"] for n, e in outcome.report["edges"].items() if e["dropped"]},
        "files_mb_per_hour": {k: round(v, 2) for k, v in sorted(grown.items()) if v > 0},
        **{
            key: [round(f([w[key] for w in kept]), 2) for f in (min, np.mean, max)]
            for key in ("our_cores", "other_cores", "load")
        },
    }


def unwell(report: dict[str, Any], memory: dict[str, Any], latency: dict[str, Any]) -> Iterator[str]:
    """One line per node that restarted or failed, and per figure that is not flat."""
    for name, node in report["nodes"].items():
        if node["restarts"]:
            yield f"{name}: restarted {node['restarts']} times"
        if node["errors"]:
            yield f"{name}: {node['errors']} errors"
    for name, row in memory.items():
        rss = row["rss_mb"]
        if rss["verdict"] != "flat":
            yield f"{name}: RSS {rss['verdict']}, {rss['first']:.1f} -> {rss['last']:.1f} MB"
        yield from (f"{name}: {key} {row[key][0]} -> {row[key][1]}" for key in ("fds", "threads") if row[key][1] > row[key][0])
    for sink, both in latency.items():
        p99 = both["p99"]
        if p99["verdict"] != "flat":
            yield f"{sink}: latency p99 {p99['verdict']}, {p99['first']:.2f} -> {p99['last']:.2f} ms"


def dense(bins: dict[str, int]) -> np.ndarray:
    out = np.zeros(len(drift.Histogram().bins), np.int64)
    for i, n in bins.items():
        out[int(i)] = n
    return out


def _ms(of: drift.Drift) -> dict[str, Any]:
    return of.row() | {"first": of.first * 1e-6, "last": of.last * 1e-6}


def show(made: dict[str, Any]) -> None:
    print(f"\n{'':>14} | first -> last third           | at equal speed of the bare process, 95 % of redraws")
    for name, row in made["memory"].items():
        print(f"{name:>14} | {_cell(row['rss_mb'])} | RSS MB")
    for sink, row in made["latency_ms"].items():
        for key in ("p50", "p99"):
            same = row[key]["equal_speed"]
            text = "too short a run" if same is None else "{change:+.1%} ({low:+.1%} .. {high:+.1%})".format(**same)
            print(f"{sink:>14} | {_cell(row[key])} | {key} ms: {text}")
    print(f"{'(bare process)':>14} | {_cell(made['bare_us'])} | us for the same work")
    print("least, mean, most: " + ", ".join(f"{what} {made[what]}" for what in MACHINE))
    print("dropped:", json.dumps(made["dropped"]) if made["dropped"] else "none")
    print("files that grow, MB per hour:", ", ".join(f"{k} {v:.4g}" for k, v in made["files_mb_per_hour"].items()))
    for text in made["wrong"]:
        print(f"not flat or wrong: {text}")
    print(f"soak: {'all flat within 5 %' if made['ok'] else 'NOT all flat'}, {made['exit']}")


def _cell(row: dict[str, Any]) -> str:
    return f"{row['first']:7.2f} -> {row['last']:7.2f} {row['change']:+6.1%} {row['verdict']:>5}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--out", type=Path, default=Path("out/soak"))
    args = parser.parse_args()
    sys.exit(0 if main(args.seconds, args.out)["ok"] else 1)
