"""One process of a run, started as `project.worker_command` says: `pipeline.runtime.worker ... --node NAME`.

Three kinds of threads. The main thread waits for frames and calls the operators in graph order. Each source reads on its own
thread. The I/O thread takes credits, flushes queues and listens to the supervisor, also while an operator computes.
Nobody polls: main and I/O sleep in epoll, sources on an event.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import logging
import os
import select
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from time import monotonic_ns
from typing import Any

from pipeline.errors import PipeError
from pipeline.flow import faults
from pipeline.flow.log import wait_for_supervisor
from pipeline.flow.transport import Channel, Sockets
from pipeline.frame import FOREVER
from pipeline.runtime import memory
from pipeline.runtime.build import Built, build
from pipeline.runtime.logs import configure_logging
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
    Nudge,
    ProcessPlan,
    Ready,
    Start,
    ToWorker,
    pack,
    to_worker,
)
from pipeline.runtime.runner import ROUSE_NS, Failure, OperatorRunner, SourceRunner

_PR_SET_PDEATHSIG = 1
_LOOK_S = 0.1
"""How often the I/O thread looks for a credit that was asked for, in case a ring was missed (see ports.fence)."""


class Waker:
    """Ends another thread's epoll."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def set(self) -> None:
        os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)


class Worker:
    def __init__(self, folder: Path, control: Path, started_ns: int) -> None:
        self.folder = folder
        self.started_ns = started_ns
        self.sockets = Sockets()
        self.main_wake, self.io_wake = Waker(), Waker()
        self.stopping = threading.Event()
        self.exiting = threading.Event()
        self.started = threading.Event()
        self.failed = False
        self.built: Built | None = None
        self._plan: ProcessPlan | None = None
        self._have_plan = threading.Event()
        self._sleeping = self._poked = False
        self._wired = False
        self._backlog: list[ToWorker] = []
        self._main_poll, self._io_poll = select.epoll(), select.epoll()
        self._main_poll.register(self.main_wake.fd, select.EPOLLIN)
        self._io_poll.register(self.io_wake.fd, select.EPOLLIN)
        self._main_fds: dict[int, Channel] = {}
        self._io_fds: dict[int, Any] = {}
        self._source_wakes: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []
        self._term_read, term_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # The C-level handler writes here at once, even while the main thread is deep inside a library.
        signal.set_wakeup_fd(term_write)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._io_poll.register(self._term_read, select.EPOLLIN)
        self.control = self.sockets.channel(control, bind=False)
        self._io_poll.register(self.control.fd, select.EPOLLIN)
        threading.Thread(target=self._io_loop, name="io", daemon=True).start()
        self.tell(Hello(os.getpid(), started_ns))

    def tell(self, message: FromWorker) -> None:
        self.control.send(pack(message))
        self.io_wake.set()  # whatever the send found in the inbox

    # -- life -----------------------------------------------------------------------------------------------------
    def run(self) -> int:
        while not self._have_plan.wait(0.2):
            if self.stopping.is_set():
                return 0
        plan = self._plan
        assert plan is not None
        self._settle_in(plan)
        first = {n.name: n.resume is None for n in plan.nodes}
        injected = map(faults.Fault.parse, plan.inject)
        faults.arm(f for f in injected if f.node in first and (f.again or first[f.node]))
        current = plan.nodes[0].name
        try:
            built = build(plan, on_full=wait_for_supervisor(lambda: self.tell(Nudge())), on_room=self._on_room)
            self.built = built
            imported_ns = monotonic_ns()
            for source in built.sources:
                self._source_wakes[source.node.name] = threading.Event()
            self._connect()
            self._wired = True
            self.io_wake.set()
            for runner in built.all:
                current = runner.node.name
                runner.open()
        except PipeError as error:
            return self._fail(current, str(error))
        except Exception as error:
            return self._fail(current, f"{current}: open: {type(error).__name__}: {error}", traceback.format_exc())
        self.tell(Ready(imported_ns, monotonic_ns()))
        for source in built.sources:
            thread = threading.Thread(target=self._source_loop, args=(source,), name=source.node.name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._main_loop(built)
        self._close(built)
        return 0

    def _settle_in(self, plan: ProcessPlan) -> None:
        cpus = sorted({c for n in plan.nodes for c in n.cpus or ()})
        try:
            if cpus:
                os.sched_setaffinity(0, cpus)
            nice = [n.nice for n in plan.nodes if n.nice is not None]
            if nice:
                os.setpriority(os.PRIO_PROCESS, 0, min(nice))
        except OSError as error:
            logging.warning("cpus/nice not set: %s", error)

    def _connect(self) -> None:
        assert self.built is not None
        for index, edge in self.built.out_edges.items():
            if edge.local is None:
                edge.channel = self.sockets.channel(
                    self._address(index, edge.spec.writer_epoch, edge.spec.reader_epoch), bind=True
                )
                self._watch_out(edge.channel, index)
        for index, in_edge in self.built.in_edges.items():
            if in_edge.local is None:
                channel = self.sockets.channel(
                    self._address(index, in_edge.spec.writer_epoch, in_edge.spec.reader_epoch), bind=False
                )
                self._watch_in(channel)
                in_edge.connect(channel)

    def _address(self, edge: int, writer: int, reader: int) -> Path:
        return self.folder / f"e{edge}.{writer}.{reader}"

    def _watch_out(self, channel: Channel, edge: int) -> None:
        fd = channel.fd
        self._io_fds[fd] = edge
        self._io_poll.register(fd, select.EPOLLIN)

    def _watch_in(self, channel: Channel) -> None:
        self._main_fds[channel.fd] = channel
        self._main_poll.register(channel.fd, select.EPOLLIN)

    def _unwatch(self, poll: select.epoll, fds: dict[int, Any], channel: Channel | None) -> None:
        if channel is not None and fds.pop(channel.fd, None) is not None:
            poll.unregister(channel.fd)

    def _close(self, built: Built) -> None:
        """Finish the files. Sources first: they may be what feeds an operator's resources."""
        for thread in self._threads:
            thread.join(0.3)
        for runner in built.all:
            if not runner.finished:
                try:
                    runner.node.close()
                except Exception:
                    logging.exception("close of %s", runner.node.name)

    def _fail(self, node: str, text: str, details: str = "") -> int:
        """Report, then wait to be told to go (the supervisor stops the run)."""
        logging.error("%s\n%s", text, details)
        self.failed = True
        self.tell(Failed(node, text, details))
        self.exiting.wait(10.0)
        return 1

    def _on_room(self) -> None:
        """Credit or a slot came back: whoever waits for room may go on."""
        self._wake_main()
        for wake in self._source_wakes.values():
            wake.set()

    def _wake_main(self) -> None:
        self._poked = True
        if self._sleeping:
            self._sleeping = False
            self.main_wake.set()

    # -- main thread: operators -----------------------------------------------------------------------------------
    def _main_loop(self, built: Built) -> None:
        runners = built.runners
        reported: set[str] = set()
        while not self.stopping.is_set() and not self.exiting.is_set():
            progress = self._poked = False
            if self.started.is_set():
                for runner in runners:
                    if self.failed:
                        break
                    try:
                        progress |= runner.step()
                    except Failure as failure:
                        self._report(runner.node.name, str(failure), failure.details)
                    except PipeError as error:
                        self._report(runner.node.name, str(error), traceback.format_exc())
                    except Exception as error:
                        self._report(
                            runner.node.name, f"{runner.node.name}: {type(error).__name__}: {error}", traceback.format_exc()
                        )
                    if runner.finished and runner.node.name not in reported:
                        reported.add(runner.node.name)
                        self.tell(NodeDone(runner.node.name, runner.digest))
            if not progress:
                self._sleep(runners)

    def _report(self, node: str, text: str, details: str) -> None:
        self.failed = True
        logging.error("%s\n%s", text, details)
        self.tell(Failed(node, text, details))

    def _sleep(self, runners: list[OperatorRunner]) -> None:
        timeout = -1.0
        for runner in runners:
            if runner.finished:
                continue
            if any(e.kept for e in runner.inputs.values()):
                timeout = 0.05  # views end in any thread, without a sound
            deadline = runner.next_deadline()
            if deadline is not None:
                left = max(0.0, (deadline - monotonic_ns()) * 1e-9)
                timeout = left if timeout < 0 else min(timeout, left)
        self._sleeping = True
        # Looked at after `_sleeping` is set: whoever comes later than this line writes to main_wake.
        if self._poked or (self._arrivals(runners) and self.started.is_set()):
            self._sleeping = False
            return
        for fd, _ in self._main_poll.poll(timeout):
            channel = self._main_fds.get(fd)
            if channel is not None:
                channel.take()
            elif fd == self.main_wake.fd:
                self.main_wake.clear()
        self._sleeping = False

    @staticmethod
    def _arrivals(runners: list[OperatorRunner]) -> bool:
        for runner in runners:
            for edges in (runner.inputs, runner.statics):
                for edge in edges.values():
                    if edge.inbox or (edge.channel is not None and edge.channel.inbox):
                        return True
        return False

    # -- source threads -------------------------------------------------------------------------------------------
    def _source_loop(self, source: SourceRunner) -> None:
        wake = self._source_wakes[source.node.name]
        self.started.wait()
        name = source.node.name
        # A frame for a node of this process arrives without a socket: nobody else would wake the main thread.
        local = any(edge.local is not None for port in source.outputs.values() for edge in port.edges)
        try:
            while not self.stopping.is_set():
                wake.clear()
                if not source.room():
                    wake.wait()
                    continue
                if not self._due(source, wake):
                    continue
                if not source.step():
                    break
                if local:
                    self._wake_main()
            if not self.stopping.is_set():
                source.end()
                if local:
                    self._wake_main()
                self.tell(NodeDone(name, None))
        except Failure as failure:
            self._report(name, str(failure), failure.details)
        except PipeError as error:
            self._report(name, str(error), traceback.format_exc())
        except Exception as error:
            self._report(name, f"{name}: {type(error).__name__}: {error}", traceback.format_exc())

    def _due(self, source: SourceRunner, wake: threading.Event) -> bool:
        """Paced replay: wait until the next reading's time. False when something else has to be looked at first."""
        clock = source.clock
        if (clock.rate is None and source.horizon_ns is None) or source.source.live:
            return True
        try:
            reading = source.peek()
        except Exception:
            return True  # step() meets it again and reports
        if reading is None:
            return True
        if source.horizon_ns is not None and reading.stamp_ns > source.horizon_ns:
            self.tell(AtHorizon(source.node.name, reading.stamp_ns))
            wake.wait()
            return False
        if clock.rate is not None and clock.anchor_stamp_ns is None:
            clock.anchor_stamp_ns = reading.stamp_ns
        due = clock.due_mono_ns(reading.stamp_ns)
        left = 0 if due is None else due - monotonic_ns()
        if clock.live and left > ROUSE_NS:
            wake.wait((left - ROUSE_NS) * 1e-9)
            source.rouse()
            return False
        if left > 0:
            wake.wait(left * 1e-9)
            return False
        return True

    # -- I/O thread -----------------------------------------------------------------------------------------------
    def _io_loop(self) -> None:
        try:
            self._io()
        except BaseException:
            # Without this thread no credit, no stop: better dead, named in the log, and restarted.
            logging.exception("the I/O thread failed")
            os._exit(70)

    def _io(self) -> None:
        while True:
            ready = self._io_poll.poll(_LOOK_S)
            if not ready and self._wired and self.built is not None:
                for edge in self.built.out_edges.values():
                    with edge.port.lock:
                        edge.look()
            for fd, _ in ready:
                if fd == self.io_wake.fd:
                    self.io_wake.clear()
                elif fd == self._term_read:
                    os.read(self._term_read, 64)
                    self._stop()
                elif fd in self._io_fds:
                    self._take_credits(fd)
            self.control.drain()
            if self._wired:
                while self._backlog:
                    self._obey(self._backlog.pop(0))
            while self.control.inbox:
                message = to_worker(self.control.inbox.popleft())
                if self._wired or isinstance(message, (ProcessPlan, Exit)):
                    self._obey(message)
                else:
                    self._backlog.append(message)  # concerns edges that the main thread is just making

    def _take_credits(self, fd: int) -> None:
        assert self.built is not None
        edge = self.built.out_edges[self._io_fds[fd]]
        with edge.port.lock:
            if edge.channel is not None:
                edge.channel.take()
                edge.work_off()

    def _stop(self) -> None:
        self.stopping.set()
        self.started.set()
        self.main_wake.set()
        for wake in self._source_wakes.values():
            wake.set()

    def _obey(self, message: ToWorker) -> None:
        if isinstance(message, ProcessPlan):
            self._plan = message
            self._have_plan.set()
            return
        if isinstance(message, Exit):
            self.exiting.set()
            self._stop()
            return
        built = self.built
        assert built is not None
        if isinstance(message, Start):
            self._start(built, message)
        elif isinstance(message, Horizon):
            for source in built.sources:
                source.horizon_ns = message.stamp_ns
                self._source_wakes[source.node.name].set()
        elif isinstance(message, End):
            for source in built.sources:
                last_ns = source.last_stamp_ns
                source.last_stamp_ns = message.stamp_ns if last_ns is None else min(message.stamp_ns, last_ns)
                self._source_wakes[source.node.name].set()
        elif isinstance(message, EdgeDown):
            self._edge_down(built, message.edge)
            self.tell(EdgeDownOk(message.edge, message.number))
        elif isinstance(message, EdgeUp):
            self._edge_up(built, message.edge, message.writer_epoch, message.reader_epoch)
        elif isinstance(message, EdgeGone):
            edge = built.out_edges[message.edge]
            self._unwatch(self._io_poll, self._io_fds, edge.channel)
            with edge.port.lock:
                edge.give_up()
        elif isinstance(message, EdgeEnd):
            in_edge = built.in_edges[message.edge]
            in_edge.cut = True
            if not in_edge.spec.static:
                in_edge.inbox.append(FOREVER)
            self.main_wake.set()

    def _start(self, built: Built, start: Start) -> None:
        built.clock.start(start.anchor_mono_ns, start.anchor_stamp_ns, start.rate, start.live)
        for source in built.sources:
            source.limit = start.limits.get(source.node.name)
            source.last_stamp_ns = start.last_stamp_ns
            source.horizon_ns = start.horizon_ns
        self.started.set()
        self.main_wake.set()

    def _edge_down(self, built: Built, index: int) -> None:
        if index in built.out_edges:
            edge = built.out_edges[index]
            with edge.port.lock:
                self._unwatch(self._io_poll, self._io_fds, edge.channel)
                edge.down()
        else:
            in_edge = built.in_edges[index]
            self._unwatch(self._main_poll, self._main_fds, in_edge.channel)
            in_edge.down()
            self.main_wake.set()

    def _edge_up(self, built: Built, index: int, writer_epoch: int, reader_epoch: int) -> None:
        address = self._address(index, writer_epoch, reader_epoch)
        spec = (built.out_edges.get(index) or built.in_edges[index]).spec
        if (spec.writer_epoch, spec.reader_epoch) == (writer_epoch, reader_epoch):
            return  # both ends were restarted and this one knows it from its plan
        if index in built.out_edges:
            edge = built.out_edges[index]
            with edge.port.lock:
                self._unwatch(self._io_poll, self._io_fds, edge.channel)
                edge.down()
                edge.spec.writer_epoch, edge.spec.reader_epoch = writer_epoch, reader_epoch
                edge.seq = 0
                edge.channel = self.sockets.channel(address, bind=True)
                self._watch_out(edge.channel, index)
        else:
            in_edge = built.in_edges[index]
            self._unwatch(self._main_poll, self._main_fds, in_edge.channel)
            in_edge.down()
            in_edge.spec.writer_epoch, in_edge.spec.reader_epoch = writer_epoch, reader_epoch
            channel = self.sockets.channel(address, bind=False)
            in_edge.connect(channel)
            self._watch_in(channel)
            self.main_wake.set()


def die_with_parent(parent: int) -> None:
    """Be killed when the supervisor dies, however it dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before the line above


def main(argv: list[str] | None = None) -> int:
    started_ns = monotonic_ns()
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.runtime.worker", description="One process of a run; started by `pipe run`."
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--node", required=True)
    args = parser.parse_args(argv)
    die_with_parent(args.parent)
    memory.keep_freed()
    configure_logging(args.node)
    worker = Worker(args.folder, args.control, started_ns)
    code = worker.run()
    logging.shutdown()
    sys.stdout.flush()
    # Not sys.exit: threads may be inside a driver's read(), and finalizers of a half-dead interpreter help nobody.
    time.sleep(0.02 if code else 0)
    os._exit(code)


if __name__ == "__main__":
    main()
