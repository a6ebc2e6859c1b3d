"""`pipe export` for fuse.gate: the whole net as one engine, compared with both modalities present and with each alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from operators.detect.scaled import scaled
from operators.fuse.gate import EngineNet, seen
from operators.fuse.objects import objects
from operators.nets import gate, weights
from operators.nets.export_fusion import fusion_export, map_name, outputs_of
from operators.nets.export_int8 import calibrate, quantize
from operators.nets.exporter import NetExporter
from operators.nets.fusion_backbones import fold
from operators.nets.fusion_config import FUSION, FusionNetConfig
from operators.nets.fusion_net import FusionNet
from operators.nets.runtimes import Precision, Runtime, open_onnx
from operators.nets.runtimes.torch import fill
from operators.streams import DEPTH, GREY, IMAGE, Boxes2D
from pipeline.errors import InputError, RunError
from pipeline.exporting import ExportOptions

_SCHEMAS = {"image": IMAGE, "thermal": GREY, "depth": DEPTH}

Pictures = Mapping[str, np.ndarray]
"""By modality, of the net's size, as `seen` makes them; an absent one is left out."""


class GateExporter(NetExporter):
    architecture, op = FUSION, "fuse.gate"

    @classmethod
    def takes(cls, model: str) -> bool:
        try:
            return weights.architecture_of(weights.find(model, FUSION)) == FUSION.name
        except InputError:
            return False

    def __init__(self, options: ExportOptions) -> None:
        if (options.to, options.precision) == ("tensorrt", "bf16"):
            raise RunError("export --to tensorrt: precision: fuse.gate needs fp32, fp16 or int8, got bf16; openvino takes bf16")
        super().__init__(options)
        _check(self.loaded.config)
        self.schemas = {name: _SCHEMAS[name] for name in self.loaded.config.modalities}
        width, height = self.loaded.config.image_size
        world = {"seed": 5000, "drives": self.frames, "frames": 1, "start_s": 5.0, "light": "mixed"}
        camera = {"camera.width": width, "camera.height": height}
        self.default = ("demo", {f"world.config.{key}": value for key, value in {**world, **camera}.items()})

    def open(self) -> None:
        self.bench = Bench(self.loaded, self.options.model)

    def model(self, precision: str, frames: list[dict[str, Any]]) -> bytes:
        if precision != "int8":
            return fusion_export(self.bench.net, precision)
        pictures, options = [self.bench.pictures(frame) for frame in frames], self.options

        def to_int8(modality: str, model: bytes) -> bytes:
            ranges = calibrate(model, lambda: ({modality: p[modality]} for p in pictures), options.threads)
            return quantize(model, ranges, symmetric=options.to == "tensorrt")

        return fusion_export(self.bench.net, precision, to_int8)

    def numbers(self, path: Path, runtime: Runtime, frames: list[dict[str, Any]]) -> dict[str, Any]:
        return self.bench.gate(path, runtime, self.options.precision, frames, self.options.threads)


def _check(config: FusionNetConfig) -> None:
    """Raises RunError for a net that has no ONNX model."""
    if config.scheme == "selective" and config.evaluation_noise:
        raise RunError("export: needs a net without evaluation_noise, got one whose outputs are drawn anew for each frame")
    scalar = config.scheme.startswith("scalar") and len(config.modalities) > 1
    if scalar and config.weight_net == "released" and any(side % 16 for side in config.grid):
        rows, columns = config.grid
        raise RunError(f"export: weight_net released needs a map of multiples of 16 cells, got {rows} x {columns}")


class Bench:
    """The net in fp32, and the comparison of engines with it."""

    def __init__(self, loaded: weights.Weights, name: str) -> None:
        self.net = FusionNet(loaded.config).eval()
        fill(self.net, loaded, name)
        fold(self.net)
        self.config, self._name = loaded.config, name

    def pictures(self, frame: Mapping[str, Any]) -> dict[str, np.ndarray]:
        sizes = {name: array.shape[:2] for name, array in frame.items()}
        if len(set(sizes.values())) > 1:
            got = ", ".join(f"{name} {w} x {h}" for name, (h, w) in sizes.items())
            raise InputError(f"{self._name}: needs pictures of one size, got {got}; a graph with fuse.align before fuse.gate?")
        return {name: scaled(seen(name, array), self.config.image_size) for name, array in frame.items()}

    def exact(self, pictures: Pictures) -> dict[str, np.ndarray]:
        """The outputs of an engine, by the net itself; maps of the modalities that are there."""
        import torch

        names = self.config.modalities
        with torch.inference_mode():
            given = [torch.from_numpy(pictures[name])[None] if name in pictures else None for name in names]
            maps = self.net.maps(given)
            fused = self.net.fusion(maps)
            found = self.net.detect(fused.features)
            each = [found.logits[-1, 0], found.boxes[-1, 0], fused.shares[0]]
            if found.cell_logits is not None and found.cells is not None:
                each += [found.cell_logits[0], found.cells[0]]
        outputs = dict(zip(outputs_of(self.net), each, strict=True))
        outputs |= {map_name(name): made for name, made in zip(names, maps, strict=True) if made is not None}
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    def gate(
        self, path: Path, runtime: Runtime, precision: Precision, frames: list[dict[str, Any]], threads: int
    ) -> dict[str, Any]:
        """Numbers of the admission gate of an engine in one runtime: of all modalities, then of each alone."""
        import torch

        torch.set_num_threads(threads)
        names = self.config.modalities
        sets = [names, *((name,) for name in names if len(names) > 1)]
        engine = open_onnx(path, runtime=runtime, threads=threads, node="export", precision=precision)
        compared = gate.Gate(precision)
        try:
            net = EngineNet(engine, self.config)
            for frame in frames:
                pictures = self.pictures(frame)
                for k, present in enumerate(sets):
                    given = {name: pictures[name] for name in present}
                    exact, found = self.exact(given), net.run(given)
                    compared.maps(*maps_of(exact, found))
                    compared.boxes(self._boxes(exact), self._boxes(found), again=k > 0)
        finally:
            engine.close()
        return compared.numbers()

    def _boxes(self, found: Mapping[str, np.ndarray]) -> Boxes2D:
        boxes, scores, classes = objects(found["logits"], found["boxes"], gate.MIN_SCORE)
        return Boxes2D(boxes * np.array(self.config.image_size * 2, np.float32), scores, classes.astype(np.int32))


def maps_of(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], ...]:
    """What can be compared, (..., channels): of queries, those whose cell both nets chose; of maps, those in `ours`."""
    a = b = np.arange(len(ours["logits"]))
    if "cells" in ours:
        _, a, b = np.intersect1d(ours["cells"], theirs["cells"], return_indices=True)
    made = []
    for found, rows in ((ours, a), (theirs, b)):
        maps = {"logits": found["logits"][rows], "boxes": found["boxes"][rows], "shares": np.moveaxis(found["shares"], 0, -1)}
        maps |= {name: np.moveaxis(found[name], 1, -1) for name in ours if name.startswith(map_name(""))}
        made.append({**maps, "cell_logits": found["cell_logits"]} if "cells" in found else maps)
    return tuple(made)
