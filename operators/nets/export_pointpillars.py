"""The dense part of PointPillars as an ONNX model: first level in, maps of all anchors out.

in   features      (rows, columns, C) float32  `InferencePointPillars.first_level`, channels last; its grid is config.head_grid
out  class_logits  (A, classes) float32        A anchors in the order of pointpillars.py
     boxes         (A, 9) float32              7 residuals, 2 direction logits
What comes before is sparse and stays outside: an engine would convolve a canvas that is empty to nine tenths and more. Transposed
convolutions whose kernel is their stride are 1x1 convolutions here, and the heads are added up per level: all of the work is
in convolutions that every runtime has in int8.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.nets.export import to_onnx
from operators.nets.pointpillars_inference import InferencePointPillars

INPUT, CLASS_LOGITS, BOXES = "features", "class_logits", "boxes"
OUTPUTS = (CLASS_LOGITS, BOXES)
DTYPES = {"fp32": torch.float32, "int8": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Precision -> type of the exported convolutions; int8 is made of the float32 model (export_int8.py)."""


class DensePointPillars(nn.Module):
    """Made from a net ready for inference, which is not changed. dtype: of the convolutions; inputs and sums are float32."""

    bias: Tensor

    def __init__(self, net: InferencePointPillars, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config, self.dtype = net.config, dtype
        per_location, widths = net.config.anchors_per_location, net.config.up_channels
        self.blocks, self.ups, self.heads = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        box_weight = net.box_weight.float().flatten(0, 1)  # (anchors of a location * 9, sum of U)
        start = 0
        block: Any
        up: Any
        head: Any
        for b, (block, up, head) in enumerate(zip(net.blocks, net.ups, net.class_heads, strict=True)):
            convs = [_copy(layer) if isinstance(layer, nn.Conv2d) else nn.ReLU() for layer in block]
            self.blocks.append(nn.Sequential(*convs))
            self.ups.append(_conv(up.weight[:, :, None, None], up.bias, 1))
            both = torch.cat([head.weight.float(), box_weight[:, start : start + widths[b]]])  # (V, U)
            locations = 4**b
            self.heads.append(_conv(both.repeat(locations, 1)[:, :, None, None], None, locations))
            start += widths[b]
        self.num_class_values = per_location * len(net.config.anchors)
        self.to(dtype)
        self.register_buffer("bias", torch.cat([net.class_bias, net.box_bias.flatten()]).float())
        self.eval().requires_grad_(False)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        x = features.permute(2, 0, 1)[None].to(self.dtype)  # (1, C, rows, columns)
        total: Tensor = self.bias
        for b, (block, up, head) in enumerate(zip(self.blocks, self.ups, self.heads, strict=True)):
            x = block(x)
            part = head(functional.relu(up(x))).float()  # (1, s * s * V, rows / s, columns / s)
            s, (rows, columns) = 1 << b, part.shape[2:]
            part = part.view(s, s, -1, rows, columns).permute(3, 0, 4, 1, 2)  # (rows / s, s, columns / s, s, V)
            total = total + part.reshape(rows * s, columns * s, -1)
        classes, boxes = total[..., : self.num_class_values], total[..., self.num_class_values :]
        return classes.reshape(-1, len(self.config.anchors)), boxes.reshape(-1, 9)


def dense_export(net: InferencePointPillars, precision: str = "fp32", *, free: bool = False) -> bytes:
    """The ONNX model of a net that computes in float32. free: any number of rows and columns, multiples of the last stride."""
    example = torch.zeros((*net.config.head_grid, net.first_weight.shape[0]))
    axes = {INPUT: {0: "rows", 1: "columns"}, **{name: {0: "anchors"} for name in OUTPUTS}}
    return to_onnx(DensePointPillars(net, DTYPES[precision]), {INPUT: example}, OUTPUTS, axes if free else None)


def _conv(weight: Tensor, bias: Tensor | None, groups: int) -> nn.Conv2d:
    new = nn.Conv2d(weight.shape[1] * groups, len(weight), 1, groups=groups, bias=bias is not None)
    with torch.no_grad():
        new.weight.copy_(weight)
        if bias is not None and new.bias is not None:
            new.bias.copy_(bias)
    return new


def _copy(layer: nn.Conv2d) -> nn.Conv2d:
    new = nn.Conv2d(layer.in_channels, layer.out_channels, 3, layer.stride, 1)  # type: ignore[arg-type]
    new.load_state_dict(layer.state_dict())
    return new
