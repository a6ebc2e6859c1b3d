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

_EXPORTER = "operators.detect.export:DetectorExporter"


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

    schema   of the port whose frames the net takes
    frames   how many are wanted
    default  graph and overrides where the user names none
    """

    schema: ClassVar[Schema]
    frames: ClassVar[int]
    default: tuple[str, Mapping[str, Any]]

    def __init__(self, options: ExportOptions) -> None:
        raise NotImplementedError(f"{type(self).__name__}.__init__")

    def run(self, frames: list[Any]) -> Iterator[str]:
        """Make the file, yielding lines for the user. Raises RunError where no runtime passes its gate; then there is no file."""
        raise NotImplementedError(f"{type(self).__name__}.run")


def export(options: ExportOptions) -> Iterator[str]:
    """Lines for the user, the last one when the file is there."""
    exporter: Exporter = lookup.class_by_ref(_EXPORTER)(options)
    graph, sets = (options.calibrate, {}) if options.calibrate is not None else exporter.default
    port = port_of(graph, sets, exporter.schema)
    yield f"frames: {exporter.frames} of {graph}, {port}"
    frames = [value for _, value in api.frames(graph, port, sets, frames=exporter.frames)]
    yield from exporter.run(frames)


def port_of(graph: str, sets: Mapping[str, Any], schema: Schema) -> str:
    """NODE.PORT: the first port of a graph with this schema. Raises GraphError where there is none."""
    for name, node in load(graph, sets).nodes.items():
        for port, declared in node.outputs.items():
            if declared.schema.name == schema.name and not declared.static:
                return f"{name}.{port}"
    raise GraphError(f"--calibrate {graph}: needs a node that sends {schema.name}, got none")
