"""A picture in, semantic logits and instances with masks out: EfficientPS, with embeddings PanopticTrackNet.

Source: Mohan and Valada 2021 (EfficientPS), Hurtado et al. 2020 (MOPT); report, C2 and B3

in   image       IMAGE       any size up to max_picture; scaled to the size that the net was trained on
out  semantic    SEMANTIC    a plane per class, of the picture's size, or a cell for 4 x 4 pixels (facts stride, image_size)
     instances   INSTANCES   things, best first, at most max_instances; masks 28 x 28 over their boxes
     embeddings  EMBEDDINGS  of the tracking head, row by row of the instances, of any length; zeros (unknown) without such a head
State: none.   No instance: M = 0.
Facts: class_names, which the planes and the labels index; things, those that are counted. fuse.panoptic makes one map of both.
A box reaches from edge to edge: an object on columns a..b has x1 = a - 0.5, x2 = b + 0.5 (pixel centres are whole numbers).
`pipe check` checks weights and device; only the running node loads torch. An engine (`pipe export`) computes the dense part
(backbone, pyramid, class logits, proposals) in another runtime or precision, if it passed its admission gate; not the regions.
The shipped weights, panoptic_world and panoptic_lidar_world, saw generated pictures and scans only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from operators.detect.scaled import scale_of, scaled
from operators.nets import device as devices
from operators.nets import engines, weights
from operators.nets.efficientps_config import EFFICIENTPS, MASK, STRIDE, EfficientPSConfig
from operators.nets.runtimes import Net, Runtime, open_onnx
from operators.streams import CLASS_NAMES, EMBEDDINGS, IMAGE, IMAGE_SIZE, INSTANCES, MAX_INSTANCES, SEMANTIC, THINGS, Instances
from operators.streams import STRIDE as FACT_STRIDE
from pipeline.errors import FrameError, InputError
from pipeline.operator import Operator


@dataclass(frozen=True, slots=True)
class SegmentEfficientpsConfig:
    weights: str = "panoptic_world"  # a shipped model or the path of a .safetensors file
    min_score: float = 0.1  # of an instance
    max_instances: int = 100
    nms_iou: float = 0.5  # of two instances of a class with a larger overlap the better one stays
    proposals: int = 200  # regions that are classified
    scales: tuple[float, ...] = (1.0,)  # the paper's test: [0.75, 1, 1.25, 1.5, 1.75, 2], with mirror
    semantic: Literal["picture", "quarter"] = (
        "picture"  # quarter: as the net makes them, 1/16 of the bytes; fuse.panoptic enlarges
    )
    mirror: bool = False  # each scale a second time, left and right swapped
    max_picture: tuple[int, int] | None = None  # width, height of the largest picture, for the slots; None: the net's own size
    device: devices.Device = "cpu"  # auto: cuda where there is one
    runtime: Runtime = "auto"  # torch without an engine; with one, the first installed runtime in which its gate was passed
    engine: str = ""  # file made of the same weights by pipe export

    def __post_init__(self) -> None:
        devices.check(self.device)
        for key in ("min_score", "nms_iou"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"{key}: needs 0..1, got {getattr(self, key)}")
        if not 1 <= self.max_instances <= MAX_INSTANCES:
            raise ValueError(f"max_instances: needs 1..{MAX_INSTANCES}, got {self.max_instances}")
        if self.proposals < 1:
            raise ValueError(f"proposals: needs 1 or more, got {self.proposals}")
        if not self.scales or not all(0.1 <= scale <= 4 for scale in self.scales):
            raise ValueError(f"scales: needs one or more numbers of 0.1..4, got {list(self.scales)}")
        if self.max_picture is not None:
            for side, most in zip(self.max_picture, (IMAGE.limits["W"], IMAGE.limits["H"]), strict=True):
                if not 1 <= side <= most:
                    raise ValueError(f"max_picture: needs width, height of 1..{most} pixels, got {list(self.max_picture)}")
        if self.semantic == "quarter" and (self.scales != (1.0,) or self.mirror):
            raise ValueError("semantic: needs picture for several scales or mirror, got quarter")
        try:
            weights.read_config(self.weights, EFFICIENTPS)
        except InputError as error:
            raise ValueError(f"weights: {error}") from None
        if self.engine and self.scales != (1.0,):
            raise ValueError(f"scales: needs [1.0] for an engine, which has one picture size, got {list(self.scales)}")
        engines.check(self.engine, self.runtime, EFFICIENTPS, self.weights)


class SegmentEfficientps(Operator):
    Config, inputs = SegmentEfficientpsConfig, {"image": IMAGE}
    outputs = {"semantic": SEMANTIC, "instances": INSTANCES, "embeddings": EMBEDDINGS}
    trainer = "operators.train.panoptic.trainer:PanopticTrainer"  # for `pipe train`

    @classmethod
    def slot_bytes(cls, config: SegmentEfficientpsConfig) -> dict[str, int]:
        """Of this net's classes and of the largest picture; the schemas allow far more."""
        net = weights.read_config(config.weights, EFFICIENTPS)
        width, height = config.max_picture or net.image_size
        rows = {"boxes2d": 16, "scores": 4, "labels": 4, "mask_logits": 4 * MASK**2}
        return {
            "semantic": whole(4 * len(net.class_names) * cells(width, config) * cells(height, config)),
            "instances": sum(whole(config.max_instances * size) for size in rows.values()),
            "embeddings": whole(4 * config.max_instances * max(net.embedding, 1)),
        }

    def open(self) -> None:
        loaded = weights.load(self.config.weights, EFFICIENTPS)
        self.net_config: EfficientPSConfig = loaded.config
        self.labels = np.array(self.net_config.thing_indices, np.int32)
        self.facts = {CLASS_NAMES: list(self.net_config.class_names), THINGS: list(self.net_config.things)}
        self.net = torch_net(self.config, loaded, self.threads, self.name)

    def process(self, image: np.ndarray) -> dict[str, Any]:
        height, width = image.shape[:2]
        most = self.config.max_picture or self.net_config.image_size
        if width * height > most[0] * most[1]:
            raise FrameError(
                f"{self.name}.image: needs at most {most[0]} x {most[1]} pixels, got {width} x {height}; "
                "set config.max_picture: [width, height]"
            )
        scale = scale_of(height, width, self.net_config.image_size)
        if self.config.semantic == "quarter" and scale != 1:
            size = "{} x {}".format(*self.net_config.image_size)
            raise FrameError(
                f"{self.name}.image: needs width or height of the net, {size}, for semantic: quarter, got {width} x {height}"
            )
        found = self.net.run({"image": scaled(image, self.net_config.image_size), "size": np.array([height, width])})
        of_cells = {FACT_STRIDE: STRIDE, IMAGE_SIZE: [width, height]} if self.config.semantic == "quarter" else {}
        self.describe("semantic", **self.facts, **of_cells)
        self.describe("instances", **self.facts)
        boxes = found["boxes"].astype(np.float32) / np.float32(scale) - np.float32(0.5)
        instances = Instances(boxes, found["scores"], self.labels[found["things"]], found["masks"])
        return {
            "semantic": self.put("semantic", "semantic_logits", found["semantic"]),
            "instances": Instances(*(self.put("instances", name, array) for name, array in instances._asdict().items())),
            "embeddings": self.put("embeddings", "embeddings", found["embeddings"]),
        }


def cells(side: int, config: SegmentEfficientpsConfig) -> int:
    return side if config.semantic == "picture" else -(-side // STRIDE)


def whole(size: int) -> int:
    """Bytes of an array in a slot."""
    return -(-size // 64) * 64


def torch_net(config: SegmentEfficientpsConfig, loaded: weights.Weights, threads: int, node: str) -> Net:
    """A picture of the net's size, the (height, width) of the given one in; semantic logits of that size and `Found` out."""
    import torch
    from torch import Tensor
    from torch.nn import functional

    from operators.nets import efficientps
    from operators.nets.activated import fold
    from operators.nets.efficientps_scales import at_scales
    from operators.nets.export_efficientps import EngineEfficientPS
    from operators.nets.region_proposals import ProposalConfig
    from operators.nets.runtimes.torch import TorchNet, fill

    torch.set_num_threads(threads)
    device = devices.choose(config.device, node)
    net = (EngineEfficientPS if config.engine else efficientps.EfficientPS)(loaded.config).eval()
    fill(net, loaded, config.weights)
    fold(net)
    if isinstance(net, EngineEfficientPS):
        runtime, precision = engines.admitted(config.engine, config.runtime, EFFICIENTPS, loaded, config.weights)
        opened = open_onnx(config.engine, runtime=runtime, threads=threads, node=node, precision=precision, device=config.device)
        net.use(opened, device)
    net.to(device)
    regions = ProposalConfig(before=max(config.proposals, 500), after=config.proposals)
    find = efficientps.FindConfig(config.min_score, config.max_instances, config.nms_iou, regions)

    def known(found: efficientps.Found) -> Tensor:
        """A row of zeros for each instance of a net without a tracking head."""
        return found.embeddings if loaded.config.embedding else found.embeddings.new_zeros((len(found.boxes), 1))

    def forward(image: Tensor, size: Tensor) -> dict[str, Tensor]:
        height, width = size.tolist()
        if config.semantic == "quarter":
            dense = net.dense(image[None])
            found = net.find(dense, 0, find)
            semantic = dense.semantic[0, :, : cells(height, config), : cells(width, config)]
            return {**found._asdict(), "embeddings": known(found), "semantic": semantic}
        semantic, found = at_scales(net, image[None], config.scales, config.mirror, find)
        scale = scale_of(height, width, loaded.config.image_size)
        inner = semantic[:, :, : max(round(height * scale), 1), : max(round(width * scale), 1)]
        if inner.shape[2:] != (height, width):
            inner = functional.interpolate(inner, (height, width), mode="bilinear")
        return {**found._asdict(), "embeddings": known(found), "semantic": inner[0]}

    ready = TorchNet(forward, device)
    width, height = loaded.config.image_size
    ready.warm_up({"image": np.zeros((height, width, 3), np.uint8), "size": np.array([height, width])})
    return ready
