"""The loop of a run in processes: starts them, restarts dead ones, ends the run.

One loop in the main thread of `pipe run`: it sleeps until a child dies (pidfd), a child sends a message (control channel), a
signal arrives, or a tenth of a second has passed (then it drains the rings and checks for hangs). Its helpers: `children.py`
for the processes, `settling.py` for frames of dead processes, `stuck.py` for graphs that are stuck, `door.py` for who attaches.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import replace
from time import monotonic_ns

from pipeline.errors import PipeError, explain, printable_lines
from pipeline.frame import NEVER
from pipeline.graph.spec import Edge
from pipeline.operator import Resume
from pipeline.options import Outcome
from pipeline.runtime import settling, signals, snapshot
from pipeline.runtime.children import Child, Children, other_end
from pipeline.runtime.door import Door
from pipeline.runtime.ending import DRAIN_S, Ending
from pipeline.runtime.live_config import LiveConfig
from pipeline.runtime.messages import (
    AtHorizon,
    Configured,
    EdgeEnd,
    EdgeGone,
    EdgeUp,
    End,
    Failed,
    FromWorker,
    Hello,
    NodeDone,
    Ready,
    Start,
)
from pipeline.runtime.observer import Guarded, Observer
from pipeline.runtime.poll import Poll
from pipeline.runtime.session import Session
from pipeline.runtime.spawn import Spawner
from pipeline.runtime.stepping import Stepping, terminal
from pipeline.runtime.stuck import Stuck

TICK_S, CLOSE_TICK_S, USAGE_S = 0.1, 0.02, 1.0


class Supervisor:
    """Decides when processes start and restart, when sources end, how the run ends."""

    def __init__(self, session: Session, observer: Observer, spawner: Spawner) -> None:
        self.session, self.display = session, Guarded(observer)
        self.plan, self.graph, self.options = session.plan, session.graph, session.options
        self.accountant = session.accountant
        self.poll = Poll()
        self.children = Children(session, spawner, self.poll, self._heard, self._died, self._fail)
        self.stuck = Stuck(session, self.children.by_place)
        self.ending = Ending(session, self.children)
        self.live_config = LiveConfig(session.graph, self.children.tell_node, session.done, session.sets)
        self._gone: set[int] = set()  # edges whose reader has been given up
        self.done = session.done
        self.digests: dict[str, str | None] = {}
        self.errors: list[str] = []
        self.start: Start | None = None
        self.stop_signal = 0
        self.failed = False
        self._ended_ns = self._over_ns = 0  # when the sources were told to end; because --duration was over
        self._usage_at_ns = 0
        self.stepping = Stepping(self.plan.sources, self.done, self.children.tell_all)
        session.processes = lambda: snapshot.processes(self.children, self.done)
        self.door = Door(session, self.poll)
        self.door.answers |= {"set": self.live_config.set, "was_set": self.live_config.was_set}
        self._signals_read, self._signals_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # -- the run --------------------------------------------------------------------------------------------------
    def run(self) -> Outcome:
        """Whatever happens, the run is finished: no process is left, losses are named, the books are closed."""
        try:
            with signals.caught(self._signalled):
                try:
                    self._run()
                except BaseException as error:
                    self._fail(f"{self.graph.name}: the run was broken off: {explain(error)}")
                    raise
                finally:
                    self._close_processes()
        finally:
            outcome = self._finish()
            self.display.stop()
            self.close()
        return outcome

    def _run(self) -> None:
        self.poll.watch(self._signals_read, self._take_signals)
        if self.options.rate == "step" and terminal():
            self.poll.watch(sys.stdin.fileno(), self.stepping.step)
        self.display.start()
        try:
            self.children.start()
            self.session.file.add_versions()
        except PipeError as error:
            self._fail(str(error))
        while any(child.alive or child.respawn_at_ns for child in self.children):
            self.poll.wait(self._wait_s())
            self._tick()

    def _wait_s(self) -> float:
        if self.ending.begun:
            return CLOSE_TICK_S
        if self.start is None or self.options.duration_s is None:
            return TICK_S
        left_s = self.options.duration_s - (monotonic_ns() - self.start.anchor_mono_ns) * 1e-9
        return min(TICK_S, left_s) if left_s > 0 else CLOSE_TICK_S

    def _tick(self) -> None:
        now = monotonic_ns()
        self.children.settle_guard()
        self.accountant.drain()
        for edge in self._gone:
            settling.settle_sent(self.session.board, self.accountant, edge)
        for child in self.children:
            if child.respawn_at_ns and now >= child.respawn_at_ns and not self.ending.begun:
                child.respawn_at_ns = 0
                try:
                    self.children.spawn(child)
                except PipeError as error:
                    self._fail(str(error))
            elif child.waits_for_first_frame:
                child.note_first_frame(self.session.node_books[n].first_after_ns for n in child.nodes)
        if self.ending.begun:
            self._kill_overdue(now)
        else:
            self._look_for_hangs(now)
            self._look_for_deadlock(now)
            self._duration(now)
            steady = self.start is not None and all(child.ready or child.gone for child in self.children)
            for text in self.session.levels.tick(steady):
                self.display.event(text)
            if len(self.done) == len(self.plan.node_index):
                self.ending.release()
        if now - self._usage_at_ns > USAGE_S * 1e9:
            self._usage_at_ns = now
            self.children.measure()
        self.door.tick()
        if not self.ending.released_ns:
            self.display.update(self.children.pids())

    def _kill_overdue(self, now: int) -> None:
        for child, text in self.ending.overdue(now):
            if text and text not in self.errors:
                self.errors.append(text)
                self.failed |= self.ending.in_time
            self.children.kill(child)

    def _look_for_hangs(self, now: int) -> None:
        for child, text in self.stuck.hanging(now, self._ended_ns):
            self.display.event(text)
            self.children.kill(child)
            child.ready = False  # until its successor is ready

    def _look_for_deadlock(self, now: int) -> None:
        text = self.stuck.forever(now, self.start is not None, self.done)
        if text is not None:
            self._fail(text)

    def _duration(self, now: int) -> None:
        limit = self.options.duration_s
        if limit is None or self.start is None:
            return
        if self._over_ns:
            if now - self._over_ns > DRAIN_S * 1e9:
                self.ending.in_time = True
                self.ending.stop()
        elif now - self.start.anchor_mono_ns > limit * 1e9:
            self._over_ns = now
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
        elif isinstance(message, Configured):
            if text := self.live_config.confirmed(message):
                self.display.event(text)
        elif isinstance(message, AtHorizon):
            self.stepping.waits(message)

    def _tell_plan(self, child: Child) -> None:
        """Send the plan, once after the child's Hello."""
        if not child.said_hello or child.has_plan or self.ending.begun:
            return
        epochs = self.children.epochs()
        resume = {name: self._resume(child, name) for name in child.nodes} if child.epoch else {}
        child.has_plan = True
        plan = self.session.process_plan(child.nodes, child.index, epochs, resume)
        self.children.tell(child, self.live_config.in_place(plan))
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
        if self.ending.begun:
            return
        self.accountant.drain()
        child.why = how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        child.epoch += 1
        self.done.difference_update(child.nodes)
        self.children.unlink_addresses(child)
        settling.bury(self.plan, self.session.board, self.accountant, child.place)
        self.session.ring_all()
        now = monotonic_ns()
        child.times["detect"] = now - woke_ns
        self._restart_or_give_up(child, how, now)

    def _restart_or_give_up(self, child: Child, how: str, now: int) -> None:
        spec = self.graph.nodes[child.nodes[0]].restart
        policies = {self.graph.nodes[n].restart.policy for n in child.nodes}
        child.deaths_ns = [t for t in child.deaths_ns if now - t < spec.window_s * 1e9] + [now]
        never = "never" in policies or child.ends_late
        if never or len(child.deaths_ns) > spec.max:
            self._give_up(child, how)
            return
        if self.start is None and len(child.deaths_ns) > 1:
            self._fail(f"{child.place}: needs to start, but {how} twice while starting; see {self.children.log_of(child)}")
            return
        delay_ns = int(spec.delay_s(len(child.deaths_ns)) * 1e9)
        child.respawn_at_ns = max(1, now + delay_ns)
        self.display.event(f"{child.place}: {how}; restart {len(child.deaths_ns)} of {spec.max} in {delay_ns * 1e-9:.1f} s")

    def _give_up(self, child: Child, how: str) -> None:
        child.gone = True
        self.session.file.life(child.place, child.epoch, None, how)
        spec = self.graph.nodes[child.nodes[0]].restart
        restarts = f"{len(child.deaths_ns) - 1} restarts within {spec.window_s:g} s"
        reason = "restart: never" if spec.policy == "never" else "the sources have ended" if child.ends_late else restarts
        text = f"{child.place}: {how}; given up ({reason}); see {self.children.log_of(child)}"
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

    def _cut(self, living: Child, edge: Edge) -> None:
        """Tell a living process that the other end of this edge is gone for good."""
        writes = self.plan.place_of(edge.src_node) == living.place
        self.children.tell(living, EdgeGone(edge.id) if writes else EdgeEnd(edge.id))

    # -- ending ---------------------------------------------------------------------------------------------------
    def _node_done(self, name: str, digest: str | None) -> None:
        self.done.add(name)
        if digest is not None:
            self.digests[name] = digest
        self.stepping.ended(name)
        if self.options.frames is not None and self.plan.sources and name == self.plan.sources[0]:
            self.accountant.drain()
            book = self.session.node_books[name]
            self._end_sources(book.last_stamp_ns if book.steps else NEVER)

    def _end_sources(self, last_stamp_ns: int) -> None:
        """No source, restarted or not, emits a reading later than this."""
        assert self.start is not None
        self._ended_ns = self._ended_ns or monotonic_ns()
        self.start = replace(self.start, last_stamp_ns=last_stamp_ns)
        self.children.tell_all(End(last_stamp_ns))

    def _fail(self, text: str) -> None:
        text = printable_lines(text)
        self.failed = True
        if text not in self.errors:
            self.errors.append(text)
        self.stop()

    def stop(self) -> None:
        """End all processes now."""
        if not self.ending.begun:
            self.ending.stop()

    def _signalled(self, number: int) -> None:
        with contextlib.suppress(OSError):
            os.write(self._signals_write, bytes([number]))

    def _take_signals(self) -> None:
        for number in os.read(self._signals_read, 64):
            if self.ending.stopped_ns and not self.ending.in_time:
                self.children.kill_all()
            else:
                self.stop_signal, self.ending.in_time = number, False
                self.ending.stop()

    def _close_processes(self) -> None:
        """Kill those that are left (none, unless this process has failed), and all that any of them have started."""
        for child in self.children:
            child.respawn_at_ns = 0
        self.children.kill_all()

    def _finish(self) -> Outcome:
        if self.failed:
            exit_, code = "failed", 1
        elif self.stop_signal:
            exit_, code = "stopped", 128 + self.stop_signal
        else:
            exit_, code = "completed", 0
        return self.session.finish(exit_, code, self.children.lives(), self.digests, self.errors)

    def close(self) -> None:
        self.door.close()
        self.children.close()
        os.close(self._signals_read)
        os.close(self._signals_write)
        self.poll.close()


def run(session: Session, observer: Observer, spawner: Spawner | None = None) -> Outcome:
    """Run a session as processes; its books are closed afterwards in any case. spawner: one that is warm already."""
    try:
        with contextlib.nullcontext(spawner) if spawner is not None else Spawner() as warm:
            return Supervisor(session, observer, warm).run()
    finally:
        session.close()
