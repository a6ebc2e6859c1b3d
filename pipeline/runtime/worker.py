"""One process of a run, forked by `forkserver.py`: `pipeline.runtime.worker ... --node NAME`.

Three kinds of threads. The main thread waits for frames and calls the operators in graph order. Each source reads in its own
thread. The I/O thread listens to the supervisor and to readers that give credit, also while an operator computes.
No thread polls: main and sources sleep on their bells, the I/O thread in epoll.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from time import monotonic_ns

from pipeline import settings
from pipeline.errors import GraphError, PipeError, explain
from pipeline.flow import faults
from pipeline.flow.bell import Bell
from pipeline.flow.log import wait_for_supervisor
from pipeline.machine import pinned
from pipeline.runtime import forked, guard, memory, prctl
from pipeline.runtime.build import Built, build
from pipeline.runtime.io_thread import IoThread
from pipeline.runtime.logs import configure_logging
from pipeline.runtime.messages import (
    AtHorizon,
    Configure,
    Configured,
    End,
    Exit,
    Failed,
    FromWorker,
    Hello,
    Horizon,
    NodeDone,
    Nudge,
    ProcessPlan,
    Ready,
    Start,
    ToWorker,
    pack,
)
from pipeline.runtime.operator_runner import Asked, OperatorRunner
from pipeline.runtime.runner import Failure
from pipeline.runtime.source_thread import SourceThread

READ_S = 0.1
"""How long the end of a process waits for sources that are inside read()."""
_VIEWS_S = 0.05
"""Kept views end without ringing a bell: while there are some, the main thread checks at this interval."""


class Worker:
    def __init__(self, folder: Path, control: Path, started_ns: int) -> None:
        self._pid, self._folder = os.getpid(), folder
        self._stopping = self._started = self._failed = False
        self._exiting = threading.Event()
        self._have_plan = threading.Event()
        self._plan: ProcessPlan | None = None
        self._built: Built | None = None
        self._bells: list[Bell] = []  # of this process's own threads
        self._threads: list[threading.Thread] = []
        self._io = IoThread(folder, control, self._obey, self._stop, self._wake)
        threading.Thread(target=self._io.run, name="io", daemon=True).start()
        self._tell(Hello(os.getpid(), started_ns))

    def _tell(self, message: FromWorker) -> None:
        if os.getpid() != self._pid:
            os._exit(1)  # a child that a node forked and that came back out of the node's call
        self._io.say(pack(message))

    # -- life -----------------------------------------------------------------------------------------------------
    def run(self) -> int:
        while not self._have_plan.wait(0.2):
            if self._stopping or not self._folder.exists():  # the run is over
                return 0
        plan = self._plan
        assert plan is not None
        settle_in(plan)
        first = {n.name: n.resume is None for n in plan.nodes}
        injected = map(faults.Fault.parse, plan.inject)
        faults.arm(f for f in injected if f.node in first and (f.again or first[f.node]))
        current = plan.nodes[0].name
        try:
            built = build(plan, on_full=wait_for_supervisor(lambda: self._tell(Nudge())))
            forked.in_child(built.log.abandon)
            for operator in built.runners:
                operator.confirm = self._tell
            imported_ns = monotonic_ns()
            main_bell = self._own_bell(built, plan.main_bell)
            source_bells = [self._own_bell(built, node.bell) for node in plan.nodes if node.bell != plan.main_bell]
            self._built = built
            self._io.connect(built, plan.bells[plan.io_bell])
            for runner in built.all:
                current = runner.node.name
                runner.open()
            pinned.lock(built.pools)
        except BaseException as error:
            self._raised(current, error)
            self._exiting.wait(10.0)  # the supervisor stops the run
            if self._built is not None:
                self._close(self._built)
            return 1
        gc.freeze()  # objects that exist now stay: the collector need not scan all modules each time
        self._tell(Ready(imported_ns, monotonic_ns()))
        for source, bell in zip(built.sources, source_bells, strict=True):
            loop = SourceThread(
                source,
                bell,
                lambda: self._started,
                lambda: self._stopping,
                self._raised,
                lambda s: self._tell(NodeDone(s.node.name, None)),
                lambda name, stamp_ns: self._tell(AtHorizon(name, stamp_ns)),
            )
            self._threads.append(threading.Thread(target=loop.run, name=source.node.name, daemon=True))
            self._threads[-1].start()
        self._run_operators(built.runners, main_bell)
        self._close(built)
        return 0

    def _own_bell(self, built: Built, index: int) -> Bell:
        bell = built.bells[index]
        assert isinstance(bell, Bell)
        self._bells.append(bell)
        return bell

    def _raised(self, node: str, error: BaseException) -> None:
        """A node cannot continue."""
        self._failed = True
        text = explain(error) if isinstance(error, PipeError) else f"{node}: {explain(error)}"
        logging.error("%s\n%s", text, error.details if isinstance(error, Failure) else traceback.format_exc())
        self._tell(Failed(node, text))

    def _close(self, built: Built) -> None:
        """Finish the files. Sources first: they may feed an operator's resources."""
        until = time.monotonic() + READ_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        for runner in built.all:
            if runner.opened and not runner.closed:
                try:
                    runner.close()
                except BaseException as error:
                    details = error.details if isinstance(error, Failure) else traceback.format_exc()
                    logging.error("%s\n%s", explain(error), details)
        pinned.PINNED.unlock()

    # -- operators ------------------------------------------------------------------------------------------------
    def _run_operators(self, runners: list[OperatorRunner], bell: Bell) -> None:
        reported: set[str] = set()
        while not self._stopping:
            progress = False
            if self._started and not self._failed:
                for runner in runners:
                    try:
                        progress |= not self._failed and runner.step()
                    except BaseException as error:
                        self._raised(runner.node.name, error)
                    if runner.finished and runner.node.name not in reported:
                        reported.add(runner.node.name)
                        self._tell(NodeDone(runner.node.name, runner.digest))
            if not progress:
                bell.sleep(lambda: self._is_work(runners), self._timeout(runners))

    def _is_work(self, runners: list[OperatorRunner]) -> bool:
        return self._started and not self._failed and any(runner.is_work() for runner in runners)

    @staticmethod
    def _timeout(runners: list[OperatorRunner]) -> float | None:
        """Longest sleep [s]: until a join's deadline or the next check of kept views; None = no limit."""
        timeout: float | None = None
        for runner in runners:
            if runner.finished:
                continue
            if runner.line.keeps_views():
                timeout = _VIEWS_S if timeout is None else min(timeout, _VIEWS_S)
            deadline = runner.line.next_deadline()
            if deadline is not None:
                left = max(0.0, (deadline - monotonic_ns()) * 1e-9)
                timeout = left if timeout is None else min(timeout, left)
        return timeout

    # -- messages of the supervisor (I/O thread) --------------------------------------------------------------------
    def _obey(self, message: ToWorker) -> None:
        if isinstance(message, ProcessPlan):
            self._plan = message
            self._have_plan.set()
        elif isinstance(message, Exit):
            self._stop()
        elif isinstance(message, Configure):
            self._configure(message)
        elif self._built is not None:
            if isinstance(message, Start):
                self._start(self._built, message)
            for source in self._built.sources:
                if isinstance(message, Horizon):
                    source.horizon_ns = message.stamp_ns
                elif isinstance(message, End):
                    source.end_at(message.stamp_ns)
            self._wake()

    def _configure(self, message: Configure) -> None:
        """The thread of the node takes the config before its next frame."""
        assert self._built is not None and self._plan is not None
        runner = next(runner for runner in self._built.runners if runner.node.name == message.node)
        try:
            config = settings.build(runner.node.Config, message.config, settings.Where(self._plan.graph))
        except GraphError as error:
            self._tell(Configured(message.node, message.number, "", -1, explain(error)))
        else:
            runner.asked = Asked(message.number, config)

    def _start(self, built: Built, start: Start) -> None:
        built.clock.start(start.anchor_mono_ns, start.anchor_stamp_ns, start.rate, start.live, start.wall_ns)
        for source in built.sources:
            source.limit = start.limits.get(source.node.name)
            source.last_stamp_ns = start.last_stamp_ns
            source.horizon_ns = start.horizon_ns
        self._started = True

    def _stop(self) -> None:
        self._stopping = True
        self._exiting.set()
        self._wake()

    @property
    def terminated(self) -> bool:
        """Has SIGTERM come? Then the process ends by this signal, once its nodes are closed."""
        return self._io.terminated

    def _wake(self) -> None:
        """Make all threads that run nodes check for work."""
        for bell in self._bells:
            bell.ring()


def settle_in(plan: ProcessPlan) -> None:
    """Set the scheduling of this process: `cpus`, `nice`."""
    cpus = sorted({c for n in plan.nodes for c in n.cpus or ()})
    nice = [n.nice for n in plan.nodes if n.nice is not None]
    try:
        if cpus:
            os.sched_setaffinity(0, cpus)
        if nice:
            os.setpriority(os.PRIO_PROCESS, 0, min(nice))
    except OSError as error:
        logging.warning("cpus/nice not set: %s", error)


def keep_descriptors() -> None:
    """The memory of the frames is for this process: a program that a node starts must not inherit it."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2:
            with contextlib.suppress(OSError):  # the descriptor of the listing itself
                os.set_inheritable(fd, False)


def main(argv: list[str] | None = None) -> int:
    started_ns = monotonic_ns()
    parser = argparse.ArgumentParser(prog="pipeline.runtime.worker", description="One process of a run; started by `pipe run`.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--mark", type=int, required=True)
    parser.add_argument("--node", required=True)
    args = parser.parse_args(argv)
    prctl.die_with_parent(args.parent)
    guard.bear(args.mark)
    keep_descriptors()
    memory.keep_freed()
    configure_logging(args.node)
    code, terminated = 1, False
    try:
        worker = Worker(args.folder, args.control, started_ns)
        code = worker.run()
        terminated = worker.terminated
    except BaseException:
        logging.exception("the process failed")
    with contextlib.suppress(OSError, ValueError):  # a full disk under the log
        logging.shutdown()
        sys.stdout.flush()
    if terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    # Not sys.exit: threads may be inside a driver's read(), and finalizers of an exiting interpreter may fail.
    time.sleep(0.02 if code else 0)
    os._exit(code)


if __name__ == "__main__":
    main()
