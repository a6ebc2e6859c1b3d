"""`pipe export`: a trained net becomes a file for another runtime. What a net needs for that is an `Exporter` of the operators.

The engine knows no net: it takes frames of a graph, which set the ranges of int8 and pass through the admission gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pipeline import api
from pipeline.errors import GraphError
from pipeline.graph import lookup
from pipeline.graph.load import load
from pipeline.schema import Schema

_EXPORTERS = (
    "operators.fuse.export:GateExporter",
    "operators.segment.export:PanopticExporter",
    "operators.detect.export:DetectorExporter",
)
"""The first one that takes the model; the last one takes all, and says what it needs."""


@dataclass(frozen=True)
class ExportOptions:
    """model: a shipped model or a .safetensors file; calibrate: path or name of a graph; threads: of the runtimes."""

    model: str
    to: Literal["onnx", "openvino", "tensorrt"]
    precision: Literal["fp32", "fp16", "bf16", "int8"]
    out: Path
    calibrate: str | None = None
    threads: int = 1


class Exporter:
    """Base class of exporters. __init__ raises GraphError, InputError or RunError for everything that is wrong before the start.

    schemas  inputs of the net -> schema of the frames
    op       name of its operator: in a graph that has one, the frames are those of its inputs
    frames   how many are wanted
    default  graph and overrides where the user names none
    """

    schemas: Mapping[str, Schema]
    op: ClassVar[str] = ""
    frames: ClassVar[int]
    default: tuple[str, Mapping[str, Any]]

    @classmethod
    def takes(cls, model: str) -> bool:
        """Is it a model of this exporter?"""
        return True

    def __init__(self, options: ExportOptions) -> None:
        raise NotImplementedError(f"{type(self).__name__}.__init__")

    def run(self, frames: list[dict[str, Any]]) -> Iterator[str]:
        """Make the file, yielding lines for the user. Raises RunError where no runtime passes its gate; then there is no file."""
        raise NotImplementedError(f"{type(self).__name__}.run")


def export(options: ExportOptions) -> Iterator[str]:
    """Lines for the user, the last one when the file is there."""
    found = (lookup.class_by_ref(ref) for ref in _EXPORTERS)
    exporter: Exporter = next(cls for cls in found if cls.takes(options.model))(options)
    graph, sets = (options.calibrate, {}) if options.calibrate is not None else exporter.default
    ports = {name: port_of(graph, sets, name, schema, exporter.op) for name, schema in exporter.schemas.items()}
    yield f"frames: {exporter.frames} of {graph}, {', '.join(ports.values())}"
    yield from exporter.run(_frames(graph, sets, ports, exporter.frames))


def _frames(graph: str, sets: Mapping[str, Any], ports: Mapping[str, str], num: int) -> list[dict[str, Any]]:
    """Frames of several ports that have one stamp; those that lack a partner are left out."""
    streams = {
        name: {(header.sequence, header.stamp_ns): value for header, value in api.frames(graph, port, sets, frames=num)}
        for name, port in ports.items()
    }
    first = next(iter(streams.values()))
    return [{name: found[at] for name, found in streams.items()} for at in first if all(at in f for f in streams.values())]


def port_of(graph: str, sets: Mapping[str, Any], name: str, schema: Schema, op: str = "") -> str:
    """NODE.PORT: what goes into the input `name` of the first node of `op`; without such a node, the first port of this schema.

    Raises GraphError where there is none.
    """
    nodes = load(graph, sets).nodes
    for node in nodes.values():
        if op and node.op == op and name in node.inputs:
            return f"{node.inputs[name].source_node}.{node.inputs[name].source_port}"
    for node_name, node in nodes.items():
        for port, declared in node.outputs.items():
            if declared.schema.name == schema.name and not declared.static:
                return f"{node_name}.{port}"
    raise GraphError(f"--calibrate {graph}: needs a node that sends {schema.name}, got none")
