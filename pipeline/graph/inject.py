"""Faults onto the edges of a graph: finds ports and operators of their names, and refuses what does not fit.

A fault is one of the engine's own (`OWN`), or an operator `inject.NAME` with an input and an output of one name that fit.
Why the frames change at the reader's end of an edge: docs/decisions/019-injected-faults.md.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline import settings
from pipeline.errors import GraphError, Where
from pipeline.graph import fault, lookup
from pipeline.graph.fault import STEPS, TIMED, EdgeFault, FaultText, Injection, Target
from pipeline.graph.spec import Edge, GraphSpec
from pipeline.schema import Schema, ports
from pipeline.settings import suggest

MOST_FAULTS = 62
"""Each has a bit in a word of the event log."""
FOLDER = "inject."
OWN: Mapping[str, tuple[float, float] | None] = {
    "drop": (0.5, 1.0),
    "delay": (100.0, 10_000.0),
    "jitter": (50.0, 10_000.0),
    "disconnect": None,
}
"""The engine's own faults: default and largest level; None: it has none. drop: share of the frames; delay, jitter: ms."""


def with_faults(spec: GraphSpec, texts: Iterable[str] = ()) -> GraphSpec:
    """The graph with the faults of its nodes and those of `--inject`. Raises GraphError, a line for each wrong one."""
    given = [(str(n.where.child("inject", i)), text, n.name) for n in spec.nodes.values() for i, text in enumerate(n.inject)]
    given += [(f"--inject {text}", text, "") for text in texts]
    found: list[Injection] = []
    problems: list[str] = []
    for at, text, node in given:
        try:
            found.append(_resolved(spec, fault.parse(text, at, node or None, spec.nodes)))
        except GraphError as error:
            problems += str(error).splitlines()
    if len(found) > MOST_FAULTS:
        problems.append(f"{spec.path}: needs at most {MOST_FAULTS} faults, got {len(found)}")
    if problems:
        raise GraphError("\n".join(problems))
    return dataclasses.replace(spec, faults=tuple(found))


def _resolved(spec: GraphSpec, given: FaultText) -> Injection:
    if given.node not in spec.nodes:
        raise GraphError(f"{given.at}: needs a node of the graph ({', '.join(spec.nodes)}), got {given.node}")
    name = _known(given)
    operator = None if name in OWN else lookup.operator_class(FOLDER + name.replace("-", "_"))
    config = {} if operator is None else _config(given, operator)
    level = _level(given, name) if operator is None else 0.0
    targets = []
    for edge, port in _edges(spec, given, operator):
        seed = zlib.crc32(f"{port}:{name}".encode())
        made = EdgeFault(name, level, seed, given.window)
        if operator is not None:
            schema = spec.nodes[edge.src_node].outputs[edge.src_port].schema
            made = dataclasses.replace(
                made,
                cls=lookup.class_ref(operator),
                file=lookup.class_file(operator),
                config=config | ({"seed": seed} if "seed" in settings.field_types(operator.Config) else {}),
                port=_fitting(operator, schema) or "",
            )
        targets.append(Target(edge.name, port, made))
    return Injection(given.node, name, given.text, tuple(targets))


# -- names and levels ---------------------------------------------------------------------------------------------------
def known() -> list[str]:
    """All faults, those of the user's project among them."""
    operators = [name for name in lookup.available_operators() if name.startswith(FOLDER)]
    return sorted([*OWN, *(name.removeprefix(FOLDER).replace("_", "-") for name in operators)])


def _known(given: FaultText) -> str:
    """The name of the fault: whiteout and white-out, beam_loss and beam-loss are the same."""
    names = {name.replace("-", ""): name for name in known()}
    name = names.get(given.fault.replace("-", "").replace("_", ""))
    if name is None:
        near = settings.nearest(given.fault, names.values())
        hint = f"; did you mean {near}?" if near else ""
        if not near and given.at.startswith("--inject"):
            hint = f"; pipe run also takes a step at which the process kills itself: {', '.join(STEPS)}"
        raise GraphError(f"{given.at}: needs a fault ({', '.join(names.values())}), got {given.fault}{hint}")
    return name


def _level(given: FaultText, name: str) -> float:
    """The level of one of the engine's own faults."""
    own = OWN[name]
    if own is None:
        if given.level:
            raise GraphError(f"{given.at}: {name} has no level, got {given.level}")
        return 0.0
    default, most = own
    if not given.level:
        return default
    text, scale = given.level, 1.0
    if name in TIMED and text.endswith("s"):
        text, scale = (text[:-2], 1.0) if text.endswith("ms") else (text[:-1], 1000.0)
    level = _number(given, text) * scale
    if not 0 <= level <= most:
        raise GraphError(f"{given.at}: level: needs 0 .. {most:g}{' ms' if name in TIMED else ''}, got {given.level}")
    return level


def _config(given: FaultText, operator: type[Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if given.level:
        if "level" not in settings.field_types(operator.Config):
            raise GraphError(f"{given.at}: {given.fault} has no level, got {given.level}")
        values["level"] = _number(given, given.level)
    config: dict[str, Any] = settings.plain(settings.build(operator.Config, values, Where(given.at)))
    return config


def _number(given: FaultText, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise GraphError(f"{given.at}: level: needs a number, got {given.level}") from None


# -- ports --------------------------------------------------------------------------------------------------------------
def _edges(spec: GraphSpec, given: FaultText, operator: type[Any] | None) -> list[tuple[Edge, str]]:
    """The edges of a fault, each with the NODE.PORT it was given for: outputs come before inputs of the same name."""
    node = spec.nodes[given.node]
    outputs = {port: spec.edges_from(node.name, port) for port, declared in node.outputs.items() if not declared.static}
    inputs = {edge.dst_port: [edge] for edge in spec.edges() if edge.dst_node == node.name and not edge.static}
    if given.port:
        if given.port not in outputs and given.port not in inputs:
            static = given.port in node.outputs or given.port in node.inputs
            what = "a stream of" if static else "a port of"
            names = list(dict.fromkeys([*outputs, *inputs]))
            raise GraphError(
                f"{given.at}: needs {what} {node.name} ({', '.join(names)}), got {given.port}{' (static)' if static else ''}"
                + ("" if static or not settings.nearest(given.port, names) else suggest(given.port, names))
            )
        chosen = outputs.get(given.port) or inputs.get(given.port) or []
        if not chosen:
            raise GraphError(f"{given.at}: needs a connected port, got {node.name}.{given.port}, which nobody reads")
        groups = [{given.port: chosen}]
    else:
        groups = [outputs, inputs]
    refused: list[str] = []
    for group in groups:
        fitting: list[tuple[Edge, str]] = []
        for port, edges in group.items():
            for edge in edges:
                schema = spec.nodes[edge.src_node].outputs[edge.src_port].schema
                if operator is None or _fitting(operator, schema) is not None:
                    fitting.append((edge, f"{node.name}.{port}"))
                elif f"{port} ({schema.name})" not in refused:
                    refused.append(f"{port} ({schema.name})")
        if fitting:
            return fitting
    needed = "a stream" if operator is None else " or ".join(p.schema.name for p in _ports(operator).values())
    raise GraphError(f"{given.at}: {given.fault}: needs a port of {needed}, got {', '.join(refused) or 'no connected stream'}")


def _ports(operator: type[Any]) -> dict[str, Any]:
    """The ports of a fault's operator that it has as inputs and as outputs."""
    return {name: port for name, port in ports(operator.inputs, operator.__name__).items() if name in operator.outputs}


def _fitting(operator: type[Any], schema: Schema) -> str | None:
    """The port of the operator that takes this stream; None: it takes none. Arrays of any kind are not known to fit."""
    if schema.any:
        return None
    return next((name for name, port in _ports(operator).items() if schema.mismatch(port.schema) is None), None)
