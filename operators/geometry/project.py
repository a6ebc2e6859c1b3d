"""From the velodyne frame into a picture. uv = (column, row) in pixels, (0, 0) the centre of the top left pixel."""

from __future__ import annotations

import numpy as np

from operators.geometry.boxes3d import EDGES, corners
from operators.streams import Calibration

NEAR_M = 0.1
"""Nearer points are not projected: pixel coordinates diverge towards depth 0."""


def project_points(points_xyz: np.ndarray, P_cam: np.ndarray, T_cam_velo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) -> uv (N, 2) float64 [px], depth (N,) float64 [m] along the optical axis of the camera of P_cam.

    Behind the camera (depth <= 0) uv is NaN: every comparison with a picture's size is false. N = 0 is fine.
    """
    uvw = _homogeneous(np.asarray(points_xyz, np.float64).reshape(-1, 3), P_cam, T_cam_velo)
    depth = uvw[:, 2]
    uv = uvw[:, :2] / np.where(depth > 0, depth, np.nan)[:, None]
    return uv, depth


def boxes_to_image(
    boxes3d: np.ndarray, P_cam: np.ndarray, T_cam_velo: np.ndarray, image_size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(M, 7) -> boxes2d (M, 4) float32 [x1 y1 x2 y2], visible (M,) bool.

    The rectangle around the part of the box in front of the camera, cut to 0..W-1, 0..H-1 (KITTI's). A box partly behind
    the camera is first cut at NEAR_M along its edges. Not visible: nothing in front or nothing in the picture; row of 0.
    """
    uvw, at_near, crosses = _edges(boxes3d, P_cam, T_cam_velo)
    seen = np.concatenate([uvw, at_near], 1)
    counts = np.concatenate([uvw[..., 2] >= NEAR_M, crosses], 1)
    return _around(seen, counts, image_size)


def in_picture(boxes3d: np.ndarray, calibration: Calibration, known2d: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(M, 7) -> boxes2d (M, 4) float32, visible (M,) bool, as `boxes_to_image`.

    known2d  (M, 4) float32 visible boxes in the picture that replace the projected ones; NaN in unknown rows
    """
    boxes2d, visible = boxes_to_image(boxes3d, calibration.P_cam, calibration.T_cam_velo, calibration.image_size)
    if known2d is not None:
        known = ~np.isnan(known2d).any(1)
        boxes2d[known] = known2d[known]
        visible |= known
    return boxes2d, visible


def cylinders_to_image(
    boxes3d: np.ndarray, P_cam: np.ndarray, T_cam_velo: np.ndarray, image_size: np.ndarray, roundness: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """As `boxes_to_image`, for the upright elliptic cylinder in each box; its axes are `roundness` times the box's l and w.

    Uses 16 points around each end, without those behind the camera.
    """
    boxes = np.asarray(boxes3d, np.float64).reshape(-1, 7)
    angle = np.arange(16) * (np.pi / 8)
    ahead, left = roundness / 2 * boxes[:, 3:4] * np.cos(angle), roundness / 2 * boxes[:, 4:5] * np.sin(angle)
    c, s = np.cos(boxes[:, 6:7]), np.sin(boxes[:, 6:7])
    points = np.empty((len(boxes), 2, 16, 3))
    points[..., 0] = (c * ahead - s * left + boxes[:, 0:1])[:, None]
    points[..., 1] = (s * ahead + c * left + boxes[:, 1:2])[:, None]
    points[..., 2] = boxes[:, 2, None, None] + boxes[:, 5, None, None] * np.array([-0.5, 0.5])[:, None]
    uvw = _homogeneous(points.reshape(-1, 3), P_cam, T_cam_velo).reshape(-1, 32, 3)
    return _around(uvw, uvw[..., 2] >= NEAR_M, image_size)


def edges_to_image(boxes3d: np.ndarray, P_cam: np.ndarray, T_cam_velo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M, 7) -> segments (M, 12, 2, 2) float64 [edge, end, uv], drawn (M, 12) bool: edges that lie at least partly in front.

    Cut at NEAR_M, not at the picture's borders. Edges not drawn are 0.
    """
    uvw, at_near, crosses = _edges(boxes3d, P_cam, T_cam_velo)
    ends = uvw[:, EDGES]
    front = ends[..., 2] >= NEAR_M
    ends = np.where((crosses[..., None] & ~front)[..., None], at_near[:, :, None], ends)
    drawn = front[..., 0] | front[..., 1]
    uv = ends[..., :2] / np.where(drawn[..., None], ends[..., 2], 1.0)[..., None]
    return np.where(drawn[..., None, None], uv, 0.0), drawn


def _around(uvw: np.ndarray, counts: np.ndarray, image_size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M, K, 3), (M, K) which points count -> the rectangles around them, cut to the picture; which are visible."""
    uv = uvw[..., :2] / np.where(counts, uvw[..., 2], 1.0)[..., None]
    low = np.where(counts[..., None], uv, np.inf).min(1)
    high = np.where(counts[..., None], uv, -np.inf).max(1)
    last = np.asarray(image_size, np.float64) - 1
    visible = ((low <= last) & (high >= 0)).all(1)  # without a single point in front: low = inf
    boxes2d = np.zeros((len(uvw), 4), np.float32)
    boxes2d[:, :2] = np.where(visible[:, None], np.clip(low, 0, last), 0)
    boxes2d[:, 2:] = np.where(visible[:, None], np.clip(high, 0, last), 0)
    return boxes2d, visible


def _edges(boxes3d: np.ndarray, P_cam: np.ndarray, T_cam_velo: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> corners (M, 8, 3) and edges at the near plane (M, 12, 3), as u*depth, v*depth, depth; which edges are cut (M, 12)."""
    uvw = _homogeneous(corners(boxes3d).reshape(-1, 3), P_cam, T_cam_velo).reshape(-1, 8, 3)
    a, b = uvw[:, EDGES[:, 0]], uvw[:, EDGES[:, 1]]
    crosses = (a[..., 2] >= NEAR_M) != (b[..., 2] >= NEAR_M)
    step = np.where(crosses, b[..., 2] - a[..., 2], 1.0)
    at_near = a + ((NEAR_M - a[..., 2]) / step)[..., None] * (b - a)
    at_near[..., 2] = NEAR_M
    return uvw, at_near, crosses


def _homogeneous(points: np.ndarray, P_cam: np.ndarray, T_cam_velo: np.ndarray) -> np.ndarray:
    """(N, 3) -> (N, 3) u*depth, v*depth, depth."""
    M = P_cam @ T_cam_velo
    return points @ M[:, :3].T + M[:, 3]
