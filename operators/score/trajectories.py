"""Errors of a trajectory against the truth.     Sources: Geiger et al. 2012 and KITTI's odometry devkit (evaluate_odometry.cpp);
Umeyama 1991 (alignment); Sturm et al. 2012 (absolute trajectory error)

Poses (K, 4, 4) float64 are T_world_body [m], those of truth and estimate row by row of the same instant.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

LENGTHS_M = (100, 200, 300, 400, 500, 600, 700, 800)
STEP = 10
"""Frames from the start of a segment to that of the next."""
Align = Literal["none", "se3", "sim3"]


def from_first(poses: np.ndarray, first: int = 0) -> np.ndarray:
    """The same poses, in the frame of pose number `first`."""
    return np.linalg.inv(poses[first]) @ poses


def aligned(truth: np.ndarray, found: np.ndarray, how: Align) -> np.ndarray:
    """`found`, moved so that its positions fit those of the truth best; sim3: scaled, too. K >= 1. none: as it is."""
    if how == "none":
        return found
    a, b = found[:, :3, 3], truth[:, :3, 3]
    mean_a, mean_b = a.mean(0), b.mean(0)
    U, D, Vt = np.linalg.svd((b - mean_b).T @ (a - mean_a) / len(a))  # eq. (38)
    S = np.diag([1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])  # eq. (43)
    spread = ((a - mean_a) ** 2).sum(1).mean()
    scale = float(np.trace(np.diag(D) @ S) / spread) if how == "sim3" and spread > 0 else 1.0  # eq. (42)
    T = np.eye(4)
    T[:3, :3] = U @ S @ Vt  # eq. (40)
    T[:3, 3] = mean_b - scale * T[:3, :3] @ mean_a  # eq. (41)
    out = found.copy()
    out[:, :3, 3] *= scale
    return T @ out


def distances(poses: np.ndarray) -> np.ndarray:
    """(K,) driven up to each pose [m]."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1))])[: len(poses)]


def segments(truth: np.ndarray, found: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(S, 3): length [m], error of translation per length, error of rotation [rad / m] of each segment of LENGTHS_M.

    A segment begins at every STEP-th pose and ends at the first one that is further along the truth than its length. known (K,)
    bool: poses that `found` has; a segment between others does not count.
    """
    driven, rows = distances(truth), []
    for first in range(0, len(truth), STEP):
        for length in LENGTHS_M:
            last = int(np.searchsorted(driven, driven[first] + length, side="right"))
            if last == len(truth) or not (known[first] and known[last]):
                continue
            of_truth, of_found = np.linalg.inv(truth[first]) @ truth[last], np.linalg.inv(found[first]) @ found[last]
            off = np.linalg.inv(of_found) @ of_truth
            rows.append((length, np.linalg.norm(off[:3, 3]) / length, angle(off) / length))
    return np.array(rows).reshape(-1, 3)


def angle(T: np.ndarray) -> float:
    """Of the rotation [rad], 0..pi."""
    return float(np.arccos(np.clip((np.trace(T[:3, :3]) - 1) / 2, -1.0, 1.0)))


def scores(truth: np.ndarray, found: np.ndarray, known: np.ndarray, how: Align = "none") -> dict[str, Any]:
    """All numbers of one trajectory; at least one pose known. t_rel, r_rel: None if no segment of 100 m is there."""
    at = int(np.argmax(known))
    truth, found = from_first(truth, at), from_first(found, at)
    found[known] = aligned(truth[known], found[known], how)
    rows = segments(truth, found, known)
    off = np.linalg.norm(found[known, :3, 3] - truth[known, :3, 3], axis=1)
    path_m = float(distances(truth[known])[-1])
    return {
        **_relative(rows),
        "ate_m": float(np.sqrt((off**2).mean())),
        "end_error_m": float(off[-1]),
        "path_m": path_m,
        "end_share": float(off[-1]) / path_m if path_m > 0 else None,
        "poses": int(known.sum()),
        "lengths": {str(length): _relative(rows[rows[:, 0] == length]) for length in LENGTHS_M},
    }


def _relative(rows: np.ndarray) -> dict[str, Any]:
    """t_rel a share, r_rel [deg / 100 m]."""
    mean = rows.mean(0) if len(rows) else [None, None, None]
    return {
        "t_rel": None if mean[1] is None else float(mean[1]),
        "r_rel_deg_100m": None if mean[2] is None else float(np.degrees(mean[2]) * 100),
        "segments": len(rows),
    }
