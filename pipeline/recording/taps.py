"""Adds a node that only watches to a graph: a recorder, a viewer. A live graph never waits for it (see `Operator.tap`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.errors import GraphError
from pipeline.graph import sizing
from pipeline.graph.spec import (
    DEFAULT_CLOSE_S,
    DEFAULT_HANG_S,
    DEFAULT_OPEN_HANG_S,
    GraphSpec,
    Input,
    NodeSpec,
    Queue,
    Restart,
)
from pipeline.operator import Operator
from pipeline.schema import ANY, Port
from pipeline.settings import Where, suggest

RECORDER = "_record"
"""Name of the node that records; a graph file cannot have a node of this name."""
BATCH, MAX_QUEUE, QUEUE_BYTES = 8, 16, 1 << 20
"""Small frames taken with one call; frames and bytes of a port that may wait, offline (measured: 010-recording.md)."""

Chosen = Mapping[str, tuple[str, str]]
"""NODE.PORT -> (node, port)."""


def choose(spec: GraphSpec, ports: str, flag: str) -> Chosen:
    """ports: sources, all, or NODE.PORT,NODE.PORT; see `Record`. Raises GraphError that begins with the flag."""
    there = {f"{name}.{port}": (name, port) for name, node in spec.nodes.items() for port in node.outputs}
    if ports in ("sources", "all"):
        used = {(e.src_node, e.src_port) for e in spec.edges()} if ports == "all" else set()
        chosen = {name: at for name, at in there.items() if spec.nodes[at[0]].is_source or at in used}
    else:
        names = [name.strip() for name in ports.split(",") if name.strip()]
        for name in names:
            if name not in there:
                raise GraphError(f"{flag} {name}: needs sources, all, or NODE.PORT of the graph{suggest(name, there)}")
        chosen = {name: there[name] for name in names}
    if not any(not spec.nodes[node].outputs[port].static for node, port in chosen.values()):
        raise GraphError(f"{flag} {ports}: needs at least one port that is not static, got none")
    return chosen


def with_tap(
    spec: GraphSpec, name: str, cls: type[Operator], config: Any, chosen: Chosen, flag: str, on_error: str | None = None
) -> GraphSpec:
    """The graph with the tap as an additional node in a process of its own; its inputs are named NODE.PORT."""
    inputs = {
        label: Input(label, node, port, Queue(), Port(ANY, static=spec.nodes[node].outputs[port].static))
        for label, (node, port) in chosen.items()
    }
    tap = NodeSpec(
        name=name, driver=None, op=name, cls=cls, config=config, inputs=inputs, outputs={}, place=name,
        threads=1, restart=Restart(), on_error=on_error, hang_s=DEFAULT_HANG_S, open_hang_s=DEFAULT_OPEN_HANG_S,
        close_s=DEFAULT_CLOSE_S, cpus=None, nice=None, rate_hz=None, live=False, sync=None, pool={}, line=0,
        where=Where(flag),
    )  # fmt: skip
    spec = dataclasses.replace(spec, nodes=spec.nodes | {name: tap})
    queues = {label: Queue(size=_queue_size(spec, *at)) for label, at in chosen.items() if not inputs[label].port_spec.static}
    inputs |= {label: dataclasses.replace(inputs[label], queue=queue) for label, queue in queues.items()}
    return dataclasses.replace(spec, nodes=spec.nodes | {name: dataclasses.replace(tap, inputs=inputs)})


def _queue_size(spec: GraphSpec, node: str, port: str) -> int:
    """Frames that may wait for the tap offline. (Live none waits.)"""
    nbytes = max(1, sizing.slot_bytes(spec, node, port))
    return max(sizing.QUEUE_SIZE["block"], min(MAX_QUEUE, QUEUE_BYTES // nbytes))
