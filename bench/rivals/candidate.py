"""One run of a candidate for `lives.py`: a producer and a consumer, started, killed, stopped, their processes in own sessions."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import rivals
from bench.rivals import sessions
from bench.rivals.ends import Task
from bench.rivals.life import arrivals

HZ, SIZE = 30, 6_220_800
START_S, STOP_S, SECOND_S = 60.0, 20.0, 5.0  # limits of a start, of a stop; until the second Ctrl-C
GRAPH = """version: 1
nodes:
  send: {{driver: "bench.nodes:Sensor", config: {{frames: 1000000, bytes: {size}, rate_hz: {hz}, wait: false}}, rate_hz: {hz}}}
  take: {{op: "bench.sinks:Arrivals", inputs: {{in: send.out}}, config: {{file: {file}}}}}
"""


class Candidate:
    """Frames flow when it is made. by_hand: the caller starts a killed end again; `dora run` has no command for that."""

    def __init__(self, who: str, folder: str) -> None:
        self.who, self.folder = who, Path(folder)
        self.task = Task(folder, SIZE, 0, 1 / HZ, os.getpid())
        self.by_hand = who not in ("pipe", "dora")
        self.started: dict[str, subprocess.Popen[bytes]] = {}
        self.sids: list[int] = []
        self.before = sessions.entries(who)
        self.began_ns = time.monotonic_ns()
        if who == "pipe":
            (graph := self.folder / "lives.yaml").write_text(GRAPH.format(size=SIZE, hz=HZ, file=arrivals(folder)))
            command = [sys.executable, "-m", "pipeline", "run", str(graph), "--out", str(self.folder / "out"), "--quiet"]
            self._spawn("run", command)
        elif who == "dora":
            self.start("lives")
        else:
            self.start("take")
            sessions.wait_for(lambda: self.task.ready.exists() or self.started["take"].poll() is not None, START_S)
            self.start("send")

    def start(self, role: str) -> None:
        self._spawn(role, [sys.executable, "-m", f"bench.rivals.{self.who}", role, json.dumps(self.task._asdict())])

    def _spawn(self, role: str, command: list[str]) -> None:
        if role in self.started:
            self.started[role].wait()  # it has been killed
        with (self.folder / "log").open("ab") as log:
            self.started[role] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.sids.append(self.started[role].pid)

    def count(self) -> int:
        return path.read_bytes().count(b"\n") if (path := arrivals(self.folder)).exists() else 0

    def first_ns(self) -> int:
        """Arrival of the first frame [monotonic ns]."""
        return int(arrivals(self.folder).read_text().split()[0])

    def flows_since(self, ns: int) -> bool:
        """Was the newest whole line's frame sent after this time?"""
        lines = arrivals(self.folder).read_text().split("\n")[:-1]
        at_ns, age_ns = map(int, lines[-1].split())
        return at_ns - age_ns > ns

    def pid(self, role: str) -> int:
        """The process of the producer (`send`) or of the consumer (`take`)."""
        if self.who != "pipe":
            return int((self.folder / f"pid-{role}").read_text())
        for pid in sessions.pids(self.sids):
            if Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")[-2:] == [b"--node", role.encode()]:
                return pid
        raise rivals.Failed(f"no process of {role}")

    def stop(self) -> float | None:
        """Ctrl-C until all processes are gone [ms]; those that stay are killed: None."""
        began = time.monotonic()
        for limit_s in (SECOND_S, STOP_S - SECOND_S):
            sessions.interrupt(self.sids)
            if sessions.wait_for(self._gone, limit_s) is not None:
                return (time.monotonic() - began) * 1e3
        self.end()
        return None

    def _gone(self) -> bool:
        return all(process.poll() is not None for process in self.started.values()) and not sessions.pids(self.sids)

    def end(self) -> None:
        sessions.kill(self.sids)
        for process in self.started.values():
            process.wait()

    def left(self) -> dict[str, float]:
        """Entries that it has left in /dev/shm and /tmp, and their size [MB]; removes them."""
        new = sessions.entries(self.who) - self.before
        found = {"entries": len(new), "mb": round(sessions.size_mb(new), 1)}
        sessions.remove(self.who, new)
        return found


@contextlib.contextmanager
def flowing(who: str) -> Iterator[Candidate]:
    """A candidate with frames arriving. Raises rivals.Failed if none arrive."""
    with tempfile.TemporaryDirectory(prefix="rv") as folder:
        candidate = Candidate(who, folder)
        try:
            if sessions.wait_for(lambda: candidate.count() >= 10, START_S) is None:
                lines = (Path(folder) / "log").read_text(errors="replace").strip().splitlines()
                raise rivals.Failed(f"no frame within {START_S:g} s: {' / '.join(lines[-2:])[:300]}")
            yield candidate
        finally:
            candidate.end()
