"""`pipe export` for detectors: ONNX model, int8 from frames, TensorRT engine, admission gate.

The first half of the frames sets the ranges of int8, the second half passes through the gate; with fewer than twice the gate's
frames all of them do both, and the facts of the engine say so.
Onnx: the file is for onnxruntime and OpenVINO, each with a gate of its own if it is installed; openvino: for OpenVINO alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from operators.detect.anchors import anchor_grid
from operators.detect.decode import DecodeConfig, decode_at
from operators.detect.pillars import output_labels
from operators.detect.pointpillars import split_at
from operators.nets import export, gate, weights
from operators.nets.export_int8 import calibrate, quantize
from operators.nets.export_pointpillars import BOXES, CLASS_LOGITS, INPUT, DensePointPillars, dense_export
from operators.nets.pointpillars import PointPillars
from operators.nets.pointpillars_config import POINTPILLARS
from operators.nets.pointpillars_inference import InferencePointPillars
from operators.nets.runtimes import Precision, Runtime, check, open_onnx, tensorrt
from operators.nets.runtimes.enginefile import Facts, save_onnx, save_tensorrt, weights_hash
from operators.nets.runtimes.torch import fill
from operators.streams import PILLARS, Boxes3D, Pillars
from pipeline import settings
from pipeline.errors import InputError, RunError
from pipeline.exporting import Exporter, ExportOptions

_RUNTIMES: dict[str, tuple[Runtime, ...]] = {
    "onnx": ("onnxruntime", "openvino"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt",),
}


class DetectorExporter(Exporter):
    schema = PILLARS
    frames = 2 * gate.FRAMES

    def __init__(self, options: ExportOptions) -> None:
        self.options = options
        export.needs("torch", "safetensors", "onnx", *(["onnxruntime"] if options.precision == "int8" else []))
        self.runtimes = _able(options)
        self.loaded = weights.load(options.model, POINTPILLARS)
        grid = {f"voxelize.config.{key}": settings.plain(getattr(self.loaded.config, key)) for key in ("cell_m", "range_m")}
        world = {"world.config.seed": 5000, "world.config.drives": self.frames, "world.config.frames": 1}
        self.default = ("demo", {**grid, **world, "world.config.start_s": 5.0})

    def run(self, frames: list[Pillars]) -> Iterator[str]:
        options = self.options
        bench = Bench(self.loaded, options.model)
        if len(frames) < gate.FRAMES:
            raise InputError(f"export: needs {gate.FRAMES} frames or more for the admission gate, got {len(frames)}")
        halves = len(frames) >= self.frames
        first, second = (frames[: len(frames) // 2], frames[len(frames) // 2 :]) if halves else (frames, frames)
        model = dense_export(bench.net, _exported(options))
        facts = Facts(POINTPILLARS.name, settings.plain(self.loaded.config), weights_hash(self.loaded.tensors), options.precision)
        if options.precision == "int8":
            ranges = calibrate(model, lambda: ({INPUT: bench.level(pillars)} for pillars in first), options.threads)
            model = quantize(model, ranges, symmetric=options.to == "tensorrt")
            graph = options.calibrate or self.default[0]
            facts = replace(facts, calibration={"graph": graph, "frames": len(first), "also_in_gate": not halves})
        yield f"{options.model}: {len(model) / 1e6:.1f} MB of ONNX"
        gates: dict[str, dict[str, Any]] = {}
        refused: list[str] = []
        with tempfile.TemporaryDirectory(prefix="pipe-export-") as folder:
            path = Path(folder) / "engine"
            engine = b""
            if options.to == "tensorrt":
                engine, stamp = tensorrt.build(model, "export", timing_cache=_timing_cache())
                facts = replace(facts, built=stamp._asdict())
                save_tensorrt(path, engine, facts)
            else:
                save_onnx(path, model, facts)
            for runtime in self.runtimes:
                numbers = bench.gate(path, runtime, options.precision, second, options.threads)
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


class Bench:
    """The net in fp32, and the comparison of engines with it."""

    def __init__(self, loaded: weights.Weights, name: str) -> None:
        trained = PointPillars(loaded.config)
        fill(trained, loaded, name)
        self.net = InferencePointPillars(trained.eval())
        self.dense = DensePointPillars(self.net)
        self._anchors = anchor_grid(loaded.config)
        self._offset_rad = loaded.config.direction_offset_rad
        self._labels = output_labels(loaded.config.class_names, None)
        self._decode = DecodeConfig(score_threshold=gate.MIN_SCORE)

    def level(self, pillars: Pillars) -> np.ndarray:
        """(rows, columns, C): the input of an engine."""
        import torch

        with torch.inference_mode():
            level = self.net.first_level(*(torch.from_numpy(a) for a in (pillars.pillars, pillars.counts, pillars.cells)))
            return level[0].permute(1, 2, 0).numpy()

    def gate(self, path: Path, runtime: Runtime, precision: Precision, frames: list[Pillars], threads: int) -> dict[str, Any]:
        """Numbers of the admission gate of an engine in one runtime."""
        import torch

        torch.set_num_threads(threads)
        engine = open_onnx(path, runtime=runtime, threads=threads, node="export", precision=precision)
        compared, kinds = gate.Gate(precision), self.net.config.anchors_per_location
        try:
            for pillars in frames:
                level = self.level(pillars)
                with torch.inference_mode():
                    exact = dict(
                        zip(("class_logits", "boxes"), (m.numpy() for m in self.dense(torch.from_numpy(level))), strict=True)
                    )
                found = engine.run({INPUT: level})
                compared.maps(_parts(exact, kinds), _parts(found, kinds))
                compared.boxes(self._boxes(exact), self._boxes(found))
        finally:
            engine.close()
        return compared.numbers()

    def _boxes(self, maps: dict[str, np.ndarray]) -> Boxes3D:
        heads_at = split_at(maps[BOXES])
        return decode_at(maps[CLASS_LOGITS], heads_at, self._anchors, self._labels, self._decode, offset_rad=self._offset_rad)


def _parts(maps: dict[str, np.ndarray], per_location: int) -> dict[str, np.ndarray]:
    """Rows: locations; columns: the channels of class, box and direction, each of one anchor."""
    parts = {
        "class_logits": maps[CLASS_LOGITS],
        "box_residuals": maps[BOXES][:, :7],
        "direction_logits": maps[BOXES][:, 7:],
    }
    return {name: part.reshape(-1, per_location * part.shape[1]) for name, part in parts.items()}


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


def _timing_cache() -> Path:
    folder = Path.home() / ".cache" / "pipe"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "tensorrt.timing"
