"""Pillars in, boxes out: PointPillars, a trained net.      Source: Lang et al. 2019

in   pillars  PILLARS              on the grid that the net was trained on (any max_points); another grid is refused
out  boxes3d  BOXES3D_PROBABILITY  best first, at most max_boxes; labels index CLASSES
State: none.   No pillars: the boxes of an empty scene; M = 0 for a trained net.
`pipe check` checks weights, classes and device; only the running node loads torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.detect.anchors import anchor_grid
from operators.detect.decode import DecodeConfig, decode_at
from operators.nets import device as devices
from operators.nets import weights
from operators.nets.pointpillars_config import POINTPILLARS
from operators.nets.runtimes import Net
from operators.streams import BOXES3D_PROBABILITY, CLASSES, PILLARS, Boxes3D, Pillars
from pipeline.errors import FrameError, InputError
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class DetectorConfig(DecodeConfig):
    weights: str = "pointpillars_world"  # a shipped model, or the path of a .safetensors file
    classes: tuple[str, ...] | None = None  # of the model, in the output; None: all
    device: devices.Device = "cpu"  # auto: cuda where there is one
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: half the time on CPUs that have it, scores to 2 digits

    def __post_init__(self) -> None:
        DecodeConfig.__post_init__(self)
        devices.check(self.device)
        try:
            names = weights.load(self.weights, POINTPILLARS).config.class_names
        except InputError as error:
            raise ValueError(f"weights: {error}") from None
        for name in names:
            if name not in CLASSES:
                raise ValueError(f"weights: needs classes of {', '.join(CLASSES)}, got {name} from {self.weights}")
        for name in self.classes or ():
            if name not in names:
                raise ValueError(f"classes: needs classes that {self.weights} knows ({', '.join(names)}), got {name}")


class Detector(Operator):
    Config, inputs, outputs = DetectorConfig, {"pillars": PILLARS}, {"boxes3d": BOXES3D_PROBABILITY}
    trainer = "operators.train.pointpillars.trainer:PointPillarsTrainer"  # for `pipe train`

    def open(self) -> None:
        loaded = weights.load(self.config.weights, POINTPILLARS)
        self.grid = loaded.config
        self.net = torch_net(self.config, loaded, self.threads, self.name)

    def process(self, pillars: Pillars) -> Boxes3D:
        self._check(pillars.cells)
        return Boxes3D(**self.net.run(pillars._asdict()))

    def _check(self, cells: np.ndarray) -> None:
        """Raises FrameError where the pillars are not on the net's grid: all boxes would be wrong."""
        facts = self.meta["pillars"]
        for key in ("cell_m", "range_m"):
            needed = getattr(self.grid, key)
            if key in facts and tuple(facts[key]) != needed:
                raise FrameError(
                    f"{self.name}.pillars: needs {key} {list(needed)}, the grid {self.config.weights} was trained on, "
                    f"got {list(facts[key])}; set {key} of the voxelizer"
                )
        rows, columns = self.grid.grid
        if len(cells) and (cells.min() < 0 or cells[:, 0].max() >= rows or cells[:, 1].max() >= columns):
            raise FrameError(
                f"{self.name}.pillars.cells: needs rows 0..{rows - 1} and columns 0..{columns - 1}, the grid "
                f"{self.config.weights} was trained on, got rows {cells[:, 0].min()}..{cells[:, 0].max()} and columns "
                f"{cells[:, 1].min()}..{cells[:, 1].max()}"
            )


def torch_net(config: DetectorConfig, loaded: weights.Weights, threads: int, node: str) -> Net:
    """Pillars in, boxes out, in torch. Raises RunError where the device is missing."""
    import torch
    from torch import Tensor

    from operators.nets.pointpillars import PointPillars
    from operators.nets.pointpillars_inference import InferencePointPillars
    from operators.nets.runtimes.torch import TorchNet, fill

    torch.set_num_threads(threads)
    device = devices.choose(config.device, node)
    trained = PointPillars(loaded.config)
    fill(trained, loaded, config.weights)
    net = InferencePointPillars(trained.eval(), getattr(torch, config.precision)).to(device)
    anchors, known = anchor_grid(loaded.config), loaded.config.class_names
    labels = np.array([CLASSES.index(name) if name in (config.classes or known) else -1 for name in known])

    def forward(pillars: Tensor, counts: Tensor, cells: Tensor) -> dict[str, Tensor]:
        logits, levels = net(pillars, counts, cells)

        def heads_at(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            residuals, directions = net.boxes(levels, torch.from_numpy(at).to(device))
            return residuals.cpu().numpy(), directions.cpu().numpy()

        found = decode_at(logits.cpu().numpy(), heads_at, anchors, labels, config)
        return {name: torch.from_numpy(array) for name, array in found._asdict().items()}

    ready = TorchNet(forward, device)
    rows, columns = loaded.config.grid
    for num in (0, 50):
        cells = np.stack([np.arange(num) % rows, np.arange(num) % columns], 1).astype(np.int32)
        ready.warm_up(Pillars(np.zeros((num, 1, 4), np.float32), cells, np.ones(num, np.int32))._asdict())
    return ready
