"""Observes a run while it runs. This observer does nothing; `watch.display.Display` shows the run to the user."""

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
    """A display whose exceptions end the showing, not the run: a full disk or a closed pipe under standard output."""

    def __init__(self, display: Observer) -> None:
        self._display = display
        self._shows = True

    def start(self) -> None:
        self._show(self._display.start)

    def started(self, pids: Pids) -> None:
        self._show(self._display.started, pids)

    def update(self, pids: Pids) -> None:
        self._show(self._display.update, pids)

    def event(self, text: str) -> None:
        """Also when the table is gone: events go to standard error."""
        with contextlib.suppress(Exception):
            self._display.event(text)

    def stop(self) -> None:
        """Called in any case: it ends the display's thread."""
        with contextlib.suppress(Exception):
            self._display.stop()

    def _show(self, show: Callable[..., None], *pids: Pids) -> None:
        if self._shows:
            try:
                show(*pids)
            except Exception:
                self._shows = False
