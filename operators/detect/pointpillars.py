"""Pillars in, boxes out: PointPillars, a trained net.      Source: Lang et al. 2019

in   pillars  PILLARS              on the grid that the net was trained on (any max_points); another grid is refused
out  boxes3d  BOXES3D_PROBABILITY  best first, at most max_boxes; labels index CLASSES
State: none.   No pillars: the boxes of an empty scene; M = 0 for a trained net.
`pipe check` checks weights, engine, classes and device; only the running node loads torch.
An engine (`pipe export`) computes the dense part of the net in another runtime or precision, if it passed its admission gate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from operators.detect.anchors import anchor_grid
from operators.detect.decode import DecodeConfig, HeadsAt, decode_at
from operators.detect.pillars import check_grid, check_weights, output_labels, sample_pillars
from operators.nets import device as devices
from operators.nets import engines, weights
from operators.nets.memory import net_bytes
from operators.nets.pointpillars_config import POINTPILLARS, tensor_shapes
from operators.nets.runtimes import Net, Runtime, open_onnx
from operators.streams import BOXES3D_PROBABILITY, PILLARS, Boxes3D, Pillars
from pipeline.operator import Operator

if TYPE_CHECKING:
    import torch

    from operators.nets.pointpillars import PointPillars


@dataclass(frozen=True, slots=True)
class DetectorConfig(DecodeConfig):
    weights: str = "pointpillars_world"  # a shipped model, or the path of a .safetensors file
    classes: tuple[str, ...] | None = None  # of the model, in the output; None: all
    device: devices.Device = "cpu"  # auto: cuda where there is one
    precision: Literal["float32", "bfloat16"] = "float32"  # of torch; bfloat16: half the time on CPUs that have it
    runtime: Runtime = "auto"  # torch without an engine; with one, the first installed runtime in which its gate was passed
    engine: str = ""  # file made of the same weights by pipe export

    def __post_init__(self) -> None:
        DecodeConfig.__post_init__(self)
        devices.check(self.device)
        check_weights(self.weights, POINTPILLARS, self.classes)
        engines.check(self.engine, self.runtime, POINTPILLARS, self.weights)
        if self.engine and self.precision != "float32":
            raise ValueError(f"precision: of torch, needs float32 with an engine, which has its own, got {self.precision}")


class Detector(Operator):
    Config, inputs, outputs = DetectorConfig, {"pillars": PILLARS}, {"boxes3d": BOXES3D_PROBABILITY}
    tunable = ("score_threshold", "nms_iou", "max_candidates", "max_boxes")
    trainer = "operators.train.pointpillars.trainer:PointPillarsTrainer"  # for `pipe train`

    @classmethod
    def memory_bytes(cls, config: DetectorConfig) -> int:
        net = weights.read_config(config.weights, POINTPILLARS)
        return net_bytes(net, tensor_shapes(net))

    @classmethod
    def multiply_adds(cls, config: DetectorConfig) -> int:
        from operators.nets import operations, pointpillars

        net = weights.read_config(config.weights, POINTPILLARS)
        return operations.of_pillars(pointpillars.PointPillars(net), net)

    def open(self) -> None:
        loaded = weights.load(self.config.weights, POINTPILLARS)
        self.grid = loaded.config
        make = engine_net if self.config.engine else torch_net
        self.net = make(self.config, loaded, self.threads, self.name, lambda: self.config)

    def process(self, pillars: Pillars) -> Boxes3D:
        check_grid(pillars.cells, self.meta["pillars"], self.grid, self.name, self.config.weights)
        return Boxes3D(**self.net.run(pillars._asdict()))


def torch_net(
    config: DetectorConfig, loaded: weights.Weights, threads: int, node: str, decoding: Callable[[], DecodeConfig] | None = None
) -> Net:
    """Pillars in, boxes out, in torch. Raises RunError where the device is missing.

    decoding  the rules of the boxes, asked for at each frame; None: those of config

    float32 on a CPU: only what differs from an empty scene is computed; the boxes are those of the dense net up to rounding.
    """
    import torch

    from operators.nets.pointpillars import PointPillars
    from operators.nets.runtimes.torch import fill

    torch.set_num_threads(threads)
    device = devices.choose(config.device, node)
    trained = PointPillars(loaded.config)
    fill(trained, loaded, config.weights)
    if device.type == "cpu" and config.precision == "float32":
        return SparseNet(trained.eval(), config, threads, decoding)
    return dense_net(trained.eval(), config, device, decoding)


class SparseNet:
    """`Net` of PointPillars that computes what differs from an empty scene, on a CPU."""

    def __init__(
        self, trained: PointPillars, config: DetectorConfig, threads: int, decoding: Callable[[], DecodeConfig] | None = None
    ) -> None:
        from operators.nets.pointpillars_sparse import SparsePointPillars

        net = self._net = SparsePointPillars(trained, threads)
        self._decoding, self._anchors = decoding or (lambda: config), anchor_grid(net.config)
        self._labels = output_labels(net.config.class_names, config.classes)
        for frame in sample_pillars(net.config):
            for array in frame:
                array.flags.writeable = False  # as frames are: numba compiles for them once
            self.run(frame._asdict())

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        net = self._net
        logits = net(arrays["pillars"], arrays["counts"], arrays["cells"])
        offset_rad = net.config.direction_offset_rad
        return decode_at(logits, net.boxes, self._anchors, self._labels, self._decoding(), offset_rad=offset_rad)._asdict()


def dense_net(
    trained: PointPillars, config: DetectorConfig, device: torch.device, decoding: Callable[[], DecodeConfig] | None = None
) -> Net:
    """`Net` of PointPillars that computes all of its maps. On CUDA candidates, boxes and suppression stay there, too."""
    import torch
    from torch import Tensor

    from operators.detect.decode_torch import decode_on_device
    from operators.nets.pointpillars_inference import InferencePointPillars
    from operators.nets.runtimes.torch import TorchNet

    grid = trained.config
    net = InferencePointPillars(trained, getattr(torch, config.precision)).to(device)
    anchors, labels = anchor_grid(grid), output_labels(grid.class_names, config.classes)
    on_device = torch.from_numpy(anchors).to(device)
    rules = decoding or (lambda: config)

    def forward(pillars: Tensor, counts: Tensor, cells: Tensor) -> dict[str, Tensor]:
        logits, levels = net(pillars, counts, cells)
        if device.type != "cpu":
            boxes_at = partial(net.boxes, levels)
            found = decode_on_device(logits, boxes_at, on_device, labels.tolist(), rules(), grid.direction_offset_rad)
            return {name: torch.from_numpy(array) for name, array in found._asdict().items()}

        def heads_at(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            residuals, directions = net.boxes(levels, torch.from_numpy(at).to(device))
            return residuals.cpu().numpy(), directions.cpu().numpy()

        found = decode_at(logits.cpu().numpy(), heads_at, anchors, labels, rules(), offset_rad=grid.direction_offset_rad)
        return {name: torch.from_numpy(array) for name, array in found._asdict().items()}

    ready = TorchNet(forward, device)
    for frame in sample_pillars(grid):
        ready.warm_up(frame._asdict())
    return ready


def engine_net(
    config: DetectorConfig, loaded: weights.Weights, threads: int, node: str, decoding: Callable[[], DecodeConfig] | None = None
) -> Net:
    """Pillars in, boxes out: pillars and first convolution in torch on the CPU, the dense part in an engine."""
    import torch
    from torch import Tensor

    from operators.nets.export_pointpillars import BOXES, CLASS_LOGITS, INPUT
    from operators.nets.pointpillars import PointPillars
    from operators.nets.pointpillars_inference import InferencePointPillars
    from operators.nets.runtimes.torch import TorchNet, fill

    torch.set_num_threads(threads)
    trained = PointPillars(loaded.config)
    fill(trained, loaded, config.weights)
    net = InferencePointPillars(trained.eval())
    runtime, precision = engines.admitted(config.engine, config.runtime, POINTPILLARS, loaded, config.weights)
    dense = open_onnx(config.engine, runtime=runtime, threads=threads, node=node, precision=precision, device=config.device)
    anchors, labels = anchor_grid(loaded.config), output_labels(loaded.config.class_names, config.classes)
    offset_rad = loaded.config.direction_offset_rad
    rules = decoding or (lambda: config)

    def forward(pillars: Tensor, counts: Tensor, cells: Tensor) -> dict[str, Tensor]:
        level = net.first_level(pillars, counts, cells)[0].permute(1, 2, 0)  # (rows, columns, C), no copy: channels last
        maps = dense.run({INPUT: level.numpy()})
        found = decode_at(maps[CLASS_LOGITS], split_at(maps[BOXES]), anchors, labels, rules(), offset_rad=offset_rad)
        return {name: torch.from_numpy(array) for name, array in found._asdict().items()}

    ready = TorchNet(forward, torch.device("cpu"))
    for frame in sample_pillars(loaded.config):
        ready.warm_up(frame._asdict())
    return ready


def split_at(boxes: np.ndarray) -> HeadsAt:
    """boxes (A, 9): 7 residuals and 2 direction logits of each anchor."""
    return lambda at: (boxes[at, :7], boxes[at, 7:])
