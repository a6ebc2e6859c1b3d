"""`pipe export` for PointPillars: its dense part as an engine, compared by raw maps and boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from operators.detect.anchors import anchor_grid
from operators.detect.decode import DecodeConfig, decode_at
from operators.detect.pillars import output_labels
from operators.detect.pointpillars import split_at
from operators.nets import gate, weights
from operators.nets.export_int8 import calibrate, quantize
from operators.nets.export_pointpillars import BOXES, CLASS_LOGITS, INPUT, DensePointPillars, dense_export
from operators.nets.exporter import NetExporter
from operators.nets.pointpillars import PointPillars
from operators.nets.pointpillars_config import POINTPILLARS
from operators.nets.pointpillars_inference import InferencePointPillars
from operators.nets.runtimes import Precision, Runtime, open_onnx
from operators.nets.runtimes.torch import fill
from operators.streams import PILLARS, Boxes3D, Pillars
from pipeline import settings
from pipeline.exporting import ExportOptions


class DetectorExporter(NetExporter):
    architecture = POINTPILLARS
    schemas = {"pillars": PILLARS}

    def __init__(self, options: ExportOptions) -> None:
        super().__init__(options)
        grid = {f"voxelize.config.{key}": settings.plain(getattr(self.loaded.config, key)) for key in ("cell_m", "range_m")}
        world = {"world.config.seed": 5000, "world.config.drives": self.frames, "world.config.frames": 1}
        self.default = ("demo", {**grid, **world, "world.config.start_s": 5.0})

    def open(self) -> None:
        self.bench = Bench(self.loaded, self.options.model)

    def model(self, precision: str, frames: list[dict[str, Any]]) -> bytes:
        options, bench = self.options, self.bench
        model = dense_export(bench.net, precision)
        if precision != "int8":
            return model
        ranges = calibrate(model, lambda: ({INPUT: bench.level(frame["pillars"])} for frame in frames), options.threads)
        return quantize(model, ranges, symmetric=options.to == "tensorrt")

    def numbers(self, path: Path, runtime: Runtime, frames: list[dict[str, Any]]) -> dict[str, Any]:
        pillars = [frame["pillars"] for frame in frames]
        return self.bench.gate(path, runtime, self.options.precision, pillars, self.options.threads)


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
