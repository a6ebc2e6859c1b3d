"""Weights of happinesslz/TANet, the version on PointPillars (pointpillars_with_TANet): the released models.

Its version on second.pytorch 1.6 has other names and other conventions and is not converted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.nets.foreign import conventions as c
from operators.nets.foreign.layouts import NORM, Tensors, from_second, heads
from operators.nets.tanet_shapes import STACK_SIZES

PILLARS = "voxel_feature_extractor"
HEADS = ("rpn.conv_cls", "rpn.conv_box", "rpn.conv_dir_cls")
REFINE_HEADS = ("rpn.refine_cls", "rpn.refine_loc", "rpn.refine_dir")
SPARE = ("global_step", "rpn_acc", "rpn_precision", "rpn_metrics", "rpn_cls_loss", "rpn_loc_loss", "rpn_total_loss")

CENTRE_GRID_M = (0.2, 0.2, 0.0, -40.0)
"""The released code decorates points with offsets to the pillar centres of this grid, whatever the net's own grid is: it builds
PillarFeature_TANet without its voxel_size and pc_range, so that the defaults stay."""


def tanet(tensors: Tensors) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """-> our tensors, the keys of our config that do not follow from the voxel size and the classes."""
    out = _pillar_net(tensors)
    out |= _blocks(tensors)
    out |= heads(tensors, HEADS)
    out |= _refine(tensors)
    out |= heads(tensors, REFINE_HEADS, "psa.")
    for prefix in ("", "psa."):
        from_second(out, prefix)
        for part in NORM[:2]:
            out[f"{prefix}direction_head.{part}"] = c.swapped_directions(out[f"{prefix}direction_head.{part}"])
    blocks = range(3)
    config = {
        "max_points": out["pillar_net.first.of_points.weight"].shape[1],
        "pillar_channels": len(out["pillar_net.mix.bias"]),
        "block_layers": [
            sum(name.startswith(f"blocks.{b}.") and name.endswith("conv.weight") for name in out) - 1 for b in blocks
        ],
        "block_channels": [len(out[f"psa.fusions.{b}.bias"]) for b in blocks],
        "up_channels": [len(out[f"ups.{b}.norm.bias"]) for b in blocks],
        "reduced_channels": len(out["psa.stacks.0.0.norm.bias"]),
        "anchor_yaws_rad": c.SECOND_YAWS_RAD,
        "direction_offset_rad": c.SECOND_DIRECTION_OFFSET_RAD,
        "centre_grid_m": CENTRE_GRID_M,
    }
    return out, config


def _pillar_net(tensors: Tensors) -> dict[str, np.ndarray]:
    out: dict[str, np.ndarray] = {}

    def linear(name: str, ours: str) -> None:
        for part in NORM[:2]:
            out[f"pillar_net.{ours}.{part}"] = tensors.take(f"{PILLARS}.VoxelFeature_TA.{name}.{part}")

    for i, ours in ((1, "first"), (2, "second")):
        for attention, part in (("pa", "points"), ("ca", "channels")):
            for n in (0, 2):
                linear(f"PACALayer{i}.{attention}.fc.{n}", f"{ours}.{part}.{n}")
        linear(f"voxel_attention{i}.fc1.0", f"{ours}.of_channels")
        linear(f"voxel_attention{i}.fc2.0", f"{ours}.of_points")
    linear("FC1.0", "widen")
    linear("FC2.0", "mix")
    out["pillar_net.linear.weight"] = tensors.take(f"{PILLARS}.pfn_layers.0.linear.weight")
    return out | tensors.norm(f"{PILLARS}.pfn_layers.0.norm", "pillar_net.norm")


def _blocks(tensors: Tensors) -> dict[str, np.ndarray]:
    out: dict[str, np.ndarray] = {}
    for b in range(3):
        i = 0
        while (name := f"rpn.block{b + 1}.{1 + 3 * i}") + ".weight" in tensors:
            out[f"blocks.{b}.{i}.conv.weight"] = tensors.take(f"{name}.weight")
            out |= tensors.norm(f"rpn.block{b + 1}.{2 + 3 * i}", f"blocks.{b}.{i}.norm")
            i += 1
        out |= _up(tensors, f"rpn.deconv{b + 1}", f"ups.{b}")
    return out


def _refine(tensors: Tensors) -> dict[str, np.ndarray]:
    out: dict[str, np.ndarray] = {}
    for name, ours in (
        ("block2_inc2x", "second_to_first"),
        ("block3_inc2x", "third_to_second"),
        ("block3_inc4x", "third_to_first"),
    ):
        out[f"psa.{ours}.weight"] = tensors.take(f"rpn.{name}.weight")
    convs = [("bottle_conv", "bottleneck")]
    convs += [(f"fusion_block{i + 1}", f"fusions.{i}") for i in range(3)]
    convs += [(f"concat_conv{i + 1}", f"mixes.{i}") for i in range(3)]
    for name, ours in convs:
        for part in NORM[:2]:
            out[f"psa.{ours}.{part}"] = tensors.take(f"rpn.{name}.{part}")
    for i, stack in enumerate(("RF3", "RF2", "RF1")):  # finest level first
        for j in range(len(STACK_SIZES[i])):
            out[f"psa.stacks.{i}.{j}.conv.weight"] = tensors.take(f"rpn.{stack}.{3 * j}.weight")
            out |= tensors.norm(f"rpn.{stack}.{3 * j + 1}", f"psa.stacks.{i}.{j}.norm")
        out |= _up(tensors, f"rpn.refine_up{i + 1}", f"psa.ups.{i}")
    return out


def _up(tensors: Tensors, name: str, ours: str) -> dict[str, np.ndarray]:
    return {f"{ours}.conv.weight": tensors.take(f"{name}.0.weight")} | tensors.norm(f"{name}.1", f"{ours}.norm")
