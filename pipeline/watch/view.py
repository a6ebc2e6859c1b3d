"""The observer behind `--view`: gives the page's server what viewers see, from the thread of the run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from pipeline.runtime import streams
from pipeline.runtime.observer import Observer, Pids
from pipeline.runtime.session import Session
from pipeline.runtime.snapshot import snapshot
from pipeline.watch.history import History
from pipeline.watch.page.content import content
from pipeline.watch.page.html import LIVE, embedded, page
from pipeline.watch.page.save import NAME
from pipeline.watch.page.stories import Stories
from pipeline.watch.serve import UPDATE_S, Server

MOST_WAIT_S = 2.0
LIVE_ROWS, LIVE_FRAMES = 1 << 14, 60
"""Newest events, and frames of them, that a viewer's slider has while the run lives."""


class View(Observer):
    """A context manager: the server lives as long. Raises GraphError if the port is taken."""

    session: Session

    def __init__(self, out: Path, nodes: Iterable[str], port: int) -> None:
        self.server = Server(out, nodes, port)
        self._snapshot: Mapping[str, Any] = {}
        self._wanted, self._made = threading.Event(), threading.Event()
        self._next = 0.0
        self._history: tuple[History, Stories] | None = None
        self._reading = threading.Lock()

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.end()

    def of(self, session: Session) -> View:
        """The run to show."""
        self.session = session
        return self

    def start(self) -> None:
        self._take()
        self.server.page, self.server.stories = self.page, self.stories
        streams.show([f"run page: {self.server.url}"])

    def update(self, pids: Pids) -> None:
        now = monotonic()
        if self._wanted.is_set() or (self.server.feed.viewers and now >= self._next):
            self._next = now + UPDATE_S
            self._take()

    def event(self, text: str) -> None:
        self.server.feed.put("note", json.dumps(text))

    def stop(self) -> None:
        self._take()

    def final(self, made: Mapping[str, Any] | None) -> None:
        """The run has ended, and its page is made: viewers get the same."""
        if made is not None:
            self.server.feed.put("final", embedded({**made, "file": str(self.session.options.out / NAME)}))

    def page(self) -> str:
        """In a thread of the server. It waits for a snapshot that the thread of the run makes."""
        self._made.clear()
        self._wanted.set()
        self._made.wait(MOST_WAIT_S)
        return page(content(self.session.graph, self.session.options.out, self._snapshot), LIVE)

    def stories(self) -> Any:
        """Of the newest frames. In a thread of the server."""
        with self._reading:
            if self._history is None:
                history = History(self.session.options.out)
                self._history = history, Stories(history, LIVE_ROWS, LIVE_FRAMES)
            history, stories = self._history
            for rows in history.newer():
                stories.add(rows)
            return stories.result()

    def _take(self) -> None:
        self._snapshot = snapshot(self.session)
        self._wanted.clear()
        self._made.set()
        self.server.feed.put("snapshot", embedded(self._snapshot))
