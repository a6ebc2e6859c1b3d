"""An ONNX file that takes pictures: what its nodes have in common. Config, comparison with the file, class names, runs.

A node's config is checked against the file without a runtime (`inspect`), so that `pipe check` takes milliseconds. Shapes that
the file leaves free are known after the first run (`OwnNet.shapes`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from operators import textfile
from operators.nets import runtimes
from operators.nets.device import Device
from operators.nets.picture_input import PictureInput, PictureInputConfig, Placed, fit
from operators.nets.runtimes import Precision, Runtime
from operators.nets.runtimes.onnxfile import TensorSpec, read
from pipeline.errors import InputError, RunError

Names = str | tuple[str, ...] | int
"""Class names, in the order of the net's numbers: a list, a file with one per line, or just how many there are. Names may come
twice: lists of COCO's 91 numbers have several "N/A"."""
MAX_CLASSES = 100_000
_MOST_TEXT = 1 << 20
Fitted = TypeVar("Fitted")


@dataclass(frozen=True, slots=True)
class OwnNetConfig:
    model: str = ""  # path of an .onnx file
    runtime: Runtime = "auto"  # auto: the first one that is installed
    precision: Precision = "fp32"
    device: Device = "cpu"
    input: PictureInputConfig = field(default_factory=PictureInputConfig)


@dataclass(frozen=True, slots=True)
class Inspected:
    """A config that fits its file. outputs: as the file says; metadata: what its exporter wrote into it."""

    input: PictureInput
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]

    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Output -> shape, a free batch taken as one picture."""
        return {o.name: (1, *o.shape[1:]) if len(o.shape) > 2 and o.shape[0] is None else o.shape for o in self.outputs}


def inspect(config: OwnNetConfig) -> Inspected:
    """Raises ValueError that begins with the key: no ONNX file, another input than the config says, a runtime that is missing."""
    if not config.model:
        raise ValueError("model: needs the path of your net's .onnx file, got nothing; docs/own_net.md has an example")
    if config.runtime == "tensorrt":
        raise ValueError("runtime: tensorrt runs engines of our nets; your own needs auto, onnxruntime or openvino, got tensorrt")
    runtimes.check(config.runtime, config.precision, config.device)
    try:
        file = read(config.model)
    except InputError as error:
        raise ValueError(f"model: {error}") from None
    try:
        return Inspected(fit(config.input, file.inputs, config.model), file.outputs, file.metadata)
    except ValueError as error:
        raise ValueError(f"input.{error}") from None


def class_names(names: Names | None, metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The net's class names; None: those that its exporter wrote into the file ({0: 'person', ..}). Raises ValueError."""
    if names is None or names == "":
        names = _from_metadata(metadata)
    if names is None:
        raise ValueError(
            "names: needs the names of the net's classes (a list, a file with one per line, or their number), got none"
        )
    if isinstance(names, int):
        if not 1 <= names <= MAX_CLASSES:
            raise ValueError(f"names: needs 1..{MAX_CLASSES} classes, got {names}")
        return tuple(str(i) for i in range(names))
    if isinstance(names, str):
        try:
            found = tuple(line.strip() for line in textfile.lines(Path(names)))
        except InputError as error:
            raise ValueError(f"names: {error}") from None
    else:
        found = tuple(names)
    if not found or "" in found:
        where = f" in {names}" if isinstance(names, str) else ""
        raise ValueError(f"names: needs one or more names, got {'an empty one' if found else 'none'}{where}")
    return found


def _from_metadata(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """Of the exporters of YOLOv5 and later: a dict by number, or a list, as Python writes them; None for anything else."""
    text = metadata.get("names", "")
    if len(text) > _MOST_TEXT:
        return None
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if isinstance(found, dict) and sorted(found, key=repr) == sorted(range(len(found)), key=repr) and found:
        return tuple(str(found[i]) for i in range(len(found)))
    return tuple(map(str, found)) if isinstance(found, (list, tuple)) and found else None


class OwnNet:
    """The net of a node's `open()`. shapes: of its outputs, from a first run on a grey picture that also warms it up."""

    def __init__(self, config: OwnNetConfig, node: str, threads: int) -> None:
        self.node = node
        self.input = inspect(config).input
        self.net = runtimes.open_onnx(
            config.model, runtime=config.runtime, threads=threads, node=node, precision=config.precision, device=config.device
        )
        width, height = self.input.size
        outputs, _ = self.run([np.full((height, width, 3), 114, np.uint8)] * (self.input.batch or 1))
        self.shapes = {name: array.shape for name, array in outputs.items()}

    def run(self, pictures: Sequence[np.ndarray]) -> tuple[dict[str, np.ndarray], list[Placed]]:
        """Pictures (H, W, 3) RGB or (H, W) grey, uint8 -> outputs by name, and where the pictures lie in the input."""
        arrays, placed = self.input.feed(pictures)
        return self.net.run(arrays), placed

    def fit(self, fit: Callable[[Mapping[str, tuple[int, ...]]], Fitted]) -> Fitted:
        """`fit` of the outputs' shapes. Raises RunError in its words: for shapes that the file leaves free."""
        try:
            return fit(self.shapes)
        except ValueError as error:
            raise RunError(f"{self.node}: {error}") from None
