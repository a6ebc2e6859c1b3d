"""Config of TANet and of its students, the released grids, and the shapes of the tensors. Imports no torch.

Source: Liu et al. 2020 (TANet); ranges and anchors as in its released configs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from operators.nets.pointpillars_config import CAR, CYCLIST, MAX_CHANNELS, PEDESTRIAN, AnchorConfig, PointPillarsConfig
from operators.nets.students_config import Cnn, CnnName, reduce
from operators.nets.tanet_shapes import tensor_shapes
from operators.nets.weights import Architecture

MAX_POINTS = 1024
"""Largest K: the layers over the point index, and the graphs, have K * K weights or edges per pillar."""


@dataclass(frozen=True, slots=True)
class GcnConfig:
    """The pillar net `gcn`: a graph of the points of each pillar."""

    graph: Literal["nearest", "radius"] = "radius"  # an edge to the nearest points, or to all that are near
    neighbours: int = 4  # of each point, for `nearest`; an edge counts in both directions
    radius_m: float = 0.1  # for `radius`
    layers: int = 2
    pool: Literal["mean", "linear", "both"] = "mean"  # of the points: average, fully connected layer, their sum

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ValueError(f"neighbours: needs 1 or more, got {self.neighbours}")
        if not self.radius_m > 0:
            raise ValueError(f"radius_m: needs more than 0, got {self.radius_m:g}")
        if not 1 <= self.layers <= 8:
            raise ValueError(f"layers: needs 1..8, got {self.layers}")


@dataclass(frozen=True, slots=True)
class TANetConfig(PointPillarsConfig):
    pillar_net: Literal["tanet", "pointnet", "gcn"] = "tanet"  # stacked triple attention, PointPillars' layer, or graphs
    cnn: CnnName = "tanet"  # coarse and refine stage, or a student's: operators/nets/students_config.py
    reduced_channels: int = 32  # in the middle of the refine stage's convolutions
    gcn: GcnConfig = field(default_factory=GcnConfig)  # for pillar_net: gcn

    def __post_init__(self) -> None:
        PointPillarsConfig.__post_init__(self)
        if self.max_points > MAX_POINTS:
            raise ValueError(f"max_points: needs at most {MAX_POINTS} for this net, got {self.max_points}")
        if not 1 <= self.reduced_channels <= MAX_CHANNELS:
            raise ValueError(f"reduced_channels: needs 1..{MAX_CHANNELS}, got {self.reduced_channels}")
        if self.layers.refine:
            if len(self.block_layers) != 3:
                raise ValueError(f"block_layers: needs 3 blocks for the refine stage of {self.cnn}, got {len(self.block_layers)}")
            if len(set(self.up_channels)) > 1:
                raise ValueError(f"up_channels: needs equal numbers for the refine stage, got {list(self.up_channels)}")
            if any(channels % 2 for channels in self.layers.channels[:2]):
                raise ValueError(f"block_channels: needs even numbers for the refine stage, got {list(self.block_channels)}")

    @property
    def layers(self) -> Cnn:
        """of the CNN that `cnn` names"""
        return reduce(self.cnn, self.block_layers, self.block_channels, self.up_channels, self.reduced_channels)


def _grid(cell: float, x1: float, y1: float, anchors: tuple[AnchorConfig, ...], **more: Any) -> TANetConfig:
    return TANetConfig(cell_m=(cell, cell), range_m=(0.0, -y1, -3.0, x1, y1, 1.0), anchors=anchors, **more)


def _walkers(cell: float, x1: float, y1: float) -> TANetConfig:
    """The released models for cyclists and pedestrians: a smaller range, a first block without stride, lower anchors."""
    anchors = tuple(
        AnchorConfig(anchor.name, anchor.size_m, -1.465 + anchor.size_m[2] / 2, anchor.matched, anchor.unmatched)
        for anchor in (CYCLIST, PEDESTRIAN)
    )
    return TANetConfig(cell_m=(cell, cell), range_m=(0.0, -y1, -2.5, x1, y1, 0.5), first_stride=1, anchors=anchors)


_CARS, _ALL = (CAR,), (CAR, PEDESTRIAN, CYCLIST)
PRESETS: dict[str, TANetConfig] = {
    "car_16": _grid(0.16, 69.12, 39.68, _CARS),
    "car_20": _grid(0.20, 70.4, 40.0, _CARS),
    "car_24": _grid(0.24, 71.04, 40.32, _CARS),
    "car_28": _grid(0.28, 71.68, 40.32, _CARS),
    "three_16": _grid(0.16, 69.12, 39.68, _ALL),
    "three_20": _grid(0.20, 70.4, 40.0, _ALL),
    "three_24": _grid(0.24, 71.04, 40.32, _ALL),
    "three_28": _grid(0.28, 71.68, 40.32, _ALL),
    "ped_cycle_16": _walkers(0.16, 47.36, 19.84),
    "ped_cycle_20": _walkers(0.20, 48.0, 20.0),
    "ped_cycle_24": _walkers(0.24, 48.0, 19.68),
    "ped_cycle_28": _walkers(0.28, 47.04, 20.16),
    "car_32_half": _grid(
        0.32, 69.12, 39.68, _CARS, max_points=32, pillar_channels=32, block_channels=(32, 64, 128), up_channels=(64, 64, 64),
        reduced_channels=16,
    ),
}  # fmt: skip
"""Heads and voxel size [cm]. The car grids and those of ped_cycle are the released ones; `three` has the range of the cars;
car_32_half is the teacher of the benches: a coarse grid, K 32, half of the channels."""

TANET = Architecture("tanet", TANetConfig, tensor_shapes, train="pipe train tanet_world --out out/tanet")
