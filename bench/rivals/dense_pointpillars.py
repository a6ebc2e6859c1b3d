"""A PointPillars with random weights, and its dense part alone in other runtimes: first level in, maps of all anchors out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from operators.nets.export_int8 import calibrate, quantize
from operators.nets.export_pointpillars import INPUT, DensePointPillars, dense_export
from operators.nets.pointpillars import PointPillars
from operators.nets.pointpillars_config import PointPillarsConfig
from operators.nets.pointpillars_inference import InferencePointPillars
from operators.nets.runtimes import OnnxNet, Precision, Runtime, missing, open_onnx

Run = Callable[[np.ndarray], object]

PRECISIONS: dict[Runtime, tuple[Precision, ...]] = {"openvino": ("fp32", "bf16", "int8"), "onnxruntime": ("fp32", "int8")}
WEIGHT_LEVELS = 127
"""Of int8: all of them. This net is timed, not used; with fewer levels the speed is the same."""


def random_net(config: PointPillarsConfig, frames: list[dict[str, np.ndarray]]) -> PointPillars:
    """Random weights; the statistics of every batch norm are the means over these frames."""
    torch.manual_seed(0)
    net = PointPillars(config).train()
    for module in net.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            module.momentum = None  # plain means
    with torch.no_grad():
        for frame in frames:
            net(*(torch.from_numpy(frame[key]) for key in ("pillars", "counts", "cells")))
    return net.eval()


def engines(net: InferencePointPillars, levels: Sequence[np.ndarray], threads: int) -> dict[str, Run]:
    """Name -> the net in that runtime and precision. levels: first levels of generated frames, which set the ranges of int8."""
    dense = DensePointPillars(net)

    def in_torch(level: np.ndarray) -> object:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return dense(torch.from_numpy(level))

    found: dict[str, Run] = {"torch fp32": in_torch}
    model = dense_export(net)
    flags = Path("/proc/cpuinfo").read_text()
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as folder:
        files = {name: Path(folder) / f"{name}.onnx" for name in ("fp32", "int8")}
        files["fp32"].write_bytes(model)
        if not missing("onnxruntime"):
            ranges = calibrate(model, lambda: [{INPUT: level} for level in levels], threads)
            files["int8"].write_bytes(quantize(model, ranges, weight_levels=WEIGHT_LEVELS))
        for runtime, precisions in PRECISIONS.items():
            for precision in precisions:
                file = files["int8" if precision == "int8" else "fp32"]
                if missing(runtime) or not file.is_file() or (precision == "bf16" and "bf16" not in flags):
                    continue
                engine = open_onnx(file, runtime=runtime, threads=threads, node="bench", precision=precision)
                found[f"{runtime} {precision}"] = partial(_run, engine)
    return found


def _run(engine: OnnxNet, level: np.ndarray) -> object:
    return engine.run({INPUT: level})
