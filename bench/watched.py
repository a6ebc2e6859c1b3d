"""One live graph as `pipe bench scale` sees it: CPU time per frame, hops, start-up, memory."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.proc import cpu_ns
from pipeline.graph.load import parse
from pipeline.options import RunOptions
from pipeline.runtime.observer import Observer, Pids
from pipeline.runtime.session import Session
from pipeline.runtime.supervisor import run

WARM_UP = 10
"""Frames at the start that do not count for the CPU time."""


class Cost(NamedTuple):
    """cpu_us: per frame, all processes; busy: share of the cores; frame_mb: size of a frame; dropped: frames, on all edges."""

    cpu_us: float
    p50_us: float
    p99_us: float
    startup_ms: float
    pss_mb: float
    busy: float
    frame_mb: float
    dropped: float


class Watch(Observer):
    """Notes CPU time and frames while the run goes on; memory once, after the last of these notes that counts."""

    def __init__(self, session: Session) -> None:
        self.session, self.source = session, session.plan.sources[0]
        self.notes: list[tuple[int, int, int]] = []  # frames, CPU ns, time ns
        self.pss_mb = 0.0
        self.last = session.options.frames or session.graph.found[self.source].frames or 0

    def update(self, pids: Pids) -> None:
        frames = self.session.node_books[self.source].steps
        if frames < WARM_UP or self.pss_mb:
            return
        self.notes.append((frames, cpu_ns(os.getpid(), itself=True), time.monotonic_ns()))
        if frames > 0.5 * self.last and len(self.notes) > 1:
            self.pss_mb = sum(pss_mb(pid) for pid in {os.getpid(), *pids.values()})


def pss_mb(pid: int) -> float:
    """Resident memory of a process [MB]; of pages that n processes share, an n-th part."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def watched(text: str) -> Cost:
    """Runs the graph in a temporary folder. Raises RuntimeError if it fails."""
    graph = parse(text, "bench.yaml")
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as folder:
        session = Session(graph, RunOptions(Path(folder), quiet=True))
        watch = Watch(session)
        outcome = run(session, watch)
    if outcome.exit != "completed" or not watch.pss_mb:
        raise RuntimeError(f"bench graph {outcome.exit}, {len(watch.notes)} notes: {outcome.errors}")
    (frames0, cpu0, at0), (frames1, cpu1, at1) = watch.notes[0], watch.notes[-1]
    hops = [edge["hop_us"] for edge in outcome.report["edges"].values() if edge["hop_us"]["p50"] is not None]
    edges = outcome.report["edges"].values()
    return Cost(
        (cpu1 - cpu0) / max(1, frames1 - frames0) * 1e-3,
        sum(hop["p50"] for hop in hops) / len(hops),
        max(hop["p99"] for hop in hops),
        (session.clock_started_ns - session.started_ns) * 1e-6,
        watch.pss_mb,
        (cpu1 - cpu0) / (at1 - at0) / len(os.sched_getaffinity(0)),
        next(edge["bytes"] / max(1, edge["produced"]) for edge in edges) / 1e6,
        float(sum(n for edge in edges for reason, n in edge["dropped"].items() if reason != "shutdown")),
    )
