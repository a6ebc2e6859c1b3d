"""Rigid motions: (4, 4) float64, `p_dest = T_dest_origin @ p_origin`; neighbours cancel: T_a_b @ T_b_c = T_a_c."""

from __future__ import annotations

import numpy as np

from operators.geometry.boxes3d import wrap_angle

_AXES = {"x": 0, "y": 1, "z": 2}
MAX_ROTATION_ERROR = 1e-3
"""Largest entry of R R^T - 1 of a rotation from a file: 1e-3 is 0.1 m at 100 m. KITTI's seven digits give 1e-6."""


def rigid(R: np.ndarray | None = None, t: np.ndarray | tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """(4, 4) of a (3, 3) rotation (default: none) followed by a (3,) translation [m]."""
    T = np.eye(4)
    if R is not None:
        T[:3, :3] = R
    T[:3, 3] = t
    return T


def rotation_z(angle_rad: float) -> np.ndarray:
    """(3, 3) rotation about +z, from +x towards +y."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def turn_of_axes(axes: tuple[str, str, str]) -> np.ndarray:
    """(3, 3) into forward, left, up. `axes`: source axes that point there; ("z", "-x", "-y") for x right, y down, z forward.

    Raises ValueError if it is no rotation: an axis twice, or a mirror image.
    """
    R = np.zeros((3, 3))
    for row, axis in enumerate(axes):
        if axis.removeprefix("-") in _AXES:
            R[row, _AXES[axis.removeprefix("-")]] = -1.0 if axis.startswith("-") else 1.0
    if np.linalg.det(R) != 1.0:
        raise ValueError(f"axes: needs x y z in any order, each with - or without, and right-handed, got {' '.join(axes)}")
    return R


def rotation_problem(R: np.ndarray) -> str:
    """What is wrong with a (3, 3) rotation from a file, `needs ..., got ...` in one line; "" if nothing is."""
    error = float(np.abs(R @ R.T - np.eye(3)).max())
    if error > MAX_ROTATION_ERROR:
        return f"needs a rotation, R R^T = 1 within {MAX_ROTATION_ERROR:g}, got an error of {error:.3g}; are digits missing?"
    if (determinant := float(np.linalg.det(R))) < 0:
        return f"needs a rotation with determinant +1, got {determinant:.3g}: a mirror image; is an axis turned around?"
    return ""


def invert(T: np.ndarray) -> np.ndarray:
    """T_a_b -> T_b_a. Not by the transpose: KITTI's rotations have 7 digits, so that the transpose is 6e-6 m off at 100 m."""
    return np.linalg.inv(T)


def transform_points(points_xyz: np.ndarray, T: np.ndarray) -> np.ndarray:
    """(N, 3) -> (N, 3) float64. N = 0 is fine."""
    return np.asarray(points_xyz, np.float64).reshape(-1, 3) @ T[:3, :3].T + T[:3, 3]


def transform_boxes(boxes3d: np.ndarray, T: np.ndarray) -> np.ndarray:
    """(M, 7) moved by a rigid motion, dtype kept; sizes stay, yaw follows the heading vector.

    A box can only stand upright: where T tilts z, the heading is projected back onto the xy plane (error of the yaw
    ≤ tilt²/4 rad). Without tilt, T and then its inverse give the same boxes.
    """
    boxes = np.asarray(boxes3d).reshape(-1, 7)
    moved = boxes.copy()
    moved[:, :3] = transform_points(boxes[:, :3], T)
    yaw = boxes[:, 6].astype(np.float64)
    heading = np.stack([np.cos(yaw), np.sin(yaw)], 1) @ T[:2, :2].T
    moved[:, 6] = wrap_angle(np.arctan2(heading[:, 1], heading[:, 0]).astype(boxes.dtype))
    return moved
