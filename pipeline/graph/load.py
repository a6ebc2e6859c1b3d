"""YAML -> frozen GraphSpec. `load` finds every error of names, keys, types and wiring; `check.py` finds the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline import settings
from pipeline.errors import GraphError
from pipeline.graph import files, inject, lookup, project
from pipeline.graph.files import NAME, NAME_NEEDS
from pipeline.graph.spec import (
    DEFAULT_CLOSE_S,
    DEFAULT_HANG_S,
    DEFAULT_OPEN_HANG_S,
    MOST_THREADS,
    Edge,
    GraphSpec,
    Input,
    NodeSpec,
    Pool,
    Queue,
    Restart,
    Sync,
    at_least,
)
from pipeline.schema import Port, ports
from pipeline.settings import Where, suggest

__all__ = ["Edge", "GraphSpec", "Input", "NodeSpec", "Pool", "Queue", "Restart", "Sync", "load", "parse"]


StandIn = Callable[[str], tuple[type[Any], Any]]
"""Name of a source node -> class and config of its replacement (a recording). The file's driver and its config are then ignored,
nothing is live and all queues block. Raises GraphError if there is none for this node."""
MOST_CHARACTERS = 200
"""Of the name of a node in an included graph: a folder and a file have it."""
RESERVED = ("logs", "poison")  # folders of the run, beside the folders of its nodes


# ---- the keys of a node, as a dataclass: `settings.build` refuses all others


@dataclass(frozen=True)
class _Node:
    driver: str | None = None
    op: str | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    queue: dict[str, Queue] = field(default_factory=dict)
    sync: Sync | None = None
    config: dict[str, Any] = field(default_factory=dict)
    place: str | None = None
    threads: int = 1
    restart: Restart = field(default_factory=Restart)
    on_error: Literal["skip", "stop"] | None = None
    hang_s: float | None = None
    close_s: float = DEFAULT_CLOSE_S
    cpus: tuple[int, ...] | None = None
    nice: int | None = None
    memory_budget_mb: float | None = None
    rate_hz: float | None = None
    live: bool = False
    pool: dict[str, Pool] = field(default_factory=dict)
    inject: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.place is not None and not NAME.fullmatch(self.place):
            raise ValueError(f"place: {NAME_NEEDS}, got {settings.show(self.place)}")
        at_least(self.threads, 1, "threads", most=MOST_THREADS)
        at_least(self.hang_s, 0, "hang_s", above=True)
        at_least(self.close_s, 0, "close_s")
        at_least(self.rate_hz, 0, "rate_hz", above=True)
        at_least(self.memory_budget_mb, 0, "memory_budget_mb", above=True)
        if self.nice is not None and not -20 <= self.nice <= 19:
            raise ValueError(f"nice: needs -20 .. 19, got {self.nice}")
        if self.cpus is not None and (not self.cpus or min(self.cpus) < 0):
            raise ValueError(f"cpus: needs a list of CPU numbers, got {list(self.cpus)}")
        if (self.driver is None) == (self.op is None):
            raise ValueError(f"needs driver: or op:, got {'both' if self.op else 'neither'}")
        if self.driver is not None:
            for key in ("inputs", "queue", "sync"):
                if getattr(self, key):
                    raise ValueError(f"{key}: is for operators; {self.driver} is a driver")
        elif self.live:
            raise ValueError("live: is for drivers; one live driver makes the graph live")


def load(path_or_name: str | Path, sets: Iterable[str] | Mapping[str, Any] = (), stand_in: StandIn | None = None) -> GraphSpec:
    """Read a graph file, or a shipped graph by name. `sets` are `NODE.config.KEY=VALUE` texts, or {"NODE.config.KEY": value}.

    Raises GraphError: one line for each thing wrong, `FILE:LINE: node.key: needed, got; hint`.
    """
    path = files.find_file(str(path_or_name))
    project.use(project.of_file(path))
    label = str(path) if path == Path(path_or_name) else path.name
    return parse(files.read_text(path, str(path_or_name)), label, sets, stand_in, path)


def parse(
    text: str,
    file: str,
    sets: Iterable[str] | Mapping[str, Any] = (),
    stand_in: StandIn | None = None,
    path: Path | None = None,
) -> GraphSpec:
    """`load` for text; `file` is its name in messages, `path` the file, from which those of `includes:` are looked for."""
    parts = files.parts(text, file, sets, path)
    problems: list[str] = []
    nodes: dict[str, NodeSpec] = {}
    broken: set[str] = set()
    for part in parts:
        for name, keys in part.raw.nodes.items():
            where = part.top.child("nodes", name)
            try:
                nodes[part.prefix + name] = _node(part.prefix, name, keys, where, stand_in)
            except GraphError as error:
                problems += str(error).splitlines()
                broken.add(part.prefix + name)
    for node in nodes.values():
        problems += _wiring(node, nodes, broken, " in the recording" if stand_in else "")
    if not problems:
        problems += _cycles(nodes)
    if problems:
        raise GraphError("\n".join(problems))
    raw = parts[0].raw
    budget, quality = ({k: v for k, v in dataclasses.asdict(part).items() if v is not None} for part in (raw.budget, raw.quality))
    whole = "\n".join([text, *(f"# {part.prefix}* {part.top.file}\n{_as_comment(part.text)}" for part in parts[1:])])
    return inject.with_faults(GraphSpec(file, Path(file).stem, whole, nodes, budget, quality, project.current()))


def _as_comment(text: str) -> str:
    return "\n".join(f"# {line}" for line in text.splitlines())


def _node(prefix: str, name: str, keys: Any, where: Where, stand_in: StandIn | None) -> NodeSpec:
    """prefix: of all names of its file, those of nodes that it reads and of its process among them."""
    if not NAME.fullmatch(name):
        raise where.error(NAME_NEEDS)
    if len(prefix + name) > MOST_CHARACTERS:
        raise where.error(f"needs a name of at most {MOST_CHARACTERS} characters, those of the included graphs among them")
    if not prefix and name in RESERVED:
        raise where.error(f"needs another name: the run keeps its own files in DIR/{name}")
    if isinstance(keys, dict) and isinstance(keys.get("restart"), str):
        keys = keys | {"restart": {"policy": keys["restart"]}}
    raw: _Node = settings.build(_Node, keys, where)
    kind = "driver" if raw.driver else "op"
    played = raw.driver is not None and stand_in is not None
    config = None
    try:
        cls: type[Any]
        if raw.driver and stand_in is not None:
            cls, config = stand_in(prefix + name)
        else:
            cls = lookup.driver_class(raw.driver) if raw.driver else lookup.operator_class(raw.op or "")
        inputs = ports(getattr(cls, "inputs", {}), f"{raw.driver or raw.op}.inputs")
        outputs = ports(cls.outputs_of(config), f"{raw.driver or raw.op}.outputs")
    except GraphError as error:
        raise where.child(kind).error(str(error)) from error
    problems = _port_names(raw, inputs, outputs, where)
    wired: dict[str, Input] = {}
    for port, source in raw.inputs.items():
        node, dot, source_port = source.rpartition(".")
        at = where.child("inputs", port)
        if not (node and dot and source_port):
            problems.append(f"{at}: needs NODE.PORT, got {source!r}")
        elif port in inputs:
            queue = raw.queue.get(port, Queue())
            if stand_in is not None:
                queue = dataclasses.replace(queue, policy=None)
            wired[port] = Input(port, prefix + node, source_port, queue, inputs[port], at.line)
    streams = [port for port, i in wired.items() if not i.port_spec.static]
    if raw.op and not streams and not problems:
        problems.append(f"{where}: {raw.op} needs a stream on at least one input, or it never runs")
    if raw.sync:
        problems += _sync_names(raw.sync, streams, where.child("sync"))
    if not played:
        try:
            config = settings.build(cls.Config, raw.config, where.child("config"))
        except GraphError as error:
            problems += str(error).splitlines()
    sync = raw.sync
    if len(streams) > 1:
        sync = sync or Sync()
        sync = dataclasses.replace(sync, trigger=sync.trigger or streams[0])
    if problems:
        raise GraphError("\n".join(problems))
    return NodeSpec(
        name=prefix + name,
        driver=raw.driver,
        op=raw.op,
        cls=cls,
        config=config,
        inputs=wired,
        outputs=outputs,
        place=prefix + (raw.place or name),
        threads=raw.threads,
        restart=raw.restart,
        on_error=raw.on_error,
        hang_s=DEFAULT_HANG_S if raw.hang_s is None else raw.hang_s,
        open_hang_s=DEFAULT_OPEN_HANG_S if raw.hang_s is None else raw.hang_s,
        close_s=raw.close_s,
        cpus=raw.cpus,
        nice=raw.nice,
        rate_hz=raw.rate_hz,
        live=raw.driver is not None and not played and (raw.live or bool(getattr(cls, "live", False))),
        sync=sync,
        pool=raw.pool,
        line=where.line,
        where=where,
        memory_budget_mb=raw.memory_budget_mb,
        inject=raw.inject,
    )


def _port_names(raw: _Node, inputs: Mapping[str, Port], outputs: Mapping[str, Port], where: Where) -> list[str]:
    """Reports unknown ports, queues and pools of static ports, and missing inputs."""
    problems = []
    who = raw.driver or raw.op
    for key, part, known in (("inputs", raw.inputs, inputs), ("queue", raw.queue, inputs), ("pool", raw.pool, outputs)):
        side = "output" if key == "pool" else "input"
        for p in part:
            if p not in known:
                problems.append(f"{where.child(key, p)}: {who} has no {side} {p}{suggest(p, known)}")
            elif known[p].static and key != "inputs":
                problems.append(f"{where.child(key, p)}: {p} is static: it is latched and has no {key}")
    if not set(raw.inputs) <= set(inputs):
        return problems  # a misspelt input would be reported twice, as unknown and as missing
    for port, spec in inputs.items():
        if not spec.optional and port not in raw.inputs:
            problems.append(f"{where}: input {port} of {who} is not connected; write inputs: {{{port}: NODE.PORT}}")
    return problems


def _sync_names(sync: Sync, streams: list[str], where: Where) -> list[str]:
    named: list[tuple[tuple[Any, ...], str]] = [(("trigger",), sync.trigger)] if sync.trigger else []
    named += [(("offset_ms", port), port) for port in sync.offset_ms]
    named += [(("optional", i), port) for i, port in enumerate(sync.optional)]
    problems = [
        f"{where.child(*at)}: {p} is no connected stream input{suggest(p, streams)}" for at, p in named if p not in streams
    ]
    trigger = sync.trigger or (streams[0] if streams else None)
    if trigger in sync.optional:
        problems.append(f"{where.child('optional')}: {trigger} is the trigger: no set is made without it; choose another trigger")
    return problems


def _wiring(node: NodeSpec, nodes: Mapping[str, NodeSpec], broken: set[str], of_sources: str) -> list[str]:
    """Do the nodes and ports exist that this node reads? The ports of a broken node are unknown and not checked."""
    problems = []
    for port, i in node.inputs.items():
        at = node.where.child("inputs", port)
        if i.source_node in broken:
            continue
        if i.source_node not in nodes:
            problems.append(f"{at}: no node {i.source_node}{suggest(i.source_node, [*nodes, *broken])}")
        elif i.source_port not in nodes[i.source_node].outputs:
            outputs, where = nodes[i.source_node].outputs, of_sources if nodes[i.source_node].is_source else ""
            problems.append(f"{at}: {i.source_node} has no output {i.source_port}{where}{suggest(i.source_port, outputs)}")
    return problems


def _cycles(nodes: Mapping[str, NodeSpec]) -> list[str]:
    """The message about one cycle, beginning with its first node in the file; empty for a DAG."""
    left = dict(nodes)
    while free := [name for name, n in left.items() if not any(i.source_node in left for i in n.inputs.values())]:
        for name in free:
            del left[name]
    if not left:
        return []
    # every node left has an input among the nodes left, so walking up ends in a cycle
    path = [next(iter(left))]
    while path[-1] not in path[:-1]:
        path.append(next(i.source_node for i in left[path[-1]].inputs.values() if i.source_node in left))
    loop = path[path.index(path[-1]) :][::-1]
    first = min(range(len(loop) - 1), key=lambda i: list(nodes).index(loop[i]))
    loop = loop[:-1][first:] + loop[:-1][:first]
    return [f"{nodes[loop[0]].where}: the graph has a cycle: {' -> '.join([*loop, loop[0]])}; frames must flow one way"]
