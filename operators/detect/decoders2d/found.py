"""What every decoder gives, and the steps that several of them share: activations, strong rows, grids, corners."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from operators.detect.decoders2d.rows import Grid

Activation = Literal["none", "sigmoid", "softmax"]
Order = Literal["cxcywh", "xyxy", "xywh", "yxyx"]
Unit = Literal["input", "share", "picture"]


class Found(NamedTuple):
    """Boxes above the threshold, in no order, several per object.

    boxes    (N, 4) float32  x1 y1 x2 y2 [px of the net's input, or of the picture: `Decoder.in_picture`]
    scores   (N,) float32    probability
    classes  (N,) int64      number of the net's class, from 0
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True, slots=True)
class Threshold:
    """score: boxes above it are found. multi_label: every class above it is a box, not only the best one of a row."""

    score: float
    multi_label: bool = False


class Decoder(NamedTuple):
    """A decoder that fits the outputs of a net. decode: outputs by name, threshold -> Found."""

    decode: Callable[[Mapping[str, np.ndarray], Threshold], Found]
    in_picture: bool = False


def sigmoid(x: np.ndarray) -> np.ndarray:
    """float32; exp of a large negative number overflows to inf, whose inverse is the right 0."""
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-x.astype(np.float32)))).astype(np.float32)


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis, float32."""
    raised = np.exp(x.astype(np.float32) - x.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def activate(x: np.ndarray, activation: Activation) -> np.ndarray:
    return sigmoid(x) if activation == "sigmoid" else softmax(x) if activation == "softmax" else x.astype(np.float32)


def strong(
    scores: np.ndarray, objectness: np.ndarray | None, activation: Activation, background: str, threshold: Threshold
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows above the threshold, their classes and probabilities.

    scores (N, C), objectness (N,) or None: probabilities, or logits that `activation` turns into them (softmax: objectness by
    sigmoid). background: `first` or `last` column of scores means "no object" and is no class; `none`.
    """
    rows = np.arange(len(scores))
    if objectness is not None:
        objectness = activate(objectness, "none" if activation == "none" else "sigmoid")
        rows = np.flatnonzero(objectness > threshold.score)
        scores, objectness = scores[rows], objectness[rows]
    elif activation != "softmax" and background == "none":
        # only rows above the threshold are activated
        least = threshold.score if activation == "none" else logit(threshold.score)
        rows = np.flatnonzero(scores.max(axis=1) > least) if scores.size else rows[:0]
        scores = scores[rows]
    values = activate(scores, activation)
    values = values[:, 1:] if background == "first" else values[:, :-1] if background == "last" else values
    if objectness is not None:
        values = values * objectness[:, None]
    if threshold.multi_label:
        at, classes = np.nonzero(values > threshold.score)
        return rows[at], classes, values[at, classes]
    classes = values.argmax(axis=1) if values.size else np.zeros(len(values), np.int64)
    best = np.take_along_axis(values, classes[:, None], 1)[:, 0] if values.size else np.zeros(0, np.float32)
    at = np.flatnonzero(best > threshold.score)
    return rows[at], classes[at], best[at]


def logit(probability: float) -> float:
    """-inf for 0, inf for 1."""
    return -math.inf if probability <= 0 else math.inf if probability >= 1 else math.log(probability / (1 - probability))


def grids_of(size: tuple[int, int], strides: Sequence[int]) -> list[Grid]:
    """Rows, columns of the grid of each stride; size: width, height of the input."""
    return [(math.ceil(size[1] / stride), math.ceil(size[0] / stride)) for stride in strides]


def grid_points(grids: Sequence[Grid], strides: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) float32 column, row of each place, row by row, grid by grid; (N, 1) float32 its stride [px]."""
    points, steps = [np.empty((0, 2), np.float32)], [np.empty((0, 1), np.float32)]
    for (height, width), stride in zip(grids, strides, strict=True):
        rows, columns = np.divmod(np.arange(height * width), width)
        points.append(np.stack([columns, rows], 1).astype(np.float32))
        steps.append(np.full((height * width, 1), stride, np.float32))
    return np.concatenate(points), np.concatenate(steps)


def corners(boxes: np.ndarray, order: Order) -> np.ndarray:
    """(N, 4) in the file's order -> x1 y1 x2 y2 float32."""
    boxes = boxes.astype(np.float32)
    if order == "xyxy":
        return boxes
    if order == "yxyx":
        return boxes[:, [1, 0, 3, 2]]
    first, size = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([first - size / 2, first + size / 2] if order == "cxcywh" else [first, first + size], 1)


def in_unit(boxes: np.ndarray, unit: Unit, size: tuple[int, int]) -> np.ndarray:
    """Corners in the file's unit -> pixels of the input (or of the picture, as they are)."""
    return boxes * np.array([size[0], size[1]] * 2, np.float32) if unit == "share" else boxes
