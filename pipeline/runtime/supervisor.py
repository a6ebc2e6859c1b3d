"""Starts, watches, restarts and stops the processes of a run, and settles what the dead leave behind.

One loop in the main thread of `pipe run`: it sleeps until a child dies (pidfd), a child speaks (control channel), a signal
comes, or a tenth of a second has passed (then it drains the ledgers and looks for hangs).
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic_ns
from typing import Any

from pipeline.errors import RunError
from pipeline.flow.shm import IDLE, OPENING, PROCESSING, READING, WAITING
from pipeline.flow.transport import Channel, Sockets
from pipeline.frame import NEVER
from pipeline.graph import project
from pipeline.graph.layout import BUSY_SINCE, STATE, WAITING_EDGE
from pipeline.operator import Resume
from pipeline.options import Outcome
from pipeline.runtime import threads
from pipeline.runtime.messages import (
    AtHorizon,
    EdgeDown,
    EdgeDownOk,
    EdgeEnd,
    EdgeGone,
    EdgeUp,
    End,
    Exit,
    Failed,
    FromWorker,
    Hello,
    Horizon,
    NodeDone,
    Ready,
    Start,
    ToWorker,
    from_worker,
    pack,
)
from pipeline.runtime.session import Session
from pipeline.watch import report
from pipeline.watch.display import Display

GRACE_S = 1.5
"""From SIGTERM to SIGKILL."""
STUCK_S = 3.0
"""A graph in which nothing has moved for so long while nodes wait for room will never move again."""
_PYTHON = {"PYTHONUNBUFFERED": "1"}


@dataclass
class Child:
    """One process of the run, through all its lives."""

    place: str
    index: int
    nodes: list[str]
    epoch: int = 0
    proc: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    channel: Channel | None = None
    has_plan: bool = False
    ready: bool = False
    gone: bool = False
    said_hello: bool = False
    waits_for: set[int] = field(default_factory=set)  # edges whose other end must acknowledge the death first
    respawn_at_ns: int = 0
    deaths_ns: list[int] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    restart_ms: list[dict[str, float | None]] = field(default_factory=list)
    cpu_s: float = 0.0
    rss_mb: float = 0.0

    @property
    def alive(self) -> bool:
        return self.proc is not None


class Supervisor:
    def __init__(self, session: Session, display: Display) -> None:
        self.session, self.display = session, display
        self.plan, self.graph, self.options = session.plan, session.graph, session.options
        self.accountant = session.accountant
        self.sockets = Sockets()
        self.children = {place: Child(place, i, nodes) for i, (place, nodes) in enumerate(self.plan.places.items())}
        self.done: set[str] = set()
        self.digests: dict[str, str | None] = {}
        self.errors: list[str] = []
        self.start: Start | None = None
        self.stop_signal = 0
        self.failed = False
        self.stopping_since_ns = 0
        self.exiting = False
        self._settling: dict[int, tuple[bool, bool, int]] = {}  # edge -> (writer dead, reader dead, number of its EDGE_DOWN)
        self._downs = 0  # EDGE_DOWNs that wait for an answer, numbered from 1
        self._poll = select.epoll()
        self._fds: dict[int, Callable[[], None]] = {}
        self._moved_at_ns = monotonic_ns()
        self._moved_events = -1
        self._duration_over = False
        self._usage_at_ns = self._exit_since_ns = 0
        self._step_waiting: dict[str, int] = {}
        self._signals_read, self._signals_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # -- the run --------------------------------------------------------------------------------------------------
    def run(self) -> Outcome:
        old_wakeup = signal.set_wakeup_fd(self._signals_write)
        # Explicit: a shell job started with `&` has SIGINT ignored.
        old = {s: signal.signal(s, lambda *_: None) for s in (signal.SIGINT, signal.SIGTERM)}
        self._watch(self._signals_read, self._take_signals)
        if self.options.rate == "step" and sys.stdin is not None and sys.stdin.isatty():
            self._watch(sys.stdin.fileno(), self._step)
        try:
            self.display.start(self)
            for child in self.children.values():
                self._spawn(child)
            while any(child.alive or child.respawn_at_ns for child in self.children.values()):
                for fd, _ in self._poll.poll(0.1):
                    handler = self._fds.get(fd)
                    if handler is not None:
                        handler()
                self._tick()
        finally:
            self._kill_all()
            for s, was in old.items():
                signal.signal(s, was)
            signal.set_wakeup_fd(old_wakeup)
        return self._finish()

    def _watch(self, fd: int, handler: Callable[[], None]) -> None:
        self._fds[fd] = handler
        with contextlib.suppress(FileExistsError, PermissionError):
            self._poll.register(fd, select.EPOLLIN)

    def _unwatch(self, fd: int) -> None:
        if self._fds.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def _tick(self) -> None:
        now = monotonic_ns()
        self.accountant.drain()
        for child in self.children.values():
            if child.respawn_at_ns and now >= child.respawn_at_ns and not self._ending:
                child.respawn_at_ns = 0
                self._spawn(child)
            elif child.alive and child.epoch and child.restart_ms and child.restart_ms[-1]["first_frame"] is None:
                self._first_frame(child)
        if self.stopping_since_ns:
            if now - self.stopping_since_ns > GRACE_S * 1e9:
                self._kill_all()
        elif not self.exiting:
            self._look_for_hangs(now)
            self._look_for_deadlock(now)
            self._duration(now)
            if len(self.done) == len(self.plan.node_index):
                self._let_go()
        elif now - self._exit_since_ns > 5e9:
            self._kill_all()
        if now - self._usage_at_ns > 1e9:
            self._usage_at_ns = now
            self._usage()
        self.display.update(self)

    @property
    def _ending(self) -> bool:
        return bool(self.stopping_since_ns) or self.exiting

    # -- starting -------------------------------------------------------------------------------------------------
    def _spawn(self, child: Child) -> None:
        control = self.session.folder / f"c{child.index}.{child.epoch}"
        child.channel = self.sockets.channel(control, bind=True)
        self._watch(child.channel.fd, lambda: self._listen(child))
        child.has_plan = child.ready = child.said_hello = False
        most = max(self.graph.nodes[n].threads for n in child.nodes)
        log = os.open(self.session.logs / f"{child.place}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        child.times["spawn"] = monotonic_ns()
        try:
            child.proc = subprocess.Popen(
                [
                    *project.worker_command([n.cls for n in self.graph.nodes.values()], self.graph.project),
                    "--folder", str(self.session.folder),
                    "--control", str(control), "--parent", str(os.getpid()), "--node", child.place,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=self._fds_of(child), start_new_session=True,
                env={**os.environ, **threads.environment(most), **_PYTHON},
            )  # fmt: skip
        finally:
            os.close(log)
        child.pidfd = os.pidfd_open(child.proc.pid)
        self._watch(child.pidfd, lambda: self._died(child))

    def _fds_of(self, child: Child) -> list[int]:
        """The board, its own pools to write, the pools it reads from read-only."""
        pools = self.session.pool_fds
        own = set(child.nodes)
        readers = {e.src_node for e in self.plan.edges_of(child.place) if e.dst_node in own}
        wanted = {self.session.board_fd} | {pools[n][0] for n in own} | {pools[n][1] for n in readers | own}
        return [fd for fd in wanted if fd >= 0]

    def _listen(self, child: Child) -> None:
        channel = child.channel
        if channel is None:
            return
        channel.drain()
        while channel.inbox:
            try:
                message = from_worker(channel.inbox.popleft())
            except RunError as error:
                self._fail(f"{child.place}: {error}")
            else:
                self._heard(child, message)

    def _heard(self, child: Child, message: FromWorker) -> None:
        if isinstance(message, Hello):
            child.times["hello"] = message.started_ns
            child.said_hello = True
            self._tell_plan(child)
        elif isinstance(message, Ready):
            child.ready = True
            child.times |= {"imported": message.imported_ns, "ready": message.opened_ns}
            self._ready(child)
        elif isinstance(message, EdgeDownOk):
            self._acknowledged(message.edge, message.number)
        elif isinstance(message, Failed):
            own_name = message.text.startswith(message.node)
            self._fail(message.text if own_name else f"{message.node}: {message.text}")
        elif isinstance(message, NodeDone):
            self._node_done(message.node, message.digest)
        elif isinstance(message, AtHorizon):
            self._step_waiting[message.source] = message.stamp_ns
            if not sys.stdin.isatty():
                self._step()

    def _tell_plan(self, child: Child) -> None:
        if not child.said_hello or child.has_plan or child.waits_for or self._ending:
            return
        epochs = {e.id: (self._epoch(e.src_node), self._epoch(e.dst_node)) for e in self.plan.edges}
        resume = {}
        if child.epoch:
            for name in child.nodes:
                book = self.session.node_books[name]
                frame_id = self.accountant.name_of(book.last_who)[1] if book.last_who >= 0 else -1
                item = self.session.board.item(self.plan.node_index[name], book.last_step) if book.last_step >= 0 else ""
                resume[name] = Resume(child.epoch, frame_id, item, book.steps)
        child.has_plan = True
        self._tell(child, self.session.process_plan(child.nodes, child.index, epochs, resume))
        for edge in self.plan.edges_of(child.place):
            other = self._other(edge, child)
            if child.epoch and other is not None and other.has_plan and other.alive:
                self._tell(other, EdgeUp(edge.id, *epochs[edge.id]))

    def _epoch(self, node: str) -> int:
        return self.children[self.plan.place_of(node)].epoch

    def _other(self, edge: Any, child: Child) -> Child | None:
        """The process at the edge's other end, None when both ends are in this one."""
        for node in (edge.src_node, edge.dst_node):
            place = self.plan.place_of(node)
            if place != child.place:
                return self.children[place]
        return None

    def _tell(self, child: Child, message: ToWorker) -> None:
        if child.channel is not None:
            child.channel.send(pack(message))
            if child.channel.inbox:
                self._listen(child)

    def _ready(self, child: Child) -> None:
        for edge in self.plan.edges_of(child.place):
            other = self._other(edge, child)
            if other is not None and other.gone:
                self._cut(child, edge)
        if self.start is not None:
            self._tell(child, self._start_again(child, self.start))
            times = child.times
            child.restart_ms.append(
                {
                    "detect": round(times["detect"] * 1e-6, 3),
                    "spawn": round((times["hello"] - times["spawn"]) * 1e-6, 3),
                    "import": round((times["imported"] - times["hello"]) * 1e-6, 3),
                    "open": round((times["ready"] - times["imported"]) * 1e-6, 3),
                    "first_frame": None,
                }
            )
            for name in child.nodes:
                book = self.session.node_books[name]
                book.watch_from_ns, book.first_after_ns = int(times["ready"]), 0
        else:
            self._start_if_ready()

    def _start_if_ready(self) -> None:
        """All have opened, but for those that were given up."""
        if all(c.ready or c.gone for c in self.children.values()):
            self.start = self.session.start()
            self._moved_at_ns = monotonic_ns()  # nobody has waited for anything before, however long opening took
            self.display.started(self)
            for c in self.children.values():
                self._tell(c, self.start)

    def _start_again(self, child: Child, start: Start) -> Start:
        """For a successor. Where the first stamp was not known beforehand, its source goes on from the last one it sent."""
        books = [self.session.node_books[n] for n in child.nodes if self.graph.nodes[n].is_source]
        sent = [book for book in books if book.steps]
        if start.anchor_stamp_ns is not None or not sent:
            return start
        return replace(start, anchor_mono_ns=sent[0].last_started_ns, anchor_stamp_ns=sent[0].last_stamp_ns)

    def _first_frame(self, child: Child) -> None:
        firsts = [self.session.node_books[n].first_after_ns for n in child.nodes if self.session.node_books[n].first_after_ns]
        if firsts:
            child.restart_ms[-1]["first_frame"] = round((min(firsts) - child.times["ready"]) * 1e-6, 3)

    # -- dying ----------------------------------------------------------------------------------------------------
    def _died(self, child: Child) -> None:
        """A pidfd became readable: reap, settle, decide."""
        woke_ns = monotonic_ns()
        assert child.proc is not None
        self._listen(child)  # its last words
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code = child.proc.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        child.cpu_s += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self._unwatch(child.pidfd)
        os.close(child.pidfd)
        if child.channel is not None:
            self._unwatch(child.channel.fd)
            child.channel.close()
        child.proc, child.pidfd, child.channel = None, -1, None
        child.has_plan = child.ready = child.said_hello = False
        if self._ending:
            return
        self.accountant.drain()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        child.epoch += 1
        for name in child.nodes:
            self.done.discard(name)
        self._unlink_addresses(child)
        self._settle_death(child)
        child.times["detect"] = monotonic_ns() - woke_ns
        spec = self.graph.nodes[child.nodes[0]].restart
        restarts = [self.graph.nodes[n].restart for n in child.nodes]
        now = monotonic_ns()
        child.deaths_ns = [t for t in child.deaths_ns if now - t < spec.window_s * 1e9] + [now]
        never = any(r.policy == "never" for r in restarts) or (code == 0 and all(r.policy != "always" for r in restarts))
        if never or len(child.deaths_ns) > spec.max:
            self._give_up(child, how)
            return
        if self.start is None and len(child.deaths_ns) > 1:
            self._fail(
                f"{child.place}: needs to start, but {how} twice while starting; see {self.session.logs / (child.place + '.log')}"
            )
            return
        delay_ns = int(spec.delay_s(len(child.deaths_ns)) * 1e9)
        child.respawn_at_ns = max(1, now + delay_ns)
        self.display.event(f"{child.place}: {how}; restart {len(child.deaths_ns)} of {spec.max} in {delay_ns * 1e-9:.1f} s")

    def _settle_death(self, child: Child) -> None:
        """Leases and open frames of every edge that has an end in this dead process."""
        for edge in self.plan.edges_of(child.place):
            if edge.static:
                continue
            other = self._other(edge, child)
            writer_dead = self.plan.place_of(edge.src_node) == child.place
            reader_dead = self.plan.place_of(edge.dst_node) == child.place
            if edge.id in self._settling:  # the other end died while it was to acknowledge, or this one died again
                was = self._settling.pop(edge.id)
                writer_dead, reader_dead = writer_dead or was[0], reader_dead or was[1]
            if other is None or not other.has_plan or (writer_dead and reader_dead):
                # Nobody lives who holds or queues anything here (a process without its plan has never seen the edge).
                self._settle_edge(edge.id, True, True)
                self._settled(edge.id)
            else:
                self._downs += 1
                self._settling[edge.id] = (writer_dead, reader_dead, self._downs)
                child.waits_for.add(edge.id)
                self._tell(other, EdgeDown(edge.id, self._downs))
        for edge in self.plan.edges_of(child.place):
            other = self._other(edge, child)
            if edge.static and other is not None and other.has_plan:
                self._tell(other, EdgeDown(edge.id, 0))

    def _unlink_addresses(self, child: Child) -> None:
        """A killed process leaves the socket files it had bound: those of the edges it wrote to."""
        for edge in self.plan.edges_of(child.place):
            if self.plan.place_of(edge.src_node) == child.place:
                for path in self.session.folder.glob(f"e{edge.id}.*"):
                    path.unlink(missing_ok=True)

    def _acknowledged(self, edge: int, down: int) -> None:
        """The living end has closed an edge. An answer to an earlier death says nothing of what came after that."""
        if edge not in self._settling or self._settling[edge][2] != down:
            return
        writer_dead, reader_dead, _ = self._settling.pop(edge)
        self.accountant.drain()
        self._settle_edge(edge, writer_dead, reader_dead)
        self._settled(edge)

    def _settled(self, edge: int) -> None:
        """Whoever was not to start before this may."""
        for child in self.children.values():
            if edge in child.waits_for:
                child.waits_for.discard(edge)
                self._tell_plan(child)

    def _settle_edge(self, edge: int, writer_dead: bool, reader_dead: bool) -> None:
        """As the heir of the dead: name what is lost (`restart`), take its leases back (001-frame-life.md)."""
        book = self.session.edge_books[edge]
        leases = self.session.board.leases(edge, self.plan.edge_specs[edge].slots)
        if writer_dead and reader_dead:
            self.accountant.settle_all(edge, "restart")
            leases[:, 2] = leases[:, 0]
            return
        if reader_dead:
            for slot in range(len(leases)):
                sent, _, released = leases[slot].tolist()
                if sent != released:
                    self.accountant.settle(edge, sent, "restart")
                    leases[slot, 2] = sent
            return
        received = set(leases[:, 1].tolist())
        for gen in sorted(set(book.open) - received):
            self.accountant.settle(edge, gen, "restart")
        for slot in range(len(leases)):
            sent, got, released = leases[slot].tolist()
            if sent != released and sent != got:
                leases[slot, 0] = released

    def _give_up(self, child: Child, how: str) -> None:
        child.gone = True
        spec = self.graph.nodes[child.nodes[0]].restart
        reason = (
            "restart: never"
            if spec.policy == "never"
            else f"{len(child.deaths_ns) - 1} restarts within {spec.window_s:g} s"
            if how
            else ""
        )
        text = f"{child.place}: {how}; given up ({reason}); see {self.session.logs / (child.place + '.log')}"
        if any(self.graph.on_error(n) == "stop" for n in child.nodes):
            self._fail(text)
            return
        self.failed = True
        self.errors.append(text)
        self.display.event(text)
        for edge in self.plan.edges_of(child.place):
            other = self._other(edge, child)
            if other is not None and other.has_plan:
                self._cut(other, edge)
        self.done |= set(child.nodes)
        if self.start is None:
            self._start_if_ready()  # it was the last one waited for

    def _cut(self, living: Child, edge: Any) -> None:
        """The other end of this edge will never come back."""
        writes = self.plan.place_of(edge.src_node) == living.place
        self._tell(living, EdgeGone(edge.id) if writes else EdgeEnd(edge.id))

    # -- watching -------------------------------------------------------------------------------------------------
    def _look_for_hangs(self, now: int) -> None:
        words = self.session.board.words
        for name, index in self.plan.node_index.items():
            at = self.session.board.node(index)
            since, state = words[at + BUSY_SINCE], words[at + STATE]
            child = self.children[self.plan.place_of(name)]
            spec = self.graph.nodes[name]
            hang_s = spec.open_hang_s if state == OPENING else spec.hang_s
            if since and state in (PROCESSING, OPENING) and child.proc is not None and now - since > hang_s * 1e9:
                what = "open()" if state == OPENING else "process()"
                words[at + BUSY_SINCE], words[at + STATE] = 0, IDLE  # seen once
                self.display.event(f"{name}: in {what} for more than hang_s = {hang_s:g} s; killed")
                self._kill(child)
                child.ready = False  # until its successor is

    def _look_for_deadlock(self, now: int) -> None:
        """Nothing moves, nobody computes, somebody waits for room: name the join (or the hoarder) and stop."""
        if self.accountant.events != self._moved_events:
            self._moved_events, self._moved_at_ns = self.accountant.events, now
            return
        if self.start is None or now - self._moved_at_ns < STUCK_S * 1e9:
            return
        if any(not c.ready and not c.gone for c in self.children.values()):
            self._moved_at_ns = now  # whoever waited for a restart has not waited for anything since
            return
        words, board = self.session.board.words, self.session.board
        waiting: list[int] = []
        for index in self.plan.node_index.values():
            at = board.node(index)
            if words[at + STATE] in (PROCESSING, READING, OPENING):
                return
            if words[at + STATE] == WAITING:
                waiting.append(words[at + WAITING_EDGE] - 1)
        paced = self.graph.live or self.plan.rate is not None or self.options.rate == "step"
        if waiting and not paced:
            self._stuck(now, [e for e in waiting if e >= 0])
            return
        # Paced, a join may wait long and rightly; a reader that keeps all its credit as views never gets another frame.
        over = all(source in self.done for source in self.plan.sources)
        hoarded = [
            e.id
            for e in self.plan.edges
            if (over or e.id in waiting) and e.dst_node not in self.done and keeps_all(self.session, e.id)
        ]
        if hoarded:
            self._stuck(now, hoarded)

    def _stuck(self, now: int, edges: list[int]) -> None:
        """It is, unless somebody may go on: was stopped from outside, or has work and no processor."""
        if any(c.proc is not None and not asleep(c.proc.pid) for c in self.children.values()):
            self._moved_at_ns = now
            return
        texts = sorted({stuck_text(self.session, e) for e in edges})
        self._fail(" / ".join(texts) or "the graph is stuck: a pool has no free slot")

    def _duration(self, now: int) -> None:
        limit = self.options.duration_s
        if limit is None or self.start is None or self._duration_over:
            return
        if now - self.start.anchor_mono_ns > limit * 1e9:
            self._duration_over = True
            self._end_sources(NEVER)

    def _step(self) -> None:
        """`--rate step`: Enter (or, without a terminal, at once) lets the earliest waiting reading through."""
        with contextlib.suppress(OSError, ValueError):
            if sys.stdin.isatty():
                sys.stdin.readline()
        live_sources = [s for s in self.plan.sources if s not in self.done]
        if self._step_waiting and set(self._step_waiting) >= set(live_sources):
            horizon = min(self._step_waiting.values())
            self._step_waiting.clear()
            for child in self.children.values():
                self._tell(child, Horizon(horizon))

    # -- ending ---------------------------------------------------------------------------------------------------
    def _node_done(self, name: str, digest: str | None) -> None:
        self.done.add(name)
        if digest is not None:
            self.digests[name] = digest
        self._step_waiting.pop(name, None)
        if self.options.frames is not None and self.plan.sources and name == self.plan.sources[0]:
            self.accountant.drain()
            self._end_sources(self.session.node_books[name].last_stamp_ns if self.session.node_books[name].steps else NEVER)

    def _end_sources(self, last_stamp_ns: int) -> None:
        """No source emits anything later than this, restarted ones included."""
        assert self.start is not None
        self.start = replace(self.start, last_stamp_ns=last_stamp_ns)
        for child in self.children.values():
            self._tell(child, End(last_stamp_ns))

    def _let_go(self) -> None:
        self.exiting = True
        self._exit_since_ns = monotonic_ns()
        self._usage()
        for child in self.children.values():
            self._tell(child, Exit())

    def _fail(self, text: str) -> None:
        self.failed = True
        if text not in self.errors:
            self.errors.append(text)
        self.stop()

    def stop(self) -> None:
        """Everything ends now: SIGTERM, and SIGKILL after the grace."""
        if self.stopping_since_ns or self.exiting:
            return
        self.stopping_since_ns = monotonic_ns()
        self._usage()
        for child in self.children.values():
            child.respawn_at_ns = 0
            self._signal(child, signal.SIGTERM)
            self._signal(child, signal.SIGCONT)

    def _take_signals(self) -> None:
        for number in os.read(self._signals_read, 64):
            if self.stopping_since_ns:
                self._kill_all()
            else:
                self.stop_signal = number
                self.exiting = False
                self.stop()

    def _signal(self, child: Child, number: int) -> None:
        if child.proc is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.proc.pid, number)

    def _kill(self, child: Child) -> None:
        """The child and whatever it started itself: it leads a session of its own."""
        if child.proc is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.proc.pid, signal.SIGKILL)

    def _kill_all(self) -> None:
        for child in self.children.values():
            child.respawn_at_ns = 0
            self._kill(child)
            if self.stopping_since_ns == 0 and child.proc is not None and not self.exiting:
                child.proc.wait()

    def _usage(self) -> None:
        for child in self.children.values():
            if child.proc is not None:
                child.rss_mb = max(child.rss_mb, rss_mb(child.proc.pid))

    def _finish(self) -> Outcome:
        session = self.session
        stopped = self.stop_signal != 0
        session.settle_rest("shutdown")
        wall_s = (monotonic_ns() - session.started_ns) * 1e-9
        exit_ = "failed" if self.failed else "stopped" if stopped else "completed"
        life: dict[str, dict[str, Any]] = {}
        for child in self.children.values():
            total = sum(float(session.node_books[n].compute.count) for n in child.nodes) or 1.0
            for name in child.nodes:
                share = session.node_books[name].compute.count / total if len(child.nodes) > 1 else 1.0
                life[name] = {
                    "restarts": child.epoch,
                    "restart_ms": child.restart_ms,
                    "cpu_s": round(child.cpu_s * share, 3),
                    "rss_mb": round(child.rss_mb, 1),
                }
        made = report.make(session, exit_, wall_s, life, self.digests)
        wrong = report.unbalanced(made)
        if wrong:
            self.errors.append("the ledger does not balance (please report this): " + "; ".join(wrong))
            made["exit"] = "failed"
        lacking = session.accountant.unwritten()
        if lacking:
            self.errors += lacking
            self.failed, made["exit"] = True, "failed"
        self.display.stop()
        self.sockets.close()
        os.close(self._signals_read)
        os.close(self._signals_write)
        self._poll.close()
        code = 1 if self.failed or wrong else 128 + self.stop_signal if stopped else 0
        return Outcome(made["exit"], code, wall_s, self.errors, made)


def stuck_text(session: Session, edge: int) -> str:
    """Why nothing can ever move again on this edge: a join that needs more room, or a reader that keeps everything."""
    planned, book, spec = session.plan.edges[edge], session.edge_books[edge], session.plan.edge_specs[edge]
    if keeps_all(session, edge):
        kept = kept_views(session, edge)
        return (
            f"{session.graph.name}: {planned.dst_node} keeps views of {kept} frames of {planned.src_node}.{planned.src_port}, "
            f"{spec.holds} declared; "
            f"set holds = {{'{planned.dst_port}': {kept}}} in its class or copy what it keeps"
        )
    others = [
        e.dst_port
        for e in session.plan.edges
        if e.dst_node == planned.dst_node and e.id != edge and not e.static and not session.edge_books[e.id].open
    ]
    return (
        f"{session.graph.name}: {planned.dst_node}.{planned.dst_port}: its buffer of {book.in_flight} frames is full "
        "while it waits for "
        f"{', '.join(others) or 'its other inputs'}; raise queue: {{{planned.dst_port}: {{size: {spec.size * 2}}}}}"
    )


def kept_views(session: Session, edge: int) -> int:
    """Frames of an edge that were processed and are still held."""
    book, leases = session.edge_books[edge], session.board.leases(edge, session.plan.edge_specs[edge].slots)
    return sum(1 for sent, _, released in leases.tolist() if sent != released and sent not in book.open)


def keeps_all(session: Session, edge: int) -> bool:
    """The reader's views take all the credit of the edge: nothing can be sent on it any more."""
    spec = session.plan.edge_specs[edge]
    return not spec.static and kept_views(session, edge) >= spec.window + spec.holds


def asleep(pid: int) -> bool:
    """Every thread of a process waits for something to happen: none runs, waits for a processor or a disk, or is stopped."""
    try:
        tasks = [Path(f"/proc/{pid}/task/{task}/stat").read_text() for task in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return False  # a thread just ended
    return all(stat.rpartition(")")[2].split()[0] == "S" for stat in tasks)


def rss_mb(pid: int) -> float:
    """Resident memory of a process [MB], 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def run(session: Session, display: Display) -> Outcome:
    """Run a session as processes; its books are closed afterwards, whatever happened."""
    try:
        return Supervisor(session, display).run()
    finally:
        session.close()
