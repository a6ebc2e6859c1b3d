"""Observes a run while it runs. This observer does nothing; `watch.display.Display` shows the run to the user."""

from __future__ import annotations

from collections.abc import Mapping

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
