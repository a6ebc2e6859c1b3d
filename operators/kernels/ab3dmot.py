"""One frame of AB3DMOT's tracker: predict, associate, update, births, deaths.      Source: Weng et al. 2020, and its code

Boxes are in the rectified camera frame, bottom centre, yaw about y (down); metres, radians, steps of one frame period.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from operators.kernels import kalman
from operators.kernels.greedy import greedy
from operators.kernels.iou import giou_3d, iou_3d
from operators.kernels.lsap import assign


class Tracks(NamedTuple):
    """Rows in order of birth; the first `num` rows are in use."""

    x: np.ndarray
    """(T, 10) float64 [x, y, z, yaw, l, w, h, vx, vy, vz]."""
    P: np.ndarray
    """(T, 4) float64, as in kalman.py."""
    info: np.ndarray
    """(T, 4) int64: ID, LABEL, HITS (matches), TIME_SINCE_UPDATE (steps since the last match)."""
    scores: np.ndarray
    """(T,) float32, of the last matched detection."""
    boxes2d: np.ndarray
    """(T, 4) float32, of the last matched detection."""


class Detections(NamedTuple):
    z: np.ndarray
    """(D, 7) float64 [x, y, z, yaw, l, w, h], yaw in [-pi, pi)."""
    labels: np.ndarray
    """(D,) int32."""
    scores: np.ndarray
    """(D,) float32."""
    boxes2d: np.ndarray
    """(D, 4) float32."""


ID, LABEL, HITS, TIME_SINCE_UPDATE = range(4)
METRIC, LIMIT, GREEDY, MIN_HITS, MAX_AGE = range(5)
GIOU_3D, IOU_3D, DISTANCE_3D = range(3)

P0 = np.array([10.0, 0.0, 10_000.0, 10.0])
"""Of a new track: its velocity is unknown."""
Q = np.array([1.0, 0.01, 1.0])
R = np.array([1.0, 1.0])


@njit(nogil=True, cache=True)
def _once(yaw: float) -> float:
    """Adds or subtracts at most one turn, as the original does."""
    if yaw >= np.pi:
        yaw -= 2 * np.pi
    if yaw < -np.pi:
        yaw += 2 * np.pi
    return yaw


@njit(nogil=True, cache=True)
def facing(track: float, seen: float) -> float:
    """The yaw of a track [rad], turned by half a turn if the detection `seen` points the other way, then by a whole turn if the
    two numbers are still far apart. Both arguments are in [-pi, pi)."""
    if np.pi / 2 < abs(seen - track) < np.pi * 3 / 2:
        track = _once(track + np.pi)
    if abs(seen - track) >= np.pi * 3 / 2:
        track += 2 * np.pi if seen > 0 else -2 * np.pi
    return track


@njit(nogil=True, cache=True)
def _boxes(state: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(n, 7) as iou.py takes them: z up, geometric centre."""
    out = np.empty((len(rows), 7))
    for k in range(len(rows)):
        x = state[rows[k]]
        out[k, 0], out[k, 1], out[k, 2] = x[0], -x[2], x[6] / 2 - x[1]
        out[k, 3], out[k, 4], out[k, 5], out[k, 6] = x[4], x[5], x[6], x[3]
    return out


@njit(nogil=True, cache=True)
def _costs(dets: np.ndarray, tracks: np.ndarray, metric: int) -> np.ndarray:
    """(D, 7), (T, 7) -> (D, T) costs, rounded to float32 as in the original."""
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
    """Rows `dets` of z with rows `tracks` of x. Fills row_of[det] (-1: none) and `born` (unmatched detections) -> their number.

    The assignment is solved over all pairs; pairs beyond the limit are removed afterwards, as in the original.
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
    for i in range(num_dets):  # first those without a pair
        if row_of[dets[i]] == -2:
            row_of[dets[i]] = -1
            born[num_born] = dets[i]
            num_born += 1
    for k in range(num_pairs):  # then those whose pair was removed
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
    det_fields: tuple[np.ndarray, ...],
    track_fields: tuple[np.ndarray, ...],
    num: int,
    steps: int,
    motion: np.ndarray,
    rules: np.ndarray,
    frame: int,
    next_id: int,
    shown: np.ndarray,
) -> tuple[int, int]:
    """-> number of tracks, next id. Tracks and `shown` need room for num + D rows.

    det_fields, track_fields  of Detections, Tracks, as plain tuples: a call from Python takes 8 us longer with NamedTuples
    steps   frame periods since the last frame;   frame  of the recording, from 1
    motion  (3, 4) float64   of a point from the last camera frame to this one; applied to positions only
    rules   (L, 5) float64   per label: metric, limit (most metres, or most -IoU), greedy, min_hits, max_age
    shown   (T,) bool is filled: which rows are output
    """
    # locals, because an array taken from a tuple inside a loop is reference-counted each time
    xs, P, infos, scores, boxes2d = track_fields
    zs, det_labels, det_scores, det_boxes2d = det_fields

    # 1. predict, then compensate the ego-motion
    for t in range(num):
        x = xs[t]
        for _ in range(steps):
            kalman.predict(x, P[t], Q)
        x[3] = _once(x[3])
        infos[t, TIME_SINCE_UPDATE] += steps
        a, b, c = x[0], x[1], x[2]
        for k in range(3):
            x[k] = motion[k, 0] * a + motion[k, 1] * b + motion[k, 2] * c + motion[k, 3]

    old, row_of, born = num, np.empty(len(zs), np.int64), np.empty(len(zs), np.int64)
    for label in range(len(rules)):
        # 2. associate, class by class
        mine = _where(det_labels, len(det_labels), label)
        if len(mine) == 0:
            continue
        num_born = _associate(zs, mine, xs, _where(infos[:, LABEL], old, label), rules[label], row_of, born)

        # 3. update the matched tracks
        for d in mine:
            t = row_of[d]
            if t == -1:
                continue
            infos[t, HITS] += 1
            infos[t, TIME_SINCE_UPDATE] = 0
            x, z = xs[t], zs[d]
            x[3] = facing(x[3], z[3])
            kalman.update(x, P[t], z, R)
            x[3] = _once(x[3])
            scores[t] = det_scores[d]
            for i in range(4):
                boxes2d[t, i] = det_boxes2d[d, i]

        # 4. births
        for k in range(num_born):
            d = born[k]
            for i in range(10):
                xs[num, i] = zs[d, i] if i < 7 else 0.0
            for i in range(4):
                P[num, i], boxes2d[num, i] = P0[i], det_boxes2d[d, i]
            info = infos[num]
            info[ID], info[LABEL], info[HITS], info[TIME_SINCE_UPDATE] = next_id, label, 1, 0
            scores[num] = det_scores[d]
            num += 1
            next_id += 1

    # 5. deaths, and what is shown
    kept = 0
    for t in range(num):
        rule = rules[infos[t, LABEL]]
        if infos[t, TIME_SINCE_UPDATE] >= rule[MAX_AGE]:
            continue
        if kept < t:
            _move(Tracks(*track_fields), t, kept)
        shown[kept] = infos[t, HITS] >= rule[MIN_HITS] or frame <= rule[MIN_HITS]
        kept += 1
    return kept, next_id


@njit(nogil=True, cache=True)
def _move(tracks: Tracks, t: int, to: int) -> None:
    """Copies row t to row `to`; loops, because slice assignments take long to compile."""
    x, P, info, scores, boxes2d = tracks
    scores[to] = scores[t]
    for i in range(10):
        x[to, i] = x[t, i]
    for i in range(4):
        P[to, i], info[to, i], boxes2d[to, i] = P[t, i], info[t, i], boxes2d[t, i]
