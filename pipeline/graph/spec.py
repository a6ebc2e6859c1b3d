"""A loaded graph: nodes, edges, their order, processes, rates. How much memory it needs: see sizing.py."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.errors import Where
from pipeline.graph.fault import Injection
from pipeline.operator import Found, Level, Source
from pipeline.schema import Port

DEFAULT_HANG_S, DEFAULT_OPEN_HANG_S = 30.0, 180.0
"""open() may load files and, the first time on a machine, compile kernels, at the same time as the other nodes."""
DEFAULT_CLOSE_S = 1.5
MAX_BACKOFF_S = 30.0
MOST = 1e9
"""Largest number of a graph file's own keys (counts, ms, s, MB): with it, no nanoseconds and no bytes leave 64 bits."""
MOST_THREADS = 1024


def at_least(value: float | None, limit: float, name: str, above: bool = False, most: float = MOST) -> None:
    if value is not None and (value <= limit if above else value < limit):
        raise ValueError(f"{name}: needs {'more than' if above else 'at least'} {limit:g}, got {value:g}")
    if value is not None and value > most:
        raise ValueError(f"{name}: needs at most {most:g}, got {value:g}")


@dataclass(frozen=True)
class Restart:
    """At most `max` restarts within `window_s`. The n-th in a row waits backoff_s · 2^(n-1), at most MAX_BACKOFF_S."""

    policy: Literal["never", "on-failure", "always"] = "on-failure"
    max: int = 5
    backoff_s: float = 0.2
    window_s: float = 60.0

    def __post_init__(self) -> None:
        at_least(self.max, 0, "max")
        at_least(self.backoff_s, 0, "backoff_s")
        at_least(self.window_s, 0, "window_s", above=True)

    def delay_s(self, deaths: int) -> float:
        """Time from the `deaths`-th death within the window to the next start."""
        return min(self.backoff_s * 2.0 ** min(deaths - 1, 100), max(self.backoff_s, MAX_BACKOFF_S))


@dataclass(frozen=True)
class Queue:
    """The queue of one input; None = the default of the graph, see `sizing.queue`."""

    policy: Literal["block", "latest", "drop_oldest"] | None = None
    size: int | None = None
    max_age_ms: float | None = None

    def __post_init__(self) -> None:
        at_least(self.size, 1, "size")
        at_least(self.max_age_ms, 0, "max_age_ms", above=True)


@dataclass(frozen=True)
class Sync:
    """How frames of several inputs are paired; see `sync.py`. `load` fills in the trigger (first stream input)."""

    policy: Literal["exact", "nearest", "latest"] = "exact"
    trigger: str | None = None
    tolerance_ms: float = 0.0
    offset_ms: dict[str, float] = field(default_factory=dict)
    timeout_ms: float | None = None
    optional: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        at_least(self.tolerance_ms, 0, "tolerance_ms")
        at_least(self.timeout_ms, 0, "timeout_ms", above=True)
        for port, offset in self.offset_ms.items():
            at_least(abs(offset), 0, f"offset_ms.{port}")


@dataclass(frozen=True)
class Pool:
    """The pool of one output port; None = computed."""

    slots: int | None = None
    max_mb: float | None = None

    def __post_init__(self) -> None:
        at_least(self.slots, 1, "slots")
        at_least(self.max_mb, 0, "max_mb", above=True)


@dataclass(frozen=True)
class Input:
    """One connected input: its source, its queue, its contract."""

    port: str
    source_node: str
    source_port: str
    queue: Queue
    port_spec: Port
    line: int = 0


@dataclass(frozen=True)
class NodeSpec:
    """One node, all names resolved. `GraphSpec` knows the defaults that depend on the whole graph."""

    name: str
    driver: str | None
    op: str | None
    cls: type[Any]
    config: Any
    inputs: dict[str, Input]
    outputs: dict[str, Port]
    place: str
    threads: int
    restart: Restart
    on_error: str | None
    hang_s: float  # of process()
    open_hang_s: float
    close_s: float  # of close(), after a stop
    cpus: tuple[int, ...] | None
    nice: int | None
    rate_hz: float | None
    live: bool
    sync: Sync | None
    pool: dict[str, Pool]
    line: int
    where: Where = field(repr=False, compare=False)
    memory_budget_mb: float | None = None
    inject: tuple[str, ...] = ()

    @property
    def is_source(self) -> bool:
        return issubclass(self.cls, Source)

    @property
    def is_sink(self) -> bool:
        return not self.is_source and not self.outputs

    @property
    def is_tap(self) -> bool:
        """Takes the frames of its inputs one by one, whenever they come; see `Operator.tap`."""
        return not self.is_source and bool(self.cls.tap)

    @property
    def levels(self) -> tuple[Level, ...]:
        """Cheaper levels of its operator, best first."""
        return () if self.is_source else tuple(self.cls.levels_of(self.config))

    @property
    def streams(self) -> tuple[str, ...]:
        """Connected inputs that are not static, in file order."""
        return tuple(port for port, i in self.inputs.items() if not i.port_spec.static)

    @property
    def joins(self) -> bool:
        """Are its inputs paired by `sync`?"""
        return len(self.streams) > 1 and not self.is_tap

    @property
    def trigger(self) -> str | None:
        """The stream input whose header the outputs carry; None for sources."""
        if self.joins and self.sync is not None:
            return self.sync.trigger
        return self.streams[0] if self.streams else None


@dataclass(frozen=True)
class Edge:
    id: int
    name: str
    src_node: str
    src_port: str
    dst_node: str
    dst_port: str
    static: bool


@dataclass(frozen=True)
class GraphSpec:
    """A graph as loaded."""

    path: str
    name: str
    text: str
    nodes: dict[str, NodeSpec]
    budget: dict[str, float]
    quality: dict[str, float]
    project: Path | None = None
    """Folder of the user's own modules; see project.py."""
    faults: tuple[Injection, ...] = ()
    _found: dict[str, Found] = field(default_factory=dict, repr=False, compare=False)

    @property
    def live(self) -> bool:
        """One live source makes the graph live."""
        return any(node.live for node in self.nodes.values())

    def on_error(self, node: str) -> str:
        return self.nodes[node].on_error or ("skip" if self.live else "stop")

    def edges(self) -> list[Edge]:
        """All edges, by reader in file order; an edge's id is its place in this list."""
        return list(self._edges)

    @functools.cached_property
    def _edges(self) -> tuple[Edge, ...]:
        edges: list[Edge] = []
        for node in self.nodes.values():
            for i in node.inputs.values():
                name = f"{i.source_node}.{i.source_port}->{node.name}.{i.port}"
                static = self.nodes[i.source_node].outputs[i.source_port].static
                edges.append(Edge(len(edges), name, i.source_node, i.source_port, node.name, i.port, static))
        return tuple(edges)

    def edges_from(self, node: str, port: str) -> list[Edge]:
        return [e for e in self._edges if (e.src_node, e.src_port) == (node, port)]

    def order(self) -> list[str]:
        """Node names in topological order; file order among equals."""
        return list(self._order)

    @functools.cached_property
    def _order(self) -> tuple[str, ...]:
        done: dict[str, None] = {}
        while len(done) < len(self.nodes):
            ready = (
                name
                for name, node in self.nodes.items()
                if name not in done and all(i.source_node in done for i in node.inputs.values())
            )
            done[next(ready)] = None  # `load` refuses cycles
        return tuple(done)

    def places(self) -> dict[str, list[str]]:
        """Process name -> its nodes, both in topological order."""
        places: dict[str, list[str]] = {}
        for name in self._order:
            places.setdefault(self.nodes[name].place, []).append(name)
        return places

    def find(self, source: str) -> Found:
        """What a source will read, looked up once. Raises InputError if a file is missing."""
        if source not in self._found:
            self._found[source] = self.nodes[source].cls.find(self.nodes[source].config)
        return self._found[source]

    @property
    def found(self) -> dict[str, Found]:
        """`find` of every source."""
        return {name: self.find(name) for name, node in self.nodes.items() if node.is_source}

    def origin(self, node: str) -> str:
        """The source whose stamps a node's outputs carry."""
        spec = self.nodes[node]
        return node if spec.trigger is None else self.origin(spec.inputs[spec.trigger].source_node)

    def rate(self, node: str) -> float | None:
        """Frames per second at a node's outputs: declared, found, or that of its trigger; None = unknown."""
        spec = self.nodes[node]
        if spec.rate_hz is not None:
            return spec.rate_hz
        if spec.is_source:
            found = self.find(node)
            if found.rate_hz is None and found.stamps_ns is not None and len(found.stamps_ns) > 1:
                period_ns = float(np.median(np.diff(found.stamps_ns)))
                return 1e9 / period_ns if period_ns > 0 else None
            return found.rate_hz
        return self.rate(spec.inputs[spec.trigger].source_node) if spec.trigger else None
