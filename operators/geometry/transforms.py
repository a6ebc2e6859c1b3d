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


def exp_rigid(twist: np.ndarray) -> np.ndarray:
    """(6,) v [m], w [rad] -> (4, 4): the motion after one unit of time at these constant velocities, in the moving frame's axes.

    |w| below pi is undone by `log_rigid`. Source: Murray et al. 1994, A Mathematical Introduction to Robotic Manipulation, 2.36
    """
    W = _cross(twist[3:])
    angle = float(np.linalg.norm(twist[3:]))
    if angle < 1e-4:  # the next terms are below 1e-17
        a, b, c = 1 - angle**2 / 6, 0.5 - angle**2 / 24, 1 / 6 - angle**2 / 120
    else:
        a, b, c = np.sin(angle) / angle, (1 - np.cos(angle)) / angle**2, (angle - np.sin(angle)) / angle**3
    return rigid(np.eye(3) + a * W + b * W @ W, (np.eye(3) + b * W + c * W @ W) @ twist[:3])


def log_rigid(T: np.ndarray) -> np.ndarray:
    """(4, 4) -> (6,), the inverse of `exp_rigid`. Rotations by less than half a turn."""
    R = T[:3, :3]
    sine = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    size = float(np.linalg.norm(sine))
    angle = float(np.arctan2(size, (np.trace(R) - 1) / 2))
    w = sine * (angle / size) if size > 0 else sine
    W = _cross(w)
    c = 1 / 12 + angle**2 / 720 if angle < 1e-3 else (1 - angle * np.sin(angle) / (2 * (1 - np.cos(angle)))) / angle**2
    return np.concatenate([(np.eye(3) - W / 2 + c * W @ W) @ T[:3, 3], w])


def _cross(w: np.ndarray) -> np.ndarray:
    """(3, 3) with _cross(w) @ p = w x p."""
    return np.array([[0.0, -w[2], w[1]], [w[2], 0.0, -w[0]], [-w[1], w[0], 0.0]])


def rotation_of(quaternions: np.ndarray) -> np.ndarray:
    """(K, 4) x y z w of any length but 0 -> (K, 3, 3)."""
    x, y, z, w = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)
