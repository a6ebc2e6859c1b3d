"""Pictures in, boxes with embeddings out: FairMOT, a trained net.      Source: Zhang et al. 2021 (FairMOT)

in   image       IMAGE                any size; scaled into the one the net was trained on
out  boxes2d     BOXES2D_PROBABILITY  best first, at most max_boxes, cut to the picture; labels index CLASSES
     embeddings  EMBEDDINGS           how each of them looks, of unit length, row by row
State: none.   Nothing found: M = 0.
Association is track.tracker2d's, preset `fairmot`. Weights and device are checked with the graph, before any process starts;
torch is loaded by the node alone. No weights are shipped: pipe train fairmot_world.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from operators.detect import fairmot_weights
from operators.detect.pointpillars import no_cuda
from operators.detect.scaled import scale_of, scaled
from operators.streams import BOXES2D_PROBABILITY, CLASSES, EMBEDDINGS, IMAGE, Boxes2D
from pipeline.errors import InputError, RunError
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class FairmotConfig:
    weights: str = ""  # path of a .safetensors file
    min_score: float = 0.1
    max_boxes: int = 128
    device: Literal["cpu", "cuda", "auto"] = "cpu"  # auto: cuda where there is one

    def __post_init__(self) -> None:
        for package in ("torch", "safetensors"):
            if importlib.util.find_spec(package) is None:
                raise ValueError(f"needs {package}, which is not installed; pip install 'perception-pipe[torch]'")
        if self.device == "cuda" and (reason := no_cuda()):
            raise ValueError(f"device: needs a CUDA device, got {reason}; device: auto takes the CPU where there is none")
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score: needs 0..1, got {self.min_score}")
        if not 1 <= self.max_boxes <= 4096:
            raise ValueError(f"max_boxes: needs 1..4096, got {self.max_boxes}")
        try:
            fairmot_weights.read_config(self.weights)
        except InputError as error:
            raise ValueError(f"weights: {error}") from None


class Fairmot(Operator):
    Config, inputs = FairmotConfig, {"image": IMAGE}
    outputs = {"boxes2d": BOXES2D_PROBABILITY, "embeddings": EMBEDDINGS}
    trainer = "operators.detect.train.fairmot_trainer:FairmotTrainer"  # of `pipe train`

    @classmethod
    def slot_bytes(cls, config: FairmotConfig) -> dict[str, int]:
        """Of the embeddings: no net is as wide as the schema allows."""
        width = fairmot_weights.read_config(config.weights).embedding
        return {"embeddings": -(-4 * config.max_boxes * width // 64) * 64}

    def open(self) -> None:
        import torch

        from operators.nets import fairmot as net

        torch.set_num_threads(self.threads)
        device = self.config.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda" and not torch.cuda.is_available():
            raise RunError(f"{self.name}: device: needs a CUDA device, got none that torch {torch.__version__} can use")
        config, tensors = fairmot_weights.load(self.config.weights)
        self.net = net.Fairmot(config).eval()
        try:
            self.net.load_state_dict({n: torch.from_numpy(a) for n, a in tensors.items()})
        except RuntimeError as error:
            said = " ".join(str(error).split())
            raise InputError(f"{self.config.weights}: weights of another net than its config says: {said[:200]}") from None
        self.net.to(device)
        self.device, self.size = torch.device(device), config.image_size
        self.labels = np.array([CLASSES.index(name) for name in config.class_names], np.int32)
        self._detect(np.zeros((*self.size[::-1], 3), np.uint8))  # algorithms are chosen here, where no frame is waiting

    def process(self, image: np.ndarray) -> dict[str, Any]:
        boxes, looks = self._detect(image)
        return {
            "boxes2d": Boxes2D(*(self.put("boxes2d", name, array) for name, array in boxes._asdict().items())),
            "embeddings": self.put("embeddings", "embeddings", looks),
        }

    def _detect(self, image: np.ndarray) -> tuple[Boxes2D, np.ndarray]:
        import torch

        from operators.detect.peaks import peaks

        height, width = image.shape[:2]
        with torch.inference_mode():
            maps = self.net(torch.from_numpy(scaled(image, self.size))[None].to(self.device))
            found = peaks(maps, 0, self.config.max_boxes, self.config.min_score)
            boxes, scores, classes, looks = (part.cpu().numpy() for part in found)
        last = np.array([width - 1, height - 1, width - 1, height - 1], np.float32)
        boxes = np.clip(boxes / np.float32(scale_of(height, width, self.size)), 0, last).astype(np.float32)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(1)
        kept = Boxes2D(boxes[inside], scores[inside].astype(np.float32), self.labels[classes[inside]])
        return kept, looks[inside].astype(np.float32)
