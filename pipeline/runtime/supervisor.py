"""The loop of a run in processes: starts them, restarts dead ones, ends the run.

One loop in the main thread of `pipe run`: it sleeps until a child dies (pidfd), a child sends a message (control channel), a
signal arrives, or a tenth of a second has passed (then it drains the rings and checks for hangs). Its helpers: `children.py`
for the processes, `settling.py` for frames of dead processes, `stuck.py` for graphs that are stuck.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import replace
from time import monotonic_ns

from pipeline.frame import NEVER
from pipeline.graph.spec import Edge
from pipeline.operator import Resume
from pipeline.options import Outcome
from pipeline.runtime import settling
from pipeline.runtime.children import Child, Children, other_end
from pipeline.runtime.messages import (
    AtHorizon,
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
)
from pipeline.runtime.observer import Observer
from pipeline.runtime.poll import Poll
from pipeline.runtime.report import Life
from pipeline.runtime.session import Session
from pipeline.runtime.stuck import Stuck

GRACE_S = 1.5
"""From SIGTERM to SIGKILL."""
EXIT_S = 5.0
"""Time for all processes to exit once all nodes are done."""
TICK_S, USAGE_S = 0.1, 1.0


class Supervisor:
    """Decides when processes start and restart, when sources end, how the run ends."""

    def __init__(self, session: Session, display: Observer) -> None:
        self.session, self.display = session, display
        self.plan, self.graph, self.options = session.plan, session.graph, session.options
        self.accountant = session.accountant
        self.poll = Poll()
        self.children = Children(session, self.poll, self._heard, self._died, self._fail)
        self.stuck = Stuck(session, self.children.by_place)
        self._gone: set[int] = set()  # edges whose reader has been given up
        self.done: set[str] = set()
        self.digests: dict[str, str | None] = {}
        self.errors: list[str] = []
        self.start: Start | None = None
        self.stop_signal = 0
        self.failed = False
        self.stopping_since_ns = 0
        self.exiting_since_ns = 0
        self._duration_over = False
        self._usage_at_ns = 0
        self._at_horizon: dict[str, int] = {}
        self._signals_read, self._signals_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # -- the run --------------------------------------------------------------------------------------------------
    def run(self) -> Outcome:
        old_wakeup = signal.set_wakeup_fd(self._signals_write)
        # A shell starts jobs with `&` with SIGINT ignored.
        old = {s: signal.signal(s, lambda *_: None) for s in (signal.SIGINT, signal.SIGTERM)}
        self.poll.watch(self._signals_read, self._take_signals)
        if self.options.rate == "step" and sys.stdin is not None and sys.stdin.isatty():
            self.poll.watch(sys.stdin.fileno(), self._step)
        try:
            self.display.start()
            for child in self.children:
                self.children.spawn(child)
            while any(child.alive or child.respawn_at_ns for child in self.children):
                self.poll.wait(TICK_S)
                self._tick()
        finally:
            self._kill_all()
            for s, was in old.items():
                signal.signal(s, was)
            signal.set_wakeup_fd(old_wakeup)
        outcome = self._finish()
        self.display.stop()
        self.close()
        return outcome

    def _tick(self) -> None:
        now = monotonic_ns()
        self.accountant.drain()
        for edge in self._gone:
            settling.settle_sent(self.session.board, self.accountant, edge)
        for child in self.children:
            if child.respawn_at_ns and now >= child.respawn_at_ns and not self._ending:
                child.respawn_at_ns = 0
                self.children.spawn(child)
            elif child.waits_for_first_frame:
                child.note_first_frame(self.session.node_books[n].first_after_ns for n in child.nodes)
        if self.stopping_since_ns:
            if now - self.stopping_since_ns > GRACE_S * 1e9:
                self._kill_all()
        elif not self.exiting_since_ns:
            self._look_for_hangs(now)
            self._look_for_deadlock(now)
            self._duration(now)
            if len(self.done) == len(self.plan.node_index):
                self._let_go()
        elif now - self.exiting_since_ns > EXIT_S * 1e9:
            self._kill_all()
        if now - self._usage_at_ns > USAGE_S * 1e9:
            self._usage_at_ns = now
            self.children.measure()
        if not self.exiting_since_ns:
            self.display.update(self.children.pids())

    @property
    def _ending(self) -> bool:
        return bool(self.stopping_since_ns or self.exiting_since_ns)

    def _look_for_hangs(self, now: int) -> None:
        for child, text in self.stuck.hanging(now):
            self.display.event(text)
            self.children.kill(child)
            child.ready = False  # until its successor is ready

    def _look_for_deadlock(self, now: int) -> None:
        text = self.stuck.forever(now, self.start is not None, self.done)
        if text is not None:
            self._fail(text)

    def _duration(self, now: int) -> None:
        limit = self.options.duration_s
        if limit is None or self.start is None or self._duration_over:
            return
        if now - self.start.anchor_mono_ns > limit * 1e9:
            self._duration_over = True
            self._end_sources(NEVER)

    # -- starting -------------------------------------------------------------------------------------------------
    def _heard(self, child: Child, message: FromWorker) -> None:
        if isinstance(message, Hello):
            child.times["hello"] = message.started_ns
            child.said_hello = True
            self._tell_plan(child)
        elif isinstance(message, Ready):
            child.ready = True
            child.times |= {"imported": message.imported_ns, "ready": message.opened_ns}
            self._ready(child)
        elif isinstance(message, Failed):
            own_name = message.text.startswith(message.node)
            self._fail(message.text if own_name else f"{message.node}: {message.text}")
        elif isinstance(message, NodeDone):
            self._node_done(message.node, message.digest)
        elif isinstance(message, AtHorizon):
            self._at_horizon[message.source] = message.stamp_ns
            if not sys.stdin.isatty():
                self._step()

    def _tell_plan(self, child: Child) -> None:
        """Send the plan, once after the child's Hello."""
        if not child.said_hello or child.has_plan or self._ending:
            return
        epochs = self.children.epochs()
        resume = {name: self._resume(child, name) for name in child.nodes} if child.epoch else {}
        child.has_plan = True
        self.children.tell(child, self.session.process_plan(child.nodes, child.index, epochs, resume))
        for edge in self.plan.edges_of(child.place):
            other = self._other(edge, child)
            if edge.static and child.epoch and other is not None and other.has_plan and other.alive:
                self.children.tell(other, EdgeUp(edge.id, *epochs[edge.id]))

    def _resume(self, child: Child, name: str) -> Resume:
        book = self.session.node_books[name]
        frame_id = self.accountant.name_of(book.last_who)[1] if book.last_who >= 0 else -1
        item = self.session.board.item(self.plan.node_index[name], book.last_step) if book.last_step >= 0 else ""
        return Resume(child.epoch, frame_id, item, book.steps)

    def _other(self, edge: Edge, child: Child) -> Child | None:
        return other_end(self.plan, self.children.by_place, edge, child)

    def _ready(self, child: Child) -> None:
        for edge in self.plan.edges_of(child.place):
            other = self._other(edge, child)
            if other is not None and other.gone:
                self._cut(child, edge)
        if self.start is None:
            self._start_if_ready()
            return
        self.children.tell(child, self._start_again(child, self.start))
        child.note_restart()
        for name in child.nodes:
            book = self.session.node_books[name]
            book.watch_from_ns, book.first_after_ns = int(child.times["ready"]), 0

    def _start_if_ready(self) -> None:
        """Start the run when every process is ready or given up."""
        if all(c.ready or c.gone for c in self.children):
            self.start = self.session.start()
            self.stuck.moved_at_ns = monotonic_ns()  # the time of opening does not count
            self.display.started(self.children.pids())
            self.children.tell_all(self.start)

    def _start_again(self, child: Child, start: Start) -> Start:
        """Start for a successor. If the first stamp was not known at the start, its source continues after the last sent one."""
        books = [self.session.node_books[n] for n in child.nodes if self.graph.nodes[n].is_source]
        sent = [book for book in books if book.steps]
        if start.anchor_stamp_ns is not None or not sent:
            return start
        return replace(start, anchor_mono_ns=sent[0].last_started_ns, anchor_stamp_ns=sent[0].last_stamp_ns)

    # -- dying ----------------------------------------------------------------------------------------------------
    def _died(self, child: Child) -> None:
        """A pidfd became readable: reap, settle, decide."""
        woke_ns = monotonic_ns()
        code = self.children.reap(child)
        if self._ending:
            return
        self.accountant.drain()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        child.epoch += 1
        self.done.difference_update(child.nodes)
        self.children.unlink_addresses(child)
        settling.bury(self.plan, self.session.board, self.accountant, child.place)
        self.session.ring_all()
        now = monotonic_ns()
        child.times["detect"] = now - woke_ns
        self._restart_or_give_up(child, code, how, now)

    def _restart_or_give_up(self, child: Child, code: int, how: str, now: int) -> None:
        spec = self.graph.nodes[child.nodes[0]].restart
        policies = {self.graph.nodes[n].restart.policy for n in child.nodes}
        child.deaths_ns = [t for t in child.deaths_ns if now - t < spec.window_s * 1e9] + [now]
        never = "never" in policies or (code == 0 and "always" not in policies)
        if never or len(child.deaths_ns) > spec.max:
            self._give_up(child, how)
            return
        if self.start is None and len(child.deaths_ns) > 1:
            self._fail(f"{child.place}: needs to start, but {how} twice while starting; see {self._log_of(child)}")
            return
        delay_ns = int(spec.delay_s(len(child.deaths_ns)) * 1e9)
        child.respawn_at_ns = max(1, now + delay_ns)
        self.display.event(f"{child.place}: {how}; restart {len(child.deaths_ns)} of {spec.max} in {delay_ns * 1e-9:.1f} s")

    def _give_up(self, child: Child, how: str) -> None:
        child.gone = True
        spec = self.graph.nodes[child.nodes[0]].restart
        restarts = f"{len(child.deaths_ns) - 1} restarts within {spec.window_s:g} s"
        reason = "restart: never" if spec.policy == "never" else restarts
        text = f"{child.place}: {how}; given up ({reason}); see {self._log_of(child)}"
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
            if not edge.static and self.plan.place_of(edge.dst_node) == child.place:
                self._gone.add(edge.id)
        self.done |= set(child.nodes)
        if self.start is None:
            self._start_if_ready()  # the run may have waited for this process only

    def _log_of(self, child: Child) -> str:
        return str(self.session.logs / f"{child.place}.log")

    def _cut(self, living: Child, edge: Edge) -> None:
        """Tell a living process that the other end of this edge is gone for good."""
        writes = self.plan.place_of(edge.src_node) == living.place
        self.children.tell(living, EdgeGone(edge.id) if writes else EdgeEnd(edge.id))

    # -- ending ---------------------------------------------------------------------------------------------------
    def _step(self) -> None:
        """`--rate step`: lets the earliest waiting reading through, at Enter (without a terminal at once)."""
        with contextlib.suppress(OSError, ValueError):
            if sys.stdin.isatty():
                sys.stdin.readline()
        live_sources = [s for s in self.plan.sources if s not in self.done]
        if self._at_horizon and set(self._at_horizon) >= set(live_sources):
            horizon = min(self._at_horizon.values())
            self._at_horizon.clear()
            self.children.tell_all(Horizon(horizon))

    def _node_done(self, name: str, digest: str | None) -> None:
        self.done.add(name)
        if digest is not None:
            self.digests[name] = digest
        self._at_horizon.pop(name, None)
        if self.options.frames is not None and self.plan.sources and name == self.plan.sources[0]:
            self.accountant.drain()
            book = self.session.node_books[name]
            self._end_sources(book.last_stamp_ns if book.steps else NEVER)

    def _end_sources(self, last_stamp_ns: int) -> None:
        """No source, restarted or not, emits a reading later than this."""
        assert self.start is not None
        self.start = replace(self.start, last_stamp_ns=last_stamp_ns)
        self.children.tell_all(End(last_stamp_ns))

    def _let_go(self) -> None:
        self.exiting_since_ns = monotonic_ns()
        self.children.measure()
        self.children.tell_all(Exit())

    def _fail(self, text: str) -> None:
        self.failed = True
        if text not in self.errors:
            self.errors.append(text)
        self.stop()

    def stop(self) -> None:
        """End all processes now: SIGTERM, and SIGKILL after the grace time."""
        if self._ending:
            return
        self.stopping_since_ns = monotonic_ns()
        self.children.measure()
        for child in self.children:
            child.respawn_at_ns = 0
            self.children.signal(child, signal.SIGTERM)
            self.children.signal(child, signal.SIGCONT)

    def _take_signals(self) -> None:
        for number in os.read(self._signals_read, 64):
            if self.stopping_since_ns:
                self._kill_all()
            else:
                self.stop_signal = number
                self.exiting_since_ns = 0
                self.stop()

    def _kill_all(self) -> None:
        self.children.kill_all()
        if not self._ending:  # the supervisor itself raised: wait for the processes here
            for child in self.children:
                if child.proc is not None:
                    child.proc.wait()

    def _finish(self) -> Outcome:
        if self.failed:
            exit_, code = "failed", 1
        elif self.stop_signal:
            exit_, code = "stopped", 128 + self.stop_signal
        else:
            exit_, code = "completed", 0
        return self.session.finish(exit_, code, self._lives(), self.digests, self.errors)

    def _lives(self) -> dict[str, Life]:
        """The CPU time of a process is divided among its nodes by their compute time."""
        lives = {}
        for child in self.children:
            computed = {name: self.session.node_books[name].compute.count for name in child.nodes}
            total = sum(computed.values()) or 1
            for name in child.nodes:
                share = computed[name] / total if len(child.nodes) > 1 else 1.0
                lives[name] = Life(child.epoch, child.restart_ms, round(child.cpu_s * share, 3), round(child.rss_mb, 1))
        return lives

    def close(self) -> None:
        self.children.close()
        os.close(self._signals_read)
        os.close(self._signals_write)
        self.poll.close()


def run(session: Session, display: Observer) -> Outcome:
    """Run a session as processes; its books are closed afterwards in any case."""
    try:
        return Supervisor(session, display).run()
    finally:
        session.close()
