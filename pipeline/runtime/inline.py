"""`--place inline`: the same graph in this process and thread, for pdb and tests.

The nodes, pools, edges and books are those of a run in processes; only the loop differs: it steps operators in graph order
until no operator has work, then the source with the earliest reading emits it. An exception in an operator passes through
with its own traceback, after the books are closed. No restart, no hang watch.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import time
from collections.abc import Iterator
from time import monotonic_ns

from pipeline.errors import PipeError, RunError, explain
from pipeline.frame import FOREVER, NEVER
from pipeline.graph import project
from pipeline.machine import pinned
from pipeline.options import Outcome
from pipeline.runtime import forked, guard, memory, threads
from pipeline.runtime.build import Built, build
from pipeline.runtime.ending import DRAIN_S, STEP_S, close_text
from pipeline.runtime.interrupt import Interrupt
from pipeline.runtime.observer import Guarded, Observer
from pipeline.runtime.operator_runner import OperatorRunner
from pipeline.runtime.report import Life
from pipeline.runtime.session import Session
from pipeline.runtime.source_runner import SourceRunner
from pipeline.runtime.stuck import keeps_all, stuck_text

BOOKS_S, LEAST_CLOSE_S = 0.1, 0.05
"""Between two readings of the event logs; for a close() after others have used up the time."""


class Inline:
    def __init__(self, session: Session, *observers: Observer) -> None:
        self.session, self.display = session, Guarded(*observers)
        self.interrupt = Interrupt()
        self._ends: float | None = None  # when --duration is over
        self._drained = math.inf  # when the time for the frames on their way is over, too
        memory.keep_freed()
        threads.set_environment(max(n.threads for n in session.graph.nodes.values()))
        project.use(session.graph.project)
        plan = session.plan
        process = session.process_plan(session.graph.order(), 0, {e.id: (0, 0) for e in plan.edges}, {})
        self.built: Built = build(process, on_full=self._drain, inline=True, raises=session.options.raises)
        self.digests: dict[str, str | None] = {}
        self.errors: list[str] = []
        self._drain_at = 0.0

    def _drain(self) -> None:
        with self.interrupt.held():  # else the same events could be booked twice
            self.session.accountant.drain()

    def run(self) -> Outcome:
        exit_, code = "failed", 1
        try:
            with self.interrupt.caught(), forked.undone_in_child(self.built.log.abandon):
                try:
                    for _ in self.steps():
                        if self.interrupt.number or time.monotonic() > self._drained:
                            raise KeyboardInterrupt
                    exit_, code = "completed", 0
                except KeyboardInterrupt:
                    if self.interrupt.number or not self._over():
                        exit_, code = "stopped", 128 + (self.interrupt.number or signal.SIGINT)
                    else:
                        exit_, code = "completed", 0
                except PipeError as error:
                    self.errors.append(explain(error))
                finally:
                    code = self.close_nodes() or code
        finally:  # also if an operator's exception passes through
            outcome = self.finish("failed" if code == 1 else exit_, code)
        return outcome

    def _over(self) -> bool:
        """Is --duration over?"""
        return self._ends is not None and time.monotonic() > self._ends

    def steps(self) -> Iterator[OperatorRunner | SourceRunner]:
        """Run to the end, yielding every node after each of its steps."""
        session, built = self.session, self.built
        self.display.start()
        session.file.add_versions()
        for runner in built.all:
            runner.open()
        pinned.lock(built.pools)
        start = session.start()
        built.clock.start(start.anchor_mono_ns, start.anchor_stamp_ns, start.rate, start.live, start.wall_ns)
        for source in built.sources:
            source.limit, source.last_stamp_ns = start.limits.get(source.node.name), start.last_stamp_ns
        self.display.started({})
        first = built.sources[0].node.name if built.sources else ""
        order = sorted(built.runners, key=lambda r: session.graph.order().index(r.node.name))
        if session.options.duration_s is not None:
            self._ends = time.monotonic() + session.options.duration_s
            self.interrupt.arm(session.options.duration_s + DRAIN_S + 2 * STEP_S)
        while True:
            moved = False
            if built.late:
                built.deliver()
            for runner in order:
                while runner.step():
                    moved = True
                    yield runner
                if runner.finished and runner.node.name not in self.digests:
                    self.digests[runner.node.name] = runner.digest
                    session.done.add(runner.node.name)
            if self._over():
                self._drained = min(self._drained, time.monotonic() + DRAIN_S)
                for source in built.sources:
                    source.end_at(NEVER)
            source_runner = self._next_source(built)
            if source_runner is not None:
                if source_runner.step():
                    yield source_runner
                else:
                    source_runner.end()
                    session.done.add(source_runner.node.name)
                    if source_runner.node.name == first and session.options.frames is not None:
                        for other in built.sources:
                            other.end_at(source_runner.last_emitted_ns)
                moved = True
            if all(r.finished for r in built.all):
                return
            now = time.monotonic()
            if now > self._drain_at:
                self._drain_at = now + BOOKS_S
                self._drain()
                for text in session.levels.tick(steady=True):
                    self.display.event(text)
                self.display.update({})
            if not moved:
                self._wait(built)

    def _next_source(self, built: Built) -> SourceRunner | None:
        """Of the sources with room, the one with the earliest reading; a source at its end comes first."""
        best: tuple[int, SourceRunner] | None = None
        for source in built.sources:
            if source.finished or not source.room():
                continue
            try:
                reading = source.peek()
            except KeyboardInterrupt:
                raise
            except BaseException:
                return source  # step() raises it again and reports it
            if reading is None:
                return source
            if best is None or reading.stamp_ns < best[0]:
                best = (reading.stamp_ns, source)
        if best is None:
            return None
        clock = built.clock
        if clock.rate is not None and not best[1].source.live:
            if clock.anchor_stamp_ns is None:
                clock.anchor_stamp_ns = best[0]
            due = clock.due_mono_ns(best[0])
            if due is not None and due > monotonic_ns():
                deadlines = self._deadlines(built)
                time.sleep(max(0.0, (min([due, *deadlines]) - monotonic_ns()) * 1e-9))
                if min([due, *deadlines]) < due:
                    return None
        return best[1]

    @staticmethod
    def _deadlines(built: Built) -> list[int]:
        """Times at which something happens without a new frame: a join decides, a frame is due that a fault holds back."""
        deadlines = [d for r in built.runners if not r.finished and (d := r.line.next_deadline()) is not None]
        return deadlines if built.due_ns == FOREVER else [*deadlines, built.due_ns]

    def _wait(self, built: Built) -> None:
        """No node could step: a join waits for its timeout, or the graph is stuck."""
        if any(runner.is_work() for runner in built.runners):
            return  # drops made room for frames that waited at their sender
        deadlines = self._deadlines(built)
        if deadlines:
            time.sleep(max(0.0, (min(deadlines) - monotonic_ns()) * 1e-9))
            return
        if self.session.graph.live and not all(s.finished for s in built.sources):
            time.sleep(0.001)
            return
        self._drain()
        blocked = {
            e.spec.index for r in built.all if not r.finished and not r.room() for p in r.outputs.values() if (e := p.blocked_by)
        }
        blocked |= {e.id for e in self.session.plan.edges if keeps_all(self.session, e.id)}
        raise RunError(stuck_text(self.session, blocked) or "the graph is stuck")

    def close_nodes(self) -> int:
        """Close the nodes that have not reached the end of their streams. Returns 1 if --duration ends and one takes too long."""
        nodes = self.session.graph.nodes
        until = time.monotonic() + max(n.close_s for n in nodes.values())
        code = 0
        for runner in self.built.all:
            name = runner.node.name
            if runner.closed or not runner.opened:
                continue
            self.interrupt.arm(max(LEAST_CLOSE_S, until - time.monotonic()))
            try:
                runner.close()
            except KeyboardInterrupt:
                self.errors.append(close_text(name, nodes[name].close_s))
                code = int(not self.interrupt.number)
            except BaseException as error:
                text = explain(error)
                self.errors.append(text if isinstance(error, PipeError) else f"{name}: close: {text}")
            finally:
                self.interrupt.disarm()
        pinned.PINNED.unlock()
        return code

    def finish(self, exit_: str, code: int) -> Outcome:
        """After `close_nodes`: the books and the report."""
        session = self.session
        usage = resource.getrusage(resource.RUSAGE_SELF)
        share = 1.0 / max(1, len(session.node_books))
        cpu_s, rss_mb = round((usage.ru_utime + usage.ru_stime) * share, 3), round(memory.rss_mb(os.getpid()), 1)
        lives = dict.fromkeys(session.node_books, Life(0, [], cpu_s, rss_mb))
        outcome = session.finish(exit_, code, lives, self.digests, self.errors, inline=True)
        self.display.stop()
        return outcome


def run(session: Session, observer: Observer) -> Outcome:
    """Run a session here. Exceptions of operators pass through after the books are closed."""
    try:
        with guard.this_process() if session.options.alone else contextlib.nullcontext():
            return Inline(session, observer).run()
    finally:
        observer.stop()
        session.close()
