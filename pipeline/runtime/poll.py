"""One thread's epoll: calls a handler when its descriptor becomes readable."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable


class Poll:
    def __init__(self) -> None:
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}

    def watch(self, fd: int, handler: Callable[[], None]) -> None:
        self._handlers[fd] = handler
        with contextlib.suppress(FileExistsError, PermissionError):  # a plain file is always readable
            self._poll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def wait(self, timeout_s: float) -> None:
        """Sleep until a descriptor is readable or the time is over; call the handlers."""
        for fd, _ in self._poll.poll(timeout_s):
            handler = self._handlers.get(fd)  # an earlier handler may have unwatched it
            if handler is not None:
                handler()

    def close(self) -> None:
        self._poll.close()
