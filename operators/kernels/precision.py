"""Precision over recall from the counts of many frames (match.py).     Source: KITTI object devkit (evaluate_object.cpp)

right_scores, right_frames  (R,) float64, int64  scores of the found truth boxes, highest first, and the frame of each
scores, frames, steps       (E,), (E,), (E, 3)   of detections, highest score first: increase of right, wrong, similarity
weights                     (F,) int64           how often each frame counts: 1, or its number of draws in a bootstrap
"""

from __future__ import annotations

import numpy as np
from numba import njit

POINTS = 41
"""Points of a curve: one score threshold per 1/40 of recall."""


@njit(nogil=True, cache=True)
def recall_thresholds(
    right_scores: np.ndarray, right_frames: np.ndarray, weights: np.ndarray, num_truth: int, out: np.ndarray
) -> int:
    """out (POINTS,): the scores at which recall is nearest to each multiple of 1/40, highest first -> how many there are."""
    total = 0
    for e in range(len(right_scores)):
        total += weights[right_frames[e]]
    i, n, recall = 0, 0, 0.0
    for e in range(len(right_scores)):
        for _ in range(weights[right_frames[e]]):
            here, after = (i + 1) / num_truth, (i + 2) / num_truth
            if not (i < total - 1 and after - recall < recall - here) and n < POINTS:
                out[n] = right_scores[e]
                n += 1
                recall += 1 / (POINTS - 1)
            i += 1
    return n


@njit(nogil=True, cache=True)
def curves(
    scores: np.ndarray,
    frames: np.ndarray,
    steps: np.ndarray,
    weights: np.ndarray,
    thresholds: np.ndarray,
    out: np.ndarray,
) -> float:
    """Fills out (2, POINTS): precision and orientation similarity at the thresholds, 0 behind the last, then the running maximum
    from the right -> number of right detections at the last threshold."""
    right, wrong, similar = 0.0, 0.0, 0.0
    out[:] = 0.0
    e = 0
    for k in range(len(thresholds)):
        while e < len(scores) and scores[e] >= thresholds[k]:
            weight = weights[frames[e]]
            right += weight * steps[e, 0]
            wrong += weight * steps[e, 1]
            similar += weight * steps[e, 2]
            e += 1
        out[0, k] = right / max(right + wrong, 1.0)
        out[1, k] = similar / max(right + wrong, 1.0)
    for k in range(POINTS - 2, -1, -1):
        out[0, k] = max(out[0, k], out[0, k + 1])
        out[1, k] = max(out[1, k], out[1, k + 1])
    return right


@njit(nogil=True, cache=True)
def average(curve: np.ndarray) -> tuple[float, float]:
    """R40 and R11 of a curve (POINTS,), 0..1: the means over points 1..40, and over points 0, 4, .. 40."""
    r40, r11 = 0.0, 0.0
    for k in range(POINTS):
        if k:
            r40 += curve[k]
        if k % 4 == 0:
            r11 += curve[k]
    return r40 / 40, r11 / 11


@njit(nogil=True, cache=True)
def resampled(
    right_scores: np.ndarray,
    right_frames: np.ndarray,
    scores: np.ndarray,
    frames: np.ndarray,
    steps: np.ndarray,
    num_truth: np.ndarray,
    draws: np.ndarray,
    out: np.ndarray,
) -> None:
    """A bootstrap over frames. num_truth (F,) int64: truth of each frame that counts; draws (B, F): the weights of each resample.

    Fills out (B, 4): R40 and R11 of precision, R40 and R11 of similarity, 0..1; NaN where no truth counts.
    """
    thresholds, curve = np.empty(POINTS), np.empty((2, POINTS))
    for b in range(len(draws)):
        weights = draws[b]
        total = 0
        for f in range(len(weights)):
            total += weights[f] * num_truth[f]
        if total == 0:
            out[b] = np.nan
            continue
        n = recall_thresholds(right_scores, right_frames, weights, total, thresholds)
        curves(scores, frames, steps, weights, thresholds[:n], curve)
        out[b, 0], out[b, 1] = average(curve[0])
        out[b, 2], out[b, 3] = average(curve[1])
