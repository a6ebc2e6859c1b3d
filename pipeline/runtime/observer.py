"""Whoever looks on while a run runs. This one sees nothing; `watch.display.Display` shows it to a person."""

from __future__ import annotations

from collections.abc import Mapping

Pids = Mapping[str, int]
"""Process -> its pid, of those that live; nothing of `--place inline`."""


class Observer:
    def start(self) -> None:
        """The processes are about to start."""

    def started(self, pids: Pids) -> None:
        """All nodes are open: the graph clock starts."""

    def event(self, text: str) -> None:
        """Something happened that a person wants to know at once: a restart, a node given up."""

    def update(self, pids: Pids) -> None:
        """Called ten times a second until everything is done; the books are up to date."""

    def stop(self) -> None:
        """The run has ended."""
