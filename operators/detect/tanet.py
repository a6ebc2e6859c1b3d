"""Pillars in, boxes out: TANet or one of its students, a trained net.      Source: Liu et al. 2020 (TANet)

in   pillars  PILLARS              on the grid that the net was trained on (any max_points); another grid is refused
out  boxes3d  BOXES3D_PROBABILITY  best first, at most max_boxes; labels index CLASSES
State: none.   No pillars: the boxes of an empty scene; M = 0 for a trained net.
Level coarse: the refine stage is left out, and the boxes are those of the coarse stage.
`pipe check` checks weights, classes and device; only the running node loads torch.
No weights are shipped: pipe train tanet_world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from operators.detect.anchors import anchor_grid
from operators.detect.decode import DecodeConfig, decode
from operators.detect.pillars import check_grid, check_weights, output_labels, sample_pillars
from operators.nets import device as devices
from operators.nets import weights
from operators.nets.memory import net_bytes
from operators.nets.tanet_config import TANET
from operators.nets.tanet_shapes import tensor_shapes
from operators.streams import BOXES3D_PROBABILITY, PILLARS, Boxes3D, Pillars
from pipeline.operator import Level, Operator


@dataclass(frozen=True, slots=True)
class TANetDetectorConfig(DecodeConfig):
    weights: str = ""  # path of a .safetensors file
    refine: bool = True  # false: the boxes of the coarse stage; a net without a refine stage has only these
    classes: tuple[str, ...] | None = None  # of the model, in the output; None: all
    device: devices.Device = "cpu"  # auto: cuda where there is one
    precision: Literal["float32", "bfloat16"] = "float32"  # of the CNN; bfloat16: scores to 2 digits

    def __post_init__(self) -> None:
        DecodeConfig.__post_init__(self)
        devices.check(self.device)
        check_weights(self.weights, TANET, self.classes)


class TANetDetector(Operator):
    Config, inputs, outputs = TANetDetectorConfig, {"pillars": PILLARS}, {"boxes3d": BOXES3D_PROBABILITY}
    levels = (Level("coarse", "boxes of the coarse stage", 0.05, cost=0.7),)  # 99 of 138 ms: docs/measured.md
    tunable = ("score_threshold", "nms_iou", "max_candidates", "max_boxes")
    trainer = "operators.train.tanet.trainer:TANetTrainer"  # for `pipe train`

    @classmethod
    def levels_of(cls, config: TANetDetectorConfig) -> tuple[Level, ...]:
        return cls.levels if config.refine and weights.read_config(config.weights, TANET).layers.refine else ()

    @classmethod
    def memory_bytes(cls, config: TANetDetectorConfig) -> int:
        net = weights.read_config(config.weights, TANET)
        return net_bytes(net, tensor_shapes(net))

    @classmethod
    def multiply_adds(cls, config: TANetDetectorConfig) -> int:
        from operators.nets import operations, tanet

        net = weights.read_config(config.weights, TANET)
        return operations.of_pillars(tanet.TANet(net), net)

    def open(self) -> None:
        loaded = weights.load(self.config.weights, TANET)
        self.grid = loaded.config
        self.net = TorchTANet(self.config, loaded, self.threads, self.name)

    def process(self, pillars: Pillars) -> Boxes3D:
        check_grid(pillars.cells, self.meta["pillars"], self.grid, self.name, self.config.weights)
        return Boxes3D(**self.net.run(pillars._asdict()))

    def set_level(self, level: int) -> None:
        self.net.refine = level == 0

    def reconfigured(self, old: TANetDetectorConfig, new: TANetDetectorConfig) -> None:
        self.net.config = new


class TorchTANet:
    """`Net`: pillars in, boxes out, in torch. `refine`, and the rules of the boxes in `config`, may change between two runs."""

    def __init__(self, config: TANetDetectorConfig, loaded: weights.Weights, threads: int, node: str) -> None:
        """Raises RunError where the device is missing."""
        import torch

        from operators.nets.runtimes.torch import TorchNet, fill
        from operators.nets.tanet import TANet
        from operators.nets.tanet_inference import folded

        torch.set_num_threads(threads)
        device = devices.choose(config.device, node)
        trained = TANet(loaded.config)
        fill(trained, loaded, config.weights)
        self._net = folded(trained).to(device)
        self._autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
        self.config = config
        self._anchors, self._offset_rad = anchor_grid(loaded.config), loaded.config.direction_offset_rad
        self._labels = output_labels(loaded.config.class_names, config.classes)
        self._torch = TorchNet(self._forward, device)
        for refine in (False, True):
            self.refine = refine
            for frame in sample_pillars(loaded.config):
                self._torch.warm_up(frame._asdict())
        self.refine = config.refine

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._torch.run(arrays)

    def _forward(self, pillars: Any, counts: Any, cells: Any) -> dict[str, Any]:
        """Tensors in, tensors out."""
        import torch

        with self._autocast:
            heads = self._net(pillars, counts, cells, refine=self.refine)
        last = heads.coarse if heads.refine is None else heads.refine
        logits, residuals, directions = (head[0].float().cpu().numpy() for head in last)
        coarse = None if heads.refine is None else heads.coarse.box_residuals[0].float().cpu().numpy()
        found = decode(logits, residuals, directions, self._anchors, self._labels, self.config, coarse, self._offset_rad)
        return {name: torch.from_numpy(array) for name, array in found._asdict().items()}
