"""Homographies: which pixel of one picture is which pixel of another.

H (3, 3) float64, destination first: [u, v, 1] of the destination ~ H @ [u, v, 1] of the source. Pixels count from the centre of
the top left one, so a change of size moves centres: u' = (u + 0.5) * scale - 0.5.
Source of the fit: Hartley, Zisserman 2004, sec. 4.1 (normalised DLT), 4.4.4 (collinear points); RANSAC of OpenCV.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

Size = tuple[int, int]
"""(width, height)"""

NOMINAL_PX = 1000.0
"""Rank is judged in units of this many pixels: shifts, scales and perspective then have similar sizes."""
_MIN_SINGULAR = 1e-6
_MIN_SPREAD = 1e-3
MIN_POINTS = 4


def problem(H: np.ndarray) -> str:
    """What is wrong with a homography, `needs ..., got ...` in one line; "" if nothing is."""
    if H.shape != (3, 3):
        return f"needs 3 rows of 3 numbers, got shape {H.shape}"
    if not np.isfinite(H).all():
        return f"needs finite numbers, got {H[~np.isfinite(H)][0]:g}"
    units = np.diag([1 / NOMINAL_PX, 1 / NOMINAL_PX, 1.0])
    normal = units @ H @ np.linalg.inv(units)
    singular = np.linalg.svd(normal, compute_uv=False)
    rank = int((singular > _MIN_SINGULAR * max(singular[0], 1e-300)).sum())
    if rank < 3:
        own = ", ".join(f"{value:.3g}" for value in np.linalg.svd(H, compute_uv=False))
        return f"needs a matrix of rank 3, got rank {rank} (singular values {own}; determinant {np.linalg.det(H):.3g})"
    return ""


def resizing(source: Size, dest: Size) -> np.ndarray:
    """The H of a plain change of size."""
    x, y = dest[0] / source[0], dest[1] / source[1]
    return np.array([[x, 0.0, 0.5 * x - 0.5], [0.0, y, 0.5 * y - 0.5], [0.0, 0.0, 1.0]])


def apply(H: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, 2) pixels of the source -> of the destination; NaN for points on or behind the horizon, whose w is not that sign which
    the source's centre of mass has."""
    if not len(points):
        return np.empty((0, 2))
    projected = np.c_[points, np.ones(len(points))] @ H.T
    w = projected[:, 2] * np.sign(H[2] @ [*points.mean(axis=0), 1.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(w[:, None] > 0, projected[:, :2] / projected[:, 2:], np.nan)


def corners(size: Size) -> np.ndarray:
    """(4, 2) centres of the corner pixels: top left, top right, bottom right, bottom left."""
    right, bottom = size[0] - 1.0, size[1] - 1.0
    return np.array([[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]])


class Fit(NamedTuple):
    """H; residuals_px (N,): distance of each point from where H puts its partner; inliers (N,) bool."""

    H: np.ndarray
    residuals_px: np.ndarray
    inliers: np.ndarray


def from_points(source: np.ndarray, dest: np.ndarray, max_px: float) -> Fit:
    """The H that takes source (N, 2) to dest (N, 2): least squares of those points that RANSAC finds to agree within max_px.

    Raises ValueError, one line, for fewer than MIN_POINTS points, and for points that leave H open, such as those on a line.
    """
    if len(source) < MIN_POINTS:
        raise ValueError(f"needs {MIN_POINTS} point pairs or more, got {len(source)}")
    for name, points in (("first", source), ("second", dest)):
        spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        if spread[1] <= _MIN_SPREAD * spread[0]:
            raise ValueError(f"needs points spread over the picture, got {len(points)} on one line of the {name} picture")
    rank = np.linalg.svd(_equations(source, dest), compute_uv=False)
    if rank[7] <= _MIN_SPREAD**2 * rank[0]:
        raise ValueError(f"needs {MIN_POINTS} points of which no 3 lie on a line, got {len(source)} without them")
    method = cv2.RANSAC if len(source) > MIN_POINTS else 0
    H, mask = cv2.findHomography(source, dest, method, max_px, maxIters=5000, confidence=0.9999)
    if H is None:
        raise ValueError(f"needs {MIN_POINTS} points that agree within {max_px:g} px, got none such among {len(source)}")
    if wrong := problem(H):
        raise ValueError(f"{wrong}; do 3 of the points lie on a line?")
    residuals = np.linalg.norm(apply(H, source) - dest, axis=1)
    return Fit(H, residuals, mask.ravel() > 0)


def _equations(source: np.ndarray, dest: np.ndarray) -> np.ndarray:
    """(2N, 9): the rows of the DLT, of normalised points; H's entries are its null vector."""
    a, b = _normalised(source), _normalised(dest)
    ones, zeros = np.ones(len(a)), np.zeros(len(a))
    first = np.c_[zeros, zeros, zeros, -a, -ones, b[:, 1] * a[:, 0], b[:, 1] * a[:, 1], b[:, 1]]
    second = np.c_[a, ones, zeros, zeros, zeros, -b[:, 0] * a[:, 0], -b[:, 0] * a[:, 1], -b[:, 0]]
    rows = np.r_[first, second]
    return rows if len(rows) >= 9 else np.r_[rows, np.zeros((9 - len(rows), 9))]


def _normalised(points: np.ndarray) -> np.ndarray:
    """Centred, at a mean distance of sqrt(2)."""
    centred = points - points.mean(axis=0)
    return centred * (np.sqrt(2) / np.linalg.norm(centred, axis=1).mean())
