"""One frame of 2D tracking: predict, associate in stages, update, births, deaths. See track/tracker2d.py.

Sources: Zhang et al. 2022 (ByteTrack), alg. 1; Zhang et al. 2021 (FairMOT), sec. 3.4. Pixels; steps of one frame period.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from operators.kernels import kalman2d
from operators.kernels.sparse import assign_sparse


class Tracks(NamedTuple):
    """Rows in order of birth; the first `num` rows are in use."""

    x: np.ndarray
    """(T, 8) float64, as kalman2d.py."""
    P: np.ndarray
    """(T, 4, 3) float64, as kalman2d.py."""
    looks: np.ndarray
    """(T, E) float32: smoothed embedding of unit length, zeros = none yet. E = 0: the detector gives none."""
    scores: np.ndarray
    """(T,) float32, of the last match."""
    info: np.ndarray
    """(T, 5) int64: ID, LABEL, HITS (matches), TIME_SINCE_UPDATE (steps since the last match), STATE."""


class Detections(NamedTuple):
    boxes: np.ndarray
    """(D, 4) float64 [cx, cy, w, h]."""
    labels: np.ndarray
    """(D,) int32."""
    scores: np.ndarray
    """(D,) float32."""
    sure: np.ndarray
    """(D,) float64: the scores as probabilities."""
    looks: np.ndarray
    """(D, E) float32: embedding of unit length, or zeros."""


class Matches(NamedTuple):
    track_of: np.ndarray
    """(D,) int64: track of each detection, -1 = none."""
    det_of: np.ndarray
    """(T,) int64: detection of each track, -1 = none."""


ID, LABEL, HITS, TIME_SINCE_UPDATE, STATE = range(5)
NEW, TRACKED, LOST = range(3)
"""Values of STATE. NEW: not shown yet."""

# columns of `rules`; track/tracker2d.py defines each
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
    stage: int, dets: Detections, d: int, tracks: Tracks, t: int, have_looks: bool, rules: np.ndarray, weights: np.ndarray
) -> float:
    """Threshold of the stage minus cost of the pair; <= 0: the pair is not allowed. have_looks: both have an embedding."""
    if stage == _BY_LOOKS:
        # FairMOT: cost = (1 - share) * cosine distance + share * squared Mahalanobis distance
        if not have_looks:
            return 0.0
        away = kalman2d.distance(tracks.x[t], tracks.P[t], dets.boxes[d], weights)
        if away > rules[MOTION_GATE]:
            return 0.0
        unlike = max(1.0 - _likeness(dets.looks[d], tracks.looks[t]), 0.0)
        return rules[MAX_UNLIKE] - ((1 - rules[MOTION_SHARE]) * unlike + rules[MOTION_SHARE] * away)
    # ByteTrack: cost = 1 - IoU
    least = rules[MIN_IOU_NEXT]
    if stage == _NEWBORN:
        least = rules[MIN_IOU_NEW]
    elif stage == _BY_OVERLAP:
        if not have_looks:
            least = rules[MIN_IOU]
        elif tracks.info[t, STATE] == LOST:
            return 0.0  # its embedding did not match, and its place is only predicted
    return iou(dets.boxes[d], tracks.x[t]) - least


@njit(nogil=True, cache=True)
def _candidates(
    stage: int, tracks: Tracks, num: int, rules: np.ndarray, weights: np.ndarray, det_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unmatched tracks of the stage, and (K, 4) their cx, cy and reach in x and y: a detection further away cannot match.

    By looks the reach is that of a point within the motion gate; by overlap it is half the size of the track.
    """
    x, P, info = tracks.x, tracks.P, tracks.info
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
    stage: int, dets: Detections, tracks: Tracks, num: int, rules: np.ndarray, weights: np.ndarray, matches: Matches
) -> None:
    """One stage: the unmatched detections and tracks with the largest total gain are added to `matches`."""
    boxes, labels, _, sure, _ = dets
    track_of, det_of = matches
    info = tracks.info
    num_dets = len(boxes)
    room = 4 * (num_dets + num) + 16
    rows, columns, gains = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
    num_pairs = 0
    dets_have, tracks_have = _have(dets.looks, num_dets), _have(tracks.looks, num)
    candidates, near = _candidates(stage, tracks, num, rules, weights, det_of)
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
            gain = _gain(stage, dets, d, tracks, t, dets_have[d] and tracks_have[t], rules, weights)
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
    for k in range(len(array)):  # a slice assignment takes a second longer to compile
        out[k] = array[k]
    return out


@njit(nogil=True, cache=True)
def _remember_looks(mine: np.ndarray, look: np.ndarray, memory: float) -> None:
    """mine = memory * mine + (1 - memory) * look, scaled to unit length. Zeros: no look; the first look replaces them."""
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
    det_fields: tuple[np.ndarray, ...],
    track_fields: tuple[np.ndarray, ...],
    num: int,
    steps: int,
    rules: np.ndarray,
    frame: int,
    next_id: int,
    track_of: np.ndarray,
) -> tuple[int, int]:
    """-> number of tracks, next id. Tracks need room for num + D rows.

    det_fields, track_fields  of Detections, Tracks, as plain tuples: a call from Python takes 8 us longer with NamedTuples
    steps     frame periods since the last frame;   frame  of the recording, from 1
    track_of  (D,) int64 is filled: row of each detection's track before dead tracks are removed, -1 = none
    """
    # locals, because an array taken from a tuple inside a loop is reference-counted each time
    dets, tracks = Detections(*det_fields), Tracks(*track_fields)
    x, P, looks, track_scores, info = tracks
    boxes, labels, scores, sure, their_looks = dets
    weights = np.empty(kalman2d.NUM_WEIGHTS)
    weights[kalman2d.POSITION], weights[kalman2d.CHANGE] = rules[POSITION_NOISE], rules[CHANGE_NOISE]

    # 1. predict; a lost track keeps its size, because an extrapolated size soon vanishes or fills the picture
    for t in range(num):
        if info[t, STATE] == LOST:
            x[t, 6], x[t, 7] = 0.0, 0.0
        info[t, TIME_SINCE_UPDATE] += steps
    for _ in range(steps):
        kalman2d.predict(x, P, num, weights)

    # 2. associate, stage by stage
    det_of = np.full(num, -1, np.int64)
    matches = Matches(track_of, det_of)
    track_of[:] = -1
    for stage in range(_BY_LOOKS if looks.shape[1] else _BY_OVERLAP, _NEWBORN + 1):
        _match(stage, dets, tracks, num, rules, weights, matches)

    # 3. update the matched tracks, remove the dead ones
    kept = 0
    for t in range(num):
        d = det_of[t]
        if d >= 0:
            kalman2d.update(x[t], P[t], boxes[d], weights)
            if sure[d] >= rules[HIGH]:  # the embedding of a half hidden object is that of whatever hides it
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
            x[kept], P[kept], info[kept] = x[t], P[t], info[t]
            looks[kept], track_scores[kept] = looks[t], track_scores[t]
        kept += 1
    num = kept

    # 4. births
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
