"""The scene as the camera sees it: points and boxes drawn onto its picture. Pictures are (H, W, 3) uint8 RGB."""

from __future__ import annotations

import cv2
import numpy as np

from operators.geometry.project import boxes_to_image, edges_to_image, project_points
from operators.render import colors
from operators.render.birdseye import SHIFT, fixed, write
from operators.streams import Calibration

_FRONT_EDGES = (3, 7, 8, 11)  # of boxes3d.EDGES: the face that looks ahead
_FAR_M = 50.0


def panel(image: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """The picture at the panel's size, always a copy."""
    if image.shape[:2] == (rows, columns):
        return image.copy()
    return cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)


def scaled(calibration: Calibration, image: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """P_cam for the resized picture; a pixel's centre is at a whole number before and after."""
    sx, sy = columns / image.shape[1], rows / image.shape[0]
    return np.array([[sx, 0, sx / 2 - 0.5], [0, sy, sy / 2 - 0.5], [0, 0, 1]]) @ calibration.P_cam


def paint_points(canvas: np.ndarray, points: np.ndarray, P_cam: np.ndarray, T_cam_velo: np.ndarray) -> None:
    """Points (N, 4) by depth, near ones red and over far ones."""
    uv, depth = project_points(points[:, :3], P_cam, T_cam_velo)
    rows, columns = canvas.shape[:2]
    at = np.floor(uv + 0.5)
    inside = (at[:, 0] >= 0) & (at[:, 0] < columns) & (at[:, 1] >= 0) & (at[:, 1] < rows)
    at, depth = at[inside].astype(np.intp), depth[inside]
    far_first = np.argsort(-depth, kind="stable")
    canvas[at[far_first, 1], at[far_first, 0]] = colors.ramp(-depth[far_first], -_FAR_M, 0.0)


def draw_boxes(
    canvas: np.ndarray,
    boxes3d: np.ndarray,
    box_colors: list[colors.Color],
    names: list[str],
    P_cam: np.ndarray,
    T_cam_velo: np.ndarray,
) -> None:
    """Boxes (M, 7) as their twelve edges, the face that looks ahead thicker, and their names. M = 0 draws nothing."""
    boxes2d, visible = boxes_to_image(boxes3d, P_cam, T_cam_velo, np.array(canvas.shape[1::-1]))
    segments, drawn = edges_to_image(boxes3d, P_cam, T_cam_velo)
    for m in np.flatnonzero(visible):
        for edge in np.flatnonzero(drawn[m]).tolist():
            start, end = fixed(segments[m, edge]).tolist()
            cv2.line(canvas, start, end, box_colors[m], 2 if edge in _FRONT_EDGES else 1, cv2.LINE_AA, SHIFT)
        if names[m]:
            write(canvas, names[m], (round(float(boxes2d[m, 0])), max(10, round(float(boxes2d[m, 1])) - 3)), box_colors[m])
