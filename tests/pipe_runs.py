"""Runs graphs as a user does, in separate processes, and accounts for every frame independently of the engine."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.__main__ import main

ROOT = Path(__file__).resolve().parent.parent
GONE_S = 2.0
"""What the engine promises for a stop: everything gone by then."""
SLACK_S = 0.5
"""Ours, for measuring it on a busy machine: looking at /proc, being scheduled."""


# Started from a background job (CI, nohup) the tests have SIGINT ignored, and a run would inherit that until its first line.
_WITH_SIGINT = ["env", "--default-signal=INT"]


@dataclass
class Ended:
    """A finished `pipe run`."""

    code: int
    stdout: str
    stderr: str
    out: Path
    wall_s: float = 0.0

    @property
    def report(self) -> dict[str, Any]:
        return json.loads((self.out / "report.json").read_text())

    @property
    def drops(self) -> list[dict[str, Any]]:
        """The lines of drops.jsonl."""
        path = self.out / "logs" / "drops.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def log(self, place: str) -> str:
        return (self.out / "logs" / f"{place}.log").read_text()

    def ids(self, sink: str) -> list[int]:
        """frame_ids in the order in which a test.null sink wrote them. A line cut short fails here."""
        path = self.out / sink / "frames.txt"
        text = path.read_text() if path.exists() else ""
        assert text == "" or text.endswith("\n"), f"{path}: the last line is incomplete"
        rows = [line.split() for line in text.splitlines()]
        assert all(len(row) == 4 for row in rows), f"{path}: a line is incomplete"
        return [int(row[1]) for row in rows]


@dataclass
class Running:
    """A `pipe run` in progress."""

    process: subprocess.Popen[str]
    out: Path
    began: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        return self.process.pid

    def pid_of(self, node: str, timeout_s: float = 10.0) -> int:
        """The process whose argv ends with `--node NODE`."""
        return wait_for(lambda: self._find(node), timeout_s, f"a process of {node}")

    def _find(self, node: str) -> int | None:
        for pid, argv, parent in processes():
            if argv[-2:] == ["--node", node] and parent == self.pid:
                return pid
        return None

    def children(self) -> list[int]:
        """The processes of nodes, the fork server, and for a moment the starter of the guard."""
        return [pid for pid, _, parent in processes() if parent == self.pid]

    def nodes(self) -> list[int]:
        """The processes of nodes."""
        return [pid for pid, argv, parent in processes() if parent == self.pid and "--node" in argv]

    def lines(self, sink: str) -> int:
        path = self.out / sink / "frames.txt"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def wait_lines(self, sink: str, count: int, timeout_s: float = 20.0) -> None:
        wait_for(lambda: self.lines(sink) >= count or self._dead(), timeout_s, f"{count} frames at {sink}")

    def _dead(self) -> bool:
        assert self.process.poll() is None, f"the run ended early: {self.process.communicate()}"
        return False

    def kill(self, node: str, number: int = signal.SIGKILL) -> int:
        pid = self.pid_of(node)
        os.kill(pid, number)
        return pid

    def signal(self, number: int) -> float:
        """Sends the signal to `pipe run`; returns the time."""
        at = time.monotonic()
        self.process.send_signal(number)
        return at

    def end(self, timeout_s: float = 60.0) -> Ended:
        stdout, stderr = self.process.communicate(timeout=timeout_s)
        return Ended(self.process.returncode, stdout, stderr, self.out, time.monotonic() - self.began)


class Runs:
    """Starts the runs of one test; a run that is still alive at the end is killed and is an error."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        self.folder, self.runtime = folder, runtime
        self.running: list[Running] = []
        self._graphs = 0

    def graph(self, text: str, name: str = "g") -> Path:
        self._graphs += 1
        path = self.folder / f"{name}{self._graphs}.yaml"
        path.write_text("version: 1\nnodes:\n" + text if not text.lstrip().startswith("version") else text)
        return path

    def start(self, graph: Path | str, *args: str, out: Path | None = None, **popen: Any) -> Running:
        out = out or self.folder / f"out{len(self.running)}"
        env = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), **popen.pop("env", {})}
        verb = popen.pop("verb", ["run"])  # or ["replay", F.mcap]
        process = subprocess.Popen(
            [*popen.pop("prefix", _WITH_SIGINT), sys.executable, "-m", "pipeline", *verb, str(graph), "--out", str(out), *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env, **popen,
        )  # fmt: skip
        self.running.append(Running(process, out))
        return self.running[-1]

    def run(self, graph: Path | str, *args: str, out: Path | None = None, timeout_s: float = 60.0, **popen: Any) -> Ended:
        return self.start(graph, *args, out=out, **popen).end(timeout_s)

    def pipe(self, *args: str) -> Ended:
        """Any verb."""
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *args],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr, self.folder)

    def refused(self, *args: str) -> Ended:
        """A verb that ends before a process starts, in this process: most of the time of a process is its imports."""
        stdout, stderr = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            try:
                code = main(list(args))
            except SystemExit as left:  # argparse
                code = left.code
        return Ended(code, stdout.getvalue(), stderr.getvalue(), self.folder)

    def stop(self) -> None:
        for running in self.running:
            if running.process.poll() is None:
                running.process.kill()
                running.process.communicate()


def wait_for(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """The first truthy value of `condition`."""
    until = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < until, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.005)
    return value


def processes() -> Iterator[tuple[int, list[str], int]]:
    """pid, argv, parent of every process of ours (zombies have no argv)."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                argv = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
                stat = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            yield int(entry), argv, int(stat[1])


def alive(pids: list[int]) -> list[int]:
    """The pids that still run (a zombie does not)."""
    out = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX":
            out.append(pid)
    return out


def workers(runtime: Path) -> list[int]:
    """Processes of runs whose sockets lie below `runtime`, and their fork servers."""
    return [
        pid
        for pid, argv, _ in processes()
        if ("pipeline.runtime.worker" in argv and any(str(runtime) in arg for arg in argv))
        or ("pipeline.runtime.forkserver" in argv and f"XDG_RUNTIME_DIR={runtime}" in environment(pid))
    ]


def environment(pid: int) -> list[str]:
    """NAME=VALUE, as it was when the process began; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def pools_mapped(owners: list[int]) -> list[str]:
    """`pid: memfd` of every mapping or descriptor of a pool or board made by one of these supervisors."""
    needles = [f"-{pid}-" for pid in owners]
    found = []
    for pid, _, _ in processes():
        try:
            names = {
                line.split(maxsplit=5)[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "memfd:pipe:" in line
            }
            names |= {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        except OSError:
            continue
        found += [f"{pid}: {name}" for name in sorted(names) if "memfd:pipe:" in name and any(n in name for n in needles)]
    return found


# -- the account ------------------------------------------------------------------------------------------------------


def paths(graph: Path, sink: str) -> list[list[str]]:
    """Every path from a source to a sink, as edge names, read from the graph file."""
    nodes = yaml.safe_load(graph.read_text())["nodes"]

    def ways(node: str) -> list[list[str]]:
        inputs = nodes[node].get("inputs", {})
        if not inputs:
            return [[]]
        return [[*way, f"{origin}->{node}.{port}"] for port, origin in inputs.items() for way in ways(origin.partition(".")[0])]

    return ways(sink)


def check_account(ended: Ended, graph: Path, expected: range) -> None:
    """Every frame of every source is, on each path to each sink, exactly once in the sink's file or in drops.jsonl.

    Frames are in order, and the report agrees with the files.
    """
    nodes = yaml.safe_load(graph.read_text())["nodes"]
    report, drops = ended.report, ended.drops
    sinks = [n for n, node in nodes.items() if node.get("op") == "test.null" and node.get("config", {}).get("write")]
    assert sinks, "a graph without a sink that writes proves nothing"
    for sink in sinks:
        written = ended.ids(sink)
        assert written == sorted(set(written)), f"{sink}: out of order or twice: {written}"
        for way in paths(graph, sink):
            source = way[0].partition(".")[0]
            lost = Counter(
                int(d["frame"].partition(":")[2]) for d in drops if d["edge"] in way and d["frame"].startswith(f"{source}:")
            )
            seen = Counter(written) + lost
            twice = {i: n for i, n in seen.items() if n != 1}
            missing = sorted(set(expected) - set(seen))
            assert not twice and not missing and set(seen) <= set(expected), (
                f"{way}: more than once {twice}, never {missing}; lost {dict(lost)}"
            )
        for port, origin in nodes[sink]["inputs"].items():
            edge = report["edges"][f"{origin}->{sink}.{port}"]
            assert edge["delivered"] == len(written)
    check_balance(ended)


def check_balance(ended: Ended) -> None:
    """produced = delivered + Σ dropped + in_flight on every edge, nothing in flight, and drops.jsonl has each drop."""
    report = ended.report
    assert report["edges"]
    logged = Counter((d["edge"], d["reason"]) for d in ended.drops)
    for name, edge in report["edges"].items():
        assert edge["in_flight"] == 0, name
        assert edge["produced"] == edge["delivered"] + sum(edge["dropped"].values()), name
        assert edge["dropped"] == {reason: n for (e, reason), n in logged.items() if e == name}, name


def restart_ms(times: dict[str, float]) -> float:
    """detect + spawn + first_frame of a complete row; engine.md section 5 promises at most one second."""
    assert set(times) == {"detect", "spawn", "import", "open", "first_frame"}
    assert all(t >= 0 for t in times.values()), times
    return times["detect"] + times["spawn"] + times["first_frame"]


def check_gone(running: Running, children: list[int], since: float, within_s: float = GONE_S) -> Ended:
    """`pipe run` and all its children are gone within `within_s` of `since` (plus the time of measuring)."""
    ended = running.end(10)
    wait_for(lambda: not alive(children), GONE_S, "the children's end")
    took = time.monotonic() - since
    assert took <= within_s + SLACK_S, f"gone after {took:.2f} s"
    return ended
