"""The net of fuse.gate as one ONNX model, in which the backbone of an absent modality is not computed.

in   image, thermal, depth  (H, W, 3) RGB or (H, W) uint8, one per modality of the net, of its size; anything where absent
     present                (S,) bool
out  logits                 (N, classes + 1) float32  of the last decoder layer
     boxes                  (N, 4) float32            centre x, centre y, width, height, 0..1
     shares                 (S, h or 1, w or 1)       of Fused
     cell_logits, cells     (T, classes), (N,) int64  deformable decoder: logits of all cells, and the cell of each query
     map_image, ..          (1, C, h, w)              of each backbone; zeros where absent. The admission gate looks at them: what
                                                      a weak share or a strong position encoding hides behind them is seen here

Each backbone is one branch of an ONNX If, the other branch is a map of zeros; fusion and transformer stand behind. A share of an
absent modality is 0, so the zeros reach nothing: the outputs are those of the net without it. Docs: decision 021.
Precision is that of the backbones, where the convolutions are; fusion and transformer stay float32.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from operators.nets.export import to_onnx
from operators.nets.fusion_net import FusionNet, normal

PRESENT = "present"
DTYPES = {"fp32": torch.float32, "int8": torch.float32, "fp16": torch.float16}
"""Precision -> type of the exported convolutions; int8 is made of the float32 model (export_int8.py). bfloat16 is missing: its
operator set (export.py) writes ReduceMean and GridSample in another way."""

Change = Callable[[str, bytes], bytes]


class Backbone(nn.Module):
    """Picture of one modality -> (1, C, h, w) float32"""

    def __init__(self, backbone: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.net, self.dtype = copy.deepcopy(backbone).to(dtype), dtype

    def forward(self, picture: Tensor) -> Tensor:
        y: Tensor = self.net(normal(picture[None], self.net).to(self.dtype)).float()
        return y


class Head(nn.Module):
    """Maps of all modalities, present (S,) bool -> outputs"""

    def __init__(self, net: FusionNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        *maps, present = inputs
        fused = self.net.fusion.combine(self.net.fusion.parts(maps), present[None])
        found = self.net.detect(fused.features)
        given = (found.logits[-1, 0], found.boxes[-1, 0], fused.shares[0])
        if found.cell_logits is None or found.cells is None:
            return given
        return (*given, found.cell_logits[0], found.cells[0])


def outputs_of(net: FusionNet) -> tuple[str, ...]:
    return ("logits", "boxes", "shares", *(("cell_logits", "cells") if net.selects else ()))


def fusion_export(net: FusionNet, precision: str = "fp32", change: Change | None = None) -> bytes:
    """The ONNX model of a net in eval mode, its norms folded. change: of the backbones' models, by modality (to int8)."""
    config = net.config
    width, height = config.image_size
    pictures = {
        name: torch.zeros((height, width, 3) if name == "image" else (height, width), dtype=torch.uint8)
        for name in config.modalities
    }
    backbones = {}
    for (name, picture), backbone in zip(pictures.items(), net.backbones, strict=True):
        made = to_onnx(Backbone(backbone, DTYPES[precision]), {name: picture}, [map_name(name)])
        backbones[name] = made if change is None else change(name, made)
    maps = {map_name(name): torch.zeros(1, config.channels, *config.grid) for name in pictures}
    present = torch.ones(len(pictures), dtype=torch.bool)
    head = to_onnx(Head(net), {**maps, PRESENT: present}, outputs_of(net))
    return joined(head, backbones)


def joined(head: bytes, backbones: Mapping[str, bytes]) -> bytes:
    """The model of a head whose maps are made by backbones, each only where its entry of `present` is true."""
    import onnx
    from onnx import compose, helper, numpy_helper

    whole = onnx.load_model_from_string(head)
    maps = {value.name: copy.deepcopy(value) for value in whole.graph.input}
    inputs: list[Any] = []
    nodes: list[Any] = []
    made: list[Any] = []
    for row, (name, data) in enumerate(backbones.items()):
        model = compose.add_prefix(
            onnx.load_model_from_string(data), f"{name}/", rename_inputs=False, rename_outputs=False, rename_functions=False
        )
        inputs.extend(model.graph.input)
        own = model.graph.output[0]
        shape = [d.dim_value for d in maps[own.name].type.tensor_type.shape.dim]
        own.name = f"{name}/map"
        for node in model.graph.node:
            node.output[:] = [own.name if output == map_name(name) else output for output in node.output]
        then = helper.make_graph(model.graph.node, f"{name}/backbone", [], [own], model.graph.initializer)
        zeros = helper.make_tensor_value_info(f"{name}/zeros", onnx.TensorProto.FLOAT, shape)
        value = helper.make_tensor("", onnx.TensorProto.FLOAT, [1], [0.0])
        size = numpy_helper.from_array(np.array(shape, np.int64), f"{name}/size")
        nothing = helper.make_node("ConstantOfShape", [size.name], [zeros.name], value=value)
        other = helper.make_graph([nothing], f"{name}/absent", [], [zeros], [size])
        whole.graph.initializer.append(numpy_helper.from_array(np.array(row, np.int64), f"{name}/row"))
        nodes.append(helper.make_node("Gather", [PRESENT, f"{name}/row"], [f"{name}/present"], f"{name}/present"))
        branches = {"then_branch": then, "else_branch": other}
        nodes.append(helper.make_node("If", [f"{name}/present"], [map_name(name)], f"{name}/if_present", **branches))
        made.append(maps[map_name(name)])
    behind = [*nodes, *whole.graph.node]
    del whole.graph.node[:], whole.graph.input[:]
    whole.graph.node.extend(behind)
    whole.graph.input.extend([*inputs, maps[PRESENT]])
    whole.graph.output.extend(made)
    onnx.checker.check_model(whole)
    data_of_all: bytes = whole.SerializeToString()
    return data_of_all


def map_name(modality: str) -> str:
    return f"map_{modality}"
