"""`pipe export` for nets: frames to ONNX model, TensorRT engine, admission gate, file. What a net adds is a subclass.

The first half of the frames sets the ranges of int8, the second half passes through the gate; with fewer than twice the gate's
frames all of them do both, and the facts of the engine say so.
Onnx: the file is for onnxruntime and OpenVINO, each with a gate of its own if it is installed; openvino: for OpenVINO alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from operators.nets import export, gate, weights
from operators.nets.runtimes import Runtime, check, enginecache
from operators.nets.runtimes.enginefile import Facts, save_onnx, save_tensorrt, weights_hash
from pipeline import settings
from pipeline.errors import InputError, RunError
from pipeline.exporting import Exporter, ExportOptions

_RUNTIMES: dict[str, tuple[Runtime, ...]] = {
    "onnx": ("onnxruntime", "openvino"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt",),
}


class NetExporter(Exporter):
    """A subclass sets `architecture`, `schemas` and `default`, and makes the models."""

    architecture: ClassVar[weights.Architecture]
    frames = 2 * gate.FRAMES

    def __init__(self, options: ExportOptions) -> None:
        self.options = options
        export.needs("torch", "safetensors", "onnx", *(["onnxruntime"] if options.precision == "int8" else []))
        self.runtimes = _able(options)
        self.loaded = weights.load(options.model, self.architecture)

    def open(self) -> None:
        """Load the net."""
        raise NotImplementedError(f"{type(self).__name__}.open")

    def model(self, precision: str, frames: list[dict[str, Any]]) -> bytes:
        """The ONNX model; the frames set the ranges of int8."""
        raise NotImplementedError(f"{type(self).__name__}.model")

    def numbers(self, path: Path, runtime: Runtime, frames: list[dict[str, Any]]) -> dict[str, Any]:
        """Of the admission gate of an engine in one runtime."""
        raise NotImplementedError(f"{type(self).__name__}.numbers")

    def run(self, frames: list[dict[str, Any]]) -> Iterator[str]:
        options = self.options
        if len(frames) < gate.FRAMES:
            raise InputError(f"export: needs {gate.FRAMES} frames or more for the admission gate, got {len(frames)}")
        halves = len(frames) >= self.frames
        first, second = (frames[: len(frames) // 2], frames[len(frames) // 2 :]) if halves else (frames, frames)
        self.open()
        model = self.model(_exported(options), first)
        config, digest = settings.plain(self.loaded.config), weights_hash(self.loaded.tensors)
        facts = Facts(self.architecture.name, config, digest, options.precision)
        if options.precision == "int8":
            graph = options.calibrate or self.default[0]
            facts = replace(facts, calibration={"graph": graph, "frames": len(first), "also_in_gate": not halves})
        yield f"{options.model}: {len(model) / 1e6:.1f} MB of ONNX"
        gates: dict[str, dict[str, Any]] = {}
        refused: list[str] = []
        with tempfile.TemporaryDirectory(prefix="pipe-export-") as folder:
            path = Path(folder) / "engine"
            engine = b""
            if options.to == "tensorrt":
                engine, stamp, found = enginecache.engine(model, options.precision, "export")
                yield f"{stamp.device}, TensorRT {stamp.tensorrt}: engine {'of an earlier export' if found else 'built'}"
                facts = replace(facts, built=stamp._asdict())
                save_tensorrt(path, engine, facts)
            else:
                save_onnx(path, model, facts)
            for runtime in self.runtimes:
                numbers = self.numbers(path, runtime, second)
                reason = gate.refusal(numbers)
                yield f"{runtime}: {'refused' if reason else 'passed'}: {gate.summary(numbers)}"
                gates[runtime] = numbers
                refused += [f"{runtime}: {reason}"] if reason else []
        if len(refused) == len(gates):
            raise RunError(f"export: the admission gate refuses {options.precision}, nothing is written: {'; '.join(refused)}")
        facts = replace(facts, gates=gates)
        if options.to == "tensorrt":
            save_tensorrt(options.out, engine, facts)
        else:
            save_onnx(options.out, model, facts)
        yield f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, {options.precision}"


def _able(options: ExportOptions) -> list[Runtime]:
    """Runtimes in which the engine will be compared. Raises RunError where none can run it, with the reason of the first."""
    found: list[Runtime] = []
    reasons = []
    for runtime in _RUNTIMES[options.to]:
        try:
            check(runtime, options.precision)
            found.append(runtime)
        except ValueError as error:
            reasons.append(str(error))
    if not found:
        raise RunError(f"export --to {options.to}: {reasons[0]}")
    return found


def _exported(options: ExportOptions) -> str:
    """Precision of the ONNX model: OpenVINO makes bfloat16 of a float32 model by itself."""
    return "fp32" if options.precision == "bf16" and options.to != "tensorrt" else options.precision
