"""Queries with one object each, no suppression needed: DETR, Deformable DETR, DINO, RT-DETR.    Source: Carion et al. 2020

outputs  scores (1, Q, C), or (1, Q, C + 1) with "no object" in the last column; boxes (1, Q, 4); or both in one, (1, Q, 4 + C)
Boxes are centre and size, as shares of the input. Outputs that are finished (labels, boxes, scores): `end_to_end`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from operators.detect.decoders2d.found import Activation, Decoder, Found, Order, Threshold, Unit, corners, in_unit, strong
from operators.detect.decoders2d.rows import Columns, OutputNames, Rows, Shapes, assign, gather


@dataclass(frozen=True, slots=True)
class DetrConfig:
    activation: Activation = "softmax"  # of the classes; RT-DETR, Deformable DETR: sigmoid; none: the net has done it
    background: Literal["none", "first", "last"] = "last"  # column of "no object"; RT-DETR: none
    order: Order = "cxcywh"
    unit: Unit = "share"  # px of the input, shares of it (0..1), or px of the picture
    columns: tuple[Literal["boxes", "scores"], ...] = ("boxes", "scores")  # where one output has both
    outputs: OutputNames = field(default_factory=OutputNames)  # boxes, scores: [names], where shapes do not tell


def fit(config: DetrConfig, shapes: Shapes, num_classes: int, size: tuple[int, int]) -> Decoder:
    width = num_classes + (config.background != "none")
    try:
        parts = assign(shapes, Columns(4, width, config.columns, objectness=False), (), config.outputs)
    except ValueError as error:
        other = "none" if config.background != "none" else "last"
        try:
            assign(shapes, Columns(4, num_classes + (other != "none"), config.columns, objectness=False), (), config.outputs)
        except ValueError:
            raise error from None
        raise ValueError(f"{error}; set detr.background: {other}") from None

    def run(arrays: Mapping[str, np.ndarray], threshold: Threshold) -> Found:
        return decode(config, gather(arrays, parts), size, threshold)

    return Decoder(run, config.unit == "picture")


def decode(config: DetrConfig, rows: Rows, size: tuple[int, int], threshold: Threshold) -> Found:
    at, classes, scores = strong(rows.scores, None, config.activation, config.background, threshold)
    boxes = in_unit(corners(rows.boxes[at], config.order), config.unit, size)
    return Found(boxes, scores, classes)
