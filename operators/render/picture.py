"""Draw boxes, tracks, points, class maps and panoptic maps onto the pictures that they are of.

in   image      IMAGE      optional: the picture; frames without it give none
     grey       GREY       optional: or a thermal or grey one
     boxes2d    BOXES2D    optional: detections, thin; grey if tracks are connected, else in the colour of their class, with names
     tracks2d   TRACKS2D   optional: boxes in the colour of their class, with names and ids
     class_map  CLASS_MAP  optional: a tint per class; of any size, stretched over the picture
     panoptic   PANOPTIC   optional: a tint per segment: stuff in its class's colour, with a legend; things in one of their
                           track, the same in every frame, with name and id; lines between segments; stretched alike
     gate       GATE       optional: red where the image has the weight, blue where the second modality has; stretched alike
     weights    WEIGHTS    optional: a bar at the top left, a part per modality as long as its share, with name and share
     points     POINTS     optional: coloured by depth, near ones red and over far ones; where calibration puts them
     calibration  CALIBRATION  static, optional: of the picture, for points
Colours of our classes as in render.scene; other names (fact class_names) have a fixed colour each.
Level half: pictures of half the width and height, in a video file of their own.
Writes files as album.py says.
State: the open video.   Empty frame: the picture as it is.   Same input: same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from operators.render import album, colors
from operators.render import panoptic as overlay
from operators.render.birdseye import SHIFT, fixed
from operators.render.camera import dotted, label
from operators.streams import (
    BOXES2D,
    CALIBRATION,
    CLASS_MAP,
    GATE,
    GREY,
    IMAGE,
    MODALITIES,
    PANOPTIC,
    POINTS,
    TRACKS2D,
    VOID,
    WEIGHTS,
    Boxes2D,
    Calibration,
    Panoptic,
    Tracks2D,
    names_of,
    one_picture,
    things_of,
)
from pipeline.errors import FrameError
from pipeline.operator import Level, Operator
from pipeline.schema import optional, static

_BAR = 8, 8, 9  # left, top, height [px]
_LINE = 16  # px from one name to the next


@dataclass(frozen=True, slots=True)
class PictureConfig:
    tint: float = 0.45  # share of the colour of a class, a segment or the gate over the picture
    point_px: int = 2  # side of a point
    png_every: int = 10  # frames; 0: no PNG
    video: bool = True
    video_rate_hz: float = 10.0  # pictures per second when played
    video_crf: int = 24  # x264's: 0 = lossless, 51 = smallest file
    video_preset: Literal["veryfast", "superfast", "ultrafast"] = "veryfast"

    def __post_init__(self) -> None:
        album.check(self)
        if not 0 <= self.tint <= 1:
            raise ValueError(f"tint: needs 0..1, got {self.tint}")
        if not 1 <= self.point_px <= 16:
            raise ValueError(f"point_px: needs 1..16, got {self.point_px}")
        if self.png_every < 0:
            raise ValueError(f"png_every: needs 0 or more, got {self.png_every}")


def tinted(picture: np.ndarray, class_map: np.ndarray, names: tuple[str, ...], share: float) -> None:
    """Mix the colour of each pixel's class into the picture (H, W, 3); class 0 of several is tinted too, VOID is not."""
    size = (picture.shape[1], picture.shape[0])
    if class_map.shape != picture.shape[:2]:
        class_map = cv2.resize(class_map, size, interpolation=cv2.INTER_NEAREST)
    table = np.zeros((256, 3), np.uint8)
    table[: len(names)] = [colors.of_name(name) for name in names][:VOID]
    mixed = cv2.addWeighted(picture, 1 - share, table[class_map], share, 0)
    np.copyto(picture, mixed, where=(class_map != VOID)[:, :, None])


def gated(picture: np.ndarray, gate: np.ndarray, share: float) -> None:
    """Mix the ramp's colour of the gate (h, w) 0..1 into the picture (H, W, 3)."""
    level = np.rint(255 * np.clip(gate, 0, 1)).astype(np.uint8)
    stretched = cv2.resize(level, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR)
    np.copyto(picture, cv2.addWeighted(picture, 1 - share, colors.RAMP[stretched], share, 0))


def weighed(picture: np.ndarray, weights: np.ndarray, names: Sequence[str]) -> None:
    """A bar of the weights (S,): parts from left to right, of the colours that the gate has at its ends."""
    left, top, height = _BAR
    width, at = max(picture.shape[1] // 3, 2), 0.0
    cv2.rectangle(picture, (left, top), (left + width, top + height), colors.GRID, cv2.FILLED)
    for m, (name, weight) in enumerate(zip(names, weights.tolist(), strict=True)):
        color = colors.of_modality(m)
        x1, x2 = (left + round(width * share) for share in (at, at + weight))
        if x2 > x1:
            cv2.rectangle(picture, (x1, top), (x2 - 1, top + height), color, cv2.FILLED)
        label(picture, f"{name} {weight:.2f}", left, top + height + _LINE * (m + 1), color)
        at += weight


def boxed(picture: np.ndarray, boxes2d: np.ndarray, box_colors: list[colors.Color], texts: list[str], thick: int) -> None:
    """Rectangles (M, 4) x1 y1 x2 y2 with a text on each; the boxes of NaN, of objects out of the picture, are left out."""
    finite = np.isfinite(boxes2d).all(axis=1)
    low = [0.0, 0.0, 0.0, 0.0]
    high = [picture.shape[1] - 1.0, picture.shape[0] - 1.0] * 2
    px = fixed(np.clip(np.where(finite[:, None], boxes2d, 0), low, high)).reshape(-1, 4)
    for (x1, y1, x2, y2), color, there in zip(px.tolist(), box_colors, finite.tolist(), strict=True):
        if there:
            cv2.rectangle(picture, (x1, y1), (x2, y2), color, thick, cv2.LINE_AA, SHIFT)
    for (x1, y1, _, _), color, text, there in zip(boxes2d.tolist(), box_colors, texts, finite.tolist(), strict=True):
        if text and there:
            label(picture, text, round(x1), round(y1), color)


class Picture(Operator):
    Config = PictureConfig
    tunable = ("tint", "point_px", "png_every")
    levels = (Level("half", "pictures of half the width and height", 0.02, cost=0.4),)
    inputs = {
        "image": optional(IMAGE),
        "grey": optional(GREY),
        "boxes2d": optional(BOXES2D),
        "tracks2d": optional(TRACKS2D),
        "class_map": optional(CLASS_MAP),
        "panoptic": optional(PANOPTIC),
        "gate": optional(GATE),
        "weights": optional(WEIGHTS),
        "points": optional(POINTS),
        "calibration": static(CALIBRATION, optional=True),
    }

    def open(self) -> None:
        self.scale = 1.0
        self.album = album.Album(self.config, self.name, self.out_dir, self.resume)

    def set_level(self, level: int) -> None:
        self.scale = 0.5 if level else 1.0

    def reconfigured(self, old: PictureConfig, new: PictureConfig) -> None:
        self.album.config = new

    def process(
        self,
        image: np.ndarray | None = None,
        grey: np.ndarray | None = None,
        boxes2d: Boxes2D | None = None,
        tracks2d: Tracks2D | None = None,
        class_map: np.ndarray | None = None,
        panoptic: Panoptic | None = None,
        gate: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        points: np.ndarray | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        shown = one_picture(image, grey, self.name)
        if self.scale < 1:
            rows, columns = (max(2, round(side * self.scale)) for side in shown.shape[:2])
            shown = cv2.resize(shown, (columns, rows), interpolation=cv2.INTER_AREA)
        canvas = np.repeat(shown[:, :, None], 3, axis=2) if shown.ndim == 2 else shown.copy()
        if class_map is not None:
            tinted(canvas, class_map, self._names("class_map"), self.config.tint)
        if panoptic is not None:
            things = things_of(self.meta.get("panoptic", {}))
            overlay.painted(canvas, panoptic, self._names("panoptic"), things, self.config.tint)
        if gate is not None:
            gated(canvas, gate, self.config.tint)
        if points is not None:
            if calibration is None:
                raise FrameError(f"{self.name}: needs its input calibration beside points, got none")
            dotted(canvas, points, calibration, self.config.point_px)
        if boxes2d is not None:
            alone = tracks2d is None
            names = self._texts("boxes2d", boxes2d.labels)
            texts = [f"{name} {score:.2f}" for name, score in zip(names, boxes2d.scores.tolist(), strict=True)]
            mine = [colors.of_name(name) if alone else colors.DETECTION for name in names]
            boxed(canvas, self._placed(boxes2d.boxes2d), mine, texts if alone else [""] * len(texts), 1)
        if tracks2d is not None:
            names = self._texts("tracks2d", tracks2d.labels)
            texts = [f"{name} {i}" for name, i in zip(names, tracks2d.track_ids.tolist(), strict=True)]
            boxed(canvas, self._placed(tracks2d.boxes2d), [colors.of_name(name) for name in names], texts, 2)
        if weights is not None:
            known = self.meta.get("weights", {}).get(MODALITIES, ())
            weighed(canvas, weights, known if len(known) == len(weights) else [f"{m}" for m in range(len(weights))])
        rows, columns = (n - n % 2 for n in canvas.shape[:2])  # a video needs even sizes
        self.album.add(np.ascontiguousarray(canvas[:rows, :columns]), self.header)

    def close(self) -> None:
        self.album.close()

    def _placed(self, boxes2d: np.ndarray) -> np.ndarray:
        """On the picture as it is drawn."""
        return boxes2d if self.scale == 1 else (boxes2d + 0.5) * self.scale - 0.5

    def _names(self, port: str) -> tuple[str, ...]:
        facts: Mapping[str, Any] = self.meta.get(port, {})
        return names_of(facts)

    def _texts(self, port: str, labels: np.ndarray) -> list[str]:
        names = self._names(port)
        return [names[label] if 0 <= label < len(names) else "?" for label in labels.tolist()]
