"""One row per place, without anchors: YOLOX, YOLOv8 and later, and every net whose boxes are computed already.

boxes: decoded    finished: YOLOv8, v9, v11 (1, 4 + C, N); YOLOv5, v6, v7, and YOLOX with its decoder (1, N, 5 + C)
       offsets    centre = (column, row) + x y, size = exp(w h), times the stride: YOLOX (1, N, 5 + C)
       distances  left, top, right, bottom from the grid point, times the stride: FCOS, heads of YOLOv6
Layouts of outputs: rows.py. An objectness is multiplied with the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from operators.detect.decoders2d.found import (
    Activation,
    Decoder,
    Found,
    Order,
    Threshold,
    Unit,
    corners,
    grid_points,
    grids_of,
    in_unit,
    strong,
)
from operators.detect.decoders2d.rows import Columns, OutputNames, Rows, Shapes, assign, gather


@dataclass(frozen=True, slots=True)
class AnchorFreeConfig:
    boxes: Literal["decoded", "offsets", "distances"] = "decoded"
    order: Order = "cxcywh"  # of decoded boxes
    unit: Unit = "input"  # of decoded boxes: px of the input, shares of it (0..1), or px of the picture
    activation: Activation = "none"  # of objectness and classes, if the net has not done it
    background: Literal["none", "first", "last"] = "none"  # column of "no object" among the scores
    objectness: bool | None = None  # a column of it; None: of offsets; of decoded boxes in one output where rows come first
    strides: tuple[int, ...] = (8, 16, 32)  # of offsets and distances
    point: float = 0.5  # of distances: place in the cell that they are measured from, in cells
    shift_px: float = 0.0  # added to that place
    columns: tuple[Literal["boxes", "objectness", "scores"], ...] = ("boxes", "objectness", "scores")  # where one output has all
    extra_columns: int = 0  # after them: mask coefficients (32 of YOLOv8-seg), keypoints
    outputs: OutputNames = field(default_factory=OutputNames)  # boxes, scores, objectness: [names], where shapes do not tell


_OBJECTNESS: dict[str, bool | Literal["rows"] | None] = {"decoded": "rows", "offsets": True, "distances": None}


def fit(config: AnchorFreeConfig, shapes: Shapes, num_classes: int, size: tuple[int, int]) -> Decoder:
    strides = () if config.boxes == "decoded" else config.strides
    grids = grids_of(size, strides)
    width = num_classes + (config.background != "none")
    objectness = _OBJECTNESS[config.boxes] if config.objectness is None else config.objectness
    parts = assign(shapes, Columns(4, width, config.columns, config.extra_columns, objectness), grids, config.outputs)
    points = grid_points(grids, strides)

    def run(arrays: Mapping[str, np.ndarray], threshold: Threshold) -> Found:
        return decode(config, gather(arrays, parts), *points, size, threshold)

    return Decoder(run, config.boxes == "decoded" and config.unit == "picture")


def decode(
    config: AnchorFreeConfig,
    rows: Rows,
    points: np.ndarray,
    strides: np.ndarray,
    size: tuple[int, int],
    threshold: Threshold,
) -> Found:
    """points (N, 2), strides (N, 1): `grid_points`, empty for decoded boxes; size: width, height of the input."""
    at, classes, scores = strong(rows.scores, rows.objectness, config.activation, config.background, threshold)
    raw = rows.boxes[at].astype(np.float32)
    if config.boxes == "decoded":
        boxes = in_unit(corners(raw, config.order), config.unit, size)
    elif config.boxes == "offsets":
        with np.errstate(over="ignore"):  # what overflows is left out later, as every box that is not finite
            boxes = corners(np.concatenate([points[at] + raw[:, :2], np.exp(raw[:, 2:])], 1) * strides[at], "cxcywh")
    else:
        boxes = around((points[at] + config.point) * strides[at] + config.shift_px, raw * strides[at])
    return Found(boxes.astype(np.float32), scores, classes)


def around(points: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """points (N, 2) [px], distances (N, 4) left, top, right, bottom [px] -> corners."""
    return np.concatenate([points - distances[:, :2], points + distances[:, 2:]], 1)
