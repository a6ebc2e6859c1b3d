"""Outputs that are finished boxes: YOLOv10 and later, exports with suppression inside, SSD, RT-DETR, PaddleDetection, mmdeploy.

one output       (1, N, 6), (N, 6), (1, 1, N, 7), ..: a row per box, its columns in any order
or several       boxes (1, N, 4), scores (1, N), classes (1, N), and in some nets their number (1,) or (1, 1)
Rows with a score at or below the threshold, or with a negative picture number, are padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from operators.detect.decoders2d.found import Decoder, Found, Order, Threshold, Unit, corners, in_unit
from operators.detect.decoders2d.rows import Shape, Shapes, listed, says

_SCORES, _CLASSES, _NUM = ("score", "conf", "prob"), ("class", "label", "cls"), ("num", "count", "valid")


@dataclass(frozen=True, slots=True)
class EndToEndOutputs:
    """Names of the outputs; "": the shapes and the usual names say."""

    boxes: str = ""
    scores: str = ""
    classes: str = ""
    num: str = ""


@dataclass(frozen=True, slots=True)
class EndToEndConfig:
    columns: tuple[Literal["box", "score", "class", "picture", "unused"], ...] = ("box", "score", "class")
    """Of the output with the boxes; `box` stands for its four columns. YOLOv7: [picture, box, class, score]; SSD: [picture,
    class, score, box]; PaddleDetection: [class, score, box]; mmdeploy: [box, score]; separate outputs: [box]"""
    order: Order = "xyxy"  # of the box's columns
    unit: Unit = "input"  # px of the input, shares of it (0..1), or px of the picture
    first_class: int = 0  # number of the first class; 1: the file counts from 1
    outputs: EndToEndOutputs = field(default_factory=EndToEndOutputs)  # boxes, scores, classes, num: names

    def __post_init__(self) -> None:
        if self.columns.count("box") != 1 or self.columns.count("score") > 1 or self.columns.count("class") > 1:
            raise ValueError(f"columns: needs box once, score and class at most once, got {list(self.columns)}")

    @property
    def width(self) -> int:
        return len(self.columns) + 3

    def place(self, column: str) -> int:
        """Index of a column (the first of `box`); -1 if it is in another output."""
        if column not in self.columns:
            return -1
        at = self.columns.index(column)
        return at + 3 * (self.columns.index("box") < at)


def fit(config: EndToEndConfig, shapes: Shapes, num_classes: int, size: tuple[int, int]) -> Decoder:
    named = config.outputs
    for name in (named.boxes, named.scores, named.classes, named.num):
        if name and name not in shapes:
            raise ValueError(f"outputs: needs names of outputs ({', '.join(shapes)}), got {name}")
    wide = [named.boxes] if named.boxes else [n for n, s in shapes.items() if len(s) > 1 and s[-1] == config.width]
    most = max((len(shapes[n]) for n in wide), default=0)
    wide = [n for n in wide if len(shapes[n]) == most]  # not the scores of as many rows as a row has columns
    needs = f"an output (1, N, {config.width}) of columns {', '.join(config.columns)}"
    if len(wide) != 1 or shapes[wide[0]][-1] not in (config.width, None):
        several = "; set end_to_end.outputs.boxes" if len(wide) > 1 else "; set end_to_end.columns as the file has them"
        raise ValueError(f"needs {needs}, got {listed(shapes)}{several}")
    others = {n: s for n, s in shapes.items() if n != wide[0]}
    scores = named.scores or ("" if "score" in config.columns else _by_name("scores", _SCORES, others))
    classes = named.classes or ("" if "class" in config.columns or num_classes == 1 else _by_name("classes", _CLASSES, others))
    num = named.num or next((n for n, s in others.items() if says(n, _NUM) and all(n in (None, 1) for n in s)), "")

    def run(arrays: Mapping[str, np.ndarray], threshold: Threshold) -> Found:
        return decode(
            config,
            arrays[wide[0]],
            arrays[scores] if scores else None,
            arrays[classes] if classes else None,
            int(arrays[num].ravel()[0]) if num else None,
            num_classes,
            size,
            threshold,
        )

    return Decoder(run, config.unit == "picture")


def decode(
    config: EndToEndConfig,
    boxes: np.ndarray,
    scores: np.ndarray | None,
    classes: np.ndarray | None,
    num: int | None,
    num_classes: int,
    size: tuple[int, int],
    threshold: Threshold,
) -> Found:
    """boxes: any shape that ends in the columns; scores, classes: a number per row, None where a column has it (no class at all:
    class 0). num: rows that count. Raises ValueError for a class that has no name."""
    rows = boxes.reshape(-1, config.width)[:num]
    n, at_box = len(rows), config.place("box")
    sure = rows[:, config.place("score")] if scores is None else scores.ravel()[:n]
    of = (
        classes.ravel()[:n]
        if classes is not None
        else rows[:, config.place("class")]
        if "class" in config.columns
        else np.zeros(n)
    )
    kept = sure.astype(np.float32) > threshold.score
    if "picture" in config.columns:
        kept &= rows[:, config.place("picture")] >= 0
    rows, sure, of = rows[kept], sure[kept].astype(np.float32), np.rint(of[kept]).astype(np.int64) - config.first_class
    unnamed = of >= num_classes
    if unnamed.any():
        raise ValueError(
            f"names: needs a name for class {int(of[unnamed][0])}, which an output has, got {num_classes} names; "
            "set end_to_end.first_class: 1 if the file counts classes from 1"
        )
    there = of >= 0  # below the first class: background
    found = in_unit(corners(rows[there, at_box : at_box + 4], config.order), config.unit, size)
    return Found(found, sure[there], of[there])


def _by_name(what: str, words: tuple[str, ...], shapes: Mapping[str, Shape]) -> str:
    """The output whose name says what it holds, or the only one left."""
    fitting = [n for n in shapes if says(n, words)]
    if len(fitting) != 1:
        raise ValueError(
            f"needs an output of {what} (1, N), got {listed(shapes)}; set end_to_end.outputs.{what}, or end_to_end.columns "
            "if the boxes have them"
        )
    return fitting[0]
