"""Lenses: where a ray of the camera frame meets the distorted picture, and the maps that undo the distortion.

Source: Brown 1966 (radial, tangential) with OpenCV's order of coefficients; Kannala, Brandt 2006 (equidistant fisheye). Rays are
(x, y) at z = 1 of the camera frame. OpenCV's own functions are the twins in the tests.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from operators.geometry.homography import Size
from operators.streams import Lens

Fit = Literal["same", "inside", "whole"]
"""K of the rectified picture: that of the camera; enlarged until no pixel lies outside; with all of the picture inside."""
NUM_COEFFICIENTS = 8
_OUTSIDE = -(2.0**14)
"""Column and row, far outside every picture, of rays that the lens does not see."""
_WIDEST = 20.0
"""Rays at more than 87 degrees from the axis are outside: a plane picture has no pixel for 90."""


def padded(coefficients: np.ndarray | tuple[float, ...]) -> np.ndarray:
    """(8,) float64 with zeros behind."""
    out = np.zeros(NUM_COEFFICIENTS)
    out[: len(coefficients)] = coefficients
    return out


def distort(xy: np.ndarray, distortion: np.ndarray, fisheye: bool) -> np.ndarray:
    """(N, 2) rays without distortion -> (N, 2) with it; distortion (8,). N = 0 is fine."""
    x, y = np.asarray(xy, np.float64).reshape(-1, 2).T
    if fisheye:
        r = np.hypot(x, y)
        angle = np.arctan(r)
        scale = np.where(r > 1e-12, _fisheye_radius(angle, distortion) / np.where(r > 1e-12, r, 1.0), 1.0)
        return np.stack([x * scale, y * scale], 1)
    p1, p2 = distortion[2], distortion[3]
    r2 = x * x + y * y
    radial = _radial(r2, distortion)
    return np.stack([x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], 1)


def reach(distortion: np.ndarray, fisheye: bool) -> float:
    """The largest undistorted radius up to which a longer ray lies farther out in the picture. Beyond it the polynomial turns
    back and shows the same pixels twice."""
    if fisheye:
        angle = np.linspace(0.0, np.arctan(_WIDEST), 4001)
        radius = _fisheye_radius(angle, distortion)
        return float(np.tan(angle[_rises(radius)]))
    r = np.linspace(0.0, _WIDEST, 40_001)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(r[_rises(r * _radial(r * r, distortion))])


def project(points_cam: np.ndarray, lens: Lens) -> np.ndarray:
    """(N, 3) [m, camera, not rectified] -> (N, 2) pixels of the distorted picture; NaN behind the camera and beyond `reach`."""
    points = np.asarray(points_cam, np.float64).reshape(-1, 3)
    front = points[:, 2] > 0
    xy = points[:, :2] / np.where(front, points[:, 2], 1.0)[:, None]
    seen = front & (np.hypot(xy[:, 0], xy[:, 1]) <= reach(lens.distortion, bool(lens.fisheye[0])))
    uv = _pixels(distort(xy, lens.distortion, bool(lens.fisheye[0])), lens.K_cam)
    return np.where(seen[:, None], uv, np.nan)


def maps(lens: Lens, source: Size) -> tuple[np.ndarray, np.ndarray]:
    """The two fixed-point maps (h, w) of `cv2.remap`: the place in the distorted picture of each pixel of the rectified one.

    source  (width, height) of the pictures that come: the calibrated size, or that resized.
    """
    width, height = lens.rect_size.tolist()
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    rays = np.stack([columns.ravel(), rows.ravel(), np.ones(width * height)], 1) @ np.linalg.inv(lens.K_rect @ lens.R_rect).T
    uv = project(rays, lens)
    for k in range(2):  # centres of pixels move when a picture is resized
        uv[:, k] = (uv[:, k] + 0.5) * (source[k] / lens.image_size[k]) - 0.5
    uv = np.clip(np.nan_to_num(uv, nan=_OUTSIDE), _OUTSIDE, -_OUTSIDE).astype(np.float32).reshape(height, width, 2)
    at, between = cv2.convertMaps(uv[..., 0], uv[..., 1], cv2.CV_16SC2)
    return at, between


def fitted(K_cam: np.ndarray, distortion: np.ndarray, fisheye: bool, size: Size, fit: Fit) -> np.ndarray:
    """(3, 3) intrinsics of the rectified picture of the same size."""
    if fit == "same" or not distortion.any():
        return K_cam.copy()
    whole = float(fit == "whole")
    if fisheye:
        return np.asarray(
            cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(K_cam, distortion[:4], size, np.eye(3), balance=whole),
            np.float64,
        )
    return np.asarray(cv2.getOptimalNewCameraMatrix(K_cam, distortion, size, whole)[0], np.float64)


def _fisheye_radius(angle: np.ndarray, k: np.ndarray) -> np.ndarray:
    a2 = angle * angle
    return angle * (1 + a2 * (k[0] + a2 * (k[1] + a2 * (k[2] + a2 * k[3]))))


def _radial(r2: np.ndarray, d: np.ndarray) -> np.ndarray:
    return (1 + r2 * (d[0] + r2 * (d[1] + r2 * d[4]))) / (1 + r2 * (d[5] + r2 * (d[6] + r2 * d[7])))


def _rises(radius: np.ndarray) -> int:
    """Index of the last sample before the radius falls."""
    falls = ~(np.diff(radius) > 0)
    return int(np.argmax(falls)) if falls.any() else len(radius) - 1


def _pixels(xy: np.ndarray, K: np.ndarray) -> np.ndarray:
    return xy @ K[:2, :2].T + K[:2, 2]
