"""The processes of a run: start them, exchange messages, kill and reap them. Decisions are made in supervisor.py."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns

from pipeline.errors import RunError
from pipeline.flow.transport import Channel, Sockets
from pipeline.graph import project
from pipeline.graph.plan import Plan
from pipeline.graph.spec import Edge
from pipeline.runtime import guard, logs, memory
from pipeline.runtime.messages import AtHorizon, FromWorker, Ready, ToWorker, from_worker, pack
from pipeline.runtime.poll import Poll
from pipeline.runtime.process_plan import needed_bells
from pipeline.runtime.report import Life
from pipeline.runtime.session import Session
from pipeline.runtime.spawn import Command, Process, Spawner
from pipeline.settings import show


@dataclass
class Child:
    """One process of the run, through all its lives.

    epoch      number of deaths
    has_plan   this life has received its ProcessPlan: it may hold frames, and knows its edges
    gone       given up: no further restart
    ends_late  killed in a close(), or in a read() that did not return after the end of the sources: no further restart
    why        how it ended the last time
    times      of this life [ns, CLOCK_MONOTONIC]: detect (a duration), spawn, hello, imported, ready
    """

    place: str
    index: int
    nodes: list[str]
    epoch: int = 0
    proc: Process | None = None
    pidfd: int = -1
    channel: Channel | None = None
    said_hello: bool = False
    has_plan: bool = False
    ready: bool = False
    gone: bool = False
    ends_late: bool = False
    respawn_at_ns: int = 0
    deaths_ns: list[int] = field(default_factory=list)
    why: str = ""
    times: dict[str, float] = field(default_factory=dict)
    restart_ms: list[dict[str, float | None]] = field(default_factory=list)
    cpu_s: float = 0.0
    rss_mb: float = 0.0

    @property
    def alive(self) -> bool:
        return self.proc is not None

    def note_restart(self) -> None:
        """A successor is ready: add its row of times; `first_frame` comes with its first step."""
        times = self.times
        self.restart_ms.append(
            {
                "detect": round(times["detect"] * 1e-6, 3),
                "spawn": round((times["hello"] - times["spawn"]) * 1e-6, 3),
                "import": round((times["imported"] - times["hello"]) * 1e-6, 3),
                "open": round((times["ready"] - times["imported"]) * 1e-6, 3),
                "first_frame": None,
            }
        )

    def note_first_frame(self, begun_ns: Iterable[int]) -> None:
        """`begun_ns`: start of each node's first step in this life, 0 = not yet."""
        begun = [ns for ns in begun_ns if ns]
        if begun:
            self.restart_ms[-1]["first_frame"] = round((min(begun) - self.times["ready"]) * 1e-6, 3)

    @property
    def waits_for_first_frame(self) -> bool:
        return self.alive and bool(self.restart_ms) and self.restart_ms[-1]["first_frame"] is None


def children_of(plan: Plan) -> dict[str, Child]:
    """Place -> its process, not yet started."""
    return {place: Child(place, i, nodes) for i, (place, nodes) in enumerate(plan.places.items())}


def other_end(plan: Plan, children: Mapping[str, Child], edge: Edge, child: Child) -> Child | None:
    """The process at the edge's other end, None if both ends are in this one."""
    for node in (edge.src_node, edge.dst_node):
        place = plan.place_of(node)
        if place != child.place:
            return children[place]
    return None


class Children:
    """Starts and ends the processes; calls `heard` with each message and `died` with each dead process.

    `failed` is called with a text if a process sends an invalid message.
    """

    def __init__(
        self,
        session: Session,
        spawner: Spawner,
        poll: Poll,
        heard: Callable[[Child, FromWorker], None],
        died: Callable[[Child], None],
        failed: Callable[[str], None],
    ) -> None:
        self.session, self.plan, self.graph = session, session.plan, session.graph
        self.by_place = children_of(session.plan)
        self._spawner = spawner
        self._path, self._project = project.worker_path([n.cls for n in self.graph.nodes.values()], self.graph.project)
        self.sockets = Sockets()
        self.run = guard.new_run()
        self._guard: guard.Guard | None = None
        self._poll, self._heard, self._died, self._failed = poll, heard, died, failed

    def __iter__(self) -> Iterator[Child]:
        return iter(self.by_place.values())

    def of(self, node: str) -> Child:
        return self.by_place[self.plan.place_of(node)]

    def pids(self) -> dict[str, int]:
        """Place -> pid of each living process."""
        return {child.place: child.proc.pid for child in self if child.proc is not None}

    def epochs(self) -> dict[int, tuple[int, int]]:
        """Edge -> epochs of its writer and its reader."""
        return {e.id: (self.of(e.src_node).epoch, self.of(e.dst_node).epoch) for e in self.plan.edges}

    # -- starting -------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """All processes for the first time, then the guard, which they do not need yet."""
        for child in self:
            self.spawn(child)
        with _started("the guard of the run"):
            self._guard = guard.Guard(self.run)

    def spawn(self, child: Child) -> None:
        """Start a process. Raises RunError if that is not possible."""
        with _started(child.place):
            self._spawn(child)

    def _spawn(self, child: Child) -> None:
        self.session.ensure_folders()
        control = self.session.folder / f"c{child.index}.{child.epoch}"
        child.channel = self.sockets.channel(control, bind=True)
        self._poll.watch(child.channel.fd, lambda: self.listen(child))
        child.has_plan = child.ready = child.said_hello = False
        argv = [
            "--folder", str(self.session.folder),
            "--control", str(control), "--parent", str(os.getpid()),
            "--mark", str(guard.mark_of(self.run, child.index)), "--node", child.place,
        ]  # fmt: skip
        command = Command(argv, f"pipe {child.place}", self._path, self._project)
        most = max(self.graph.nodes[n].threads for n in child.nodes)
        log = os.open(self.log_of(child), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        child.times["spawn"] = monotonic_ns()
        try:
            child.proc = self._spawner.spawn(most, command, log, self._fds_of(child))
        finally:
            os.close(log)
        self.session.file.life(child.place, child.epoch, child.proc.pid, child.why)
        child.pidfd = os.pidfd_open(child.proc.pid)
        self._poll.watch(child.pidfd, lambda: self._died(child))

    def log_of(self, child: Child) -> Path:
        return self.session.logs / f"{child.place}.log"

    def _fds_of(self, child: Child) -> list[int]:
        """The board, the bells, its own pools (writeable), the pools that it reads (read-only)."""
        pools = self.session.pool_fds
        own = set(child.nodes)
        readers = {e.src_node for e in self.plan.edges_of(child.place) if e.dst_node in own}
        wanted = {self.session.board_fd} | {pools[n][0] for n in own} | {pools[n][1] for n in readers | own}
        wanted |= {self.session.bell_fds[i] for i in needed_bells(self.plan, child.nodes, child.index)}
        return [fd for fd in wanted if fd >= 0]

    # -- talking --------------------------------------------------------------------------------------------------
    def listen(self, child: Child) -> None:
        channel = child.channel
        if channel is None:
            return
        channel.drain()
        while channel.inbox:
            try:
                message = from_worker(channel.inbox.popleft())
                self._check(child, message)
            except RunError as error:
                self._failed(f"{child.place}: {error}")
            else:
                self._heard(child, message)

    @staticmethod
    def _check(child: Child, message: FromWorker) -> None:
        """A process speaks for its own nodes, and in the order of `messages.py`."""
        name = getattr(message, "source" if isinstance(message, AtHorizon) else "node", None)
        if name is not None and name not in child.nodes:
            raise RunError(f"control message: needs a node of this process, got {show(name)}")
        if isinstance(message, Ready) and not child.has_plan:
            raise RunError("control message: Ready came before the plan was sent")

    def tell(self, child: Child, message: ToWorker) -> None:
        if child.channel is not None:
            child.channel.send(pack(message))
            if child.channel.inbox:
                self.listen(child)

    def tell_node(self, name: str, message: ToWorker) -> None:
        """Tell the process of a node, if it has its plan."""
        if self.of(name).has_plan:
            self.tell(self.of(name), message)

    def tell_all(self, message: ToWorker) -> None:
        for child in self:
            self.tell(child, message)

    # -- ending ---------------------------------------------------------------------------------------------------
    def reap(self, child: Child) -> int:
        """After a death: read the last messages, wait for the process, add its CPU time; returns its exit code (< 0: signal)."""
        assert child.proc is not None
        self.listen(child)
        code, cpu_s = child.proc.wait()
        guard.end(self.run, child.index)
        child.cpu_s += cpu_s
        if child.pidfd >= 0:
            self._poll.unwatch(child.pidfd)
            os.close(child.pidfd)
        self._hang_up(child)
        child.proc, child.pidfd = None, -1
        child.has_plan = child.ready = child.said_hello = False
        return code

    def _hang_up(self, child: Child) -> None:
        if child.channel is not None:
            self._poll.unwatch(child.channel.fd)
            child.channel.close()
            child.channel = None

    def unlink_addresses(self, child: Child) -> None:
        """Remove the socket files that a killed process leaves: those of the edges it wrote to."""
        for edge in self.plan.edges_of(child.place):
            if self.plan.place_of(edge.src_node) == child.place:
                for path in self.session.folder.glob(f"e{edge.id}.*"):
                    path.unlink(missing_ok=True)

    def signal(self, child: Child, number: int) -> None:
        if child.proc is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.proc.pid, number)

    def kill(self, child: Child) -> None:
        """Kill the child and all processes it started: the child leads its own session."""
        if child.proc is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.proc.pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill and reap every process."""
        for child in self:
            child.respawn_at_ns = 0
            self.kill(child)
        for child in self:
            if child.proc is not None:
                self.reap(child)

    def settle_guard(self) -> None:
        if self._guard is not None:
            self._guard.settle()

    def measure(self) -> None:
        """Update the largest resident memory seen of each process, and cap its log."""
        for child in self:
            if child.proc is not None:
                child.rss_mb = max(child.rss_mb, memory.rss_mb(child.proc.pid))
                logs.cap(self.log_of(child))

    def lives(self) -> dict[str, Life]:
        """By node. The CPU time of a process is divided among its nodes by their numbers of steps."""
        lives = {}
        for child in self:
            steps = {name: self.session.node_books[name].compute.count for name in child.nodes}
            total = sum(steps.values()) or 1
            for name in child.nodes:
                share = steps[name] / total if len(child.nodes) > 1 else 1.0
                lives[name] = Life(child.epoch, child.restart_ms, round(child.cpu_s * share, 3), round(child.rss_mb, 1))
        return lives

    def close(self) -> None:
        """After the last process has ended."""
        for child in self:
            self._hang_up(child)  # of a process that could not be started
        guard.end(self.run)
        if self._guard is not None:
            self._guard.close()
        self.sockets.close()


@contextlib.contextmanager
def _started(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise  # not of the system: a signal's handler of the program has raised it
        raise RunError(
            f"{name}: its process cannot be started: {error.strerror}; are processes, memory or open files limited (ulimit -a)?"
        ) from None
