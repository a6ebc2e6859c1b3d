"""One running graph under test: its gate, its sinks' files, its processes; and all invariants that hold while it waits."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from chaos import account, graphs, procs
from chaos.nodes import GATE
from chaos.tally import Tally
from chaos.words import Words

ROOT = Path(__file__).resolve().parents[2]
FRESH = 20
"""Frames that must reach every sink between two kills."""
HANG_S = 60.0
"""Nothing new in any file for so long, while something is awaited, is a hang."""
AHEAD = 40
"""More frames than all slots and queues of the graph hold at once."""
LAPS = 10
"""One is enough where nothing is dropped; a live node that is late makes fewer frames than its source."""
SETTLE_S = 5.0
"""Words, sockets and descriptors follow an account that is complete within this."""
OFFLINE = frozenset({"restart", "sync_no_match"})
LIVE = OFFLINE | {"queue_full", "sync_timeout", "stale"}
_DIED = re.compile(r"(\w+): killed by SIGKILL; restart ")


def _python_path() -> str:
    """PYTHONPATH with tests/, which holds the nodes of the graph."""
    return os.pathsep.join(path for path in (str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")) if path)


class Hang(Exception):
    """An awaited event did not happen."""


_rigs: list[Rig] = []
_stopped = threading.Event()


def stop_all() -> None:
    """Ends every rig now, whichever thread uses it, and prevents new ones."""
    _stopped.set()
    for rig in list(_rigs):
        rig.process.kill()


class Rig:
    """`pipe run` of a graph in its own folder; findings go into `tally`."""

    def __init__(
        self,
        folder: Path,
        tally: Tally,
        size: int,
        *args: str,
        queue: int = 4,
        live_hz: float | None = None,
        runtime: Path | None = None,
        on_error: str = "stop",
    ) -> None:
        self.folder, self.tally = folder, tally
        if _stopped.is_set():
            raise KeyboardInterrupt
        folder.mkdir(parents=True, exist_ok=True)
        self.out, self.graph, gate = folder / "out", folder / "graph.yaml", folder / "gate"
        gate.write_bytes(GATE.pack(0, 0))
        self._gate = os.open(gate, os.O_WRONLY | os.O_CLOEXEC)
        graph = graphs.wide(gate, size, queue=queue, live=live_hz is not None, rate_hz=live_hz, on_error=on_error)
        self.graph.write_text(yaml.safe_dump(graph, sort_keys=False))
        self.nodes: dict[str, Any] = graph["nodes"]
        self.reasons = OFFLINE if live_hz is None else LIVE
        self.limit = self.passed = 0  # the gate; and the progress of the stream that no sink has written down
        self.deaths: list[tuple[int, str]] = []  # monotonic ns, place: from the run's own messages
        self.ends_ns: list[int] = []  # ends of the intervals in which FRESH frames must come
        self.said: list[str] = []
        self._first: dict[str, Counter[str]] = {}  # descriptors and sockets at the first check
        self.runtime = runtime or Path(tempfile.mkdtemp(prefix="pc-", dir="/tmp"))  # short: paths of sockets are limited
        self._own_runtime = runtime is None
        self.process = subprocess.Popen(
            ["env", "--default-signal=INT", sys.executable, "-m", "pipeline", "run", str(self.graph), "--out", str(self.out),
             "--verify-frames", "--quiet", *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            start_new_session=True, env={**os.environ, "XDG_RUNTIME_DIR": str(self.runtime), "PYTHONPATH": _python_path()},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        _rigs.append(self)
        self.words: Words | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            died = _DIED.match(line)
            if died:
                self.deaths.append((time.monotonic_ns(), died[1]))
            self.said.append(line.rstrip())

    # -- the stream -----------------------------------------------------------------------------------------------
    def open_to(self, limit: int, ended: bool = False) -> None:
        """Frames below `limit` may pass."""
        self.limit = limit
        os.pwrite(self._gate, GATE.pack(limit, ended), 0)

    def flow(self) -> bool:
        """Lets the stream continue: the gate stays AHEAD of the frames that reached a sink. Returns True, for conditions."""
        seen = max((row[0] for sink in graphs.SINKS if (row := self.last(sink))), default=0)
        seen = max(seen, self.passed)
        if seen + AHEAD > self.limit:
            self.open_to(seen + AHEAD)
        return True

    def last(self, sink: str) -> list[int]:
        """The newest complete line of a sink, [] before the first."""
        path = self.out / sink / "frames.txt"
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - 200))
                lines = file.read().splitlines(keepends=True)
        except OSError:
            return []
        whole = [line for line in lines[1:] if line.endswith(b"\n")] or [line for line in lines if line.endswith(b"\n")]
        return [int(word) for word in whole[-1].split()] if whole else []

    def wait(self, condition: Callable[[], Any], what: str, hang_s: float = HANG_S) -> Any:
        """The first true value of `condition`. Raises Hang if no file changes meanwhile."""
        seen, since = self._sizes(), time.monotonic()
        while not (value := condition()):
            if self.process.poll() is not None:
                self._reader.join(2)
                raise Hang(
                    f"the run ended while waiting for {what}: code {self.process.returncode}: {' / '.join(self.said[-3:])}"
                )
            sizes = self._sizes()
            if sizes != seen:
                seen, since = sizes, time.monotonic()
            elif time.monotonic() - since > hang_s:
                raise Hang(f"waited for {what}: {self.state()}")
            time.sleep(0.02)
        return value

    def _sizes(self) -> list[int]:
        files = [self.out / sink / "frames.txt" for sink in graphs.SINKS] + [self.out / "logs" / "drops.jsonl"]
        return [path.stat().st_size if path.exists() else 0 for path in files] + [len(self.said)]

    def fresh(self, since_ns: int, count: int = FRESH) -> None:
        """Lets the stream continue until `count` frames have reached every sink after `since_ns`.

        Waits for one more line: the newest line counts only after the sink's commit, and is removed if the sink is killed before.
        """

        def there() -> bool:
            return self.flow() and all(self._since(sink, since_ns) > count for sink in graphs.SINKS)

        self.wait(there, f"{count} more frames at every sink")

    def _since(self, sink: str, since_ns: int) -> int:
        rows = account.rows(self.out, sink)
        n = 0
        for row in reversed(rows):
            if row[2] <= since_ns:
                break
            n += 1
        return n

    def still(self) -> bool:
        """Whether no frame was made and no slot held for half a second: all frames that passed the gate are finished."""
        assert self.words is not None
        before = self.words.generations()
        for _ in range(25):
            if self.words.taken() or self.words.generations() != before:
                return False
            time.sleep(0.02)
        return True

    def children(self) -> dict[str, int]:
        return procs.children(self.pid)

    def running(self) -> None:
        """Waits until frames come through, and records the open descriptors of a calm graph."""
        self.open_to(5)
        self.wait(lambda: all(self.last(sink)[:1] == [4] for sink in graphs.SINKS), "the first frames", hang_s=3 * HANG_S)
        self.words = Words(self.pid, self.nodes, graphs.HOLDS)
        self._settle(10)

    # -- while it waits -------------------------------------------------------------------------------------------
    def quiet(self, lap: bool = True) -> None:
        """Closes the gate, waits until every id is accounted for, then checks all held resources.

        lap  then passes more frames than a pool has slots, and checks that every slot was used again
        """
        self._settle(self.limit)
        if not lap:
            return
        assert self.words is not None
        before, deaths = self.words.generations(), len(self.deaths)
        for _ in range(LAPS):
            self._settle(self.limit + max(len(slots) for slots in before.values()) + 10)
            after, died = self.words.generations(), {place for _, place in self.deaths[deaths:]}
            unused = {
                node: slots
                for node, was in before.items()
                if (slots := [i for i, generation in enumerate(was) if after[node][i] == generation])
                and self.nodes[node].get("place", node) not in died  # a new process counts its slots from zero
            }
            if not unused:
                return
        for node, slots in unused.items():
            self.tally.leaks.append(f"{node}: slots {slots} are free by their words and never used again")

    def _settle(self, limit: int) -> None:
        self.open_to(limit)
        wrong: list[str] = []

        def complete() -> bool:
            wrong[:] = account.check_ids(self.graph, self.out, limit, graphs.SINKS, self.reasons, graphs.STATICS)
            # The last line of a killed sink does not count; it stays until the successor has opened the file.
            return not any("unaccounted" in text or "more than once" in text for text in wrong)

        self.wait(complete, f"an account of {limit} ids")
        self.tally.quiescences += 1
        self._report(wrong)
        assert self.words is not None
        self._soon(self.words.taken, "slots")
        self._soon(self._processes, "processes")
        self._soon(self._sockets, "sockets")
        self._soon(self._descriptors, "descriptors")

    def _soon(self, look: Callable[[], list[str]], what: str) -> None:
        """Waits until `look` returns nothing; after SETTLE_S the rest is a leak."""
        until = time.monotonic() + SETTLE_S
        while (found := look()) and time.monotonic() < until:
            time.sleep(0.02)
        self.tally.leaks += [f"{what} while the graph waits: {text}" for text in found]

    def _report(self, wrong: list[str]) -> None:
        for text in wrong:
            (self.tally.torn if text.endswith("dropped: error") else self.tally.unaccounted).append(text)

    def _processes(self) -> list[str]:
        there = self.children()
        wrong = [f"no process of {place}" for place in graphs.KINDS if place not in there]
        return wrong + [f"{place}: {pid} is a zombie" for place, pid in there.items() if procs.state(pid) in "ZX"]

    def _sockets(self) -> list[str]:
        """Compares with the first check: one file per edge and per process, and the lock."""
        (folder,) = [path for path in (self.runtime / "pipe").iterdir() if path.is_dir()]
        there = Counter(path.name.partition(".")[0] for path in folder.iterdir())
        was = self._first.setdefault("", there)
        return [f"{name}.*: {there[name]}, was {was[name]}" for name in there | was if there[name] != was[name]]

    def _descriptors(self) -> list[str]:
        """Compares the descriptors of the supervisor and every child, by kind, with the first check; restarts change no count.

        One result file may have been opened since.
        """
        wrong = []
        for name, pid in {"supervisor": self.pid, **self.children()}.items():
            try:
                there = procs.descriptors(pid)
            except OSError:
                return [f"{name}: gone"]
            was = self._first.setdefault(name, there)
            more = {k: n for k, n in there.items() if n > max(was[k], k.startswith(str(self.out)))}
            wrong += [f"{name}: {n} of {kind}, was {was[kind]}" for kind, n in more.items()]
        return wrong

    def state(self) -> str:
        """For a hang: running processes, held slots, last messages."""
        children = {place: f"{pid} {procs.state(pid)}" for place, pid in self.children().items()}
        taken = self.words.taken() if self.words else []
        last = {sink: self.last(sink)[:1] for sink in graphs.SINKS}
        wrong = account.check_ids(self.graph, self.out, self.limit, graphs.SINKS, self.reasons, graphs.STATICS)[:3]
        return (
            f"gate {self.limit}, last {last}, processes {children}, taken {taken[:6]}, {wrong}, said {self.said[-3:]}, "
            f"see {self.out}"
        )

    # -- the end --------------------------------------------------------------------------------------------------
    def end(self, code: int = 0) -> None:
        """Lets the stream end and checks the whole account, the ledger, and that nothing is left."""
        children = list(self.children().values())
        produced = self.limit
        self.open_to(produced, ended=True)
        try:
            got = self.process.wait(HANG_S)
        except subprocess.TimeoutExpired:
            raise Hang(f"the end of the run did not come: {self.state()}") from None
        self._reader.join(5)
        if got != code:
            self.tally.failed.append(f"exit code {got}: {' / '.join(self.said[-3:])}")
        self._report(account.check_ids(self.graph, self.out, produced, graphs.SINKS, self.reasons, graphs.STATICS))
        self.tally.unaccounted += account.check_report(self.graph, self.out, graphs.SINKS)
        self.tally.frames += produced
        self.tally.restarts += len(self.deaths)
        self._between_kills()
        self.gone(children)

    def _between_kills(self) -> None:
        """Checks for FRESH frames at every sink in each interval."""
        stamps = {sink: [row[2] for row in account.rows(self.out, sink)] for sink in graphs.SINKS}
        for begin, end in itertools.pairwise([*self.ends_ns, 2**63]):
            for sink, at in stamps.items():
                n = sum(begin < t < end for t in at)
                if n < FRESH:
                    self.tally.failed.append(f"{n} frames reached {sink} between two kills, {FRESH} needed")

    def gone(self, children: list[int], within_s: float = 2.0) -> float:
        """Checks that the ended run left no process, memory, socket or folder; returns the time until the children were gone."""
        since = time.monotonic()
        while (left := procs.alive(children)) and time.monotonic() - since < within_s + 0.5:
            time.sleep(0.01)
        took = time.monotonic() - since
        self.tally.leaks += [f"process {pid} after the end" for pid in left]
        if self._own_runtime:
            self.tally.leaks += [f"folder after the end: {name}" for name in self.folders()]
        self.close()
        self.tally.leaks += [f"memory after the end: {name}" for name in procs.memfds_of(self.pid)]
        return took

    def close(self) -> None:
        """Closes our own descriptors."""
        if self.words is not None:
            self.words.close()
            self.words = None
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1
        if self.process.poll() is not None:
            self._reader.join(5)
            assert self.process.stderr is not None
            self.process.stderr.close()
        if self._own_runtime and self.process.poll() is not None:
            shutil.rmtree(self.runtime, ignore_errors=True)

    def folders(self) -> list[str]:
        """Existing folders and sockets of runs."""
        root = self.runtime / "pipe"
        return [path.name for path in root.iterdir() if path.name != ".gate"] if root.exists() else []

    def abandon(self) -> None:
        """After a hang: kills all remaining processes; keeps the folder for inspection."""
        if self.process.poll() is None:
            children = list(self.children().values())
            for pid in [self.pid, *children]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.process.wait()
        _rigs.remove(self)
        self.close()
