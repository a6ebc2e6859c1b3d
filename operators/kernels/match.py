"""Which detections of one frame find which truth boxes, counted as KITTI's devkit does (evaluate_object.cpp).

overlap  (T, D) float64  of every truth box with every detection, 0..1; a pair needs strictly more than `limit`
counted  (T,) bool       truth that counts; the rest absorbs detections, which are then neither right nor wrong
left_out (D,) bool       detections below the level (too low, too far): may absorb truth, are never wrong
scores   (D,) float64
Truth boxes are served in their order, greedily. T = 0 or D = 0 is fine.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def found_scores(
    overlap: np.ndarray, limit: float, counted: np.ndarray, left_out: np.ndarray, scores: np.ndarray, out: np.ndarray
) -> int:
    """First pass: a truth box takes the highest score, the first one on ties. out (T,) float64: scores of the pairs that count.

    Returns how many there are."""
    taken = np.zeros(scores.shape[0], np.bool_)
    n = 0
    for i in range(overlap.shape[0]):
        best = -1
        for j in range(overlap.shape[1]):
            if not taken[j] and overlap[i, j] > limit and (best < 0 or scores[j] > scores[best]):
                best = j
        if best >= 0:
            taken[best] = True
            if counted[i] and not left_out[best]:
                out[n] = scores[best]
                n += 1
    return n


@njit(nogil=True, cache=True)
def count_at(
    overlap: np.ndarray,
    limit: float,
    counted: np.ndarray,
    left_out: np.ndarray,
    forgiven: np.ndarray,
    scores: np.ndarray,
    thresholds: np.ndarray,
    out: np.ndarray,
) -> None:
    """Second pass, once per threshold: a truth box takes the largest overlap (the first one on ties), a left-out detection only
    where there is no other. out (K, 2) int64: right and wrong are added. forgiven (D,) bool: never wrong when left over."""
    taken = np.empty(scores.shape[0], np.bool_)
    for k in range(thresholds.shape[0]):
        taken[:] = False
        for i in range(overlap.shape[0]):
            best = -1
            for j in range(overlap.shape[1]):
                if taken[j] or scores[j] < thresholds[k] or not overlap[i, j] > limit:
                    continue
                if left_out[j]:
                    if best < 0:
                        best = j
                elif best < 0 or left_out[best] or overlap[i, j] > overlap[i, best]:
                    best = j
            if best >= 0:
                taken[best] = True
                if counted[i] and not left_out[best]:
                    out[k, 0] += 1
        for j in range(scores.shape[0]):
            if not taken[j] and not left_out[j] and not forgiven[j] and scores[j] >= thresholds[k]:
                out[k, 1] += 1
