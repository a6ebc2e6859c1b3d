"""One frame of boxes in the picture: predict, associate in stages, update, births, deaths. See track/tracker2d.py.

Tracks are rows, in order of birth; the first `num` count:
x, P       as kalman2d.py
looks      (T, E) float32   smoothed embedding of unit length; zeros: none yet. E = 0: nobody has any
scores     (T,) float32     of the last match
info       (T, 5) int64     [id, label, hits, steps since the last match, state]
Detections are rows, too: boxes (D, 4) float64 [cx, cy, w, h]; labels; scores (D,) float32; sure (D,) float64, the scores as
probabilities; their_looks (D, E) float32 of unit length or zeros.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels import kalman2d
from operators.kernels.sparse import assign_sparse

ID, LABEL, HITS, TIME_SINCE_UPDATE, STATE = range(5)
NEW, TRACKED, LOST = range(3)

# columns of `rules`; track/tracker2d.py says what they mean
(
    HIGH, LOW, BIRTH, MIN_IOU, MIN_IOU_NEXT, MIN_IOU_NEW, MIN_HITS, MAX_AGE, POSITION_NOISE, CHANGE_NOISE,
    MAX_UNLIKE, MOTION_GATE, MOTION_SHARE, MEMORY,
) = range(14)  # fmt: skip
NUM_RULES = 14

_BY_LOOKS, _BY_OVERLAP, _LOW, _NEWBORN = range(4)


@njit(nogil=True, cache=True)
def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Of two boxes [cx, cy, w, h]; 0 where one has no area."""
    across = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    down = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    if across <= 0 or down <= 0 or a[2] <= 0 or a[3] <= 0:
        return 0.0
    shared = across * down
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


@njit(nogil=True, cache=True)
def _likeness(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for k in range(len(a)):
        total += float(a[k]) * float(b[k])
    return total


@njit(nogil=True, cache=True)
def _gain(
    stage: int,
    box: np.ndarray,
    look: np.ndarray,
    x: np.ndarray,
    P: np.ndarray,
    mine: np.ndarray,
    both: bool,
    state: int,
    rules: np.ndarray,
    weights: np.ndarray,
) -> float:
    """By how much a pair is better than the worst one allowed in this stage; not above 0: it is not allowed. both: have looks."""
    if stage == _BY_LOOKS:
        if not both:
            return 0.0
        away = kalman2d.distance(x, P, box, weights)
        if away > rules[MOTION_GATE]:
            return 0.0
        unlike = max(1.0 - _likeness(look, mine), 0.0)
        return rules[MAX_UNLIKE] - ((1 - rules[MOTION_SHARE]) * unlike + rules[MOTION_SHARE] * away)
    least = rules[MIN_IOU_NEXT]
    if stage == _NEWBORN:
        least = rules[MIN_IOU_NEW]
    elif stage == _BY_OVERLAP:
        if not both:
            least = rules[MIN_IOU]
        elif state == LOST:
            return 0.0  # it looks different, and nobody knows where it is
    return iou(box, x) - least


@njit(nogil=True, cache=True)
def _candidates(
    stage: int,
    x: np.ndarray,
    P: np.ndarray,
    info: np.ndarray,
    num: int,
    rules: np.ndarray,
    weights: np.ndarray,
    det_of: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Tracks that the stage may match, and (K, 4) where each is: cx, cy, and how far away across and down a box of no size may
    be; of the overlap stages half the track's own size."""
    rows, near = np.empty(num, np.int64), np.empty((num, 4))
    count = 0
    for t in range(num):
        state = info[t, STATE]
        if det_of[t] >= 0 or (state == NEW) != (stage == _NEWBORN) or (state == LOST and stage == _LOW):
            continue
        rows[count] = t
        near[count, 0], near[count, 1] = x[t, 0], x[t, 1]
        for k in range(2):
            if stage == _BY_LOOKS:
                noise = weights[kalman2d.POSITION] * max(x[t, 2 + k], 1.0)
                near[count, 2 + k] = np.sqrt(rules[MOTION_GATE] * (P[t, k, 0] + noise * noise))
            else:
                near[count, 2 + k] = x[t, 2 + k] / 2
        count += 1
    return rows[:count], near[:count]


@njit(nogil=True, cache=True)
def _have(looks: np.ndarray, num: int) -> np.ndarray:
    """(num,) bool: rows that are not all zeros."""
    out = np.zeros(num, np.bool_)
    for i in range(num):
        out[i] = np.any(looks[i])
    return out


@njit(nogil=True, cache=True)
def _match(
    stage: int,
    boxes: np.ndarray,
    labels: np.ndarray,
    sure: np.ndarray,
    their_looks: np.ndarray,
    x: np.ndarray,
    P: np.ndarray,
    looks: np.ndarray,
    info: np.ndarray,
    num: int,
    rules: np.ndarray,
    weights: np.ndarray,
    track_of: np.ndarray,
    det_of: np.ndarray,
) -> None:
    """One stage among those that are still without partner; track_of (D,) and det_of (T,) are filled further."""
    num_dets = len(boxes)
    room = 4 * (num_dets + num) + 16
    rows, columns, gains = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
    num_pairs = 0
    have_theirs, have_mine = _have(their_looks, num_dets), _have(looks, num)
    candidates, near = _candidates(stage, x, P, info, num, rules, weights, det_of)
    for d in range(num_dets):
        is_high = sure[d] >= rules[HIGH]
        if track_of[d] >= 0 or is_high == (stage == _LOW) or sure[d] < rules[LOW]:
            continue
        cx, cy, half_w, half_h = boxes[d, 0], boxes[d, 1], boxes[d, 2] / 2, boxes[d, 3] / 2
        if stage == _BY_LOOKS:
            half_w, half_h = 0.0, 0.0
        for k in range(len(candidates)):
            if abs(cx - near[k, 0]) > near[k, 2] + half_w or abs(cy - near[k, 1]) > near[k, 3] + half_h:
                continue  # most pairs end here
            t = candidates[k]
            if info[t, LABEL] != labels[d]:
                continue
            both = have_theirs[d] and have_mine[t]
            gain = _gain(stage, boxes[d], their_looks[d], x[t], P[t], looks[t], both, info[t, STATE], rules, weights)
            if gain <= 0:
                continue
            if num_pairs == room:
                room *= 2
                rows, columns, gains = _longer(rows, room), _longer(columns, room), _longer(gains, room)
            rows[num_pairs], columns[num_pairs], gains[num_pairs] = d, t, gain
            num_pairs += 1
    column_of = np.empty(num_dets, np.int64)
    assign_sparse(rows[:num_pairs], columns[:num_pairs], gains[:num_pairs], num_dets, num, column_of)
    for d in range(num_dets):
        if column_of[d] >= 0:
            track_of[d] = column_of[d]
            det_of[column_of[d]] = d


@njit(nogil=True, cache=True)
def _longer(array: np.ndarray, size: int) -> np.ndarray:
    out = np.empty(size, array.dtype)
    for k in range(len(array)):  # a slice would do the same, and take a second to compile
        out[k] = array[k]
    return out


@njit(nogil=True, cache=True)
def _remember_looks(mine: np.ndarray, look: np.ndarray, memory: float) -> None:
    """mine = memory * mine + (1 - memory) * look, of unit length again; the first look is taken as it is."""
    if not np.any(look):
        return
    if not np.any(mine):
        memory = 0.0
    length = 0.0
    for k in range(len(mine)):
        value = memory * float(mine[k]) + (1 - memory) * float(look[k])
        mine[k] = value
        length += value * value
    if length > 0:
        length = np.sqrt(length)
        for k in range(len(mine)):
            mine[k] /= length


@njit(nogil=True, cache=True)
def step(
    boxes: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    sure: np.ndarray,
    their_looks: np.ndarray,
    x: np.ndarray,
    P: np.ndarray,
    looks: np.ndarray,
    track_scores: np.ndarray,
    info: np.ndarray,
    num: int,
    steps: int,
    rules: np.ndarray,
    frame: int,
    next_id: int,
    track_of: np.ndarray,
) -> tuple[int, int]:
    """-> how many tracks there are now, the next id. The caller has room for as many more as there are detections.

    steps     frame periods since the last frame;   frame  of the recording, from 1
    track_of  (D,) int64 is filled: row that each detection went to, before the dead were taken out; -1 = none
    """
    weights = np.empty(kalman2d.NUM_WEIGHTS)
    weights[kalman2d.POSITION], weights[kalman2d.CHANGE] = rules[POSITION_NOISE], rules[CHANGE_NOISE]
    for t in range(num):
        if info[t, STATE] == LOST:  # whose size keeps changing unseen is soon nothing, or everything
            x[t, 6], x[t, 7] = 0.0, 0.0
        info[t, TIME_SINCE_UPDATE] += steps
    for _ in range(steps):
        kalman2d.predict(x, P, num, weights)
    det_of = np.full(num, -1, np.int64)
    track_of[:] = -1
    for stage in range(_BY_LOOKS if looks.shape[1] else _BY_OVERLAP, _NEWBORN + 1):
        _match(stage, boxes, labels, sure, their_looks, x, P, looks, info, num, rules, weights, track_of, det_of)
    kept = 0
    for t in range(num):
        d = det_of[t]
        if d >= 0:
            kalman2d.update(x[t], P[t], boxes[d], weights)
            if sure[d] >= rules[HIGH]:  # what is half hidden looks like whatever hides it
                _remember_looks(looks[t], their_looks[d], rules[MEMORY])
            track_scores[t] = scores[d]
            info[t, HITS] += 1
            info[t, TIME_SINCE_UPDATE] = 0
            if info[t, STATE] != NEW or info[t, HITS] >= rules[MIN_HITS]:
                info[t, STATE] = TRACKED
        elif info[t, STATE] == NEW or info[t, TIME_SINCE_UPDATE] > rules[MAX_AGE]:
            continue
        else:
            info[t, STATE] = LOST
        if kept < t:
            x[kept], P[kept], looks[kept], track_scores[kept], info[kept] = x[t], P[t], looks[t], track_scores[t], info[t]
        kept += 1
    num = kept
    for d in range(len(boxes)):
        if track_of[d] >= 0 or sure[d] < rules[BIRTH]:
            continue
        kalman2d.begin(x[num], P[num], boxes[d], weights)
        looks[num] = their_looks[d]
        track_scores[num] = scores[d]
        row = info[num]
        row[ID], row[LABEL], row[HITS], row[TIME_SINCE_UPDATE] = next_id, labels[d], 1, 0
        row[STATE] = TRACKED if frame == 1 or rules[MIN_HITS] <= 1 else NEW
        num += 1
        next_id += 1
    return num, next_id
