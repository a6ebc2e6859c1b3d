"""`pipe bench telemetry`: what watching costs: frames/s of a small graph without and with events on disk, top, metrics, and all.

Four processes pass frames of 8 bytes on as fast as they can, so every instruction spent on watching shows. `pipe top` draws its
table on a terminal (a pty) and asks twice a second, a scraper reads the metrics once a second; both are processes of their own on
the same cores. The modes take turns; each ratio is of two runs of one turn. Rates count after the watchers have attached.
"""

from __future__ import annotations

import contextlib
import importlib.util
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


class Watched(Observer):
    """The processes that watch in a mode, as long as the run; frames/s at the sink from `skip_s` after the start."""

    def __init__(self, session: Session, mode: str, server: Server | None, skip_s: float) -> None:
        self._commands = [[sys.executable, "-m", "pipeline", "top", session.run_id]] if "top" in mode else []
        self._commands += [] if server is None else [[sys.executable, "-c", _SCRAPE.format(server.url)]]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._fds: list[int] = []
        self._book, self._skip_s, self._from_s = session.node_books["end"], skip_s, float("inf")
        self._seen: list[tuple[float, int]] = []

    def started(self, pids: Pids) -> None:
        self._from_s = time.monotonic() + self._skip_s
        master, slave = self._fds[:] = pty.openpty()  # top draws its table on a terminal only
        threading.Thread(target=_drain, args=(master,), daemon=True).start()
        env = {**os.environ, "TERM": "xterm", "COLUMNS": "150", "LINES": "40"}
        for command in self._commands:
            self._processes.append(subprocess.Popen(command, env=env, stdin=slave, stdout=slave, stderr=slave))

    def update(self, pids: Pids) -> None:
        if time.monotonic() >= self._from_s:
            self._seen.append((time.monotonic(), self._book.steps))

    def stop(self) -> None:
        while self._processes:
            self._processes[-1].kill()
            self._processes.pop().wait()
        while self._fds:
            os.close(self._fds.pop())

    def frames_per_s(self, seconds: float) -> float:
        (begun, before), *later = self._seen
        ended, after = [(at, steps) for at, steps in later if at <= begun + seconds][-1]
        return (after - before) / (ended - begun)


def _drain(fd: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(fd, 1 << 16):
            pass


def play(mode: str, skip_s: float, seconds: float) -> float:
    """frames/s."""
    graph = parse(chain(3, FRAMES), "bench.yaml")
    with contextlib.ExitStack() as held:
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="pipe-bench-"))
        server = held.enter_context(Server("127.0.0.1", 0)) if "metrics" in mode else None
        session = Session(graph, RunOptions(Path(folder), duration_s=skip_s + seconds + 0.5, quiet=True))
        if "events" not in mode:
            plan, nodes = session.plan, list(session.node_books.values())
            ports = [(plan.node_index[p.node], p.edges) for p in plan.ports]
            session.accountant = Accountant(session.board, session.edge_books, nodes, ports, plan.sources)
        watched = Watched(session, mode, server, skip_s)
        metrics = [] if server is None else [Metrics(session, server, quiet=True)]
        outcome = run(session, Guarded(watched, *metrics))
    if outcome.exit != "completed":
        raise RuntimeError(f"bench graph {outcome.exit}: {outcome.errors}")
    return watched.frames_per_s(seconds)


def main(skip_s: float = SKIP_S, seconds: float = SECONDS, turns: int = TURNS) -> dict[str, Any]:
    about = header("pipe bench telemetry", "8-byte frames through 4 processes, unpaced")
    known = importlib.util.find_spec("prometheus_client") is not None
    rates: dict[str, list[float]] = {name: [] for name, mode in MODES.items() if known or "metrics" not in mode}
    for turn in range(turns):
        for name in [*rates][turn % len(rates) :] + [*rates][: turn % len(rates)]:
            rates[name].append(play(MODES[name], skip_s, seconds))
    out: dict[str, Any] = {"about": about, "rates": rates, "figures": {}}
    left_out = "" if known else "; no metrics, pip install 'perception-pipe[metrics]'"
    print(
        f"median of {turns} runs of {seconds:g} s; lost: of the frames/s with nothing on, median of the turns; goal 2 %{left_out}"
    )
    for name, found in rates.items():
        lost = 1 - median(rate / base for rate, base in zip(found, rates["nothing"], strict=True))
        out["figures"] |= {f"{name}.frames_per_s": median(found), f"{name}.lost": lost}
        print(f"  {name:>8}: {median(found):8.0f} frames/s, lost {lost:6.2%}, runs {min(found):.0f} .. {max(found):.0f}")
    return out
