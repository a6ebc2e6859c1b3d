"""A join of two sensors, read too slowly: sensor a at 30 Hz (1 MB), b at 10 Hz, the reader works 100 ms on each pair.

Everyone joins with their own means and defaults: Pipe by `sync: nearest` of a live graph; MediaPipe by the order of timestamps;
dora and ezmsg have no join. The readers of the last three keep the newest b.
Rows of a candidate, written by its reader: stamp of a, stamp of b, time at which the pair was taken [monotonic ns].

age       of a when it was taken, at the start and at the end: a queue makes it grow
late      frames that sensor a could not take at their time, since the reader held it up
lost      frames of a that were sent and never read
says so   lines of output, or of the report, that name a lost or a late frame
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench import rivals
from bench.rivals import sessions
from bench.rivals.pairing import A_BYTES, A_HZ, B_HZ, WORK_S, Task

GRAPH = """version: 1
nodes:
  a: {{driver: "bench.nodes:Sensor", config: {{frames: {a}, bytes: {size}, rate_hz: {a_hz}, wait: false}}, rate_hz: {a_hz}}}
  b: {{driver: "bench.nodes:Sensor", config: {{frames: {b}, bytes: 64, rate_hz: {b_hz}, wait: false}}, rate_hz: {b_hz}}}
  join:
    op: "bench.sinks:Join"
    inputs: {{a: a.out, b: b.out}}
    sync: {{policy: nearest, trigger: a, tolerance_ms: 60, timeout_ms: 200}}
    config: {{file: {file}, work_ms: {work_ms:g}}}
"""
SLACK_S = 90.0
NAMES = ("pipe", "mediapipe", "dora", "ezmsg")


def measure(who: str, seconds: float) -> dict[str, Any]:
    """The row of a candidate. Raises rivals.Failed."""
    with tempfile.TemporaryDirectory(prefix="rv") as folder:
        task = Task(folder, seconds)
        log = Path(folder) / "log"
        if who == "pipe":
            graph = Path(folder) / "join.yaml"
            graph.write_text(pipe_graph(task))
            command = [sys.executable, "-m", "pipeline", "run", str(graph), "--out", f"{folder}/out", "--quiet"]
        else:
            command = [sys.executable, "-m", f"bench.rivals.join_{who}", "both", json.dumps(task._asdict())]
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
        sids, memory = [process.pid], []
        try:
            until = time.monotonic() + seconds + SLACK_S
            while process.poll() is None and time.monotonic() < until:
                if task.rows.exists():
                    memory.append(sessions.use(sids)[1])
                time.sleep(0.25)
        finally:
            sessions.kill(sids)
            process.wait()
        said = log.read_text(errors="replace").splitlines()
        if not task.rows.exists() or len(memory) < 2:
            raise rivals.Failed(f"no pair was read: {' / '.join(said[-2:])[:300]}")
        rows = [tuple(map(int, line.split())) for line in task.rows.read_text().splitlines()]
        return figures(who, rows, sent(who, task, folder), seconds, memory, said)


def pipe_graph(task: Task) -> str:
    a, b = round(A_HZ * task.seconds), round(B_HZ * task.seconds)
    return GRAPH.format(a=a, b=b, size=A_BYTES, a_hz=A_HZ, b_hz=B_HZ, file=task.rows, work_ms=WORK_S * 1e3)


def sent(who: str, task: Task, folder: str) -> int:
    """Frames of a that left their sensor."""
    if who == "pipe":
        return int(json.loads(Path(folder, "out/report.json").read_text())["nodes"]["a"]["out"])
    return int(task.sent.read_text()) if task.sent.exists() else 0


def figures(
    who: str, rows: list[tuple[int, ...]], frames: int, seconds: float, memory: list[float], said: list[str]
) -> dict[str, Any]:
    """rows: see above; frames: of a, sent; memory: PSS [MB] four times a second; said: lines of output."""
    if not rows:
        raise rivals.Failed("no pair was read")
    ages = [(taken - a) * 1e-6 for a, _, taken in rows]
    skews = [abs(a - b) * 1e-6 for a, b, _ in rows]
    tells = [line for line in said if re.search(r"drop|lost|late|overflow|queue|discard|slow|full|backpressure", line, re.I)]
    tenth = max(1, len(ages) // 5)
    return {
        "pairs": len(rows),
        "sent": frames,
        "late": max(0, round(A_HZ * seconds) - frames),
        "lost": max(0, frames - len(rows)),
        "age_first_ms": median(ages[:tenth]),
        "age_last_ms": median(ages[-tenth:]),
        "skew_ms": median(skews),
        "grown_mb": max(memory) - memory[0],
        "says": len(tells),
        "said": re.sub(r"\x1b\[[0-9;]*m", "", tells[0])[:160] if tells else "",
    }
