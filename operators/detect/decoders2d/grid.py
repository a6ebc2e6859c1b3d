"""One grid with one prediction per cell: FastestDet.        Source: github.com/dog-qiuqiu/FastestDet

output  (1, 5 + C, H, W)  objectness, x, y, width, height, a score per class
Centre: (column + tanh x) / W, (row + tanh y) / H; size: sigmoid; all as shares of the input.
Score: objectness ** a * class ** (1 - a).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.detect.decoders2d.found import Activation, Decoder, Found, Threshold, activate, sigmoid
from operators.detect.decoders2d.rows import Shapes, listed


@dataclass(frozen=True, slots=True)
class GridConfig:
    objectness_power: float = 0.6  # a: share of the objectness in the score
    activation: Activation = "none"  # of objectness and classes, if the net has not done it
    output: str = ""  # its name; "": the only one that fits


def fit(config: GridConfig, shapes: Shapes, num_classes: int, size: tuple[int, int]) -> Decoder:
    fitting = [
        name
        for name, shape in shapes.items()
        if len(shape) == 4 and shape[:2] == (1, 5 + num_classes) and config.output in ("", name)
    ]
    if len(fitting) != 1:
        several = "; set grid.output" if fitting else ""
        raise ValueError(f"needs (1, {5 + num_classes}, H, W) for {num_classes} names, got {listed(shapes)}{several}")
    return Decoder(lambda arrays, threshold: decode(config, arrays[fitting[0]], size, threshold))


def decode(config: GridConfig, output: np.ndarray, size: tuple[int, int], threshold: Threshold) -> Found:
    """output (1, 5 + C, H, W); size: width, height of the input [px]."""
    height, width = output.shape[2:]
    cells = output[0].reshape(output.shape[1], -1)
    power = np.float32(config.objectness_power)
    objectness = activate(cells[0], "none" if config.activation == "none" else "sigmoid")
    likely = np.flatnonzero(objectness**power > threshold.score)  # no class can raise the score
    values = activate(cells[5:, likely].T, config.activation) ** (1 - power) * objectness[likely, None] ** power
    if threshold.multi_label:
        at, classes = np.nonzero(values > threshold.score)
    else:
        classes = values.argmax(axis=1)
        at = np.flatnonzero(values.max(axis=1, initial=0) > threshold.score)
        classes = classes[at]
    cell = likely[at]
    rows, columns = np.divmod(cell, width)
    centre = (np.stack([columns, rows], 1) + np.tanh(cells[1:3, cell].T)) / np.array([width, height], np.float32)
    half = sigmoid(cells[3:5, cell].T) / 2
    boxes = np.concatenate([centre - half, centre + half], 1) * np.array([*size, *size], np.float32)
    return Found(boxes.astype(np.float32), values[at, classes].astype(np.float32), classes)
