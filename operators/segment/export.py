"""`pipe export` for segment.efficientps: its dense part as an engine, compared by raw maps, classes of cells and boxes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from operators.detect.scaled import scaled
from operators.nets import gate, weights
from operators.nets.activated import fold
from operators.nets.efficientps import EfficientPS, FindConfig
from operators.nets.efficientps_config import EFFICIENTPS
from operators.nets.export_efficientps import (
    INPUT,
    MAPS,
    OBJECTS,
    OFFSETS,
    OUTPUTS,
    SEMANTIC,
    DenseEfficientPS,
    dense_export,
    dense_of,
)
from operators.nets.export_int8 import calibrate, quantize
from operators.nets.exporter import NetExporter
from operators.nets.region_proposals import ProposalConfig
from operators.nets.runtimes import Precision, Runtime, open_onnx
from operators.nets.runtimes.torch import fill
from operators.streams import IMAGE, Boxes2D
from pipeline.errors import InputError, RunError
from pipeline.exporting import ExportOptions

_FIND = FindConfig(gate.MIN_SCORE, proposals=ProposalConfig(500, 200))
"""Instances that are compared: those of the operator's defaults with the score of the gate."""


class PanopticExporter(NetExporter):
    architecture, op, schemas = EFFICIENTPS, "segment.efficientps", {"image": IMAGE}

    @classmethod
    def takes(cls, model: str) -> bool:
        try:
            return weights.architecture_of(weights.find(model, EFFICIENTPS)) == EFFICIENTPS.name
        except InputError:
            return False

    def __init__(self, options: ExportOptions) -> None:
        if (options.to, options.precision) == ("tensorrt", "bf16"):
            raise RunError(
                "export --to tensorrt: precision: segment.efficientps needs fp32, fp16 or int8, got bf16; openvino takes bf16"
            )
        super().__init__(options)
        width, height = self.loaded.config.image_size
        world = {"seed": 5000, "drives": self.frames, "frames": 1, "start_s": 5.0}
        sets = {"segment.config.weights": options.model, **{f"world.config.{key}": value for key, value in world.items()}}
        if of_scans(self.loaded.facts):
            self.default = ("panoptic_lidar_world", sets)
        else:
            self.default = ("panoptic_demo", {**sets, "world.config.camera.width": width, "world.config.camera.height": height})

    def open(self) -> None:
        self.bench = Bench(self.loaded, self.options.model)

    def model(self, precision: str, frames: list[dict[str, Any]]) -> bytes:
        model, options = dense_export(self.bench.net, precision), self.options
        if precision != "int8":
            return model
        ranges = calibrate(model, lambda: ({INPUT: self.bench.picture(frame)} for frame in frames), options.threads)
        return quantize(model, ranges, symmetric=options.to == "tensorrt")

    def numbers(self, path: Path, runtime: Runtime, frames: list[dict[str, Any]]) -> dict[str, Any]:
        return self.bench.gate(path, runtime, self.options.precision, frames, self.options.threads)


def of_scans(facts: Mapping[str, Any]) -> bool:
    """Was the net trained on range images?"""
    try:
        return bool(json.loads(facts["training"])["data"]["driver"] == "range_pictures")
    except (KeyError, TypeError, ValueError):
        return False


class Bench:
    """The net in fp32, and the comparison of engines with it."""

    def __init__(self, loaded: weights.Weights, name: str) -> None:
        self.net = EfficientPS(loaded.config).eval()
        fill(self.net, loaded, name)
        fold(self.net)
        self.dense = DenseEfficientPS(self.net)

    def picture(self, frame: Mapping[str, Any]) -> np.ndarray:
        return scaled(frame["image"], self.net.config.image_size)

    def exact(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of an engine, by the net itself."""
        import torch

        with torch.inference_mode():
            found = self.dense(torch.from_numpy(np.ascontiguousarray(picture)))
        return {name: tensor.numpy() for name, tensor in zip(OUTPUTS, found, strict=True)}

    def gate(
        self, path: Path, runtime: Runtime, precision: Precision, frames: list[dict[str, Any]], threads: int
    ) -> dict[str, Any]:
        """Numbers of the admission gate of an engine in one runtime."""
        import torch

        torch.set_num_threads(threads)
        engine = open_onnx(path, runtime=runtime, threads=threads, node="export", precision=precision)
        compared, kinds = gate.Gate(precision), len(self.net.config.anchor_ratios)
        try:
            for frame in frames:
                picture = self.picture(frame)
                exact, found = self.exact(picture), engine.run({INPUT: picture})
                compared.maps(_columns(exact, kinds), _columns(found, kinds))
                compared.classes(exact[SEMANTIC].argmax(0), found[SEMANTIC].argmax(0))
                compared.boxes(self.boxes(exact), self.boxes(found))
        finally:
            engine.close()
        return compared.numbers()

    def boxes(self, outputs: Mapping[str, np.ndarray]) -> Boxes2D:
        import torch

        with torch.inference_mode():
            dense = dense_of({name: torch.from_numpy(array) for name, array in outputs.items()}, self.net.config)
            found = self.net.find(dense, 0, _FIND)
        return Boxes2D(found.boxes.numpy(), found.scores.numpy(), found.things.numpy().astype(np.int32))


def _columns(outputs: Mapping[str, np.ndarray], kinds: int) -> dict[str, np.ndarray]:
    """Rows: cells; columns: channels, of an anchor each kind by itself."""
    made = {SEMANTIC: np.moveaxis(outputs[SEMANTIC], 0, -1)}
    made |= {name: outputs[name].reshape(-1, kinds * width) for name, width in ((OBJECTS, 1), (OFFSETS, 4))}
    return made | {name: np.moveaxis(outputs[name], 1, -1) for name in MAPS}
