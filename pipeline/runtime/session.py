"""Resources of one run, in processes or inline: its folder, its memory, its books."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import RunError, explain
from pipeline.flow import bell, shm
from pipeline.flow.board import Board
from pipeline.flow.clock import wall_offset
from pipeline.flow.transport import runtime_root
from pipeline.frame import NEVER
from pipeline.graph.layout import BOUND
from pipeline.graph.plan import Plan
from pipeline.graph.spec import GraphSpec
from pipeline.machine.sampler import Sampler
from pipeline.operator import Resume
from pipeline.options import Outcome, RunOptions
from pipeline.runtime import budget, open_files, report, streams
from pipeline.runtime.books import Accountant, EdgeBook, NodeBook
from pipeline.runtime.levels import Levels
from pipeline.runtime.messages import ProcessPlan, Start
from pipeline.runtime.process_plan import Epochs, process_plan
from pipeline.runtime.report import Life
from pipeline.runtime.runfile import EVENTS_DIR, RunFile
from pipeline.runtime.shares import Shares

_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Session:
    """Folder, board, pools and accountant of one run; `close()` leaves nothing behind."""

    def __init__(self, graph: GraphSpec, options: RunOptions) -> None:
        self.graph, self.options = graph, options
        self.run_id = f"{graph.name}-{os.getpid()}-{time.time_ns() // 1_000_000 % 10**8:08d}"
        self.plan = Plan(graph, options, self.run_id)
        open_files.allow(1 + self.plan.board_shape.bells + 2 * len(self.plan.pool_size), len(self.plan.places))
        self.started_ns = time.monotonic_ns()
        streams.reserve()
        self.sampler = Sampler()
        self.outcome: Outcome | None = None
        options.out.mkdir(parents=True, exist_ok=True)
        self.logs = options.out / "logs"
        self.logs.mkdir(exist_ok=True)
        self._logs_id = _identity(self.logs)
        self.folder, self._lock = _make_folder(self.run_id, options.out)
        self.board_fd = -1
        self.bell_fds: list[int] = []
        self.pool_fds: dict[str, tuple[int, int]] = {}  # node -> (writeable, read-only)
        try:
            shape = self.plan.board_shape
            self.board_fd = shm.create(f"{self.run_id}:board", shape.size)
            self.board = Board(self.board_fd, shape)
            for edge in range(len(shape.edge_slots)):
                self.board.words[self.board.edge(edge) + BOUND] = NEVER
            self.bell_fds = [bell.make() for _ in range(shape.bells)]
            for name, size in self.plan.pool_size.items():
                if size:
                    fd = shm.create(f"{self.run_id}:{name}", size)
                    self.pool_fds[name] = (fd, shm.readonly(fd))
                else:
                    self.pool_fds[name] = (-1, -1)
        except OSError as error:
            self.close()
            raise RunError(
                f"{graph.name}: needs memory and descriptors for its frames, got: {error.strerror}; see ulimit -a"
            ) from None
        except BaseException:
            self.close()
            raise
        plan = self.plan
        sinks = {n for n, node in graph.nodes.items() if node.is_sink}
        self.edge_books = [EdgeBook(e.name, e.dst_node if e.dst_node in sinks else None) for e in plan.edges]
        self.node_books = {name: NodeBook() for name in plan.node_index}
        ports = [(plan.node_index[p.node], p.edges) for p in plan.ports]
        self.accountant = Accountant(
            self.board,
            self.edge_books,
            list(self.node_books.values()),
            ports,
            plan.sources,
            self.logs / "drops.jsonl",
            options.out,
            self.logs / EVENTS_DIR,
        )
        self.levels = Levels(plan, self.board, self.accountant)
        self.clock_started_ns = 0
        limit = graph.budget.get("latency_ms")
        slow = {} if limit is None else dict.fromkeys(budget.sinks(graph), limit)
        self.shares = Shares(plan, self.accountant, slow) if slow else None
        self.file = RunFile(plan, self.logs)
        self.done: set[str] = set()  # nodes at the end of their streams
        self.processes: Callable[[], dict[str, Any]] = dict  # of a snapshot; inline there are none
        self.sets: list[dict[str, Any]] = []  # rows of the report: what `pipe set` has changed

    def all_fds(self) -> list[int]:
        return [fd for fd in (self.board_fd, *self.bell_fds, *(fd for pair in self.pool_fds.values() for fd in pair)) if fd >= 0]

    def process_plan(self, nodes: list[str], process: int, epochs: Epochs, resume: Mapping[str, Resume]) -> ProcessPlan:
        """The plan for the process of `nodes`; see `process_plan`."""
        return process_plan(self.plan, nodes, process, self.board_fd, self.bell_fds, self.pool_fds, epochs, resume)

    def start(self) -> Start:
        """The graph clock, starting now, and the end of the sources."""
        self.sampler.start()
        graph, plan, options = self.graph, self.plan, self.options
        found = {name: f for name, f in graph.found.items() if not graph.nodes[name].cls.live}
        firsts = [int(f.stamps_ns[0]) for f in found.values() if f.stamps_ns is not None and len(f.stamps_ns)]
        limits: dict[str, int] = {}
        last_stamp = None
        if options.frames is not None:
            first = plan.sources[0]
            limits[first] = options.frames
            stamps = found[first].stamps_ns if first in found else None
            if stamps is not None and options.frames > 0 and len(stamps):
                last_stamp = int(stamps[min(options.frames, len(stamps)) - 1])
        self.clock_started_ns = time.monotonic_ns()
        start = Start(
            anchor_mono_ns=self.clock_started_ns,
            anchor_stamp_ns=min(firsts) if firsts else None,
            rate=plan.rate,
            live=graph.live,
            limits=limits,
            last_stamp_ns=last_stamp,
            horizon_ns=NEVER if options.rate == "step" else None,
            wall_ns=wall_offset(),
        )
        self.file.started(start)
        return start

    def ring_all(self) -> None:
        """Every thread of the run checks its rings and credit again: a process may have died between a store and its bell."""
        for fd in self.bell_fds:
            os.eventfd_write(fd, 1)

    def ensure_folders(self) -> None:
        """Before a process starts: somebody may have cleaned up the run's folder or the logs."""
        self.logs.mkdir(parents=True, exist_ok=True)
        if not self.folder.exists():
            os.close(self._lock)
            self.folder, self._lock = _make_folder(self.run_id, self.options.out)

    def settle_rest(self, reason: str) -> None:
        """After the last process has ended: settle every open frame with this reason."""
        self.accountant.drain()
        for index in range(len(self.edge_books)):
            self.accountant.settle_all(index, reason)

    def finish(
        self,
        exit_: str,
        code: int,
        lives: Mapping[str, Life],
        digests: Mapping[str, str | None],
        errors: list[str],
        inline: bool = False,
    ) -> Outcome:
        """After the last process has ended: close the books and make the report.

        A run whose books do not balance fails, and one that came to its end and has broken its budget.
        """
        try:
            self.settle_rest("shutdown")
        except Exception as error:  # a process may have written anything on the board
            errors.append(f"{self.graph.name}: the ledger cannot be read (please report this): {explain(error)}")
        wall_s = (time.monotonic_ns() - self.started_ns) * 1e-9
        self.sampler.stop()
        statuses = {name: self.board.status(index) for name, index in self.plan.node_index.items()}
        switches = self.levels.switches
        made = report.make(
            self.plan, self.node_books, self.edge_books, exit_, wall_s, lives, digests, statuses, switches, self.sets
        )
        made["board"] = self.sampler.report(made["frames"])
        wrong, lacking = report.unbalanced(made), [*self.accountant.unwritten(), *self.file.unwritten()]
        if wrong:
            errors.append("the ledger does not balance (please report this): " + "; ".join(wrong))
        if _identity(self.logs) != self._logs_id:
            lacking.append(f"{self.options.out}: was removed or replaced while the run wrote to it; its results are not complete")
        errors += lacking
        broken = self._judge(made, lives, inline)
        if exit_ != "completed":
            broken = []
        errors += broken
        if wrong or lacking or broken:
            made["exit"], code = "failed", 1
        self.outcome = Outcome(made["exit"], code, wall_s, errors, made)
        return self.outcome

    def _judge(self, made: dict[str, Any], lives: Mapping[str, Life], inline: bool) -> list[str]:
        """Adds the verdicts on the budget to the report; returns a line for each key that is not kept."""
        graph = self.graph
        if not graph.budget or self.options.rate == "step":  # the user paces a run by steps
            return []
        ended_ns = max((self.node_books[name].last_started_ns for name in budget.sinks(graph)), default=0)
        rss_mb = {place: max(lives[name].rss_mb for name in nodes) for place, nodes in graph.places().items()}
        if inline:
            rss_mb = {"this process": max(rss_mb.values())}
        seconds = (ended_ns - self.clock_started_ns) * 1e-9
        shares = self.shares.of() if self.shares is not None else {}
        verdicts = budget.judge(graph, budget.Facts(made, seconds, shares, rss_mb))
        made["budget"] = [verdict.row() for verdict in verdicts]
        return [verdict.error(graph) for verdict in verdicts if not verdict.kept]

    def close(self) -> None:
        self.sampler.stop()
        if hasattr(self, "accountant"):
            self.accountant.close()
        if hasattr(self, "file"):
            self.file.close()
        for fd in self.all_fds():
            os.close(fd)
        self.board_fd, self.bell_fds, self.pool_fds = -1, [], {}
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def _identity(folder: Path) -> tuple[int, int] | None:
    """Which folder it is, whatever its name: None if there is none."""
    try:
        info = folder.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _make_folder(run_id: str, out: Path) -> tuple[Path, int]:
    """A locked folder for the run's sockets; folders without a living owner are removed first. Its file `out` names DIR."""
    root = runtime_root()
    gate = os.open(root / ".gate", _LOCK_FLAGS, 0o600)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        for other in os.scandir(root):
            if other.is_dir(follow_symlinks=False):
                _sweep(Path(other))
        folder = root / run_id
        folder.mkdir(mode=0o700)
        lock = os.open(folder / "lock", _LOCK_FLAGS, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (folder / "out").write_bytes(os.fsencode(out))
        return folder, lock
    except OSError as error:
        raise RunError(f"{root}: cannot make the run's folder: {error}; set XDG_RUNTIME_DIR") from None
    finally:
        os.close(gate)


def _sweep(folder: Path) -> None:
    with contextlib.suppress(OSError):
        lock = os.open(folder / "lock", _LOCK_FLAGS, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
