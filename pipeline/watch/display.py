"""Shows a running graph: a live table on a terminal, plain lines elsewhere. It only reads the books."""

from __future__ import annotations

import sys
import time
from typing import Any

from pipeline.graph.layout import OPENING, PROCESSING, READING, STATE, WAITING
from pipeline.graph.spec import GraphSpec
from pipeline.runtime.observer import Observer, Pids
from pipeline.runtime.session import Session
from pipeline.watch.opening import Opening

TABLE_S, LINE_S = 0.5, 2.0


class Display(Observer):
    """`quiet` shows events and errors only."""

    def __init__(self, session: Session, quiet: bool) -> None:
        self.session = session
        self.quiet = quiet
        self._live: Any = None
        self._terminal = sys.stdout.isatty() and not quiet
        self._next = 0.0
        self._begun = time.monotonic()
        self._last: dict[str, tuple[float, int]] = {}
        self._rates: dict[str, float] = {}
        self._printed: dict[str, str] = {}  # node -> the status last printed
        self._opening: Opening | None = None

    def start(self) -> None:
        if self.quiet:
            return
        if self._terminal:
            from rich.live import Live

            self._live = Live(auto_refresh=False, transient=False)
            self._live.start()
        else:
            graph = self.session.graph
            print(
                f"{graph.name}: {len(graph.nodes)} nodes in {len(self.session.plan.places)} processes, "
                f"{self.session.plan.pool_bytes / 1e6:.0f} MB of frames",
                flush=True,
            )
        self._opening = Opening(self._nodes_opening, self._say_waiting)
        self._opening.start()

    def started(self, pids: Pids) -> None:
        self._begun = time.monotonic()
        self._stop_waiting()

    def _nodes_opening(self) -> list[str]:
        board, index = self.session.board, self.session.plan.node_index
        return [name for name, i in index.items() if board.words[board.node(i) + STATE] == OPENING]

    def _say_waiting(self, text: str) -> None:
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(text), refresh=True)
        else:
            print(text, flush=True)

    def _stop_waiting(self) -> None:
        if self._opening is not None:
            self._opening.stop()
            self._opening = None

    def event(self, text: str) -> None:
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def update(self, pids: Pids) -> None:
        while self.session.sampler.news:
            self.event(self.session.sampler.news.popleft())
        now = time.monotonic()
        if self.quiet or now < self._next:
            return
        self._next = now + (TABLE_S if self._terminal else LINE_S)
        self._measure(now)
        if self._live is not None:
            if self._opening is None:
                self._live.update(self._table(), refresh=True)
        elif any(book.steps for book in self.session.node_books.values()):
            print(self._line(), flush=True)
            self._print_statuses()

    def stop(self) -> None:
        self._stop_waiting()
        if self._live is not None:
            self._measure(time.monotonic())
            self._live.update(self._table(), refresh=True)
            self._live.stop()
            self._live = None

    def _statuses(self) -> dict[str, str]:
        """Node -> its status line, for nodes that have one."""
        board, index = self.session.board, self.session.plan.node_index
        return {name: text for name in self.session.graph.order() if (text := board.status(index[name]))}

    def _print_statuses(self) -> None:
        """Print every status that has changed, as a plain line."""
        statuses = self._statuses()
        for name, text in statuses.items():
            if text != self._printed.get(name):
                print(f"  {name}: {text}", flush=True)
        self._printed = statuses

    # -- figures --------------------------------------------------------------------------------------------------
    def _measure(self, now: float) -> None:
        for name, book in self.session.node_books.items():
            then, steps = self._last.get(name, (self._begun, 0))
            if now - then > 0.2:
                self._rates[name] = (book.steps - steps) / (now - then)
                self._last[name] = (now, book.steps)

    def _progress(self) -> tuple[str, str]:
        """("134/200", "ETA 3 s") of the first source."""
        graph, plan = self.session.graph, self.session.plan
        if not plan.sources:
            return "", ""
        first = plan.sources[0]
        done = self.session.node_books[first].steps
        total = frames_of(graph, first)
        wanted = self.session.options.frames
        if wanted is not None:
            total = wanted if total is None else min(total, wanted)
        if total is None:
            return f"{done}", ""
        elapsed = time.monotonic() - self._begun
        if not done or done >= total:
            return f"{done}/{total}", ""
        return f"{done}/{total}", f"ETA {elapsed / done * (total - done):.0f} s"

    def _node_row(self, name: str) -> list[str]:
        session = self.session
        book, plan = session.node_books[name], session.plan
        edges = [e for e in plan.edges if e.dst_node == name and not e.static]
        queued = sum(session.edge_books[e.id].in_flight for e in edges)
        drops = sum(sum(session.edge_books[e.id].dropped.values()) for e in edges)
        p50, p99 = book.compute.quantile(0.5), book.compute.quantile(0.99)
        words, at = session.board.words, session.board.node(plan.node_index[name])
        state = {PROCESSING: "busy", READING: "read", WAITING: "wait"}.get(words[at + STATE], "")
        return [
            name,
            state,
            f"{book.steps}",
            f"{self._rates.get(name, 0.0):.1f}",
            "" if p50 is None else f"{p50 * 1e-6:.2f}",
            "" if p99 is None else f"{p99 * 1e-6:.2f}",
            f"{queued}" if edges else "",
            f"{drops}" if edges else "",
            f"{book.errors}" if book.errors else "",
            self._latency(name),
        ]

    def _latency(self, name: str) -> str:
        latency = self.session.node_books[name].latency
        p50, p99 = latency.quantile(0.5), latency.quantile(0.99)
        return "" if p50 is None or p99 is None else f"{p50 * 1e-6:.1f} / {p99 * 1e-6:.1f}"

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        progress, eta = self._progress()
        table = Table(title=f"{self.session.graph.name}  {progress} frames  {eta}", title_justify="left")
        for column in ("node", "", "frames", "per s", "p50 ms", "p99 ms", "queue", "drops", "errors", "latency p50 / p99 ms"):
            table.add_column(column, justify="left" if column in ("node", "") else "right")
        for name in self.session.graph.order():
            table.add_row(*self._node_row(name))
        statuses = self._statuses()
        if statuses:
            table.caption = Text("\n".join(f"{name}: {text}" for name, text in statuses.items()))
            table.caption_justify = "left"
        return table

    def _line(self) -> str:
        progress, eta = self._progress()
        parts = [f"{name} {self._rates.get(name, 0.0):.0f}/s" for name in self.session.graph.order()]
        drops = sum(sum(book.dropped.values()) for book in self.session.edge_books)
        return f"{progress} frames  {', '.join(parts)}  drops {drops}" + (f"  {eta}" if eta else "")


def frames_of(graph: GraphSpec, source: str) -> int | None:
    """Number of readings of a source; None = endless or unknown."""
    return graph.found[source].frames
