"""One row per place whose box is a distribution over distances: NanoDet, PicoDet, YOLOv8 and later before their decoder.
Source: Li et al. 2020 (Generalized Focal Loss)

Each of the sides left, top, right, bottom has `bins` logits; their softmax's mean, in strides, is the distance from the grid
point (column + point) * stride + shift_px. Layouts of outputs: rows.py; a box has 4 * bins columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from operators.detect.decoders2d.anchor_free import around
from operators.detect.decoders2d.found import Decoder, Found, Threshold, grid_points, grids_of, softmax, strong
from operators.detect.decoders2d.rows import Columns, OutputNames, Rows, Shapes, assign, gather


@dataclass(frozen=True, slots=True)
class DistributionConfig:
    strides: tuple[int, ...] = (8, 16, 32)
    bins: int = 8  # per side; YOLOv8: 16
    point: float = 0.5  # place in the cell that distances are measured from, in cells; NanoDet-Plus: 0
    shift_px: float = 0.0  # added to that place; NanoDet: -0.5
    activation: Literal["none", "sigmoid"] = "none"  # of the classes, if the net has not done it
    columns: tuple[Literal["boxes", "scores"], ...] = ("boxes", "scores")  # where one output has both; NanoDet-Plus: scores first
    outputs: OutputNames = field(default_factory=OutputNames)  # boxes, scores: [names], where shapes do not tell

    def __post_init__(self) -> None:
        if self.bins < 2:
            raise ValueError(f"bins: needs 2 or more, got {self.bins}")


def fit(config: DistributionConfig, shapes: Shapes, num_classes: int, size: tuple[int, int]) -> Decoder:
    grids = grids_of(size, config.strides)
    columns = Columns(4 * config.bins, num_classes, config.columns, objectness=False)
    parts = assign(shapes, columns, grids, config.outputs)
    points = grid_points(grids, config.strides)

    def run(arrays: Mapping[str, np.ndarray], threshold: Threshold) -> Found:
        return decode(config, gather(arrays, parts), *points, threshold)

    return Decoder(run)


def decode(config: DistributionConfig, rows: Rows, points: np.ndarray, strides: np.ndarray, threshold: Threshold) -> Found:
    """points (N, 2), strides (N, 1): `grid_points`."""
    at, classes, scores = strong(rows.scores, None, config.activation, "none", threshold)
    shares = softmax(rows.boxes[at].reshape(len(at), 4, config.bins))
    distances = shares @ np.arange(config.bins, dtype=np.float32) * strides[at]
    boxes = around((points[at] + config.point) * strides[at] + config.shift_px, distances)
    return Found(boxes.astype(np.float32), scores, classes)
