"""Two pictures of one scene in, boxes out: a net that weights each modality by what it sees.      Source: report, sec. 5.2 (D2)

in   image    IMAGE                optional
     thermal  GREY                 optional; aligned with the image and as large (fuse.align)
     depth    DEPTH                optional; instead of thermal
     health   HEALTH               optional (fuse.health): a modality that is not usable counts as absent
out  boxes2d  BOXES2D_PROBABILITY  best first, at most one per query, cut to the picture; labels index CLASSES
     weights  WEIGHTS              share of each modality of the net; 0 where absent
     gate     GATE                 share of the image per cell of the net's map; of a scalar scheme the same everywhere
Level one modality: of those present, only the one with the largest share lately is used, as if the others were absent.
State: the mean shares of the last frames.   No object: M = 0.   All modalities absent: M = 0, weights 0, no gate.
A modality is absent if its frame is missing (of a partial set, of a stream that stopped) or not usable. Its backbone computes
nothing then, and the result is, bit by bit, that of the same weights with the other modality alone.
The scheme is that of the weights. Those shipped, fusion_world, saw generated pairs only. `pipe check` loads no torch.
An engine (`pipe export`) computes the whole net in another runtime or precision, if it passed its admission gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.detect.scaled import scale_of, scaled
from operators.fuse.objects import objects
from operators.nets import device as devices
from operators.nets import engines, weights
from operators.nets.fusion_config import FUSION, FusionNetConfig, Scheme
from operators.nets.runtimes import Net, OnnxNet, Runtime, open_onnx
from operators.streams import (
    BOXES2D_PROBABILITY,
    CLASSES,
    DEPTH,
    GATE,
    GREY,
    HEALTH,
    IMAGE,
    MODALITIES,
    WEIGHTS,
    Boxes2D,
    Health,
)
from pipeline.errors import FrameError, InputError
from pipeline.operator import Level, Operator
from pipeline.schema import optional

FARTHEST_M = 100.0
"""Depth that is black for the net; 1 m and nearer is white."""
_NEW = 0.1
"""Part that a frame has in the mean shares."""


@dataclass(frozen=True, slots=True)
class FuseGateConfig:
    weights: str = ""  # path of a .safetensors file
    scheme: Scheme | None = None  # must be that of the weights; None: any
    modalities: tuple[str, ...] | None = None  # of the net that may be used, such as [thermal]; None: all
    score_threshold: float = 0.3
    device: devices.Device = "cpu"  # auto: cuda where there is one
    runtime: Runtime = "auto"  # torch without an engine; with one, the first installed runtime in which its gate was passed
    engine: str = ""  # file made of the same weights by pipe export

    def __post_init__(self) -> None:
        devices.check(self.device)
        if not 0 <= self.score_threshold <= 1:
            raise ValueError(f"score_threshold: needs 0..1, got {self.score_threshold}")
        try:
            net = weights.read_config(self.weights, FUSION)
        except InputError as error:
            raise ValueError(f"weights: {error}") from None
        if self.scheme not in (None, net.scheme):
            raise ValueError(f"scheme: needs {net.scheme}, the scheme of {self.weights}, got {self.scheme}")
        if self.modalities is not None and not (self.modalities and set(self.modalities) <= set(net.modalities)):
            got = ", ".join(self.modalities) or "none"
            raise ValueError(f"modalities: needs some of {', '.join(net.modalities)}, those of {self.weights}, got {got}")
        engines.check(self.engine, self.runtime, FUSION, self.weights)


class FuseGate(Operator):
    Config = FuseGateConfig
    inputs = {"image": optional(IMAGE), "thermal": optional(GREY), "depth": optional(DEPTH), "health": optional(HEALTH)}
    outputs = {"boxes2d": BOXES2D_PROBABILITY, "weights": WEIGHTS, "gate": GATE}
    levels = (Level("one modality", "the modality with the smaller share", 0.2, cost=0.6),)  # 45 of 78 ms: docs/decisions/020
    tunable = ("score_threshold",)
    trainer = "operators.train.fusion.trainer:FusionTrainer"  # for `pipe train`

    @classmethod
    def levels_of(cls, config: FuseGateConfig) -> tuple[Level, ...]:
        used = config.modalities or weights.read_config(config.weights, FUSION).modalities
        return cls.levels if len(used) > 1 else ()

    @classmethod
    def slot_bytes(cls, config: FuseGateConfig) -> dict[str, int]:
        """The map of this net; the schema allows one as large as a picture."""
        rows, columns = weights.read_config(config.weights, FUSION).grid
        return {"gate": -(-4 * rows * columns // 64) * 64}

    def open(self) -> None:
        loaded = weights.load(self.config.weights, FUSION)
        self.net_config: FusionNetConfig = loaded.config
        self.used = self.config.modalities or self.net_config.modalities
        self.shares = np.full(len(self.net_config.modalities), 1 / len(self.net_config.modalities))
        self.only_one = False
        self.labels = np.array([CLASSES.index(name) for name in self.net_config.class_names], np.int32)
        make = engine_net if self.config.engine else torch_net
        self.net = make(self.config, loaded, self.threads, self.name)

    def set_level(self, level: int) -> None:
        self.only_one = level > 0

    def process(
        self,
        image: np.ndarray | None = None,
        thermal: np.ndarray | None = None,
        depth: np.ndarray | None = None,
        health: Health | None = None,
    ) -> dict[str, Any]:
        given = {name: a for name, a in (("image", image), ("thermal", thermal), ("depth", depth)) if a is not None}
        height, width = self._size(given)
        dead = self._not_usable(health)
        names = self.net_config.modalities
        present = {name: given[name] for name in names if name in given and name in self.used and name not in dead}
        if self.only_one and present:
            best = max(present, key=lambda name: self.shares[names.index(name)])
            present = {best: present[best]}
        self.describe("weights", **{MODALITIES: list(names)})
        if not present:
            empty = Boxes2D(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
            return {"boxes2d": empty, "weights": np.zeros(len(names), np.float32)}
        size = self.net_config.image_size
        found = self.net.run({name: scaled(seen(name, array), size) for name, array in present.items()})
        shares = self._inside(found["shares"], height, width)
        means = shares.mean((1, 2), dtype=np.float64)
        if len(present) > 1:
            self.shares += _NEW * (means - self.shares)
        return {
            "boxes2d": self._boxes(found, height, width),
            "weights": means.astype(np.float32),
            "gate": shares[names.index("image")] if "image" in names else np.zeros(shares.shape[1:], np.float32),
        }

    def _size(self, given: dict[str, np.ndarray]) -> tuple[int, int]:
        """Height, width of all pictures. Raises FrameError where they differ, or where the net knows one of them not."""
        for name in given:
            if name not in self.net_config.modalities:
                known = ", ".join(self.net_config.modalities)
                raise FrameError(f"{self.name}: needs the inputs {known} of {self.config.weights}, got {name}")
        sizes = {name: array.shape[:2] for name, array in given.items()}
        if len(set(sizes.values())) > 1:
            got = ", ".join(f"{name} {w} x {h}" for name, (h, w) in sizes.items())
            raise FrameError(f"{self.name}: needs pictures of one size, got {got}; fuse.align before it?")
        height, width = next(iter(sizes.values()), (0, 0))
        return height, width

    def _not_usable(self, health: Health | None) -> set[str]:
        if health is None:
            return set()
        rows = self.meta.get("health", {}).get(MODALITIES, ())
        if len(rows) != len(health.usable):
            raise FrameError(f"{self.name}.health: needs the fact {MODALITIES} with {len(health.usable)} names, got {list(rows)}")
        return {name for name, usable in zip(rows, health.usable.tolist(), strict=True) if not usable}

    def _inside(self, shares: np.ndarray, height: int, width: int) -> np.ndarray:
        """(S, h or 1, w or 1) of the net's picture -> (S, rows, columns) of the cells that the scaled picture covers."""
        size, stride = self.net_config.image_size, self.net_config.stride
        scale = scale_of(height, width, size)
        rows, columns = (max(-(-round(side * scale) // stride), 1) for side in (height, width))
        full = np.broadcast_to(shares, (len(shares), *self.net_config.grid))
        return np.ascontiguousarray(full[:, :rows, :columns], np.float32)

    def _boxes(self, found: dict[str, np.ndarray], height: int, width: int) -> Boxes2D:
        size = self.net_config.image_size
        places, scores, classes = objects(found["logits"], found["boxes"], self.config.score_threshold)
        last = np.array([width - 1, height - 1] * 2, np.float32)
        px = (places * np.array(size * 2, np.float32) - 0.5) / np.float32(scale_of(height, width, size))
        boxes = np.clip(px, 0, last).astype(np.float32)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(1)
        return Boxes2D(boxes[inside], scores[inside].astype(np.float32), self.labels[classes[inside]])


def seen(modality: str, picture: np.ndarray) -> np.ndarray:
    """What the net takes: 8 bits. Depth becomes the logarithm of its distance: white at 1 m, black at FARTHEST_M and beyond."""
    if modality != "depth":
        return picture
    with np.errstate(divide="ignore"):
        nearness = 1 - np.log(np.maximum(picture, 0)) / np.log(FARTHEST_M)
    return np.rint(255 * np.clip(np.nan_to_num(nearness, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)).astype(np.uint8)


def blank(modality: str, config: FusionNetConfig) -> np.ndarray:
    """A black picture of the net's size."""
    width, height = config.image_size
    return np.zeros((height, width, 3) if modality == "image" else (height, width), np.uint8)


def torch_net(config: FuseGateConfig, loaded: weights.Weights, threads: int, node: str) -> Net:
    """Pictures of the net's size in, by modality, an absent one left out; logits, boxes, shares of export_fusion.py out."""
    import torch
    from torch import Tensor

    from operators.nets.fusion_backbones import fold
    from operators.nets.fusion_net import FusionNet
    from operators.nets.runtimes.torch import TorchNet, fill

    torch.set_num_threads(threads)
    device = devices.choose(config.device, node)
    net = FusionNet(loaded.config).eval()
    fill(net, loaded, config.weights)
    fold(net)
    net.to(device)
    names = loaded.config.modalities

    def forward(**pictures: Tensor) -> dict[str, Tensor]:
        found, fused = net([pictures[name][None] if name in pictures else None for name in names])
        return {"logits": found.logits[-1, 0], "boxes": found.boxes[-1, 0], "shares": fused.shares[0]}

    ready = TorchNet(forward, device)
    for name in names:
        ready.warm_up({name: blank(name, loaded.config)})
    return ready


def engine_net(config: FuseGateConfig, loaded: weights.Weights, threads: int, node: str) -> Net:
    """As torch_net, by an engine."""
    runtime, precision = engines.admitted(config.engine, config.runtime, FUSION, loaded, config.weights)
    engine = open_onnx(config.engine, runtime=runtime, threads=threads, node=node, precision=precision, device=config.device)
    ready = EngineNet(engine, loaded.config)
    for name in loaded.config.modalities:
        ready.run({name: blank(name, loaded.config)})  # the first run chooses algorithms
    return ready


class EngineNet:
    """`Net` of an engine, which computes no backbone of a modality that is left out."""

    def __init__(self, engine: OnnxNet, config: FusionNetConfig) -> None:
        self._engine = engine
        self._absent = {name: blank(name, config) for name in config.modalities}

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        present = np.array([name in arrays for name in self._absent])
        return self._engine.run({**self._absent, **arrays, "present": present})
