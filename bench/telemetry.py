"""`pipe bench telemetry`: what watching costs: frames/s of a small graph without and with events on disk, top, metrics, and all.

Four processes pass frames of 8 bytes on as fast as they can, so every instruction spent on watching shows. `pipe top` draws its
table on a terminal (a pty) and asks twice a second, a scraper reads the metrics once a second; both are processes of their own on
the same cores. The modes take turns; each ratio is of two runs of one turn. Rates count after the watchers have attached.
"""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.common import header
from bench.overhead import chain
from pipeline.graph.load import parse
from pipeline.options import RunOptions
from pipeline.runtime.books import Accountant
from pipeline.runtime.observer import Guarded, Observer, Pids
from pipeline.runtime.session import Session
from pipeline.runtime.supervisor import run
from pipeline.watch.metrics_server import Metrics, Server

FRAMES, SKIP_S, SECONDS, TURNS = 2_000_000, 4.0, 8.0, 7
MODES = {"nothing": "", "events": "events", "top": "events top", "metrics": "events metrics", "all": "events top metrics"}
"""Mode -> what is on. Every `pipe run` has the events."""
_SCRAPE = "import time, urllib.request\nwhile True:\n    urllib.request.urlopen({!r}).read()\n    time.sleep(1)\n"


class Rate(Observer):
    """frames/s at the sink, in `seconds` that begin `skip_s` after the start."""

    def __init__(self, session: Session, skip_s: float, seconds: float) -> None:
        self._book, self._from_s, self._to_s = session.node_books["end"], skip_s, skip_s + seconds
        self._begun = float("inf")
        self._seen: list[tuple[float, int]] = []

    def started(self, pids: Pids) -> None:
        self._begun = time.monotonic()

    def update(self, pids: Pids) -> None:
        if self._from_s <= time.monotonic() - self._begun <= self._to_s:
            self._seen.append((time.monotonic(), self._book.steps))

    def frames_per_s(self) -> float:
        (begun, before), (ended, after) = self._seen[0], self._seen[-1]
        return (after - before) / (ended - begun)


class Watchers(Observer):
    """The processes that watch in a mode: they start and end with the run."""

    def __init__(self, session: Session, mode: str, server: Server) -> None:
        top = [sys.executable, "-m", "pipeline", "top", session.run_id]
        scraper = [sys.executable, "-c", _SCRAPE.format(server.url)]
        self._commands = [top] * ("top" in mode) + [scraper] * ("metrics" in mode)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._fds: list[int] = []

    def started(self, pids: Pids) -> None:
        master, slave = self._fds[:] = pty.openpty()  # top draws its table on a terminal only
        threading.Thread(target=_drain, args=(master,), daemon=True).start()
        env = {**os.environ, "TERM": "xterm", "COLUMNS": "150", "LINES": "40"}
        for command in self._commands:
            self._processes.append(subprocess.Popen(command, env=env, stdin=slave, stdout=slave, stderr=slave))

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for fd in self._fds[::-1]:
            os.close(fd)
        self._processes, self._fds = [], []


def _drain(fd: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(fd, 1 << 16):
            pass


def play(mode: str, skip_s: float, seconds: float) -> float:
    """frames/s."""
    graph = parse(chain(3, FRAMES), "bench.yaml")
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as folder, Server("127.0.0.1", 0) as server:
        session = Session(graph, RunOptions(Path(folder), duration_s=skip_s + seconds + 0.5, quiet=True))
        if "events" not in mode:
            plan = session.plan
            ports = [(plan.node_index[p.node], p.edges) for p in plan.ports]
            books = session.edge_books, list(session.node_books.values())
            session.accountant = Accountant(session.board, *books, ports, plan.sources)
        rate = Rate(session, skip_s, seconds)
        metrics = [Metrics(session, server, quiet=True)] if "metrics" in mode else []
        outcome = run(session, Guarded(rate, *metrics, Watchers(session, mode, server)))
    if outcome.exit != "completed":
        raise RuntimeError(f"bench graph {outcome.exit}: {outcome.errors}")
    return rate.frames_per_s()


def main(skip_s: float = SKIP_S, seconds: float = SECONDS, turns: int = TURNS) -> dict[str, Any]:
    about = header("pipe bench telemetry", "8-byte frames through 4 processes, unpaced")
    rates: dict[str, list[float]] = {name: [] for name in MODES}
    for turn in range(turns):
        for name in list(MODES)[turn % len(MODES) :] + list(MODES)[: turn % len(MODES)]:
            rates[name].append(play(MODES[name], skip_s, seconds))
    out: dict[str, Any] = {"about": about, "rates": rates, "figures": {}}
    print(f"median of {turns} runs of {seconds:g} s; lost: of the frames/s with nothing on, median over the turns; goal 2 %")
    for name, found in rates.items():
        lost = 1 - median(rate / base for rate, base in zip(found, rates["nothing"], strict=True))
        out["figures"] |= {f"{name}.frames_per_s": median(found), f"{name}.lost": lost}
        print(f"  {name:>8}: {median(found):8.0f} frames/s, lost {lost:6.2%}, runs {min(found):.0f} .. {max(found):.0f}")
    return out
