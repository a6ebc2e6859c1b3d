"""How a run ends: what the processes were told, and when those that do not obey are killed.

stop      a signal, an error, the end of --duration: each process finishes its step, closes its nodes and exits
release   all nodes are done and closed: each process exits
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from time import monotonic_ns

from pipeline.graph.layout import CLOSING, STATE
from pipeline.runtime.children import Child, Children
from pipeline.runtime.messages import Exit
from pipeline.runtime.session import Session
from pipeline.runtime.stuck import CALLS

DRAIN_S, STEP_S = 0.15, 0.15
"""After --duration: time for the frames on their way. After a stop: time to finish a step; then `close_s` begins."""


class Ending:
    """in_time: the run ends by --duration, as asked; only then a call other than close() that does not end is an error."""

    def __init__(self, session: Session, children: Children) -> None:
        self.session, self.plan, self.children = session, session.plan, children
        self.stopped_ns = self.released_ns = 0
        self.in_time = False

    @property
    def begun(self) -> bool:
        return bool(self.stopped_ns or self.released_ns)

    def stop(self) -> None:
        if self.stopped_ns:
            return
        self.stopped_ns = monotonic_ns()
        self.children.measure()
        for child in self.children:
            child.respawn_at_ns = 0
            self.children.signal(child, signal.SIGTERM)
            self.children.signal(child, signal.SIGCONT)

    def release(self) -> None:
        self.released_ns = monotonic_ns()
        self.children.measure()
        self.children.tell_all(Exit())

    def overdue(self, now: int) -> Iterator[tuple[Child, str]]:
        """Each process that should be gone by now, and the error: one line, or ""."""
        since = self.stopped_ns or self.released_ns
        for child in self.children:
            close_s = max(self.session.graph.nodes[n].close_s for n in child.nodes)
            if since and child.alive and now - since > (STEP_S + close_s) * 1e9:
                yield child, next(filter(None, (self._text(name) for name in child.nodes)), "")

    def _text(self, name: str) -> str:
        """After close() is cut short, files may lack their ends. A step that is cut short shows in the ledger, by its frames."""
        board, close_s = self.session.board, self.session.graph.nodes[name].close_s
        state = board.words[board.node(self.plan.node_index[name]) + STATE]
        if state not in CALLS or (state != CLOSING and not self.in_time):
            return ""
        return close_text(name, close_s, CALLS[state])


def close_text(name: str, close_s: float, call: str = "close()") -> str:
    return f"{name}: {call} took more than close_s = {close_s:g} s after the end of the run; cut short; raise close_s: of {name}?"
