"""The passes of AB3DMOT's evaluation over all frames (Weng et al. 2020; after KITTI's evaluate_tracking.py), on flat arrays.

The frames of all sequences follow one another, rows as in overlaps.py; objects (truth) and tracks are numbered over all of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from operators.kernels.lsap import best_pairs
from operators.kernels.overlaps import mostly_within


class Frames(NamedTuple):
    truth_starts: np.ndarray
    """(F + 1,) int64: first truth row of each frame."""
    aside: np.ndarray
    """(NG,) bool: truth that counts neither way."""
    starts: np.ndarray
    """(F + 1,) int64: first track row of each frame."""
    tracks: np.ndarray
    """(NT,) int64: track of each row."""
    iou: np.ndarray
    """float64: overlap of all pairs, a matrix per frame."""
    forgivable: np.ndarray
    """(NT,) bool, of `pardoned`."""


TP, IGNORED_TP, FP, FN, IGNORED_FN, N_GT, N_IGNORED_GT, N_TRACKER, N_IGNORED_TRACKER = range(9)
IDS, FRAG, MT, PT, ML, IGNORED_OBJECTS = range(6)
NOBODY = -1


@njit(nogil=True, cache=True)
def pardoned(
    boxes2d: np.ndarray, starts: np.ndarray, regions: np.ndarray, region_starts: np.ndarray, min_height: float, out: np.ndarray
) -> None:
    """Sets out (NT,) bool where an unmatched box is no false positive: at most min_height high, or mostly within a region."""
    for f in range(starts.shape[0] - 1):
        of_frame = regions[region_starts[f] : region_starts[f + 1]]
        for j in range(starts[f], starts[f + 1]):
            if abs(boxes2d[j, 1] - boxes2d[j, 3]) <= min_height or mostly_within(boxes2d[j], of_frame, 0.0):
                out[j] = True


@njit(nogil=True, cache=True)
def average(rows_of_tracks: np.ndarray, track_starts: np.ndarray, scores: np.ndarray, out: np.ndarray) -> None:
    """Replaces scores (NT,) float64 of each track's rows by their mean; out (T,) is that mean.

    The sum runs from left to right: its rounding errors, which grow from pass to pass, are part of the published numbers."""
    for t in range(track_starts.shape[0] - 1):
        total = 0.0
        for k in range(track_starts[t], track_starts[t + 1]):
            total += scores[rows_of_tracks[k]]
        out[t] = total / (track_starts[t + 1] - track_starts[t])
        for k in range(track_starts[t], track_starts[t + 1]):
            scores[rows_of_tracks[k]] = out[t]


@njit(nogil=True, cache=True)
def count(
    frames: Frames,
    limit: float,
    mean: np.ndarray,
    threshold: float,
    was_matched: np.ndarray,
    matched: np.ndarray,
    counts: np.ndarray,
    sums: np.ndarray,
) -> None:
    """One pass: the assignment with the most pairs in each frame, and among these with the largest summed overlap.

    in       limit: least overlap of a pair; mean (T,) float64: tracks below the threshold are left out
    in, out  was_matched (NT,) bool: never cleared, a row matched in one pass is not pardoned in a later one
    out      matched (NG,) int64: the track, or NOBODY
    adds to  counts (9,) int64; sums (2,) float64: overlap of all pairs; per frame, the mean overlap of those that count, or 1
    """
    truth_starts, starts, tracks, aside = frames.truth_starts, frames.starts, frames.tracks, frames.aside
    iou, forgivable = frames.iou, frames.forgivable
    at = 0
    for f in range(truth_starts.shape[0] - 1):
        g0, t0 = truth_starts[f], starts[f]
        rows, columns = truth_starts[f + 1] - g0, starts[f + 1] - t0
        present = np.empty(columns, np.int64)
        num_present = 0
        for j in range(columns):
            if not mean[tracks[t0 + j]] < threshold:
                present[num_present] = j
                num_present += 1
        gain = np.zeros((rows, num_present))
        many = 1.0 + min(rows, num_present)
        for i in range(rows):
            for k in range(num_present):
                cost = 1 - iou[at + i * columns + present[k]]
                if cost <= 1 - limit:
                    gain[i, k] = many + (1 - cost)
        column = np.empty(rows, np.int64)
        best_pairs(gain, column)
        num_matched, num_aside_matched, num_aside_missed, shared, shared_aside = 0, 0, 0, 0.0, 0.0
        for i in range(rows):
            matched[g0 + i] = NOBODY
            if column[i] < 0:
                num_aside_missed += aside[g0 + i]
                continue
            j = present[column[i]]
            value = 1 - (1 - iou[at + i * columns + j])
            matched[g0 + i] = tracks[t0 + j]
            was_matched[t0 + j] = True
            num_matched += 1
            sums[0] += value
            shared += value
            if aside[g0 + i]:
                num_aside_matched += 1
                shared_aside += value
        num_pardoned = 0
        for k in range(num_present):
            j = t0 + present[k]
            num_pardoned += forgivable[j] and not was_matched[j]
        counts[TP] += num_matched
        counts[IGNORED_TP] += num_aside_matched
        counts[FP] += num_present - num_matched - num_pardoned
        counts[FN] += rows - num_matched - num_aside_missed
        counts[IGNORED_FN] += num_aside_missed
        counts[N_GT] += rows - num_aside_missed - num_aside_matched
        counts[N_IGNORED_GT] += num_aside_missed + num_aside_matched
        counts[N_TRACKER] += num_present
        counts[N_IGNORED_TRACKER] += num_pardoned
        num_true = num_matched - num_aside_matched
        sums[1] += (shared - shared_aside) / num_true if num_true else 1.0
        at += rows * columns


@njit(nogil=True, cache=True)
def follow(
    rows_of_objects: np.ndarray, object_starts: np.ndarray, aside: np.ndarray, matched: np.ndarray, out: np.ndarray
) -> None:
    """Adds to out (6,) int64 [IDS, FRAG, MT, PT, ML, IGNORED_OBJECTS] over the frames of every object.

    An id switch needs a match in the frame before; a fragmentation needs one in the frame after.
    """
    for o in range(object_starts.shape[0] - 1):
        rows = rows_of_objects[object_starts[o] : object_starts[o + 1]]
        n, num_aside, nobody = rows.shape[0], 0, True
        for r in rows:
            num_aside += aside[r]
            nobody = nobody and matched[r] == NOBODY
        if num_aside == n:
            out[IGNORED_OBJECTS] += 1
            continue
        if nobody:
            out[ML] += 1
            continue
        last = matched[rows[0]]
        found = 1 if last != NOBODY else 0
        for k in range(1, n):
            if aside[rows[k]]:
                last = NOBODY
                continue
            here, before = matched[rows[k]], matched[rows[k - 1]]
            if last != here and last != NOBODY and here != NOBODY and before != NOBODY:
                out[IDS] += 1
            if k < n - 1 and before != here and last != NOBODY and here != NOBODY and matched[rows[k + 1]] != NOBODY:
                out[FRAG] += 1
            if here != NOBODY:
                found += 1
                last = here
        if n > 1 and not aside[rows[n - 1]]:
            here = matched[rows[n - 1]]
            if here != NOBODY and matched[rows[n - 2]] != here and last != NOBODY:
                out[FRAG] += 1
        share = found / (n - num_aside)
        if share > 0.8:
            out[MT] += 1
        elif share < 0.2:
            out[ML] += 1
        else:
            out[PT] += 1
