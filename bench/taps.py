"""`pipe bench taps`: latency of a live graph beside a viewer: none, one that reads, one that is stopped (SIGSTOP).

Pictures of 2.8 MB at 30 Hz go through an operator that copies them to a sink. In all modes the node of `--view foxglove` takes
both streams. The viewer is a process that subscribes to all and reads as fast as it can (bench/foxglove_viewer.py); it is stopped
while it reads. The modes take turns; latency is from capture to sink, of the seconds after the viewer has come.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.common import header, watch_sinks
from operators.streams import IMAGE
from pipeline.frame import Reading
from pipeline.graph.load import parse
from pipeline.operator import Found, Source
from pipeline.options import RunOptions
from pipeline.recording.foxglove import VIEW, with_view
from pipeline.runtime.observer import Observer, Pids
from pipeline.runtime.session import Session
from pipeline.runtime.supervisor import run

RATE_HZ, SHAPE = 30.0, (720, 1280, 3)
SETTLE_S, SECONDS, TURNS = 4.0, 20.0, 5
MODES = ("none", "reads", "stopped")
GRAPH = """version: 1
nodes:
  cam:  {driver: "bench.taps:Pictures", live: true}
  copy: {op: test.pass, inputs: {in: cam.image}}
  end:  {op: test.null, inputs: {in: copy.out}}
"""


class Pictures(Source):
    """One row of each picture is its own."""

    outputs = {"image": IMAGE}

    @classmethod
    def find(cls, config: Any) -> Found:
        return Found(None, RATE_HZ)

    def open(self, start: int = 0) -> None:
        self.index = start

    def read(self) -> Reading | None:
        image = self.alloc("image", "image", SHAPE, np.uint8)
        image[self.index % len(image)] = self.index % 251
        self.index += 1
        return Reading({"image": image}, "", int((self.index - 1) * 1e9 / RATE_HZ))


class Watching(Observer):
    """The viewer's process in a mode."""

    def __init__(self, mode: str, port: int) -> None:
        self._mode, self._port, self._begun = mode, port, 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def started(self, pids: Pids) -> None:
        self._begun = time.monotonic()
        if self._mode != "none":
            self._process = subprocess.Popen([sys.executable, "-m", "bench.foxglove_viewer", str(self._port)])

    def update(self, pids: Pids) -> None:
        if self._mode == "stopped" and self._process is not None and time.monotonic() - self._begun > SETTLE_S / 2:
            os.kill(self._process.pid, signal.SIGSTOP)
            self._mode = ""

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def play(mode: str, seconds: float) -> tuple[np.ndarray, int]:
    """Latencies [ms] of the frames, and frames that the viewer's node missed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    frames = round((SETTLE_S + seconds) * RATE_HZ)
    graph = with_view(parse(GRAPH, "bench.yaml"), port)
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as folder:
        session = Session(graph, RunOptions(Path(folder), 1.0, frames, quiet=True))
        seen = watch_sinks(session, ["end"])["end"]
        outcome = run(session, Watching(mode, port))
    if outcome.exit != "completed":
        raise RuntimeError(f"bench graph {outcome.exit}: {outcome.errors}")
    missed = sum(sum(edge["dropped"].values()) for name, edge in outcome.report["edges"].items() if f"->{VIEW}." in name)
    return np.array([ms for stamp_s, ms in seen if stamp_s > SETTLE_S]), missed


def main(seconds: float = SECONDS, turns: int = TURNS) -> dict[str, Any]:
    about = header("pipe bench taps", "720p pictures at 30 Hz, a copy, a sink; --view foxglove on both streams")
    found: dict[str, list[tuple[float, float, int]]] = {mode: [] for mode in MODES}
    for turn in range(turns):
        for k in range(len(MODES)):
            mode = MODES[(k + turn) % len(MODES)]
            latencies, missed = play(mode, seconds)
            found[mode].append((*np.percentile(latencies, (50, 99)).tolist(), missed))
    out: dict[str, Any] = {"about": about, "runs": found, "figures": {}}
    print(f"median of {turns} runs of {seconds:g} s; ratio: to the run without a viewer of the same turn, median over the turns")
    for mode, rows in found.items():
        p50, p99, missed = (median(column) for column in zip(*rows, strict=True))
        ratio = median(row[1] / base[1] for row, base in zip(rows, found["none"], strict=True))
        out["figures"] |= {f"{mode}.p50_ms": p50, f"{mode}.p99_ms": p99, f"{mode}.p99_ratio": ratio, f"{mode}.missed": missed}
        print(f"  viewer {mode:>7}: p50 {p50:6.2f} ms, p99 {p99:6.2f} ms ({ratio:.2f}x), frames missed {missed:.0f}")
    return out
