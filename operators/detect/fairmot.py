"""Pictures in, boxes with embeddings out: FairMOT, a trained net.      Source: Zhang et al. 2021 (FairMOT)

in   image       IMAGE                any size; scaled to the size that the net was trained on
out  boxes2d     BOXES2D_PROBABILITY  best first, at most max_boxes, cut to the picture; labels index CLASSES
     embeddings  EMBEDDINGS           appearance of each box, unit length, one row per box
State: none.   No object found: M = 0.
Association: track.tracker2d, preset `fairmot`. `pipe check` checks weights and device; only the running node loads torch.
No weights are shipped: pipe train fairmot_world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.detect.scaled import scale_of, scaled
from operators.nets import device as devices
from operators.nets import weights
from operators.nets.fairmot_config import FAIRMOT
from operators.nets.runtimes import Net
from operators.streams import BOXES2D_PROBABILITY, CLASSES, EMBEDDINGS, IMAGE, Boxes2D
from pipeline.errors import InputError
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class FairmotConfig:
    weights: str = ""  # path of a .safetensors file
    min_score: float = 0.1
    max_boxes: int = 128
    device: devices.Device = "cpu"  # auto: cuda where there is one

    def __post_init__(self) -> None:
        devices.check(self.device)
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score: needs 0..1, got {self.min_score}")
        if not 1 <= self.max_boxes <= 4096:
            raise ValueError(f"max_boxes: needs 1..4096, got {self.max_boxes}")
        try:
            weights.read_config(self.weights, FAIRMOT)
        except InputError as error:
            raise ValueError(f"weights: {error}") from None


class Fairmot(Operator):
    Config, inputs = FairmotConfig, {"image": IMAGE}
    outputs = {"boxes2d": BOXES2D_PROBABILITY, "embeddings": EMBEDDINGS}
    tunable = ("min_score",)
    trainer = "operators.train.fairmot.trainer:FairmotTrainer"  # for `pipe train`

    @classmethod
    def slot_bytes(cls, config: FairmotConfig) -> dict[str, int]:
        """Embeddings of this net's width; the schema allows wider ones."""
        width = weights.read_config(config.weights, FAIRMOT).embedding
        return {"embeddings": -(-4 * config.max_boxes * width // 64) * 64}

    @classmethod
    def multiply_adds(cls, config: FairmotConfig) -> int:
        import torch

        from operators.nets import fairmot, operations

        net = weights.read_config(config.weights, FAIRMOT)
        width, height = net.image_size
        return operations.multiply_adds(fairmot.Fairmot(net).eval(), torch.zeros(1, height, width, 3, dtype=torch.uint8))

    def open(self) -> None:
        loaded = weights.load(self.config.weights, FAIRMOT)
        self.size = loaded.config.image_size
        self.labels = np.array([CLASSES.index(name) for name in loaded.config.class_names], np.int32)
        self.net = torch_net(self.config, loaded, self.threads, self.name, lambda: self.config.min_score)

    def process(self, image: np.ndarray) -> dict[str, Any]:
        boxes, looks = self._detect(image)
        return {
            "boxes2d": Boxes2D(*(self.put("boxes2d", name, array) for name, array in boxes._asdict().items())),
            "embeddings": self.put("embeddings", "embeddings", looks),
        }

    def _detect(self, image: np.ndarray) -> tuple[Boxes2D, np.ndarray]:
        height, width = image.shape[:2]
        found = self.net.run({"image": scaled(image, self.size)})
        last = np.array([width - 1, height - 1, width - 1, height - 1], np.float32)
        boxes = np.clip(found["boxes"] / np.float32(scale_of(height, width, self.size)), 0, last).astype(np.float32)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(1)
        labels = self.labels[found["classes"][inside]]
        kept = Boxes2D(boxes[inside], found["scores"][inside].astype(np.float32), labels)
        return kept, found["looks"][inside].astype(np.float32)


def torch_net(config: FairmotConfig, loaded: weights.Weights, threads: int, node: str, min_score: Callable[[], float]) -> Net:
    """A picture of the net's size in, `Peaks` out, in torch; `min_score` is called for each frame.

    Raises RunError where the device is missing.
    """
    import torch
    from torch import Tensor

    from operators.detect.peaks import peaks
    from operators.nets import fairmot
    from operators.nets.runtimes.torch import TorchNet, fill

    torch.set_num_threads(threads)
    device = devices.choose(config.device, node)
    net = fairmot.Fairmot(loaded.config).eval()
    fill(net, loaded, config.weights)
    net.to(device)

    def forward(image: Tensor) -> dict[str, Tensor]:
        return peaks(net(image[None]), 0, config.max_boxes, min_score())._asdict()

    ready = TorchNet(forward, device)
    width, height = loaded.config.image_size
    ready.warm_up({"image": np.zeros((height, width, 3), np.uint8)})
    return ready
