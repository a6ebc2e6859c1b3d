"""Annotated boxes of one picture -> TRUTH: cut to the picture, counted where they are left out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from operators.streams import Truth
from pipeline.errors import InputError

UNKNOWN_OCCLUSION, UNKNOWN_TRUNCATION = 3, -1.0


class Box(NamedTuple):
    """where: file and line or annotation, for errors; xywh: left, top, width, height in pixels."""

    where: str
    xywh: tuple[float, float, float, float]
    label: int
    track_id: int = -1
    occluded: int = UNKNOWN_OCCLUSION
    truncated: float = UNKNOWN_TRUNCATION


@dataclass
class Left:
    """What is left out: reason -> how many, and the first of them."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, what: object) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + 1
        self.first.setdefault(reason, str(what))

    def said(self) -> str:
        """`3 pictures without a partner left out, the first a/b.jpg; ..`, or nothing."""
        return "; ".join(f"{count} {reason}, the first {self.first[reason]}" for reason, count in self.counts.items())


def truth(boxes: list[Box], size: tuple[int, int], left: Left) -> Truth:
    """Boxes of a picture of `size` (width, height) as TRUTH; boxes3d are NaN. A box that reaches out of the picture is cut, one
    without extent is left out: both are counted in `left`. Raises InputError for a box outside the picture."""
    rows, kept = [], []
    for box in boxes:
        cut = _cut(box, size, left)
        if cut is not None:
            rows.append(cut)
            kept.append(box)
    return Truth(
        np.full((len(kept), 7), np.nan, np.float32),
        np.array(rows, np.float32).reshape(-1, 4),
        np.array([box.label for box in kept], np.int32),
        np.array([box.track_id for box in kept], np.int64),
        np.array([box.occluded for box in kept], np.int32),
        np.array([box.truncated for box in kept], np.float32),
    )


def _cut(box: Box, size: tuple[int, int], left: Left) -> tuple[float, float, float, float] | None:
    x, y, width, height = box.xywh
    if not all(map(math.isfinite, box.xywh)):
        raise InputError(f"{box.where}: needs finite numbers x y w h, got {x:g} {y:g} {width:g} {height:g}")
    if width <= 0 or height <= 0:
        left.add("boxes without extent left out", box.where)
        return None
    x1, y1, x2, y2 = max(x, 0.0), max(y, 0.0), min(x + width, float(size[0])), min(y + height, float(size[1]))
    if x1 >= x2 or y1 >= y2:
        raise InputError(
            f"{box.where}: needs a box in the picture of {size[0]} x {size[1]} pixels, got x {x:g} .. {x + width:g}, "
            f"y {y:g} .. {y + height:g}; is the annotation of another camera?"
        )
    if (x1, y1, x2, y2) != (x, y, x + width, y + height):
        left.add("boxes cut to the picture", box.where)
    return x1, y1, x2, y2
