"""The loops over frames of CLEAR, identity and HOTA, as TrackEval runs them (Luiten 2020; MIT licence), on flat arrays.

truth_ids (NG,) int64  0..G-1, by frame     truth_starts (F + 1,) int64
track_ids (NT,) int64  0..T-1, by frame     track_starts (F + 1,) int64
similarity             float64, one matrix per frame (rows truth, columns tracks), one after another
"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.lsap import best_pairs
from operators.kernels.overlaps import EPS

TP, FN, FP, IDS = 0, 1, 2, 3
NOBODY = -1


@njit(nogil=True, cache=True)
def clear(
    truth_ids: np.ndarray,
    truth_starts: np.ndarray,
    track_ids: np.ndarray,
    track_starts: np.ndarray,
    similarity: np.ndarray,
    threshold: float,
    counts: np.ndarray,
    present: np.ndarray,
    found: np.ndarray,
    begun: np.ndarray,
) -> float:
    """-> sum of the matched pairs' similarity. Pairs of the frame before are kept first.

    adds to  counts (4,) int64 [TP, FN, FP, IDS]; per truth id, (G,) int64: present, found: number of frames; begun: number of
             changes from not found to found
    A switch is a change from the last matched track of this truth, however long ago. `begun` compares with the frame before,
    skipping frames without truth or without tracks.
    """
    last, before = np.full(present.shape[0], NOBODY), np.full(present.shape[0], NOBODY)
    num_before, members = 0, np.empty(present.shape[0], np.int64)
    total, at = 0.0, 0
    for f in range(truth_starts.shape[0] - 1):
        g0, t0 = truth_starts[f], track_starts[f]
        rows, columns = truth_starts[f + 1] - g0, track_starts[f + 1] - t0
        for i in range(rows):
            present[truth_ids[g0 + i]] += 1
        if rows == 0 or columns == 0:
            counts[FN] += rows
            counts[FP] += columns
            continue
        iou = similarity[at : at + rows * columns].reshape(rows, columns)
        at += rows * columns
        gain = np.empty((rows, columns))
        for i in range(rows):
            kept = before[truth_ids[g0 + i]]
            for j in range(columns):
                gain[i, j] = 1000.0 * (track_ids[t0 + j] == kept) + iou[i, j] if iou[i, j] >= threshold - EPS else 0.0
        column = np.empty(rows, np.int64)
        best_pairs(gain, column)
        matches, of_frame, num_new = 0, 0.0, 0
        new = np.empty(rows, np.int64)
        for i in range(rows):
            if column[i] < 0:
                continue
            truth, track = truth_ids[g0 + i], track_ids[t0 + column[i]]
            if last[truth] != NOBODY and last[truth] != track:
                counts[IDS] += 1
            found[truth] += 1
            if before[truth] == NOBODY:
                begun[truth] += 1
            last[truth] = track
            new[num_new] = truth
            num_new += 1
            matches += 1
            of_frame += iou[i, column[i]]
        for k in range(num_before):
            before[members[k]] = NOBODY
        for k in range(num_new):
            members[k] = new[k]
            before[new[k]] = last[new[k]]
        num_before = num_new
        counts[TP] += matches
        counts[FN] += rows - matches
        counts[FP] += columns - matches
        total += of_frame
    return total


@njit(nogil=True, cache=True)
def frames_in_common(
    truth_ids: np.ndarray,
    truth_starts: np.ndarray,
    track_ids: np.ndarray,
    track_starts: np.ndarray,
    similarity: np.ndarray,
    threshold: float,
    common: np.ndarray,
) -> None:
    """adds to  common (G, T) float64: number of frames in which the two overlap by at least the threshold."""
    at = 0
    for f in range(truth_starts.shape[0] - 1):
        for i in range(truth_starts[f], truth_starts[f + 1]):
            for j in range(track_starts[f], track_starts[f + 1]):
                if similarity[at] >= threshold:
                    common[truth_ids[i], track_ids[j]] += 1
                at += 1


@njit(nogil=True, cache=True)
def soft_common(
    truth_ids: np.ndarray,
    truth_starts: np.ndarray,
    track_ids: np.ndarray,
    track_starts: np.ndarray,
    similarity: np.ndarray,
    common: np.ndarray,
) -> None:
    """adds to  common (G, T) float64: per frame, the similarity of the pair over that of all pairs with one of the two (eq. 7)"""
    at = 0
    for f in range(truth_starts.shape[0] - 1):
        g0, t0 = truth_starts[f], track_starts[f]
        rows, columns = truth_starts[f + 1] - g0, track_starts[f + 1] - t0
        iou = similarity[at : at + rows * columns].reshape(rows, columns)
        at += rows * columns
        of_column, of_row = np.zeros(columns), np.zeros(rows)
        for i in range(rows):
            for j in range(columns):
                of_column[j] += iou[i, j]
                of_row[i] += iou[i, j]
        for i in range(rows):
            for j in range(columns):
                either = of_column[j] + of_row[i] - iou[i, j]
                if either > EPS:
                    common[truth_ids[g0 + i], track_ids[t0 + j]] += iou[i, j] / either


@njit(nogil=True, cache=True)
def aligned_pairs(
    truth_ids: np.ndarray,
    truth_starts: np.ndarray,
    track_ids: np.ndarray,
    track_starts: np.ndarray,
    similarity: np.ndarray,
    alignment: np.ndarray,
    track: np.ndarray,
    value: np.ndarray,
) -> None:
    """One match per frame for all thresholds: the largest sum of alignment (G, T) times similarity.

    out  per truth row, (NG,): track int64, the id matched or -1; value float64, its similarity
    """
    at = 0
    for f in range(truth_starts.shape[0] - 1):
        g0, t0 = truth_starts[f], track_starts[f]
        rows, columns = truth_starts[f + 1] - g0, track_starts[f + 1] - t0
        track[g0 : g0 + rows] = NOBODY
        if rows == 0 or columns == 0:
            continue
        iou = similarity[at : at + rows * columns].reshape(rows, columns)
        at += rows * columns
        gain = np.empty((rows, columns))
        for i in range(rows):
            for j in range(columns):
                gain[i, j] = alignment[truth_ids[g0 + i], track_ids[t0 + j]] * iou[i, j]
        column = np.empty(rows, np.int64)
        best_pairs(gain, column)
        for i in range(rows):
            if column[i] >= 0:
                track[g0 + i] = track_ids[t0 + column[i]]
                value[g0 + i] = iou[i, column[i]]
