"""Which detections find which truth boxes, counted as KITTI's devkit does (evaluate_object.cpp).

Frames follow one another: the truth rows, the detection rows and the overlaps of all frames are flat arrays.

truth_starts, found_starts  (F + 1,) int64  first row of each frame
overlap      float64        of every truth box with every detection of its frame, a (T, D) matrix per frame, 0..1
truth_roles  (NT,) int8     COUNTS; ABSORBS: a detection that takes the box is neither right nor wrong; NO_PART: left out
found_roles  (ND,) int8     COUNTS; ABSORBS: below the level (too low, too far), may take a truth box, is never wrong;
                            FORGIVEN: counts, but is not wrong when left over; NO_PART: left out
scores       (ND,) float64  finite
A pair needs strictly more than `limit`. Truth boxes are served in their order, greedily. T = 0 or D = 0 is fine.
"""

from __future__ import annotations

import numpy as np
from numba import njit

NO_PART, COUNTS, ABSORBS, FORGIVEN = range(4)
RIGHT, WRONG, SIMILARITY = range(3)
"""Columns of `steps`."""


@njit(nogil=True, cache=True)
def match(
    overlap: np.ndarray,
    limit: float,
    truth_starts: np.ndarray,
    found_starts: np.ndarray,
    truth_roles: np.ndarray,
    found_roles: np.ndarray,
    scores: np.ndarray,
    truth_angles: np.ndarray,
    found_angles: np.ndarray,
    right: np.ndarray,
    steps: np.ndarray,
    missed: np.ndarray,
) -> None:
    """The first pass, and the second pass at every score of a detection instead of 41 thresholds.

    angles (NT,), (ND,) float64 [rad]   of the boxes; similarity of a right pair = (1 + cos(difference)) / 2
    right  (NT,) float64  first pass: score of the detection that finds this box; NaN if none does or the pair does not count
    steps  (ND, 3) float64, zeros: second pass: increase of right, wrong and summed similarity of the frame when the threshold
                          falls to the score of this detection. One of several equal scores of a frame holds the increase of all
    missed (NT,) bool     second pass at the lowest score: the box counts, and no detection takes it
    """
    widest = 0
    for f in range(found_starts.shape[0] - 1):
        widest = max(widest, found_starts[f + 1] - found_starts[f])
    near, falling, taken = np.empty(widest, np.int64), np.empty(widest, np.int64), np.empty(widest, np.bool_)
    det_of, tallest = np.empty(0, np.int64), 0
    first = 0
    for f in range(truth_starts.shape[0] - 1):
        t0, t1, d0, d1 = truth_starts[f], truth_starts[f + 1], found_starts[f], found_starts[f + 1]
        pairs = overlap[first : first + (t1 - t0) * (d1 - d0)].reshape((t1 - t0, d1 - d0))
        first += (t1 - t0) * (d1 - d0)
        if t1 - t0 > tallest:
            tallest = t1 - t0
            det_of = np.empty(tallest, np.int64)
        roles, kinds, levels = truth_roles[t0:t1], found_roles[d0:d1], scores[d0:d1]
        num_near = _near(pairs, limit, roles, kinds, near, steps[d0:d1])
        _by_score(pairs, limit, roles, kinds, levels, near[:num_near], taken, right[t0:t1])
        _falling(levels, near[:num_near], falling)
        for i in range(t1 - t0):
            det_of[i] = -1
        before_right, before_wrong, before_similar = 0.0, 0.0, 0.0
        for k in range(num_near):
            at = falling[k]
            if k + 1 < num_near and levels[falling[k + 1]] == levels[at]:
                continue
            _by_overlap(pairs, limit, roles, kinds, levels, near[:num_near], levels[at], taken, det_of)
            num_right, num_wrong, similar = 0.0, 0.0, 0.0
            for i in range(t1 - t0):
                if det_of[i] >= 0 and roles[i] == COUNTS and kinds[det_of[i]] != ABSORBS:
                    num_right += 1
                    similar += (1 + np.cos(truth_angles[t0 + i] - found_angles[d0 + det_of[i]])) / 2
            for n in range(num_near):
                num_wrong += not taken[n] and kinds[near[n]] == COUNTS and levels[near[n]] >= levels[at]
            step = steps[d0 + at]
            step[RIGHT], step[WRONG] = num_right - before_right, num_wrong - before_wrong
            step[SIMILARITY] = similar - before_similar
            before_right, before_wrong, before_similar = num_right, num_wrong, similar
        for i in range(t1 - t0):
            missed[t0 + i] = roles[i] == COUNTS and det_of[i] < 0


@njit(nogil=True, cache=True)
def _near(pairs: np.ndarray, limit: float, roles: np.ndarray, kinds: np.ndarray, near: np.ndarray, steps: np.ndarray) -> int:
    """Fills `near` with the detections that overlap a truth box -> their number. The others are wrong at once, if they count."""
    n = 0
    for j in range(len(kinds)):
        if kinds[j] == NO_PART:
            continue
        is_near = False
        for i in range(len(roles)):
            if roles[i] != NO_PART and pairs[i, j] > limit:
                is_near = True
                break
        if is_near:
            near[n] = j
            n += 1
        elif kinds[j] == COUNTS:
            steps[j, WRONG] = 1.0
    return n


@njit(nogil=True, cache=True)
def _falling(scores: np.ndarray, near: np.ndarray, out: np.ndarray) -> None:
    """out: `near` by falling score (insertion sort)."""
    for n in range(len(near)):
        k = n
        while k > 0 and scores[out[k - 1]] < scores[near[n]]:
            out[k] = out[k - 1]
            k -= 1
        out[k] = near[n]


@njit(nogil=True, cache=True)
def _by_score(
    pairs: np.ndarray,
    limit: float,
    roles: np.ndarray,
    kinds: np.ndarray,
    scores: np.ndarray,
    near: np.ndarray,
    taken: np.ndarray,
    right: np.ndarray,
) -> None:
    """First pass: a truth box takes the detection of the highest score, the first one on ties."""
    for n in range(len(near)):
        taken[n] = False
    for i in range(len(roles)):
        right[i] = np.nan
        if roles[i] == NO_PART:
            continue
        best = -1
        for n in range(len(near)):
            if not taken[n] and pairs[i, near[n]] > limit and (best < 0 or scores[near[n]] > scores[near[best]]):
                best = n
        if best >= 0:
            taken[best] = True
            if roles[i] == COUNTS and kinds[near[best]] != ABSORBS:
                right[i] = scores[near[best]]


@njit(nogil=True, cache=True)
def _by_overlap(
    pairs: np.ndarray,
    limit: float,
    roles: np.ndarray,
    kinds: np.ndarray,
    scores: np.ndarray,
    near: np.ndarray,
    threshold: float,
    taken: np.ndarray,
    det_of: np.ndarray,
) -> None:
    """Second pass, with the detections of at least `threshold`: a truth box takes the largest overlap, the first one on ties; a
    detection that absorbs, only where there is no other. Fills `taken` (in the order of `near`) and `det_of`, -1: none."""
    for n in range(len(near)):
        taken[n] = False
    for i in range(len(roles)):
        det_of[i] = -1
        if roles[i] == NO_PART:
            continue
        best = -1
        for n in range(len(near)):
            j = near[n]
            if taken[n] or scores[j] < threshold or not pairs[i, j] > limit:
                continue
            if kinds[j] == ABSORBS:
                if best < 0:
                    best = n
            elif best < 0 or kinds[near[best]] == ABSORBS or pairs[i, j] > pairs[i, near[best]]:
                best = n
        if best >= 0:
            taken[best] = True
            det_of[i] = near[best]
