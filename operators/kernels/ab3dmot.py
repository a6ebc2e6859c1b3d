"""One frame of AB3DMOT's tracker: predict, associate, update, births, deaths.      Source: Weng et al. 2020, and its code

Rows of tracks, in order of birth; the first `num` count, the caller has room for as many more as there are detections:
x        (T, 10) float64  [x, y, z, yaw, l, w, h, vx, vy, vz]: rectified camera frame, bottom centre, yaw about y (down)
P        (T, 4) float64   as in kalman.py
info     (T, 4) int64     [track id, label, hits, steps since the last match]
scores   (T,) float32, boxes2d (T, 4) float32: of the last matched detection
"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels import kalman
from operators.kernels.greedy import greedy
from operators.kernels.iou import giou_3d, iou_3d
from operators.kernels.lsap import assign

ID, LABEL, HITS, TIME_SINCE_UPDATE = 0, 1, 2, 3
METRIC, LIMIT, GREEDY, MIN_HITS, MAX_AGE = 0, 1, 2, 3, 4
GIOU_3D, IOU_3D, DISTANCE_3D = 0, 1, 2

P0 = np.array([10.0, 0.0, 10_000.0, 10.0])
"""Nothing is known of a newborn's velocity."""
Q = np.array([1.0, 0.01, 1.0])
R = np.array([1.0, 1.0])


@njit(nogil=True, cache=True)
def _once(yaw: float) -> float:
    """One single turn, as the original."""
    if yaw >= np.pi:
        yaw -= 2 * np.pi
    if yaw < -np.pi:
        yaw += 2 * np.pi
    return yaw


@njit(nogil=True, cache=True)
def facing(track: float, seen: float) -> float:
    """The yaw of a track (rad), turned by half a turn when the detection `seen` looks the other way, and by a whole one
    until it is near as a number, too. Both are in [-pi, pi)."""
    if np.pi / 2 < abs(seen - track) < np.pi * 3 / 2:
        track = _once(track + np.pi)
    if abs(seen - track) >= np.pi * 3 / 2:
        track += 2 * np.pi if seen > 0 else -2 * np.pi
    return track


@njit(nogil=True, cache=True)
def _boxes(state: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(n, 7) as iou.py wants them: turned so that z is up, centre of the volume."""
    out = np.empty((len(rows), 7))
    for k in range(len(rows)):
        x = state[rows[k]]
        out[k, 0], out[k, 1], out[k, 2] = x[0], -x[2], x[6] / 2 - x[1]
        out[k, 3], out[k, 4], out[k, 5], out[k, 6] = x[4], x[5], x[6], x[3]
    return out


@njit(nogil=True, cache=True)
def _costs(dets: np.ndarray, tracks: np.ndarray, metric: int) -> np.ndarray:
    """(D, 7), (T, 7) -> (D, T), less is nearer; rounded to 32 bits as the original's matrix."""
    out = np.empty((len(dets), len(tracks)))
    if metric == GIOU_3D:
        giou_3d(dets, tracks, out)
    elif metric == IOU_3D:
        iou_3d(dets, tracks, out)
    for i in range(len(dets)):
        for j in range(len(tracks)):
            if metric == DISTANCE_3D:
                total = 0.0
                for k in range(3):
                    total += (dets[i, k] - tracks[j, k]) ** 2
                out[i, j] = np.float32(np.sqrt(total))
            else:
                out[i, j] = -np.float32(out[i, j])
    return out


@njit(nogil=True, cache=True)
def _associate(
    z: np.ndarray, dets: np.ndarray, x: np.ndarray, tracks: np.ndarray, rule: np.ndarray, row_of: np.ndarray, born: np.ndarray
) -> int:
    """Rows `dets` of z with rows `tracks` of x. Fills row_of[det] (-1: none) and the detections that stay alone -> how many.

    Over all pairs first; those beyond the limit are undone then: a far pair may have cost a near one its partner.
    """
    num_dets, num_pairs = len(dets), min(len(dets), len(tracks))
    for i in range(num_dets):
        row_of[dets[i]] = -2
    pairs = np.empty((num_pairs, 2), np.int64)
    if num_pairs > 0:
        cost = _costs(_boxes(z, dets), _boxes(x, tracks), int(rule[METRIC]))
        if rule[GREEDY]:
            greedy(cost, pairs)
        else:
            column_of = np.empty(num_dets, np.int64)
            assign(cost, column_of)
            k = 0
            for i in range(num_dets):
                if column_of[i] >= 0:
                    pairs[k, 0], pairs[k, 1] = i, column_of[i]
                    k += 1
        for k in range(num_pairs):
            i, j = pairs[k, 0], pairs[k, 1]
            row_of[dets[i]] = tracks[j] if cost[i, j] <= np.float32(rule[LIMIT]) else -1
    num_born = 0
    for i in range(num_dets):  # first who found nobody
        if row_of[dets[i]] == -2:
            row_of[dets[i]] = -1
            born[num_born] = dets[i]
            num_born += 1
    for k in range(num_pairs):  # then whose pair was undone
        d = dets[pairs[k, 0]]
        if row_of[d] == -1:
            born[num_born] = d
            num_born += 1
    return num_born


@njit(nogil=True, cache=True)
def _where(values: np.ndarray, num: int, value: int) -> np.ndarray:
    out = np.empty(num, np.int64)
    n = 0
    for k in range(num):
        if values[k] == value:
            out[n] = k
            n += 1
    return out[:n]


@njit(nogil=True, cache=True)
def step(
    x: np.ndarray,
    P: np.ndarray,
    info: np.ndarray,
    scores: np.ndarray,
    boxes2d: np.ndarray,
    num: int,
    z: np.ndarray,
    det_labels: np.ndarray,
    det_scores: np.ndarray,
    det_boxes2d: np.ndarray,
    steps: int,
    motion: np.ndarray,
    rules: np.ndarray,
    frame: int,
    next_id: int,
    shown: np.ndarray,
) -> tuple[int, int]:
    """-> how many tracks there are now, the next id.

    z       (D, 7) float64   [x, y, z, yaw, l, w, h]; yaw in [-pi, pi); det_labels (D,), det_scores (D,), det_boxes2d (D, 4)
    steps   frame periods since the last frame
    motion  (3, 4) float64   of a point from the last frame's camera to this one's: positions alone are moved
    rules   (L, 5) float64   per label: metric, limit (most metres, or most -IoU), greedy, min_hits, max_age
    frame   of the recording, from 1;  shown (T,) bool is filled: which rows are output
    """
    for t in range(num):
        for _ in range(steps):
            kalman.predict(x[t], P[t], Q)
        x[t, 3] = _once(x[t, 3])
        info[t, TIME_SINCE_UPDATE] += steps
        a, b, c = x[t, 0], x[t, 1], x[t, 2]
        for k in range(3):
            x[t, k] = motion[k, 0] * a + motion[k, 1] * b + motion[k, 2] * c + motion[k, 3]

    old, row_of, born = num, np.empty(len(z), np.int64), np.empty(len(z), np.int64)
    for label in range(len(rules)):
        dets = _where(det_labels, len(det_labels), label)
        if len(dets) == 0:
            continue
        num_born = _associate(z, dets, x, _where(info[:, LABEL], old, label), rules[label], row_of, born)
        for d in dets:
            t = row_of[d]
            if t == -1:
                continue
            info[t, HITS] += 1
            info[t, TIME_SINCE_UPDATE] = 0
            x[t, 3] = facing(x[t, 3], z[d, 3])
            kalman.update(x[t], P[t], z[d], R)
            x[t, 3] = _once(x[t, 3])
            scores[t] = det_scores[d]
            for i in range(4):
                boxes2d[t, i] = det_boxes2d[d, i]
        for k in range(num_born):
            d = born[k]
            for i in range(10):
                x[num, i] = z[d, i] if i < 7 else 0.0
            for i in range(4):
                P[num, i], boxes2d[num, i] = P0[i], det_boxes2d[d, i]
            info[num, ID], info[num, LABEL], info[num, HITS], info[num, TIME_SINCE_UPDATE] = next_id, label, 1, 0
            scores[num] = det_scores[d]
            num += 1
            next_id += 1

    kept = 0
    for t in range(num):
        rule = rules[info[t, LABEL]]
        if info[t, TIME_SINCE_UPDATE] >= rule[MAX_AGE]:
            continue
        if kept < t:
            scores[kept] = scores[t]
            for i in range(10):
                x[kept, i] = x[t, i]
            for i in range(4):
                P[kept, i], info[kept, i], boxes2d[kept, i] = P[t, i], info[t, i], boxes2d[t, i]
        shown[kept] = info[t, HITS] >= rule[MIN_HITS] or frame <= rule[MIN_HITS]
        kept += 1
    return kept, next_id
