"""Paint points with what a camera sees of them: colours, classes, class scores.     Source: Vora et al. 2020 (PointPainting)

in   points         POINTS
     calibration    CALIBRATION    static, of the camera whose pictures come; of a lens that distorts behind camera.rectify
     image          IMAGE          optional: its picture
     class_map      CLASS_MAP      optional: a class per pixel
     semantic       SEMANTIC       optional: scores of classes per pixel, before softmax
     point_colors   POINT_COLORS   optional: of the same points, from another fuse.paint with another camera
     point_classes  POINT_CLASSES  optional: the same
     point_scores   POINT_SCORES   optional: the same
out  point_colors   POINT_COLORS   with image: RGB of the pixel, and which points have one
     point_classes  POINT_CLASSES  with class_map: class of the pixel; 255 = none; facts class_names, things
     point_scores   POINT_SCORES   with semantic: (N, C) float32 softmax of the pixel; 0 = none; fact class_names
A point takes the pixel (row, column) nearest to its projection, without interpolation. Points behind the camera or outside its
picture keep what the other camera gave, or have nothing. Maps may be smaller than the picture: they are stretched over it.
occlusion_px: in cells of this size, points more than occlusion_m behind the nearest one are hidden and not painted.
Points and pictures are of different times by up to the tolerance of `sync`; motion between them is not undone (lidar.deskew).
State: none.   Empty scan: N = 0.

    front: {op: fuse.paint, inputs: {points: velodyne.points, image: front.image, calibration: front.calibration}}
    left:
      op: fuse.paint
      inputs: {points: velodyne.points, image: left.image, calibration: left.calibration, point_colors: front.point_colors}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from operators.geometry.project import NEAR_M, project_points
from operators.streams import (
    CALIBRATION,
    CLASS_MAP,
    CLASS_NAMES,
    IMAGE,
    IMAGE_SIZE,
    MAX_CLASSES,
    MAX_POINTS,
    POINT_CLASSES,
    POINT_COLORS,
    POINT_SCORES,
    POINTS,
    SEMANTIC,
    STRIDE,
    THINGS,
    VOID,
    Calibration,
    PointColors,
)
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional, static

_SAME_SHAPE = 0.01


@dataclass(frozen=True, slots=True)
class PaintConfig:
    occlusion_px: int = 0  # side of the cells in which near points hide far ones; 0: none are hidden
    occlusion_m: float = 0.5  # so much farther than the nearest point of its cell, and a point is hidden
    max_points: int = MAX_POINTS  # of a scan: sets the size of a slot
    max_classes: int = 32  # of semantic: sets the size of a slot

    def __post_init__(self) -> None:
        if not 0 <= self.occlusion_px <= 256:
            raise ValueError(f"occlusion_px: needs 0 .. 256, got {self.occlusion_px}")
        if not 0 <= self.occlusion_m < np.inf:
            raise ValueError(f"occlusion_m: needs 0 or more, got {self.occlusion_m:g}")
        for key, most in (("max_points", MAX_POINTS), ("max_classes", MAX_CLASSES)):
            if not 1 <= getattr(self, key) <= most:
                raise ValueError(f"{key}: needs 1 .. {most}, got {getattr(self, key)}")


class Seen(NamedTuple):
    """rows: indices of the points that the camera shows (K,); uv (K, 2) px of the calibrated picture; size: width, height."""

    rows: np.ndarray
    uv: np.ndarray
    size: np.ndarray


def seen(points: np.ndarray, calibration: Calibration, config: PaintConfig) -> Seen:
    """Which of the points (N, 4) lie in the picture, and where."""
    uv, depth = project_points(points[:, :3], calibration.P_cam, calibration.T_cam_velo)
    size = calibration.image_size
    rows = np.flatnonzero((depth >= NEAR_M) & ((uv >= -0.5) & (uv < size - 0.5)).all(1))
    uv = uv[rows]
    if config.occlusion_px and len(rows):
        shown = is_nearest(uv, depth[rows], size, config.occlusion_px, config.occlusion_m)
        rows, uv = rows[shown], uv[shown]
    return Seen(rows, uv, size)


def is_nearest(uv: np.ndarray, depth: np.ndarray, size: np.ndarray, cell_px: int, margin_m: float) -> np.ndarray:
    """(K,) bool: is the point at most margin_m behind the nearest of its cell?"""
    column, row = ((uv + 0.5) // cell_px).astype(np.intp).T
    cell = row * (int(size[0]) // cell_px + 1) + column
    nearest = np.full((int(size[1]) // cell_px + 1) * (int(size[0]) // cell_px + 1), np.inf)
    np.minimum.at(nearest, cell, depth)
    return np.asarray(depth <= nearest[cell] + margin_m)


def cells(
    where: Seen, shape: tuple[int, ...], stride: float = 1.0, covers: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Row and column (K,) of each seen point in a map of shape (height, width). Its cells are `stride` px of a picture of size
    `covers` (width, height); None: it covers the picture exactly."""
    height, width = shape
    covered = np.array(covers or (width * stride, height * stride), np.float64)
    at = ((where.uv + 0.5) * (covered / where.size) / stride).astype(np.intp)
    return np.minimum(at[:, 1], height - 1), np.minimum(at[:, 0], width - 1)


def softmax(logits: np.ndarray) -> np.ndarray:
    """(K, C) -> (K, C) float32, rows of sum 1."""
    raised = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
    return (raised / raised.sum(1, keepdims=True)).astype(np.float32)


class Paint(Operator):
    Config = PaintConfig
    inputs = {
        "points": POINTS,
        "calibration": static(CALIBRATION),
        "image": optional(IMAGE),
        "class_map": optional(CLASS_MAP),
        "semantic": optional(SEMANTIC),
        "point_colors": optional(POINT_COLORS),
        "point_classes": optional(POINT_CLASSES),
        "point_scores": optional(POINT_SCORES),
    }
    outputs = {"point_colors": POINT_COLORS, "point_classes": POINT_CLASSES, "point_scores": POINT_SCORES}

    @classmethod
    def slot_bytes(cls, config: PaintConfig) -> dict[str, int]:
        whole = {"point_colors": 4 * config.max_points + 128, "point_classes": config.max_points}
        whole["point_scores"] = 4 * config.max_points * config.max_classes
        return {port: -(-size // 64) * 64 for port, size in whole.items()}

    def process(
        self,
        points: np.ndarray,
        calibration: Calibration,
        image: np.ndarray | None = None,
        class_map: np.ndarray | None = None,
        semantic: np.ndarray | None = None,
        point_colors: PointColors | None = None,
        point_classes: np.ndarray | None = None,
        point_scores: np.ndarray | None = None,
    ) -> dict[str, Any]:
        where = seen(points, calibration, self.config)
        out: dict[str, Any] = {}
        if image is not None or point_colors is not None:
            colors = self._begin("point_colors", "point_colors", (len(points), 3), np.uint8, point_colors and point_colors[0], 0)
            painted = self._begin("point_colors", "painted", (len(points),), np.bool_, point_colors and point_colors[1], False)
            if image is not None:
                self._check_shape("image", image.shape[:2], where)
                colors[where.rows] = image[cells(where, image.shape[:2])]
                painted[where.rows] = True
            out["point_colors"] = PointColors(colors, painted)
        if class_map is not None or point_classes is not None:
            classes = self._begin("point_classes", "point_classes", (len(points),), np.uint8, point_classes, VOID)
            if class_map is not None:
                self._check_shape("class_map", class_map.shape, where)
                found = class_map[cells(where, class_map.shape)]
                classes[where.rows[found != VOID]] = found[found != VOID]
            self.describe("point_classes", **self._facts("class_map", "point_classes"))
            out["point_classes"] = classes
        if semantic is not None or point_scores is not None:
            num = len(semantic) if semantic is not None else point_scores.shape[1] if point_scores is not None else 0
            scores = self._begin("point_scores", "point_scores", (len(points), num), np.float32, point_scores, 0)
            if semantic is not None:
                facts = self.meta.get("semantic", {})
                at = cells(where, semantic.shape[1:], facts.get(STRIDE, 1), facts.get(IMAGE_SIZE))
                scores[where.rows] = softmax(semantic[:, at[0], at[1]].T)
            self.describe("point_scores", **self._facts("semantic", "point_scores"))
            out["point_scores"] = scores
        return out

    def _begin(
        self, port: str, name: str, shape: tuple[int, ...], dtype: Any, before: np.ndarray | None, none: Any
    ) -> np.ndarray:
        """The array of an output, with what another camera gave, or with `none`."""
        if before is not None and before.shape != shape:
            raise FrameError(
                f"{self.name}.{port} at {self.header}: needs {shape} as the points and classes of this camera, got {before.shape}"
            )
        out = self.alloc(port, name, shape, dtype)
        out[...] = none if before is None else before
        return out

    def _check_shape(self, port: str, shape: tuple[int, ...], where: Seen) -> None:
        width, height = where.size.tolist()
        if 0 in shape or abs(shape[1] * height / (shape[0] * width) - 1) > _SAME_SHAPE:
            raise FrameError(
                f"{self.name}.{port} at {self.header}: needs a picture of {width} x {height} as the calibration has it, or "
                f"this resized, got {shape[1]} x {shape[0]}; the calibration of another camera, or camera.rectify left out?"
            )

    def _facts(self, port: str, before: str) -> Mapping[str, Any]:
        """class_names and things of this camera; those of the other camera must be the same."""
        mine, theirs = self.meta.get(port), self.meta.get(before)
        if mine is not None and theirs is not None and mine.get(CLASS_NAMES) != theirs.get(CLASS_NAMES):
            raise FrameError(
                f"{self.name}.{port} at {self.header}: needs the classes of {before}, {theirs.get(CLASS_NAMES)}, "
                f"got {mine.get(CLASS_NAMES)}"
            )
        given = theirs if mine is None else mine
        return {key: given[key] for key in (CLASS_NAMES, THINGS) if given and key in given}
