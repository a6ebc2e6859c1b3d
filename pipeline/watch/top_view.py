"""The screen of `pipe top`: what the keys have chosen, and the tables for it. The rows come from `top_rows.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.watch.top_keys import DOWN, ENTER, ESCAPE, UP
from pipeline.watch.top_rows import EDGES, NODES, Snapshot, edge_rows, lines, node_rows, ordered, title

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

KEYS = "q quit  p pause  s, e sort nodes, edges  up, down choose a node  Enter its log"
LOG_KEYS = "q quit  p pause  Esc back to the tables"
MORE_LINES = 8
"""Lines around the two tables: titles of the columns, the text above, keys below, blank lines."""


@dataclass
class View:
    """What is shown. by_node, by_edge: column that sorts a table, None = order of the graph; log_of: node whose log is shown."""

    by_node: int | None = None
    by_edge: int | None = None
    paused: bool = False
    chosen: str = ""
    log_of: str = ""
    quits: bool = False
    order: list[str] = field(default_factory=list)  # of the nodes as last shown

    def press(self, key: str) -> None:
        if key == "q":
            self.quits = True
        elif key in ("p", " "):
            self.paused = not self.paused
        elif key == ESCAPE:
            self.log_of = ""
        elif key == "s":
            self.by_node = _next(self.by_node, len(NODES))
        elif key == "e":
            self.by_edge = _next(self.by_edge, len(EDGES))
        elif key in (UP, DOWN) and self.order and not self.log_of:
            at = self.order.index(self.chosen) if self.chosen in self.order else -1 if key == DOWN else len(self.order)
            self.chosen = self.order[min(max(at + (1 if key == DOWN else -1), 0), len(self.order) - 1)]
        elif key == ENTER and self.chosen:
            self.log_of = self.chosen

    def screen(self, then: Snapshot | None, now: Snapshot, width: int, height: int, notes: Sequence[str]) -> RenderableType:
        """The tables for a screen of this size; notes: lines above them."""
        from rich.console import Group
        from rich.text import Text

        nodes = ordered(node_rows(then, now), NODES, self.by_node)
        edges = ordered(edge_rows(then, now), EDGES, self.by_edge)
        self.order = [row.name for row in nodes]
        room = max(2, height - MORE_LINES - len(notes))
        for_nodes = min(len(nodes), max(room - len(edges), (room + 1) // 2))
        at = self.order.index(self.chosen) if self.chosen in self.order else 0
        first, last = part(len(nodes), at, for_nodes)
        below, end = part(len(edges), 0, room - for_nodes)
        return Group(
            _line(title(then, now) + ("  (paused)" if self.paused else "")),
            *(_line(note, "red") for note in notes),
            *_table(lines(nodes, NODES, width, self.by_node), first, last, at if self.chosen in self.order else -1),
            Text(),
            *_table(lines(edges, EDGES, width, self.by_edge), below, end, -1),
            Text(),
            _line(KEYS, "dim"),
        )

    def log_screen(self, log: Sequence[str], height: int, notes: Sequence[str]) -> RenderableType:
        """The newest lines of the chosen node's log."""
        from rich.console import Group
        from rich.text import Text

        room = max(1, height - 4 - len(notes))
        return Group(
            _line(f"log of {self.log_of}" + ("  (paused)" if self.paused else "")),
            *(_line(note, "red") for note in notes),
            *map(_line, log[-room:] or ["(nothing yet)"]),
            Text(),
            _line(LOG_KEYS, "dim"),
        )


def _next(by: int | None, columns: int) -> int | None:
    """The order of the graph, then each column."""
    return 0 if by is None else by + 1 if by + 1 < columns else None


def part(rows: int, at: int, room: int) -> tuple[int, int]:
    """First row and end of those that fit, with row `at` among them."""
    first = max(0, min(at - room // 2, rows - room))
    return first, min(rows, first + room)


def _table(table: Sequence[str], first: int, last: int, chosen: int) -> list[Text]:
    """Titles and rows first .. last; how many others there are."""
    titles, *rows = table
    shown = [_line(row, "reverse" if i == chosen else "") for i, row in enumerate(rows) if first <= i < last]
    hidden = len(rows) - len(shown)
    return [_line(titles, "bold"), *shown, *([_line(f"... {hidden} more", "dim")] if hidden else [])]


def _line(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
