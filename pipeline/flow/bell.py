"""A thread sleeps until another process has work for it: an eventfd and a board word that says "asleep".

Each thread that runs nodes has a bell. The supervisor makes the eventfds, so a bell outlives the process that listens to it.
A thread that stores work for the sleeper then calls `wake()`, which makes a system call only if the sleeper sleeps.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Any

from pipeline.flow.fence import LOCK, LOOK_S, ORDERED, SURE, fence

_MAX_SELECT = 1024
"""select() has a resolution of microseconds (epoll: milliseconds), but takes small descriptors only."""


def make() -> int:
    """An eventfd for one bell. Reading blocks, so that sleeping without a limit takes one system call."""
    return os.eventfd(0, os.EFD_CLOEXEC)


class Bell:
    """Only the thread that sleeps here writes `words[asleep]`."""

    __slots__ = ("_asleep", "_fd", "_words")

    def __init__(self, fd: int, words: Any, asleep: int) -> None:
        self._fd, self._words, self._asleep = fd, words, asleep

    def wake(self) -> None:
        """Ring if the thread sleeps. Store the work before."""
        if ORDERED:
            with LOCK:  # fence(), inlined
                pass
        else:
            fence()
        if self._words[self._asleep]:
            os.eventfd_write(self._fd, 1)

    def ring(self) -> None:
        """End the present or the next sleep: for work that no board word shows."""
        os.eventfd_write(self._fd, 1)

    def sleep(self, is_work: Callable[[], bool], timeout_s: float | None) -> None:
        """Wait for a ring or `timeout_s` (None = no limit). Returns at once if there is work."""
        self._words[self._asleep] = 1
        fence()
        # The order matters: a thread that stores work after this check sees the word.
        if not is_work():
            if not SURE:
                timeout_s = LOOK_S if timeout_s is None else min(timeout_s, LOOK_S)
            if timeout_s is None or self._waits(timeout_s):
                os.read(self._fd, 8)
        self._words[self._asleep] = 0

    def _waits(self, timeout_s: float) -> bool:
        """Has the bell been rung within the limit?"""
        if self._fd < _MAX_SELECT:
            return bool(select.select((self._fd,), (), (), timeout_s)[0])
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(timeout_s * 1e3))


class Silent:
    """The bell of a thread that never sleeps: in an inline run."""

    __slots__ = ()

    def wake(self) -> None:
        pass

    def ring(self) -> None:
        pass
