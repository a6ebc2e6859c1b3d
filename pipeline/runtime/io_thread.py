"""The worker thread that listens while operators compute: to the supervisor, to readers that give credit, to SIGTERM.

It flushes queues when credit arrives, delivers static values, and obeys the supervisor. It never touches frame data.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns

from pipeline.flow.fence import LOOK_S, SURE
from pipeline.flow.latched import StaticIn, StaticOut
from pipeline.flow.transport import Channel, Sockets
from pipeline.frame import FOREVER
from pipeline.runtime import forked
from pipeline.runtime.build import Built
from pipeline.runtime.messages import EdgeEnd, EdgeGone, EdgeUp, Exit, ProcessPlan, ToWorker, to_worker


class IoThread:
    """obey: handles messages that are not about an edge; stop: handles SIGTERM; wake: makes the nodes' threads check for work."""

    def __init__(
        self, folder: Path, control: Path, obey: Callable[[ToWorker], None], stop: Callable[[], None], wake: Callable[[], None]
    ) -> None:
        self._folder, self._obey, self._stop, self._wake = folder, obey, stop, wake
        self._sockets = Sockets()
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._built: Built | None = None
        self._static: list[StaticOut | StaticIn] = []  # edges with a channel
        self._backlog: list[ToWorker] = []
        self._kick = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._watch(self._kick, lambda: _clear(self._kick))
        self.terminated = False
        came, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # The C-level handler writes here at once, even while the main thread runs library code.
        signal.set_wakeup_fd(wakeup)
        for number in (signal.SIGTERM, signal.SIGINT):  # Ctrl-C is the supervisor's. SIG_IGN would pass to programs of a node
            signal.signal(number, lambda *_: None)
        forked.in_child(_leave_signals)
        self._watch(came, lambda: self._take_signals(came))
        self._control = self._sockets.channel(control, bind=False)
        self._watch(self._control.fd, self._control.drain)

    def say(self, data: bytes) -> None:
        """Send to the supervisor, from any thread."""
        self._control.send(data)
        os.eventfd_write(self._kick, 1)  # the send may have moved arrived messages to the inbox

    # -- edges ----------------------------------------------------------------------------------------------------
    def connect(self, built: Built, io_bell: int | None) -> None:
        """Create the channels of static edges to other processes, and listen to the readers from now on.

        io_bell  descriptor that readers ring when they give credit to a queue of this process
        """
        edges: list[StaticOut | StaticIn] = [*built.static_outs.values(), *built.static_ins.values()]
        here = set(built.static_outs) & set(built.static_ins)
        for edge in edges:
            if edge.spec.index not in here:
                self._static.append(edge)
                self._channel(edge, edge.spec.writer_epoch, edge.spec.reader_epoch)
        if io_bell is not None:
            self._watch(io_bell, lambda: self._take_credit(built, io_bell))
        self._built = built
        os.eventfd_write(self._kick, 1)

    def _channel(self, edge: StaticOut | StaticIn, writer_epoch: int, reader_epoch: int) -> None:
        """Create the channel of an edge between these two epochs; close that of earlier epochs."""
        address = self._folder / f"e{edge.spec.index}.{writer_epoch}.{reader_epoch}"
        channel = self._sockets.channel(address, bind=isinstance(edge, StaticOut))
        before = edge.connect(channel, writer_epoch, reader_epoch)
        if before is not None:
            self._unwatch(before)
        self._watch(channel.fd, channel.drain)

    def _work_off(self) -> None:
        """Handle messages of static edges. A send may have moved them to the inbox without a signal on the descriptor."""
        for edge in self._static:
            if edge.channel is not None and edge.channel.inbox:
                edge.work_off()
                self._wake()

    def _take_credit(self, built: Built, bell: int) -> None:
        os.read(bell, 8)
        self._look(built)

    @staticmethod
    def _look(built: Built) -> None:
        with built.log.lock:
            for edge in built.out_edges.values():
                edge.rung()

    # -- the loop -------------------------------------------------------------------------------------------------
    def run(self) -> None:
        try:
            while True:
                self._once()
        except BaseException:
            # Without this thread there is no credit and no stop: log the error, die, and be restarted.
            logging.exception("the I/O thread failed")
            os._exit(70)

    def _once(self) -> None:
        ready = self._poll.poll(self._patience_s())
        for fd, _ in ready:
            handler = self._handlers.get(fd)
            if handler is not None:
                handler()
        if not ready and self._built is not None:
            self._look(self._built)  # in case a ring was missed
        if self._built is not None and self._built.late:
            self._built.deliver()
        self._work_off()
        self._control.drain()
        while self._built is not None and self._backlog:
            self._take(self._built, self._backlog.pop(0))
        while self._control.inbox:
            message = to_worker(self._control.inbox.popleft())
            if isinstance(message, (ProcessPlan, Exit)):
                self._obey(message)
            elif self._built is not None:
                self._take(self._built, message)
            else:
                self._backlog.append(message)  # concerns edges that the main thread is still building

    def _patience_s(self) -> float:
        """Longest wait: until a frame is due that a fault holds back; -1 = no limit."""
        due_ns = FOREVER if self._built is None else self._built.due_ns
        if due_ns == FOREVER:
            return -1 if SURE else LOOK_S
        left_s = max(0.0, (due_ns - monotonic_ns()) * 1e-9)
        return left_s if SURE else min(left_s, LOOK_S)

    def _take(self, built: Built, message: ToWorker) -> None:
        if isinstance(message, EdgeUp):
            edge = built.static_outs.get(message.edge) or built.static_ins[message.edge]
            epochs = (message.writer_epoch, message.reader_epoch)
            if (edge.spec.writer_epoch, edge.spec.reader_epoch) != epochs:  # else already in its plan
                self._channel(edge, *epochs)
        elif isinstance(message, EdgeGone):
            if message.edge in built.out_edges:
                with built.log.lock:
                    built.out_edges[message.edge].give_up()
        elif isinstance(message, EdgeEnd):
            (built.in_edges.get(message.edge) or built.static_ins[message.edge]).cut = True
            self._wake()
        else:
            self._obey(message)

    def _take_signals(self, pipe: int) -> None:
        if signal.SIGTERM in os.read(pipe, 64):  # a node may handle other signals
            self.terminated = True
            self._stop()

    def _watch(self, fd: int, handler: Callable[[], None]) -> None:
        self._handlers[fd] = handler
        self._poll.register(fd, select.EPOLLIN)

    def _unwatch(self, channel: Channel) -> None:
        """The channel is closed, which has removed its descriptor from the epoll."""
        self._handlers.pop(channel.fd, None)


def _leave_signals() -> None:
    """In a forked child: SIGTERM and Ctrl-C end it, and do not reach this thread of its parent."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _clear(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.eventfd_read(fd)
