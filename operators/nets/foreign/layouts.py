"""Layouts of foreign weight files: how to know one, and what becomes of its tensors.

PointPillars of OpenPCDet, of mmdetection3d (0.x has 9 features per point and SECOND's boxes, 1.x has 10 and ours) and of
zhulf0804/PointPillars. Facts from their repositories: pcdet/models, tools/cfgs/kitti_models/pointpillar.yaml; mmdet3d/models,
configs/_base_/models/*pointpillars_*kitti.py; model/pointpillars.py, model/anchors.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.nets.foreign import conventions as c
from operators.nets.pointpillars_config import CAR, CYCLIST, PEDESTRIAN, POINTPILLARS, AnchorConfig
from operators.nets.weights import Architecture
from pipeline.errors import InputError

NORM = ("weight", "bias", "running_mean", "running_var")


class Tensors:
    """The tensors of a file that are still to be taken. Raises InputError for one that is missing, or left over."""

    def __init__(self, path: str, layout: str, tensors: Mapping[str, np.ndarray], spare: tuple[str, ...] = ()) -> None:
        self.who = f"{path}: {layout}"
        self._left, self._spare = dict(tensors), spare

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str) -> np.ndarray:
        if name not in self._left:
            raise InputError(f"{self.who}: needs the tensor {name}, got none")
        return self._left.pop(name)

    def norm(self, name: str, ours: str) -> dict[str, np.ndarray]:
        return {f"{ours}.{part}": self.take(f"{name}.{part}") for part in NORM}

    def finish(self) -> None:
        left = [name for name in self._left if not name.endswith("num_batches_tracked") and not name.startswith(self._spare)]
        if left:
            shape = list(self._left[left[0]].shape)
            raise InputError(f"{self.who}: needs no tensor {left[0]}, got {shape}: a net with other layers")


@dataclass(frozen=True)
class Layout:
    """One kind of foreign file.

    name     of the program
    marks    tensors of which a file of this kind has all
    convert  its tensors -> our tensors, and the keys of our config that they and the program's habits determine
    model    our architecture
    spare    beginnings of the names of tensors that are no part of the net
    """

    name: str
    marks: tuple[str, ...]
    convert: Callable[[Tensors], tuple[dict[str, np.ndarray], dict[str, Any]]]
    model: Architecture = POINTPILLARS
    spare: tuple[str, ...] = ()


@dataclass(frozen=True)
class Names:
    """Names of the tensors of one program's PointPillars. {b}: block; {n}: place in its Sequential, behind `pad` other layers."""

    linear: str
    norm: str
    block: str
    up: str
    heads: tuple[str, str, str]  # class, box, direction
    pad: int = 0


OPENPCDET = Names(
    linear="vfe.pfn_layers.0.linear.weight",
    norm="vfe.pfn_layers.0.norm",
    block="backbone_2d.blocks.{b}.{n}",
    up="backbone_2d.deblocks.{b}.{n}",
    heads=("dense_head.conv_cls", "dense_head.conv_box", "dense_head.conv_dir_cls"),
    pad=1,
)
MMDET3D = Names(
    linear="voxel_encoder.pfn_layers.0.linear.weight",
    norm="voxel_encoder.pfn_layers.0.norm",
    block="backbone.blocks.{b}.{n}",
    up="neck.deblocks.{b}.{n}",
    heads=("bbox_head.conv_cls", "bbox_head.conv_reg", "bbox_head.conv_dir_cls"),
)
ZHULF = Names(
    linear="pillar_encoder.conv.weight",
    norm="pillar_encoder.bn",
    block="backbone.multi_blocks.{b}.{n}",
    up="neck.decoder_blocks.{b}.{n}",
    heads=("head.conv_cls", "head.conv_reg", "head.conv_dir_cls"),
)


def blocks(tensors: Tensors, names: Names) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Blocks and levels -> our tensors, and the keys of our config that follow from their shapes."""
    out: dict[str, np.ndarray] = {}
    layers: list[int] = []
    channels: list[int] = []
    ups: list[int] = []
    while names.block.format(b=len(layers), n=names.pad) + ".weight" in tensors:
        b, i = len(layers), 0
        while (name := names.block.format(b=b, n=names.pad + 3 * i)) + ".weight" in tensors:
            out[f"blocks.{b}.{i}.conv.weight"] = tensors.take(f"{name}.weight")
            out |= tensors.norm(names.block.format(b=b, n=names.pad + 3 * i + 1), f"blocks.{b}.{i}.norm")
            i += 1
        out[f"ups.{b}.conv.weight"] = tensors.take(names.up.format(b=b, n=0) + ".weight")
        out |= tensors.norm(names.up.format(b=b, n=1), f"ups.{b}.norm")
        layers.append(i - 1)
        channels.append(len(out[f"blocks.{b}.0.conv.weight"]))
        ups.append(out[f"ups.{b}.conv.weight"].shape[1])
    return out, {"block_layers": layers, "block_channels": channels, "up_channels": ups}


def heads(tensors: Tensors, names: tuple[str, str, str], prefix: str = "") -> dict[str, np.ndarray]:
    ours = ("class_head", "box_head", "direction_head")
    return {
        f"{prefix}{o}.{part}": tensors.take(f"{name}.{part}") for o, name in zip(ours, names, strict=True) for part in NORM[:2]
    }


def class_anchors(tensors: Tensors, out: Mapping[str, np.ndarray], order: tuple[AnchorConfig, ...]) -> tuple[AnchorConfig, ...]:
    """The classes of the net: cars alone, or all three in this order. 2 anchors per class, each with a score of every class."""
    rows = len(out["class_head.bias"])
    if rows == 2:
        return (CAR,)
    if rows != 18:
        raise InputError(f"{tensors.who}: needs a class head of 2 (Car) or 18 (three classes) values per location, got {rows}")
    return order


def from_second(out: dict[str, np.ndarray], prefix: str = "") -> None:
    for part in NORM[:2]:
        out[f"{prefix}box_head.{part}"] = c.second_boxes(out[f"{prefix}box_head.{part}"])


def pointpillars(tensors: Tensors, names: Names) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What the three have in common."""
    linear = tensors.take(names.linear)
    out = {"pillar_linear.weight": linear.reshape(linear.shape[:2])} | tensors.norm(names.norm, "pillar_norm")
    dense, shape = blocks(tensors, names)
    out |= dense | heads(tensors, names.heads)
    features = linear.shape[1]
    config = {
        "max_points": 32,
        "max_pillars": 40_000,
        "features": features,
        "pillar_channels": len(linear),
        "padded_maximum": True,
    }
    return out, config | shape


def openpcdet(tensors: Tensors) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    out, config = pointpillars(tensors, OPENPCDET)
    config["anchors"] = class_anchors(tensors, out, (CAR, PEDESTRIAN, CYCLIST))
    return out, config | {"anchor_yaws_rad": (0.0, 1.57), "direction_offset_rad": 0.78539, "anchor_span_m": "range"}


def mmdet3d(tensors: Tensors) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    out, config = pointpillars(tensors, MMDET3D)
    config["anchors"] = class_anchors(tensors, out, (PEDESTRIAN, CYCLIST, CAR))
    out["pillar_linear.weight"] = c.without_overwriting(out["pillar_linear.weight"])
    if config["features"] == 10:  # 1.x
        return out, config | {"anchor_yaws_rad": (0.0, 1.57), "direction_offset_rad": -math.pi / 2}
    from_second(out)
    second = {"anchor_yaws_rad": c.SECOND_YAWS_RAD, "direction_offset_rad": c.SECOND_DIRECTION_OFFSET_RAD}
    return out, config | second | {"anchor_span_m": (0.0, -39.68, 70.4, 39.68)}


def zhulf(tensors: Tensors) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    out, config = pointpillars(tensors, ZHULF)
    config["anchors"] = class_anchors(tensors, out, (PEDESTRIAN, CYCLIST, CAR))
    out["pillar_linear.weight"] = c.without_overwriting(out["pillar_linear.weight"])
    from_second(out)
    return out, config | {"anchor_yaws_rad": c.SECOND_YAWS_RAD, "direction_offset_rad": c.SECOND_DIRECTION_OFFSET_RAD}
