"""Rows of `pipe top`: what happened between two snapshots of a run (runtime/snapshot.py). Asks nothing, prints nothing.

Counts of a snapshot only grow, also over restarts, so a rate is a difference divided by the time between; percentiles of the
window come from the difference of two histograms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pipeline.errors import printable
from pipeline.runtime.histogram import Histogram

Snapshot = Mapping[str, Any]
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node.

    rate      steps/s in the window
    p50, p99  of its calls in the window [ms], None without a call
    latency   p50 and p99 of a sink in the window [ms], capture to here, None of other nodes
    cpu       of its process in the window, 100 = one core; nodes of one place share it, and `rss_mb`, `restarts`
    """

    name: str
    place: str
    state: str
    rate: float
    p50: float | None
    p99: float | None
    latency: tuple[float, float] | None
    cpu: float
    rss_mb: float
    restarts: int
    errors: int
    level: str
    status: str


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """One edge.

    rate      frames/s delivered in the window
    queue     frames on their way now: in flight
    oldest    age of the oldest of them [ms]
    p50, p99  from the return of one `process()` to the entry of the next, in the window [ms]
    dropped   reason -> frames since the start
    drops     frames/s dropped in the window
    """

    name: str
    rate: float
    queue: int
    oldest: float | None
    p50: float | None
    p99: float | None
    dropped: dict[str, int]
    drops: float


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """of: the value by which rows are sorted, numbers from the largest; text: how the value is shown.

    least  width to which a longer text may be cut, 0 = it may not
    """

    title: str
    of: Callable[[Row], Any]
    text: Callable[[Row], str]
    left: bool = False
    least: int = 0


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _count(value: int) -> str:
    return f"{value}" if value else ""


def _latency(row: NodeRow) -> str:
    return "" if row.latency is None else f"{row.latency[0]:.1f}, {row.latency[1]:.1f}"


def _drops(row: EdgeRow) -> str:
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(row.dropped.items()))
    return f"{reasons} ({row.drops:.1f}/s)" if row.drops else reasons


NODES: tuple[Column[NodeRow], ...] = (
    Column("node", lambda r: r.name, lambda r: r.name, left=True, least=12),
    Column("state", lambda r: r.state, lambda r: r.state, left=True, least=10),
    Column("per s", lambda r: r.rate, lambda r: _number(r.rate)),
    Column("p50 ms", lambda r: r.p50, lambda r: _number(r.p50, 2)),
    Column("p99 ms", lambda r: r.p99, lambda r: _number(r.p99, 2)),
    Column("CPU %", lambda r: r.cpu, lambda r: _number(r.cpu, 0)),
    Column("MB", lambda r: r.rss_mb, lambda r: _number(r.rss_mb, 0)),
    Column("restarts", lambda r: r.restarts, lambda r: _count(r.restarts)),
    Column("errors", lambda r: r.errors, lambda r: _count(r.errors)),
    Column("latency p50, p99 ms", lambda r: r.latency and r.latency[1], _latency),
    Column("level", lambda r: r.level, lambda r: r.level, left=True),
    Column("process", lambda r: r.place, lambda r: "" if r.place == r.name else r.place, left=True),
    Column("status", lambda r: r.status, lambda r: r.status, left=True, least=16),
)
EDGES: tuple[Column[EdgeRow], ...] = (
    Column("edge", lambda r: r.name, lambda r: r.name, left=True, least=20),
    Column("per s", lambda r: r.rate, lambda r: _number(r.rate)),
    Column("queue", lambda r: r.queue, lambda r: f"{r.queue}"),
    Column("oldest ms", lambda r: r.oldest, lambda r: _number(r.oldest, 0)),
    Column("dropped", lambda r: sum(r.dropped.values()), _drops, left=True, least=14),
    Column("hop p50 ms", lambda r: r.p50, lambda r: _number(r.p50, 2)),
    Column("hop p99 ms", lambda r: r.p99, lambda r: _number(r.p99, 2)),
)
"""Of both tables the last columns are left out first where the screen is too narrow."""
GAP = 2


def seconds(then: Snapshot | None, now: Snapshot) -> float:
    """Length of the window; `then` None: the whole run so far."""
    return max(float(now["wall_s"]) if then is None else (now["time_ns"] - then["time_ns"]) * 1e-9, 1e-9)


def node_rows(then: Snapshot | None, now: Snapshot) -> list[NodeRow]:
    """In the order of the snapshot. `then` None: over the whole run so far."""
    window_s = seconds(then, now)
    rows = []
    for name, node in now["nodes"].items():
        was = then["nodes"].get(name, {}) if then else {}
        process = now["processes"].get(node["place"], {})
        process_was = then["processes"].get(node["place"], {}) if then else {}
        compute = Histogram.from_sparse(node["compute"], was.get("compute", ()))
        latency = None if node["latency"] is None else _ms(Histogram.from_sparse(node["latency"], was.get("latency") or ()))
        p50, p99 = _ms(compute) or (None, None)
        rows.append(
            NodeRow(
                name=name,
                place=node["place"],
                state=_state(node, process),
                rate=(node["steps"] - was.get("steps", 0)) / window_s,
                p50=p50,
                p99=p99,
                latency=latency,
                cpu=100 * max(0.0, process.get("cpu_s", 0.0) - process_was.get("cpu_s", 0.0)) / window_s,
                rss_mb=process.get("rss_mb", 0.0),
                restarts=node["restarts"],
                errors=node["errors"],
                level=node["level"] or "",
                status=printable(node["status"] or ""),
            )
        )
    return rows


def _state(node: Mapping[str, Any], process: Mapping[str, Any]) -> str:
    """What the process does, where that is not running; else what the node does."""
    if process.get("state", "running") != "running" and node["state"] != "done":
        return str(process["state"])
    return f"wait {node['waits_for']}" if node["state"] == "wait" and node["waits_for"] else str(node["state"])


def _ms(histogram: Histogram) -> tuple[float, float] | None:
    """p50 and p99, None while empty."""
    p50, p99 = histogram.quantile(0.5), histogram.quantile(0.99)
    return None if p50 is None or p99 is None else (p50 * 1e-6, p99 * 1e-6)


def edge_rows(then: Snapshot | None, now: Snapshot) -> list[EdgeRow]:
    """In the order of the snapshot."""
    window_s = seconds(then, now)
    rows = []
    for name, edge in now["edges"].items():
        was = then["edges"].get(name, {}) if then else {}
        p50, p99 = _ms(Histogram.from_sparse(edge["hop"], was.get("hop", ()))) or (None, None)
        dropped = {reason: n for reason, n in edge["dropped"].items() if n}
        newly = sum(dropped.values()) - sum(was.get("dropped", {}).values())
        rate = (edge["delivered"] - was.get("delivered", 0)) / window_s
        rows.append(EdgeRow(name, rate, edge["in_flight"], edge["oldest_ms"], p50, p99, dropped, newly / window_s))
    return rows


def ordered(rows: Iterable[Row], columns: Sequence[Column[Row]], by: int | None) -> list[Row]:
    """by: index of a column, None = as they are. Text from A to Z, numbers from the largest; rows without a value last."""
    kept = list(rows)
    if by is None:
        return kept
    of = columns[by].of
    if columns[by].left and not all(isinstance(of(row), (int, float)) for row in kept):
        return sorted(kept, key=lambda row: (not of(row), str(of(row))))
    return sorted(kept, key=lambda row: (of(row) is None, -(of(row) or 0)))


def fitting(rows: Sequence[Row], columns: Sequence[Column[Row]], width: int | None, by: int | None = None) -> dict[int, int]:
    """Index -> width of the columns that are shown: those with a text in any row, the first, and `by`, as far as they fit."""
    texts = {i: [column.text(row) for row in rows] for i, column in enumerate(columns)}
    kept = [i for i in texts if i in (0, by) or any(texts[i])]
    widths = {i: max(len(columns[i].title) + (i == by), *map(len, texts[i]), 0) for i in kept}

    def excess() -> int:
        return 0 if width is None else sum(widths.values()) + GAP * (len(widths) - 1) - width

    for i in reversed(kept):
        if excess() > 0 and columns[i].least:
            widths[i] = max(min(columns[i].least, widths[i]), widths[i] - excess())
    for i in reversed(kept):
        if excess() > 0 and i not in (0, by):
            del widths[i]
    for i in reversed(list(widths)):  # what has become free
        if excess() < 0 and columns[i].least:
            widths[i] = min(max(len(columns[i].title), *map(len, texts[i]), 0), widths[i] - excess())
    return widths


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def lines(rows: Sequence[Row], columns: Sequence[Column[Row]], width: int | None = None, by: int | None = None) -> list[str]:
    """The table as plain text, titles first, no line longer than `width`; by: the column that sorts it is marked."""
    widths = fitting(rows, columns, width, by)
    titles = [columns[i].title + ("↓" if i == by else "") for i in widths]
    made = []
    for cells in (titles, *([columns[i].text(row) for i in widths] for row in rows)):
        padded = (
            cut(text, w).ljust(w) if columns[i].left else cut(text, w).rjust(w)
            for text, (i, w) in zip(cells, widths.items(), strict=True)
        )
        made.append((" " * GAP).join(padded).rstrip()[: width or None])
    return made


def title(then: Snapshot | None, now: Snapshot) -> str:
    """`demo: run demo-412-07, 189 frames in 33.3 s, 8.1/s; window 5.0 s`."""
    first = next((n for n in node_rows(then, now) if now["nodes"][n.name]["kind"] == "source"), None)
    rate = "" if first is None else f", {first.rate:.1f}/s"
    window = "since the start" if then is None else f"window {seconds(then, now):.1f} s"
    return f"{now['graph']}: run {now['run']}, {now['frames']} frames in {now['wall_s']:.1f} s{rate}; {window}"


def line(then: Snapshot | None, now: Snapshot) -> str:
    """One line for a log: frames, rate and p99 of each node, frames under way, drops by reason."""
    parts = [f"{r.name} {r.rate:.1f}/s" + ("" if r.p99 is None else f" {r.p99:.3g} ms") for r in node_rows(then, now)]
    edges = edge_rows(then, now)
    dropped: dict[str, int] = {}
    for row in edges:
        for reason, n in row.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + n
    drops = ", ".join(f"{n} {reason}" for reason, n in sorted(dropped.items())) or "none"
    return f"{now['frames']} frames  {', '.join(parts)}  queued {sum(r.queue for r in edges)}  dropped: {drops}"


def changes(then: Snapshot | None, now: Snapshot) -> list[str]:
    """Lines of a log between the others: a process whose state or restarts changed, the new status or level of a node."""
    if then is None:
        return []
    lines = []
    for place, process in now["processes"].items():
        was = then["processes"].get(place, {})
        if process["restarts"] != was.get("restarts", 0) or process["state"] != was.get("state"):
            lines.append(f"{place}: {process['state']}, {process['restarts']} restarts")
    for name, node in now["nodes"].items():
        was = then["nodes"].get(name, {})
        for key in ("level", "status"):
            if node[key] and node[key] != was.get(key):
                lines.append(f"{name}: {'level ' if key == 'level' else ''}{printable(str(node[key]))}")
    return lines
