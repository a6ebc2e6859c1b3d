"""Which detection continues which track: costs, one-to-one assignment, then the limit.

Assignment first, over all pairs, and pairs beyond the limit undone afterwards, as AB3DMOT does: a far pair may cost a
near one its partner, but no gate has to be tuned.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment

from operators.kernels.iou import giou_3d, iou_3d


def giou_cost(dets: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    """boxes3d (D, 7), (T, 7) float64 -> cost (D, T) = -GIoU, -1..1."""
    out = np.empty((len(dets), len(tracks)))
    giou_3d(dets, tracks, out)
    return -out


def iou_cost(dets: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    """boxes3d (D, 7), (T, 7) float64 -> cost (D, T) = -IoU, -1..0."""
    out = np.empty((len(dets), len(tracks)))
    iou_3d(dets, tracks, out)
    return -out


def distance_cost(dets: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    """boxes3d (D, 7), (T, 7) float64 -> cost (D, T), distance of the centres [m]."""
    return np.linalg.norm(dets[:, None, :3] - tracks[None, :, :3], axis=2)


def hungarian(cost: np.ndarray) -> np.ndarray:
    """(D, T) -> (min(D, T), 2) [det, track] of least total cost, by rising detection."""
    return np.stack(linear_sum_assignment(cost), 1)


def greedy(cost: np.ndarray) -> np.ndarray:
    """(D, T) -> (min(D, T), 2) [det, track]: the cheapest pair, then the cheapest of what is left; ties to the first."""
    left = cost.copy()
    pairs = np.empty((min(cost.shape), 2), np.int64)
    for k in range(len(pairs)):
        det, track = divmod(int(left.argmin()), left.shape[1])
        pairs[k] = det, track
        left[det], left[:, track] = np.inf, np.inf
    return pairs


COSTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "giou_3d": giou_cost,
    "iou_3d": iou_cost,
    "distance_3d": distance_cost,
}
MATCHERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"hungarian": hungarian, "greedy": greedy}


def match(dets: np.ndarray, tracks: np.ndarray, metric: str, threshold: float, matching: str) -> np.ndarray:
    """boxes3d (D, 7), (T, 7) float64 of one class -> matches (K, 2) [det, track]. D = 0 or T = 0: none.

    threshold  of giou_3d and iou_3d the least overlap, of distance_3d the most metres; a pair exactly there stays
    """
    if not len(dets) or not len(tracks):
        return np.empty((0, 2), np.int64)
    cost = COSTS[metric](dets, tracks)
    pairs = MATCHERS[matching](cost)
    limit = threshold if metric == "distance_3d" else -threshold
    return pairs[cost[pairs[:, 0], pairs[:, 1]] <= limit]
