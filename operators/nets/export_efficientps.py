"""The dense part of EfficientPS as an ONNX model: a picture in, all that the net computes everywhere out.

in   image             (H, W, 3) uint8 RGB          of the net's size
out  semantic          (classes, H/4, W/4) float32  logits
     objects, offsets  (A,), (A, 4) float32         of all anchors, in the order of `Anchors`
     p4, p8, p16, p32  (1, C, h, w) float32         maps from which regions are cut

That is backbone, pyramid, semantic head and the proposals' head, of one size whatever the picture shows: nine tenths of the
multiply-adds of EfficientPS-B5, six tenths of the light net's. Regions, whose number changes with the picture, stay in torch
(`EngineEfficientPS`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from operators.nets.activated import normalised
from operators.nets.efficientps import Dense, EfficientPS
from operators.nets.efficientps_config import EfficientPSConfig
from operators.nets.export import to_onnx
from operators.nets.region_proposals import anchors_of, in_rows
from operators.nets.runtimes import Net

INPUT, SEMANTIC, OBJECTS, OFFSETS = "image", "semantic", "objects", "offsets"
MAPS = ("p4", "p8", "p16", "p32")
OUTPUTS = (SEMANTIC, OBJECTS, OFFSETS, *MAPS)
DTYPES = {"fp32": torch.float32, "int8": torch.float32, "fp16": torch.float16}
"""Precision -> type of the exported convolutions; int8 is made of the float32 model (export_int8.py)."""


class DenseEfficientPS(nn.Module):
    """Made of a folded net in eval mode, which is not changed. dtype: of the convolutions; input and outputs are not affected."""

    def __init__(self, net: EfficientPS, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        parts = nn.ModuleList((net.backbone, net.pyramid, net.semantic, net.rpn))
        self.backbone, self.pyramid, self.semantic, self.rpn = copy.deepcopy(parts).to(dtype)
        self.dtype = dtype

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = self.pyramid(self.backbone(normalised(image[None]).to(self.dtype)))
        objects, offsets = zip(*(self.rpn(x) for x in maps), strict=True)
        found = (self.semantic(maps)[0], in_rows(objects, 1)[0, :, 0], in_rows(offsets, 4)[0], *maps)
        return tuple(tensor.float() for tensor in found)


def dense_export(net: EfficientPS, precision: str = "fp32") -> bytes:
    """The ONNX model of a folded net in eval mode."""
    width, height = net.config.image_size
    example = torch.zeros((height, width, 3), dtype=torch.uint8)
    return to_onnx(DenseEfficientPS(net, DTYPES[precision]), {INPUT: example}, OUTPUTS)


def dense_of(outputs: Mapping[str, Tensor], config: EfficientPSConfig) -> Dense:
    """What `EfficientPS.dense` returns, of the outputs of an engine for one picture."""
    maps = [outputs[name] for name in MAPS]
    sizes = [(x.shape[2], x.shape[3]) for x in maps]
    anchors = anchors_of(sizes, config.anchor_scale, config.anchor_ratios, maps[0].device)
    return Dense(maps, outputs[SEMANTIC][None], outputs[OBJECTS][None], outputs[OFFSETS][None], anchors)


class EngineEfficientPS(EfficientPS):
    """EfficientPS whose dense part an engine computes. `use` it after `fill` and `fold`. One picture of the net's size a call."""

    def use(self, engine: Net, device: torch.device) -> None:
        self._engine, self._device = engine, device
        del self.backbone, self.pyramid, self.semantic, self.rpn

    def dense(self, image: Tensor) -> Dense:
        (picture,) = image.cpu().numpy()
        outputs = self._engine.run({INPUT: np.ascontiguousarray(picture)})
        return dense_of({name: torch.from_numpy(array).to(self._device) for name, array in outputs.items()}, self.config)
