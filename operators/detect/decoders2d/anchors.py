"""Grids with several anchors per cell, before their boxes are computed: YOLOv2 to v5, v7, and nets like them.

output per stride  (1, A, H, W, K)  (1, A K, H, W)  (1, H, W, A, K)  (1, H, W, A K)    K = 5 + C: x y w h, objectness, classes
Centre: (column + s sigmoid(x) - (s - 1) / 2) * stride. Size: anchor * (2 sigmoid(w)) ** 2 (v5, v7) or anchor * exp(w) (v2 to v4).
Outputs whose boxes are computed already, (1, N, K): `anchor_free`, boxes: decoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.detect.decoders2d.found import Decoder, Found, Threshold, activate, grids_of, strong
from operators.detect.decoders2d.rows import Grid, Shape, Shapes, listed


@dataclass(frozen=True, slots=True)
class AnchorsConfig:
    anchors: tuple[tuple[float, ...], ...] = (  # of each stride: w h w h .. [px]; YOLOv5's
        (10, 13, 16, 30, 33, 23),
        (30, 61, 62, 45, 59, 119),
        (116, 90, 156, 198, 373, 326),
    )
    strides: tuple[int, ...] = (8, 16, 32)
    sizes: Literal["square", "exp"] = "square"  # square: YOLOv5, v7; exp: YOLOv2 to v4
    scale_xy: tuple[float, ...] = (2.0,)  # s, one or one per stride: 2 for v5 and v7, 1 for v2 and v3, v4 has its own
    activation: Literal["none", "sigmoid"] = "sigmoid"  # none: the net has done it
    softmax: bool = False  # of the classes, as YOLOv2
    outputs: tuple[str, ...] = ()  # names in the order of strides; (): the shapes say

    def __post_init__(self) -> None:
        if not self.strides or min(self.strides) < 1 or len(self.anchors) != len(self.strides):
            raise ValueError(f"anchors: needs a list for each of the strides {list(self.strides)}, got {len(self.anchors)} lists")
        counts = {len(own) for own in self.anchors}
        if len(counts) != 1 or min(counts) < 2 or min(counts) % 2:
            raise ValueError(f"anchors: needs pairs w h, the same number for each stride, got lists of {sorted(counts)} numbers")
        if len(self.scale_xy) not in (1, len(self.strides)):
            raise ValueError(f"scale_xy: needs one number, or one per stride, got {list(self.scale_xy)}")

    @property
    def per_cell(self) -> int:
        return len(self.anchors[0]) // 2


def fit(config: AnchorsConfig, shapes: Shapes, num_classes: int, size: tuple[int, int]) -> Decoder:
    grids, width = grids_of(size, config.strides), 5 + num_classes
    forms: list[tuple[str, str]] = []
    for index, (stride, grid) in enumerate(zip(config.strides, grids, strict=True)):
        named = config.outputs[index : index + 1] or tuple(shapes)
        fitting = [(n, f) for n in named if n in shapes for f in [form_of(shapes[n], config.per_cell, grid, width)] if f]
        if len(fitting) != 1:
            a, (h, w) = config.per_cell, grid
            several = "; set anchors.outputs" if fitting else ""
            raise ValueError(
                f"needs (1, {a}, {h}, {w}, {width}) or (1, {a * width}, {h}, {w}) for stride {stride} and {num_classes} names, "
                f"got {listed(shapes)}{several}"
            )
        forms.append(fitting[0])

    def run(arrays: Mapping[str, np.ndarray], threshold: Threshold) -> Found:
        maps = [as_map(arrays[name], form, config.per_cell) for name, form in forms]
        return decode(config, maps, threshold)

    return Decoder(run)


def form_of(shape: Shape, per_cell: int, grid: Grid, width: int) -> str:
    """Which axes a shape has; "" if it is not that of the grid."""
    h, w = grid
    known: dict[Shape, str] = {
        (1, per_cell, h, w, width): "ahwk",
        (1, h, w, per_cell, width): "hwak",
        (1, per_cell * width, h, w): "akhw",
        (1, h, w, per_cell * width): "hwa*k",
    }
    return known.get(shape, "")


def as_map(array: np.ndarray, form: str, per_cell: int) -> np.ndarray:
    """An output -> view (A, H, W, K)."""
    if form == "ahwk":
        return array[0]
    if form == "hwak":
        return array[0].transpose(2, 0, 1, 3)
    if form == "akhw":
        return array[0].reshape(per_cell, -1, *array.shape[2:]).transpose(0, 2, 3, 1)
    return array[0].reshape(*array.shape[1:3], per_cell, -1).transpose(2, 0, 1, 3)


def decode(config: AnchorsConfig, maps: list[np.ndarray], threshold: Threshold) -> Found:
    """maps: (A, H, W, 5 + C) of each stride."""
    boxes, scores, classes = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)], [np.empty(0, np.int64)]
    for index, values in enumerate(maps):
        stride, anchors = config.strides[index], np.array(config.anchors[index], np.float32).reshape(-1, 2)
        scale = config.scale_xy[index if len(config.scale_xy) > 1 else 0]
        objectness = activate(values[..., 4], config.activation)
        anchor, row, column = np.nonzero(objectness > threshold.score)
        cells = values[anchor, row, column]
        kind = "softmax" if config.softmax else config.activation
        sure = activate(cells[:, 5:], kind) * objectness[anchor, row, column][:, None]
        at, of, best = strong(sure, None, "none", "none", threshold)
        box = cells[at, :4]
        xy, wh = activate(box[:, :2], config.activation), box[:, 2:].astype(np.float32)
        centre = (np.stack([column[at], row[at]], 1) + scale * xy - (scale - 1) / 2) * stride
        with np.errstate(over="ignore"):  # what overflows is left out later, as every box that is not finite
            grown = (2 * activate(wh, config.activation)) ** 2 if config.sizes == "square" else np.exp(wh)
        half = anchors[anchor[at]] * grown / 2
        boxes.append(np.concatenate([centre - half, centre + half], 1).astype(np.float32))
        scores.append(best)
        classes.append(of)
    return Found(np.concatenate(boxes), np.concatenate(scores), np.concatenate(classes))
