"""The scene from above: x forward is up, y left is left, 1 m is `px_per_m` pixels. Pictures are (H, W, 3) uint8 RGB."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from operators.geometry.boxes3d import corners
from operators.kernels import splat
from operators.render import colors

SHIFT = 4  # OpenCV draws at 1/16 pixel: boxes glide instead of jumping
_FAR_PX = 1e6  # beyond this, coordinates of a stray box would not fit OpenCV's integers
_RING_M = 10


@dataclass(frozen=True, slots=True)
class View:
    """range_m x0 y0 x1 y1: the visible area, velodyne frame."""

    range_m: tuple[float, float, float, float]
    px_per_m: float

    @property
    def size(self) -> tuple[int, int]:
        """Rows, columns; even, because video requires it."""
        x0, y0, x1, y1 = self.range_m
        return 2 * round((x1 - x0) * self.px_per_m / 2), 2 * round((y1 - y0) * self.px_per_m / 2)

    def to_px(self, xy: np.ndarray) -> np.ndarray:
        """(..., 2) x y [m] -> (..., 2) column, row [px], whole numbers at pixel centres."""
        return np.stack(
            [(self.range_m[3] - xy[..., 1]) * self.px_per_m - 0.5, (self.range_m[2] - xy[..., 0]) * self.px_per_m - 0.5], -1
        )


def background(view: View) -> np.ndarray:
    """Rings every 10 m and the ego car: drawn once, copied for every frame."""
    rows, columns = view.size
    canvas = np.full((rows, columns, 3), colors.BACKGROUND, np.uint8)
    (origin,) = fixed(view.to_px(np.zeros((1, 2))))
    x0, y0, x1, y1 = view.range_m
    farthest = int(np.hypot(max(abs(x0), abs(x1)), max(abs(y0), abs(y1))))
    for radius in range(_RING_M, farthest + 1, _RING_M):
        cv2.circle(canvas, origin.tolist(), round(radius * view.px_per_m * 2**SHIFT), colors.GRID, 1, cv2.LINE_AA, SHIFT)
        column, row = view.to_px(np.array([radius, 0.0])).round().astype(int).tolist()
        write(canvas, f"{radius} m", (column + 3, row - 3), colors.GRID)
    arrow = view.to_px(np.array([[1.5, 0.0], [-1.0, 0.8], [-0.5, 0.0], [-1.0, -0.8]]))
    cv2.fillPoly(canvas, [fixed(arrow)], colors.TEXT, cv2.LINE_AA, SHIFT)
    return canvas


def paint_points(canvas: np.ndarray, view: View, points: np.ndarray, column: int, low: float, high: float) -> None:
    """(N, 4) -> a pixel per point, coloured by one of its columns from low to high. The last point of a pixel is shown;
    NaN points are not."""
    splat.above(points, view.range_m[3], view.range_m[2], view.px_per_m, column, low, high, colors.RAMP, canvas)


def paint_pillars(canvas: np.ndarray, view: View, pillars: np.ndarray, counts: np.ndarray) -> None:
    """PILLARS -> a grey spot of 3 x 3 pixels at each pillar's first point; fuller pillars are brighter."""
    packed = pillars.shape[1] == 1
    first = pillars[np.cumsum(counts) - counts if packed else slice(None), 0, :2]
    most = counts.max(initial=1) if packed else pillars.shape[1]
    px = np.floor(view.to_px(first) + 0.5)
    rows, columns = canvas.shape[:2]
    inside = (px[:, 0] >= 1) & (px[:, 0] < columns - 1) & (px[:, 1] >= 1) & (px[:, 1] < rows - 1)
    at = px[inside].astype(np.intp)
    grey = (60 + 90 * counts[inside] // most).astype(np.uint8)[:, None]
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            canvas[at[:, 1] + down, at[:, 0] + right] = grey


def draw_boxes(
    canvas: np.ndarray, view: View, boxes3d: np.ndarray, box_colors: list[colors.Color], names: list[str], thick: int
) -> None:
    """Footprints (M, 7), each with a line from its centre through its front, and its name. M = 0 draws nothing."""
    feet = view.to_px(corners(boxes3d)[:, :4, :2])
    centres = view.to_px(boxes3d[:, :2].astype(np.float64))
    fronts = (feet[:, 0] + feet[:, 3]) / 2
    finite = np.isfinite(feet).all((1, 2))
    feet[~finite], centres[~finite], fronts[~finite] = 0, 0, 0
    outlines, headings = fixed(feet), fixed(np.stack([centres, fronts], 1))
    corner = np.clip(np.stack([feet[:, :, 0].max(1), feet[:, :, 1].min(1)], 1), -_FAR_PX, _FAR_PX)  # upper right
    for m in np.flatnonzero(finite).tolist():
        cv2.polylines(canvas, [outlines[m]], True, box_colors[m], thick, cv2.LINE_AA, SHIFT)
        cv2.polylines(canvas, [headings[m]], False, box_colors[m], thick, cv2.LINE_AA, SHIFT)
        if names[m]:
            write(canvas, names[m], (round(corner[m, 0]) + 2, round(corner[m, 1]) + 2), box_colors[m])


def draw_trails(canvas: np.ndarray, view: View, paths: list[np.ndarray], path_colors: list[colors.Color]) -> None:
    """Past positions of tracks: (K, 2) x y [m] from old to new, fading with age."""
    for path, color in zip(paths, path_colors, strict=True):
        px = fixed(view.to_px(path)).tolist()
        for k in range(1, len(px)):
            cv2.line(canvas, px[k - 1], px[k], _faded(color, k, len(px)), 1, cv2.LINE_AA, SHIFT)


@lru_cache(maxsize=4096)
def _faded(color: colors.Color, k: int, num: int) -> colors.Color:
    """Of position k of num."""
    share = 0.25 + 0.6 * k / num
    r, g, b = (round(share * c + (1 - share) * below) for c, below in zip(color, colors.BACKGROUND, strict=True))
    return r, g, b


def write(canvas: np.ndarray, text: str, at: tuple[int, int], color: colors.Color) -> None:
    """Small text, its lower left corner at (column, row)."""
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, color, 1, cv2.LINE_AA)


def fixed(px: np.ndarray) -> np.ndarray:
    """Pixels -> OpenCV's fixed-point integers."""
    return np.rint(np.clip(px, -_FAR_PX, _FAR_PX) * 2**SHIFT).astype(np.int32)
