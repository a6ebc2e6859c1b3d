"""The screen of `pipe top`: what the keys have chosen, and the tables for it. The rows come from `top_rows.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.watch.top_keys import DOWN, ENTER, ESCAPE, UP
from pipeline.watch.top_rows import EDGES, NODES, Column, Row, Snapshot, edge_rows, node_rows, ordered, shown, title

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

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

    def screen(self, then: Snapshot | None, now: Snapshot, height: int, notes: Sequence[str]) -> RenderableType:
        """The tables for a screen of `height` lines; notes: lines above them."""
        from rich.console import Group
        from rich.text import Text

        nodes = ordered(node_rows(then, now), NODES, self.by_node)
        edges = ordered(edge_rows(then, now), EDGES, self.by_edge)
        self.order = [row.name for row in nodes]
        room = max(2, height - MORE_LINES - len(notes))
        for_nodes = min(len(nodes), max(room - len(edges), (room + 1) // 2))
        at = self.order.index(self.chosen) if self.chosen in self.order else 0
        first, last = part(len(nodes), at, for_nodes)
        return Group(
            Text(title(then, now) + ("  (paused)" if self.paused else "")),
            *(Text(note, style="red") for note in notes),
            _table(nodes, NODES, self.by_node, first, last, self.chosen),
            Text(),
            _table(edges, EDGES, self.by_edge, *part(len(edges), 0, room - for_nodes), ""),
            Text(),
            Text(KEYS, style="dim"),
        )

    def log_screen(self, lines: Sequence[str], height: int, notes: Sequence[str]) -> RenderableType:
        """The newest lines of the chosen node's log."""
        from rich.console import Group
        from rich.text import Text

        room = max(1, height - 4 - len(notes))
        return Group(
            Text(f"log of {self.log_of}" + ("  (paused)" if self.paused else "")),
            *(Text(note, style="red") for note in notes),
            *(Text(line, no_wrap=True, overflow="ellipsis") for line in (lines[-room:] or ["(nothing yet)"])),
            Text(),
            Text(LOG_KEYS, style="dim"),
        )


def _next(by: int | None, columns: int) -> int | None:
    """The order of the graph, then each column."""
    return 0 if by is None else by + 1 if by + 1 < columns else None


def part(rows: int, at: int, room: int) -> tuple[int, int]:
    """First row and end of those that fit, with row `at` among them."""
    first = max(0, min(at - room // 2, rows - room))
    return first, min(rows, first + room)


def _table(rows: list[Row], columns: Sequence[Column[Row]], by: int | None, first: int, last: int, chosen: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    kept = sorted({*shown(rows, columns), *([] if by is None else [by])})
    for i in kept:
        column = columns[i]
        table.add_column(
            Text(column.title + ("↓" if i == by else "")),
            justify="left" if column.left else "right",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows[first:last]:
        cells: list[Any] = [Text(columns[i].text(row)) for i in kept]
        table.add_row(*cells, style="reverse" if columns[0].of(row) == chosen else None)
    hidden = len(rows) - (last - first)
    if hidden:
        table.add_row(Text(f"... {hidden} more"), style="dim")
    return table
