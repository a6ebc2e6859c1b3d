"""Config of the PointPillars net and the shapes of its tensors. Imports no torch: `pipe check` and anchors need none.

Source: Lang et al. 2019 (PointPillars); fields as in its released configs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from operators.nets.weights import Architecture

MAX_BLOCKS, MAX_LAYERS, MAX_CHANNELS, MAX_CELLS = 8, 64, 4096, 8192
"""Weight files bring their config: no net may take memory by the size of a number."""


@dataclass(frozen=True, slots=True)
class AnchorConfig:
    """One class and its anchor box."""

    name: str  # of the class, as in operators/streams.py CLASSES
    size_m: tuple[float, float, float]  # l w h
    z_m: float  # of the anchor's centre, velodyne frame
    matched: float  # IoU from which an anchor is a positive sample
    unmatched: float  # IoU below which it is a negative one

    def __post_init__(self) -> None:
        if min(self.size_m) <= 0:
            raise ValueError(f"size_m: needs l, w, h > 0, got {list(self.size_m)}")
        if not 0 <= self.unmatched <= self.matched <= 1:
            raise ValueError(
                f"matched: needs unmatched <= matched, both 0 to 1, got {self.matched:g} and unmatched {self.unmatched:g}"
            )


CAR = AnchorConfig("Car", (3.9, 1.6, 1.56), -1.0, 0.6, 0.45)
PEDESTRIAN = AnchorConfig("Pedestrian", (0.8, 0.6, 1.73), -0.6 + 1.73 / 2, 0.5, 0.35)  # the released bottom of -0.6 m
CYCLIST = AnchorConfig("Cyclist", (1.76, 0.6, 1.73), -0.6 + 1.73 / 2, 0.5, 0.35)


@dataclass(frozen=True, slots=True)
class PointPillarsConfig:
    cell_m: tuple[float, float] = (0.16, 0.16)  # x, y edge of one pillar
    range_m: tuple[float, float, float, float, float, float] = (0.0, -39.68, -3.0, 69.12, 39.68, 1.0)  # x0 y0 z0 x1 y1 z1
    max_points: int = 100  # K, of a pillar
    max_pillars: int = 12_000
    pillar_channels: int = 64
    first_stride: int = 2  # of the first block; the others halve the grid
    block_layers: tuple[int, ...] = (3, 5, 5)  # 3x3 convolutions after the strided one
    block_channels: tuple[int, ...] = (64, 128, 256)
    up_channels: tuple[int, ...] = (128, 128, 128)
    anchors: tuple[AnchorConfig, ...] = (CAR, PEDESTRIAN, CYCLIST)
    # conventions of nets trained elsewhere: operators/nets/foreign
    features: Literal[9, 10] = 9  # of a point; the tenth is its offset to the middle of the range in z
    centre_grid_m: tuple[float, float, float, float] | None = None  # cell x y, corner x y; pillar centres of another grid
    padded_maximum: bool = False  # a row of zeros takes part in the maximum over fewer than max_points points
    anchor_yaws_rad: tuple[float, float] = (0.0, math.pi / 2)
    anchor_span_m: tuple[float, float, float, float] | None = (
        None  # x0 y0 x1 y1 from the first anchor to the last; none: range_m,
    )
    # in the centres of locations
    direction_offset_rad: float = math.pi / 4  # direction 0: yaw from here for half a turn

    def __post_init__(self) -> None:
        if not len(self.block_layers) == len(self.block_channels) == len(self.up_channels) > 0:
            raise ValueError(
                f"block_layers: needs as many as block_channels and up_channels, got {len(self.block_layers)}, "
                f"{len(self.block_channels)} and {len(self.up_channels)}"
            )
        for key in ("max_points", "max_pillars", "pillar_channels", "first_stride"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: needs 1 or more, got {getattr(self, key)}")
        if self.features not in (9, 10):
            raise ValueError(f"features: needs 9 or 10, got {self.features}")
        if self.centre_grid_m is not None and not min(self.centre_grid_m[:2]) > 0:
            raise ValueError(f"centre_grid_m: needs cells larger than 0, got {list(self.centre_grid_m)}")
        span = self.anchor_span_m
        if span is not None and not (span[2] > span[0] and span[3] > span[1]):
            raise ValueError(f"anchor_span_m: needs x0 < x1 and y0 < y1, got {list(span)}")
        if not all(map(math.isfinite, (*self.anchor_yaws_rad, self.direction_offset_rad))):
            raise ValueError("anchor_yaws_rad, direction_offset_rad: need finite angles")
        if len(self.block_layers) > MAX_BLOCKS:
            raise ValueError(f"block_layers: needs at most {MAX_BLOCKS} blocks, got {len(self.block_layers)}")
        for key, least in (("block_layers", 0), ("block_channels", 1), ("up_channels", 1)):
            most = MAX_LAYERS if key == "block_layers" else MAX_CHANNELS
            if min(getattr(self, key)) < least or max(getattr(self, key)) > most:
                raise ValueError(f"{key}: needs {least} .. {most} each, got {list(getattr(self, key))}")
        names = [anchor.name for anchor in self.anchors]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"anchors: needs one or more classes, each once, got {', '.join(names) or 'none'}")
        if self.range_m[5] <= self.range_m[2]:
            raise ValueError(f"range_m: needs z1 > z0, got z0 = {self.range_m[2]}, z1 = {self.range_m[5]}")
        least_stride = self.first_stride * 2 ** (len(self.block_layers) - 1)
        for axis, i in (("x", 0), ("y", 1)):
            low, high, cell = self.range_m[i], self.range_m[i + 3], self.cell_m[i]
            cells = (high - low) / cell if cell > 0 else 0.0
            if cells > MAX_CELLS:
                raise ValueError(f"cell_m: needs at most {MAX_CELLS} cells along {axis}, got {cells:.3g}")
            if cells < 1 or abs(cells - round(cells)) > 1e-6 or round(cells) % least_stride:
                raise ValueError(
                    f"range_m: needs a multiple of {least_stride} cells, got {axis} from {low} to {high} in cells of {cell} m"
                )

    @property
    def grid(self) -> tuple[int, int]:
        """rows (y), columns (x) of the pillars"""
        return (
            round((self.range_m[4] - self.range_m[1]) / self.cell_m[1]),
            round((self.range_m[3] - self.range_m[0]) / self.cell_m[0]),
        )

    @property
    def head_grid(self) -> tuple[int, int]:
        """rows (y), columns (x) of the locations the head predicts at"""
        return self.grid[0] // self.first_stride, self.grid[1] // self.first_stride

    @property
    def anchor_step_m(self) -> tuple[float, float]:
        """x, y from the anchors of a location to those of the next one"""
        if self.anchor_span_m is None:
            return self.cell_m[0] * self.first_stride, self.cell_m[1] * self.first_stride
        x0, y0, x1, y1 = self.anchor_span_m
        rows, columns = self.head_grid
        return (x1 - x0) / max(columns - 1, 1), (y1 - y0) / max(rows - 1, 1)

    @property
    def strides(self) -> tuple[int, ...]:
        """of each block against the one before it"""
        return (self.first_stride, *[2] * (len(self.block_layers) - 1))

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(anchor.name for anchor in self.anchors)

    @property
    def anchors_per_location(self) -> int:
        """two rotations of each class"""
        return 2 * len(self.anchors)

    @property
    def num_anchors(self) -> int:
        return self.head_grid[0] * self.head_grid[1] * self.anchors_per_location


def tensor_shapes(config: PointPillarsConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every parameter and statistic of the net, in its order: the content of a weight file.

    The counters of batch norm (num_batches_tracked) are left out. A test compares this with the net's state_dict.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)

    shapes["pillar_linear.weight"] = (config.pillar_channels, config.features)
    norm("pillar_norm", config.pillar_channels)
    before = config.pillar_channels
    for b, (layers, channels) in enumerate(zip(config.block_layers, config.block_channels, strict=True)):
        for i in range(layers + 1):
            shapes[f"blocks.{b}.{i}.conv.weight"] = (channels, before, 3, 3)
            norm(f"blocks.{b}.{i}.norm", channels)
            before = channels
    for b, (channels, up) in enumerate(zip(config.block_channels, config.up_channels, strict=True)):
        shapes[f"ups.{b}.conv.weight"] = (channels, up, 2**b, 2**b)
        norm(f"ups.{b}.norm", up)
    for name, values in (("class_head", len(config.anchors)), ("box_head", 7), ("direction_head", 2)):
        shapes[f"{name}.weight"] = (config.anchors_per_location * values, sum(config.up_channels), 1, 1)
        shapes[f"{name}.bias"] = (config.anchors_per_location * values,)
    return shapes


POINTPILLARS = Architecture("pointpillars", PointPillarsConfig, tensor_shapes)
