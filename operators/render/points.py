"""Classes and objects of points, drawn from above: pictures (PNG) and a video.

in   points         POINTS
     point_classes  POINT_CLASSES  of the same points, with the facts class_names and things
     point_ids      POINT_IDS      optional, of the same points: objects get colours of their own, the same in every frame
Points without an object have the colour of their class, fixed by its name; without a class they are dark grey. Where several
points meet, objects lie over the others, then the higher point shows. The legend has the classes of the frame with their points.
State: none but the files.   Empty scan: the empty picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.render import album, birdseye, colors
from operators.streams import POINT_CLASSES, POINT_IDS, POINTS, VOID, names_of
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional

_NONE: colors.Color = (60, 60, 60)


@dataclass(frozen=True, slots=True)
class PointsConfig:
    range_m: tuple[float, float, float, float] = (-40.0, -40.0, 40.0, 40.0)  # x0 y0 x1 y1
    px_per_m: float = 10.0
    png_every: int = 10  # frames; 0: no PNG
    video: bool = True
    video_rate_hz: float = 10.0  # pictures per second when played
    video_crf: int = 24  # x264's: 0 = lossless, 51 = smallest file
    video_preset: Literal["veryfast", "superfast", "ultrafast"] = "veryfast"

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.range_m
        if not (x1 > x0 and y1 > y0):
            raise ValueError(f"range_m: needs x1 > x0 and y1 > y0, got {list(self.range_m)}")
        if not self.px_per_m * min(x1 - x0, y1 - y0) >= 16:
            raise ValueError(f"px_per_m: needs a picture of at least 16 pixels each way, got {self.px_per_m}")
        if self.png_every < 0:
            raise ValueError(f"png_every: needs 0 or more, got {self.png_every}")
        album.check(self)


def point_colors(names: tuple[str, ...], point_classes: np.ndarray, point_ids: np.ndarray | None) -> np.ndarray:
    """(N, 3) uint8"""
    table = np.full((VOID + 1, 3), _NONE, np.uint8)
    table[: min(len(names), VOID)] = np.array([colors.of_stuff(name) for name in names], np.uint8).reshape(-1, 3)[:VOID]
    out = table[point_classes]
    if point_ids is not None:
        ids, row = np.unique(point_ids, return_inverse=True)
        of_ids = np.array([colors.of_track(number) for number in ids.tolist()], np.uint8).reshape(-1, 3)
        out = np.where((point_ids >= 0)[:, None], of_ids[row.reshape(-1)], out)
    return out


def paint(canvas: np.ndarray, view: birdseye.View, points: np.ndarray, of_points: np.ndarray, over: np.ndarray) -> None:
    """A pixel per point, seen from above; over (N,) bool: these lie over the others."""
    order = np.lexsort((points[:, 2], over))
    column, row = np.floor(view.to_px(points[order, :2].astype(np.float64)) + 0.5).T
    rows, columns = canvas.shape[:2]
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)  # not NaN
    canvas[row[inside].astype(np.intp), column[inside].astype(np.intp)] = of_points[order[inside]]  # of several the last


class Points(Operator):
    Config = PointsConfig
    tunable = ("png_every",)
    inputs = {"points": POINTS, "point_classes": POINT_CLASSES, "point_ids": optional(POINT_IDS)}

    def open(self) -> None:
        self.view = birdseye.View(self.config.range_m, self.config.px_per_m)
        self.background = birdseye.background(self.view)
        self.album = album.Album(self.config, self.name, self.out_dir, self.resume)

    def reconfigured(self, old: PointsConfig, new: PointsConfig) -> None:
        self.album.config = new

    def process(self, points: np.ndarray, point_classes: np.ndarray, point_ids: np.ndarray | None = None) -> None:
        for port, other in (("point_classes", point_classes), ("point_ids", point_ids)):
            if other is not None and len(other) != len(points):
                raise FrameError(f"{self.name} at {self.header}: needs {port} of the {len(points)} points, got {len(other)}")
        names = names_of(self.meta.get("point_classes", {}))
        over = np.zeros(len(points), bool) if point_ids is None else point_ids >= 0
        canvas = self.background.copy()
        paint(canvas, self.view, points, point_colors(names, point_classes, point_ids), over)
        num = 0 if point_ids is None else len(np.unique(point_ids[point_ids >= 0]))
        objects = [] if point_ids is None else [f"{num} objects"]
        birdseye.write(canvas, "   ".join([self.header.item, f"{len(points)} points", *objects]), (8, 16), colors.TEXT)
        there, counts = np.unique(point_classes[point_classes < len(names)], return_counts=True)
        for row, (number, count) in enumerate(zip(there.tolist(), counts.tolist(), strict=True)):
            birdseye.write(canvas, f"{names[number]} {count}", (8, 34 + 16 * row), colors.of_stuff(names[number]))
        self.album.add(canvas, self.header)

    def close(self) -> None:
        self.album.close()
