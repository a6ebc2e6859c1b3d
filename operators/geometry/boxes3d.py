"""The only place that converts boxes between conventions. Drawn in docs/frames.md.

ours    boxes3d    (M, 7) [x, y, z, l, w, h, yaw]  geometric centre, velodyne frame; yaw about +z, 0 along +x, [-pi, pi)
KITTI   boxes_cam  (M, 7) [h, w, l, x, y, z, ry]   bottom centre, rectified camera frame; ry about +y (down), 0 along +x
"""

from __future__ import annotations

import numpy as np

EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]])
"""(12, 2): the edges of a box, as indices into its `corners`."""

# x, y, z as multiples of l, w, h: bottom face from front left, counter-clockwise seen from above, then the top face
_CORNERS = np.array(
    [[1, 1, -1], [-1, 1, -1], [-1, -1, -1], [1, -1, -1], [1, 1, 1], [-1, 1, 1], [-1, -1, 1], [1, -1, 1]], np.float64
)
_CORNERS /= 2

_PI32 = np.nextafter(np.float32(np.pi), np.float32(0))  # largest float32 below pi; float32(pi) itself lies above pi


def wrap_angle(angle_rad: np.ndarray) -> np.ndarray:
    """Any angle -> [-pi, pi), dtype kept. Angles already inside are unchanged.

    The float32 next to pi lies outside the interval, so float32 results stop one step earlier (1.5e-7 rad off).
    """
    angle = np.asarray(angle_rad)
    wide = angle.astype(np.float64)
    outside = (wide < -np.pi) | (wide >= np.pi)
    if outside.any():
        wrapped = np.mod(wide + np.pi, 2 * np.pi) - np.pi
        wrapped = np.where(wrapped >= np.pi, -np.pi, wrapped)  # mod of a tiny negative number rounds up to 2 pi
        wide = np.where(outside, wrapped, wide)
    if angle.dtype == np.float32:
        return np.clip(wide.astype(np.float32), -_PI32, _PI32)
    return wide


def corners(boxes3d: np.ndarray) -> np.ndarray:
    """(M, 7) -> (M, 8, 3) float64: bottom face 0..3 (front left, back left, back right, front right), top face 4..7."""
    boxes = np.asarray(boxes3d, np.float64).reshape(-1, 7)
    local = _CORNERS[None] * boxes[:, None, 3:6]
    c, s = np.cos(boxes[:, 6:7]), np.sin(boxes[:, 6:7])
    out = np.empty((len(boxes), 8, 3))
    out[..., 0] = c * local[..., 0] - s * local[..., 1] + boxes[:, 0:1]
    out[..., 1] = s * local[..., 0] + c * local[..., 1] + boxes[:, 1:2]
    out[..., 2] = local[..., 2] + boxes[:, 2:3]
    return out


def camera_to_velo(boxes_cam: np.ndarray, T_cam_velo: np.ndarray) -> np.ndarray:
    """KITTI rows -> boxes3d (M, 7) float32. M = 0 is fine.

    The yaw comes from the heading vector rotated by T, not from -ry - pi/2, which ignores the camera's mounting.
    Float32 positions within 100 m are good to 4e-6 m, angles to 2e-7 rad.
    """
    cam = np.asarray(boxes_cam, np.float64).reshape(-1, 7)
    h, w, length, ry = cam[:, 0], cam[:, 1], cam[:, 2], cam[:, 6]
    centre = cam[:, 3:6].copy()
    centre[:, 1] -= h / 2  # camera y points down
    R, t = T_cam_velo[:3, :3], T_cam_velo[:3, 3]
    heading = np.stack([np.cos(ry), -np.sin(ry)]).T @ _floor_map(R).T
    out = np.empty((len(cam), 7), np.float32)
    out[:, :3] = (centre - t) @ np.linalg.inv(R).T  # not R: KITTI's rotations are rounded to 7 digits
    out[:, 3], out[:, 4], out[:, 5] = length, w, h
    out[:, 6] = wrap_angle(np.arctan2(heading[:, 1], heading[:, 0]).astype(np.float32))
    return out


def velo_to_camera(boxes3d: np.ndarray, T_cam_velo: np.ndarray) -> np.ndarray:
    """boxes3d -> KITTI rows (M, 7) float64, the inverse of `camera_to_velo`. M = 0 is fine."""
    boxes = np.asarray(boxes3d, np.float64).reshape(-1, 7)
    R, t = T_cam_velo[:3, :3], T_cam_velo[:3, 3]
    heading = np.stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6])]).T @ np.linalg.inv(_floor_map(R)).T
    out = np.empty((len(boxes), 7))
    out[:, 0], out[:, 1], out[:, 2] = boxes[:, 5], boxes[:, 4], boxes[:, 3]
    out[:, 3:6] = boxes[:, :3] @ R.T + t
    out[:, 4] += boxes[:, 5] / 2
    out[:, 6] = wrap_angle(np.arctan2(-heading[:, 1], heading[:, 0]))
    return out


def upright(boxes_cam: np.ndarray) -> np.ndarray:
    """KITTI rows -> (M, 7) float64 [x, z, -y, l, w, h, -ry], geometric centre: the camera frame with its third axis up.

    Overlaps are the same as in the camera frame; no calibration is needed. M = 0 is fine."""
    h, w, length, x, y, z, ry = np.asarray(boxes_cam, np.float64).reshape(-1, 7).T
    return np.column_stack([x, z, h / 2 - y, length, w, h, -ry])


def alpha(boxes_cam: np.ndarray) -> np.ndarray:
    """KITTI's observation angle (M,) float64: ry as seen along the line of sight, in [-pi, pi)."""
    cam = np.asarray(boxes_cam, np.float64).reshape(-1, 7)
    return wrap_angle(cam[:, 6] - np.arctan2(cam[:, 3], cam[:, 5]))


def _floor_map(R_cam_velo: np.ndarray) -> np.ndarray:
    """(2, 2): a direction in the camera's x-z plane -> its direction in the velodyne's x-y plane.

    The planes are tilted against each other (about 1 deg in KITTI), so projecting there and back is not the identity. This
    matrix and its inverse are.
    """
    return R_cam_velo[[0, 2], :2].T
