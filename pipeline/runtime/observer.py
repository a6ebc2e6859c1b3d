"""Observes a run while it runs. `Observer` does nothing; `watch.display.Display` shows the run to the user."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

Pids = Mapping[str, int]
"""Process -> its pid, for living processes; empty with `--place inline`."""


class Observer:
    def start(self) -> None:
        """The processes are about to start."""

    def started(self, pids: Pids) -> None:
        """All nodes are open: the graph clock starts."""

    def event(self, text: str) -> None:
        """An event to show at once: a restart, a node given up."""

    def update(self, pids: Pids) -> None:
        """Called ten times a second until all nodes are done; the books are up to date."""

    def stop(self) -> None:
        """The run has ended."""


class Guarded(Observer):
    """Several observers. The exception of one ends that one, not the run: a full disk or a closed pipe under standard output."""

    def __init__(self, *observers: Observer) -> None:
        self._all = observers
        self._shows = list(observers)

    def start(self) -> None:
        self._show(lambda one: one.start())

    def started(self, pids: Pids) -> None:
        self._show(lambda one: one.started(pids))

    def update(self, pids: Pids) -> None:
        self._show(lambda one: one.update(pids))

    def event(self, text: str) -> None:
        """Also when the table is gone: events go to standard error."""
        for one in self._all:
            with contextlib.suppress(Exception):
                one.event(text)

    def stop(self) -> None:
        """Called in any case: it ends the observer's thread."""
        for one in self._all:
            with contextlib.suppress(Exception):
                one.stop()

    def _show(self, call: Callable[[Observer], None]) -> None:
        for one in list(self._shows):
            try:
                call(one)
            except Exception:
                self._shows.remove(one)
