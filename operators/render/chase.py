"""The scene from behind and above the car: points by height, boxes, trails on the ground. Pictures are (H, W, 3) uint8 RGB."""

from __future__ import annotations

import math

import cv2
import numpy as np

from operators.geometry.project import NEAR_M, project_points
from operators.render import camera, colors
from operators.render.birdseye import SHIFT, fixed
from operators.streams import Calibration

_EYE_M, _DOWN_RAD = (-19.0, 0.0, 10.5), 0.37  # position of the virtual camera, velodyne frame, and its angle downwards
_FOCAL = 0.68  # of the picture's width
_GROUND_M = -1.73  # height of the rings; points, boxes and trails have their own heights
_RINGS_M = (10, 20, 30, 40, 60, 80)


def view(columns: int, rows: int) -> Calibration:
    c, s = math.cos(_DOWN_RAD), math.sin(_DOWN_RAD)
    R = np.array([[0.0, -1, 0], [-s, 0, -c], [c, 0, -s]])
    T_cam_velo = np.eye(4)
    T_cam_velo[:3, :3], T_cam_velo[:3, 3] = R, -R @ _EYE_M
    focal = _FOCAL * columns
    P_cam = np.array([[focal, 0, (columns - 1) / 2, 0], [0, focal, (rows - 1) / 2, 0], [0, 0, 1, 0]])
    return Calibration(P_cam, T_cam_velo, np.array([columns, rows], np.int32))


def background(calibration: Calibration) -> np.ndarray:
    """Rings around the sensor and the ego car: drawn once, copied for every frame."""
    columns, rows = calibration.image_size.tolist()
    canvas = np.full((rows, columns, 3), colors.BACKGROUND, np.uint8)
    angles = np.linspace(0, 2 * np.pi, 181)
    rings = [radius * np.stack([np.cos(angles), np.sin(angles)], 1) for radius in _RINGS_M]
    draw_paths(canvas, rings, np.full(len(rings), _GROUND_M), [colors.GRID] * len(rings), calibration)
    arrow = np.array([[1.5, 0.0], [-1.0, 0.8], [-0.5, 0.0], [-1.0, -0.8]])
    uv, _ = project_points(np.insert(arrow, 2, _GROUND_M, 1), calibration.P_cam, calibration.T_cam_velo)
    cv2.fillPoly(canvas, [fixed(uv)], colors.TEXT, cv2.LINE_AA, SHIFT)
    return canvas


def draw_paths(
    canvas: np.ndarray,
    paths: list[np.ndarray],
    heights_m: np.ndarray,
    path_colors: list[colors.Color],
    calibration: Calibration,
) -> None:
    """Each (K, 2) x y [m] at its own height; parts behind the virtual camera are left out."""
    if not paths:
        return
    ends = np.cumsum([len(path) for path in paths])
    points = np.column_stack([np.concatenate(paths), np.repeat(heights_m, np.diff(ends, prepend=0))])
    uv, depth = project_points(points, calibration.P_cam, calibration.T_cam_velo)
    px, seen = fixed(np.nan_to_num(uv)), depth >= NEAR_M
    pairs, drawn = np.stack([px[:-1], px[1:]], 1), seen[:-1] & seen[1:]
    for end, path, color in zip(ends.tolist(), paths, path_colors, strict=True):
        own = slice(end - len(path), end - 1)
        cv2.polylines(canvas, list(pairs[own][drawn[own]]), False, color, 1, cv2.LINE_AA, SHIFT)


def paint_points(canvas: np.ndarray, points: np.ndarray, column: int, low: float, high: float, calibration: Calibration) -> None:
    camera.paint_points(canvas, points, calibration.P_cam, calibration.T_cam_velo, column, low, high)
