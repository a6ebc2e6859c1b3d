"""Holds a finished run to the `budget:` of its graph, and names the stage that broke it.

latency_ms     p99 from capture to the end of process(), of each sink that got a frame; taps (recorders, viewers) do not count
min_rate_hz    frames per second of each sink, from the start of the graph clock to the last frame at any sink
drops_percent  share of an edge's frames that were dropped, of each edge; not those of the shutdown and of injected faults
memory_mb      resident memory of all processes of nodes together; frames count in each process that has touched them

Without a figure (no frame came) a budget is not kept: nothing shows that it holds. The stage: of latency see `shares.py`; of the
rate the operator that cannot compute as many frames, else the edge that drops them, else the source; of memory the largest
process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.graph.spec import GraphSpec
from pipeline.runtime.shares import Share

NOT_COUNTED = ("shutdown", "injected")
NO_FRAME = "no frame came"


class Verdict(NamedTuple):
    """One key of the budget. figure: None = no frame came; at: the sink or edge with the worst figure."""

    key: str
    limit: float
    figure: float | None
    at: str | None
    stage: str | None

    @property
    def kept(self) -> bool:
        if self.figure is None:
            return False
        return self.figure >= self.limit if self.key == "min_rate_hz" else self.figure <= self.limit

    def row(self) -> dict[str, Any]:
        """For the report."""
        figure = None if self.figure is None else round(self.figure, 4)
        return self._asdict() | {"figure": figure, "kept": self.kept}

    def error(self, graph: GraphSpec) -> str:
        needs = {
            "latency_ms": f"p99 of at most {self.limit:g} ms from capture to {self.at or 'a sink'}",
            "min_rate_hz": f"at least {self.limit:g} frames/s at {self.at or 'each sink'}",
            "drops_percent": f"at most {self.limit:g} % of the frames of {self.at or 'an edge'} dropped",
            "memory_mb": f"at most {self.limit:g} MB in all processes",
        }[self.key]
        unit = {"latency_ms": " ms", "min_rate_hz": " frames/s", "drops_percent": " %", "memory_mb": " MB"}[self.key]
        got = NO_FRAME if self.figure is None else f"{self.figure:.4g}{unit}"
        return f"{graph.path}: budget.{self.key}: needs {needs}, got {got}" + (f"; {self.stage}" if self.stage else "")


class Facts(NamedTuple):
    """What a run leaves for its budget.

    report   the report, with its final figures
    seconds  of the graph clock, to the last frame at any sink
    shares   sink -> shares of the latency of its slow frames, the largest first
    rss_mb   process -> largest resident memory
    """

    report: Mapping[str, Any]
    seconds: float
    shares: Mapping[str, Sequence[Share]]
    rss_mb: Mapping[str, float]


def judge(graph: GraphSpec, facts: Facts) -> list[Verdict]:
    """One verdict for each key of the budget."""
    judges = {"latency_ms": _latency, "min_rate_hz": _rate, "drops_percent": _drops, "memory_mb": _memory}
    return [judges[key](graph, facts, limit) for key, limit in graph.budget.items()]


def sinks(graph: GraphSpec) -> list[str]:
    """The sinks that a budget is about."""
    return [name for name, node in graph.nodes.items() if node.is_sink and not node.is_tap]


def _latency(graph: GraphSpec, facts: Facts, limit: float) -> Verdict:
    p99 = {name: facts.report["sinks"][name]["latency_ms"]["p99"] for name in sinks(graph)}
    at = max((name for name, value in p99.items() if value is not None), key=lambda name: p99[name], default=None)
    if at is None:
        return Verdict("latency_ms", limit, None, None, None)
    shares = facts.shares.get(at)
    return Verdict("latency_ms", limit, p99[at], at, str(shares[0]) if shares and p99[at] > limit else None)


def _rate(graph: GraphSpec, facts: Facts, limit: float) -> Verdict:
    frames = {name: facts.report["sinks"][name]["frames"] for name in sinks(graph)}
    at = min(frames, key=lambda name: frames[name], default=None)
    if at is None or facts.seconds <= 0 or not any(frames.values()):
        return Verdict("min_rate_hz", limit, None, at, None)
    rate = frames[at] / facts.seconds
    return Verdict("min_rate_hz", limit, rate, at, _slows(graph, facts, at, limit) if rate < limit else None)


def _slows(graph: GraphSpec, facts: Facts, sink: str, limit: float) -> str:
    """Why a sink gets fewer frames per second than the limit."""
    way, report = _ancestors(graph, sink), facts.report
    times = {name: report["nodes"][name]["compute_ms"]["p50"] or 0.0 for name in way if not graph.nodes[name].is_source}
    slowest = max(times, key=lambda name: times[name])
    if times[slowest] * limit > 1000:
        return f"{slowest} computes {times[slowest]:.3g} ms per frame"
    lost = max((edge for edge in _lost(report) if edge.reader in way), key=lambda edge: edge.dropped, default=None)
    if lost is not None and report["sinks"][sink]["frames"] + lost.dropped >= limit * facts.seconds:
        return str(lost)
    source = graph.origin(sink)
    return f"{source} sent {report['nodes'][source]['out']} frames"


def _ancestors(graph: GraphSpec, node: str) -> set[str]:
    """The node and all whose frames it needs."""
    found, todo = {node}, [node]
    while todo:
        for i in graph.nodes[todo.pop()].inputs.values():
            if not i.port_spec.static and i.source_node not in found:
                found.add(i.source_node)
                todo.append(i.source_node)
    return found


class _Lost(NamedTuple):
    """What an edge dropped of its frames, and for which reason most of them."""

    edge: str
    dropped: int
    produced: int
    reason: str

    @property
    def reader(self) -> str:
        return self.edge.partition("->")[2].rpartition(".")[0]

    @property
    def percent(self) -> float:
        return 100 * self.dropped / self.produced

    def __str__(self) -> str:
        return f"{self.edge} dropped {self.dropped} of {self.produced}, most of them as {self.reason}"


def _lost(report: Mapping[str, Any]) -> list[_Lost]:
    """Of each edge that has carried a frame."""
    found = []
    for name, edge in report["edges"].items():
        dropped = {reason: n for reason, n in edge["dropped"].items() if reason not in NOT_COUNTED}
        if edge["produced"]:
            reason = max(dropped, key=lambda reason: dropped[reason], default="")
            found.append(_Lost(name, sum(dropped.values()), edge["produced"], reason))
    return found


def _drops(graph: GraphSpec, facts: Facts, limit: float) -> Verdict:
    worst = max(_lost(facts.report), key=lambda edge: edge.percent, default=None)
    if worst is None:
        return Verdict("drops_percent", limit, None, None, None)
    return Verdict("drops_percent", limit, worst.percent, worst.edge, str(worst) if worst.percent > limit else None)


def _memory(graph: GraphSpec, facts: Facts, limit: float) -> Verdict:
    total = sum(facts.rss_mb.values())
    largest = max(facts.rss_mb, key=lambda place: facts.rss_mb[place])
    stage = f"{largest} has {facts.rss_mb[largest]:.4g} MB" if total > limit else None
    return Verdict("memory_mb", limit, total, None, stage)
