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
MOST_CHARACTERS = 60
"""Of a status in a table."""


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
    """of: the value by which rows are sorted, numbers from the largest; text: how the value is shown."""

    title: str
    of: Callable[[Row], Any]
    text: Callable[[Row], str]
    left: bool = False


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _count(value: int) -> str:
    return f"{value}" if value else ""


def _latency(row: NodeRow) -> str:
    return "" if row.latency is None else f"{row.latency[0]:.1f} / {row.latency[1]:.1f}"


def _drops(row: EdgeRow) -> str:
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(row.dropped.items()))
    return f"{reasons} ({row.drops:.1f}/s)" if row.drops else reasons


NODES: tuple[Column[NodeRow], ...] = (
    Column("node", lambda r: r.name, lambda r: r.name, left=True),
    Column("process", lambda r: r.place, lambda r: "" if r.place == r.name else r.place, left=True),
    Column("state", lambda r: r.state, lambda r: r.state, left=True),
    Column("per s", lambda r: r.rate, lambda r: _number(r.rate)),
    Column("p50 ms", lambda r: r.p50, lambda r: _number(r.p50, 2)),
    Column("p99 ms", lambda r: r.p99, lambda r: _number(r.p99, 2)),
    Column("latency p50 / p99 ms", lambda r: r.latency and r.latency[1], _latency),
    Column("CPU %", lambda r: r.cpu, lambda r: _number(r.cpu, 0)),
    Column("MB", lambda r: r.rss_mb, lambda r: _number(r.rss_mb, 0)),
    Column("restarts", lambda r: r.restarts, lambda r: _count(r.restarts)),
    Column("errors", lambda r: r.errors, lambda r: _count(r.errors)),
    Column("level", lambda r: r.level, lambda r: r.level, left=True),
    Column("status", lambda r: r.status, lambda r: r.status, left=True),
)
EDGES: tuple[Column[EdgeRow], ...] = (
    Column("edge", lambda r: r.name, lambda r: r.name, left=True),
    Column("per s", lambda r: r.rate, lambda r: _number(r.rate)),
    Column("queue", lambda r: r.queue, lambda r: f"{r.queue}"),
    Column("oldest ms", lambda r: r.oldest, lambda r: _number(r.oldest, 0)),
    Column("hop p50 ms", lambda r: r.p50, lambda r: _number(r.p50, 2)),
    Column("hop p99 ms", lambda r: r.p99, lambda r: _number(r.p99, 2)),
    Column("dropped", lambda r: sum(r.dropped.values()), _drops, left=True),
)


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
                status=printable(node["status"] or "", MOST_CHARACTERS),
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


def shown(rows: Sequence[Row], columns: Sequence[Column[Row]]) -> list[int]:
    """Indices of the columns in which a row has something, the first one always."""
    return [i for i, column in enumerate(columns) if i == 0 or any(column.text(row) for row in rows)]


def plain(rows: Sequence[Row], columns: Sequence[Column[Row]]) -> list[str]:
    """The table as lines of plain text, titles first."""
    kept = [columns[i] for i in shown(rows, columns)]
    cells = [[column.title for column in kept], *([column.text(row) for column in kept] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(kept))]
    lines = []
    for line in cells:
        padded = [text.ljust(w) if c.left else text.rjust(w) for text, w, c in zip(line, widths, kept, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return lines


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
                lines.append(f"{name}: {'level ' if key == 'level' else ''}{printable(str(node[key]), MOST_CHARACTERS)}")
    return lines
