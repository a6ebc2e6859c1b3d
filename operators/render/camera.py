"""The scene as the camera sees it: points and boxes drawn onto its picture. Pictures are (H, W, 3) uint8 RGB."""

from __future__ import annotations

import cv2
import numpy as np

from operators.geometry.project import NEAR_M, boxes_to_image, edges_to_image
from operators.kernels import splat
from operators.render import colors
from operators.render.birdseye import SHIFT, fixed
from operators.streams import Calibration

_FRONT_EDGES = np.array([3, 7, 8, 11])  # of boxes3d.EDGES: the front face
_OTHER_EDGES = np.setdiff1d(np.arange(12), _FRONT_EDGES)
_FAR_M = 50.0
_TEXT = 0.35  # font scale
_LABELLED_PX = 12  # lower boxes get no name: it would be larger than the box


def panel(image: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """The picture at the panel's size, always a copy."""
    if image.shape[:2] == (rows, columns):
        return image.copy()
    smaller = columns < image.shape[1]
    return cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def scaled(calibration: Calibration, image: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """P_cam for the resized picture; a pixel's centre is at a whole number before and after."""
    sx, sy = columns / image.shape[1], rows / image.shape[0]
    return np.array([[sx, 0, sx / 2 - 0.5], [0, sy, sy / 2 - 0.5], [0, 0, 1]]) @ calibration.P_cam


def paint_points(
    canvas: np.ndarray,
    points: np.ndarray,
    P_cam: np.ndarray,
    T_cam_velo: np.ndarray,
    column: int = splat.DEPTH,
    low: float = -_FAR_M,
    high: float = 0.0,
) -> None:
    """Points (N, 4), near ones over far ones; coloured by depth, near ones red, or by one of their columns."""
    nearest = np.empty(canvas.shape[:2], np.float32)
    splat.through(points, P_cam @ T_cam_velo, NEAR_M, column, low, high, colors.RAMP, nearest, canvas)


def dotted(canvas: np.ndarray, points: np.ndarray, calibration: Calibration, side_px: int) -> None:
    """Points (N, 4) as squares of side_px, on a grid of such squares, coloured as by `paint_points`. The calibration is of the
    picture at the calibrated size."""
    rows, columns = (-(-n // side_px) for n in canvas.shape[:2])
    width, height = calibration.image_size.tolist()
    sx, sy = canvas.shape[1] / width / side_px, canvas.shape[0] / height / side_px
    P = np.array([[sx, 0, sx / 2 - 0.5], [0, sy, sy / 2 - 0.5], [0, 0, 1]]) @ calibration.P_cam
    small, nearest = np.zeros((rows, columns, 3), np.uint8), np.empty((rows, columns), np.float32)
    splat.through(points, P @ calibration.T_cam_velo, NEAR_M, splat.DEPTH, -_FAR_M, 0.0, colors.RAMP, nearest, small)
    squares = np.s_[: canvas.shape[0], : canvas.shape[1]]
    there, wide = (a.repeat(side_px, 0).repeat(side_px, 1)[squares] for a in (np.isfinite(nearest), small))
    np.copyto(canvas, wide, where=there[:, :, None])


def draw_boxes(
    canvas: np.ndarray,
    boxes3d: np.ndarray,
    box_colors: list[colors.Color],
    names: list[str],
    P_cam: np.ndarray,
    T_cam_velo: np.ndarray,
) -> None:
    """Boxes (M, 7) as twelve edges each, the front face thicker, far boxes first; then the names of boxes that are large
    enough. M = 0 draws nothing."""
    boxes2d, visible = boxes_to_image(boxes3d, P_cam, T_cam_velo, np.array(canvas.shape[1::-1]))
    segments, drawn = edges_to_image(boxes3d, P_cam, T_cam_velo)
    px = fixed(segments)
    far_first = [m for m in np.argsort(-np.hypot(boxes3d[:, 0], boxes3d[:, 1]), kind="stable").tolist() if visible[m]]
    for m in far_first:
        for edges, thick in ((_OTHER_EDGES, 1), (_FRONT_EDGES, 2)):
            cv2.polylines(canvas, list(px[m, edges[drawn[m, edges]]]), False, box_colors[m], thick, cv2.LINE_AA, SHIFT)
    for m in far_first:
        if names[m] and boxes2d[m, 3] - boxes2d[m, 1] >= _LABELLED_PX:
            label(canvas, names[m], round(float(boxes2d[m, 0])), round(float(boxes2d[m, 1])), box_colors[m])


def label(canvas: np.ndarray, text: str, column: int, row: int, color: colors.Color) -> None:
    """Dark text on a patch of the colour, standing on (column, row), moved into the picture."""
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _TEXT, 1)
    column = max(0, min(column, canvas.shape[1] - width - 3))
    row = min(max(height + below, row), canvas.shape[0])
    cv2.rectangle(canvas, (column, row - height - below), (column + width + 3, row - 1), color, cv2.FILLED)
    cv2.putText(canvas, text, (column + 2, row - below), cv2.FONT_HERSHEY_SIMPLEX, _TEXT, colors.BACKGROUND, 1, cv2.LINE_AA)
