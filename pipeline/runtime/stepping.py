"""`--rate step`: readings wait at the horizon; Enter, or without a terminal the next report, lets the earliest one through."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection

from pipeline.runtime.messages import AtHorizon, Horizon


class Stepping:
    """done: nodes at the end of their streams; tell_all: sends a message to every process."""

    def __init__(self, sources: Collection[str], done: Collection[str], tell_all: Callable[[Horizon], None]) -> None:
        self._sources, self._done, self._tell_all = sources, done, tell_all
        self._waiting: dict[str, int] = {}

    def waits(self, message: AtHorizon) -> None:
        """A source has a reading behind the horizon."""
        self._waiting[message.source] = message.stamp_ns
        if not terminal():
            self.step()

    def ended(self, node: str) -> None:
        self._waiting.pop(node, None)

    def step(self) -> None:
        """Let the earliest waiting reading through, when every source waits."""
        with contextlib.suppress(OSError, ValueError):
            if terminal():
                sys.stdin.readline()
        if self._waiting and set(self._waiting) >= {s for s in self._sources if s not in self._done}:
            horizon = min(self._waiting.values())
            self._waiting.clear()
            self._tell_all(Horizon(horizon))


def terminal() -> bool:
    """Can the user press Enter? (A program without standard input has no `sys.stdin`.)"""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
