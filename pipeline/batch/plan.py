"""What a batch will do, known before anything starts: each item's overrides, key, size, and which items are wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.batch.items import Item, Settings, items, variables
from pipeline.batch.key import Key, key
from pipeline.errors import GraphError, PipeError
from pipeline.graph.check import available_bytes, check
from pipeline.graph.load import load
from pipeline.graph.spec import GraphSpec


@dataclass(frozen=True)
class Options:
    """graph    path or name of a shipped graph
    sets        texts of `--set`, at least one with `{item}` in its value
    engine      local: processes on this machine; ray: a cluster, at `address`, or one that is started here
    workers     most items at the same time; None: as many as cores (of the cluster) divided by threads of a node
    retries     how often an item that failed is tried again
    overwrite   do items again whose key has changed; replace folders of other runs in `out`
    """

    graph: str
    items: str
    sets: tuple[str, ...]
    out: Path
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    workers: int | None = None
    retries: int = 1
    frames: int | None = None
    overwrite: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise GraphError(f"--workers: needs 1 or more, got {self.workers}")
        if self.retries < 0:
            raise GraphError(f"--retries: needs 0 or more, got {self.retries}")
        if self.address is not None and self.engine != "ray":
            raise GraphError(f"--address {self.address}: is for --engine ray")


@dataclass(frozen=True)
class Planned:
    """wrong: why this item cannot run; weight: frames that it has, 1 if nobody knows."""

    item: Item
    sets: dict[str, Any] = field(default_factory=dict)
    key: Key = field(default_factory=dict)
    weight: int = 1
    wrong: str = ""


@dataclass(frozen=True)
class Plan:
    """spec: the graph of the first item that can run; threads: most of one node; pool_bytes: largest, of one item."""

    items: list[Planned]
    spec: GraphSpec
    threads: int
    pool_bytes: int
    variables: dict[str, str]


def plan(options: Options, warn: Callable[[str], None]) -> Plan:
    """Loads and checks the graph for every item, without running it.

    Raises GraphError for a bad graph, and if an item that the user has named is wrong. One of a glob or of `auto` that is wrong
    fails alone: of 10,000 recordings one may be damaged.
    """
    settings = Settings.parse(options.sets)
    planned, warned = [], set()
    first: GraphSpec | None = None
    pool_bytes = 0
    for item in items(options.items, options.graph, settings):
        sets = settings.of(item.name)
        try:
            spec = load(options.graph, sets)
            if spec.live:
                raise GraphError(f"{spec.path}: a batch needs sources that end, got a live graph; use pipe run")
            checked = check(spec)
            planned.append(Planned(item, sets, key(spec, item.name, sets, options.frames), weight(spec, options.frames)))
        except PipeError as error:
            planned.append(Planned(item, sets, wrong=str(error)))
            continue
        first = first or spec
        pool_bytes = max(pool_bytes, checked.pool_bytes)
        for text in checked.warnings:
            if text not in warned:
                warned.add(text)
                warn(text)
    refused = [p for p in planned if p.wrong and (p.item.named or first is None)]
    if refused or first is None:
        texts = dict.fromkeys(line for p in refused for line in p.wrong.splitlines())
        more = [f"{len(texts) - 10} more errors"] if len(texts) > 10 else []
        raise GraphError("\n".join([*list(texts)[:10], *more]))
    threads = max(node.threads for node in first.nodes.values())
    texts_of = [first.text, *(value for _, value in settings.pairs)]
    return Plan(planned, first, threads, pool_bytes, variables(texts_of, os.environ))


def weight(spec: GraphSpec, frames: int | None) -> int:
    """Frames of the first source."""
    first = next(name for name, node in spec.nodes.items() if node.is_source)
    found = spec.find(first).frames
    known = [n for n in (found, frames) if n is not None]
    return max(1, min(known)) if known else 1


def memory_warning(plan_: Plan, workers: int) -> str:
    available = available_bytes()
    if available is None or plan_.pool_bytes * workers <= available / 2:
        return ""
    return (
        f"{workers} items at the same time take {plan_.pool_bytes * workers / 1e9:.1f} GB of frames alone, "
        f"{available / 1e9:.1f} GB are available; lower --workers"
    )
