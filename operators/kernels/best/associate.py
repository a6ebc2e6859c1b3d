"""Step 4 of preset `best`: which detection continues which track.     Source: Zhang et al. 2022 (ByteTrack), alg. 1"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.best.state import (
    COV_XX,
    COV_YY,
    DISTANCE,
    EVIDENCE,
    GATE,
    GATE_LOW,
    HIGH,
    LABEL,
    LOW,
    METRIC,
    SIGMA_FLOOR,
    TENTATIVE,
    Detections,
    Matches,
    Tracks,
    X,
    Y,
)
from operators.kernels.sparse import assign_sparse


@njit(nogil=True, cache=True)
def associate(dets: Detections, tracks: Tracks, num: int, params: np.ndarray, wider: float, matches: Matches) -> None:
    """Fills `matches`, class by class, in two stages: largest total gain, gain = gate - distance. `wider` multiplies the gates.

    Stage 0: detections of at least HIGH evidence, all tracks, gate GATE.
    Stage 1: the remaining detections of at least LOW evidence, the remaining tracks of at least TENTATIVE, gate GATE_LOW.
    """
    track_of, det_of = matches
    labels, info = dets.labels, tracks.info
    num_dets = len(dets.boxes)
    track_of[:] = -1
    det_of[:num] = -1
    rows, columns, column_of = np.empty(num_dets, np.int64), np.empty(num, np.int64), np.empty(num_dets, np.int64)
    for label in range(len(params)):
        p = params[label]
        num_rows = num_columns = np.int64(0)  # numba compiles assign_sparse once more for a literal 0
        for d in range(num_dets):
            if labels[d] == label:
                rows[num_rows] = d
                num_rows += 1
        if num_rows == 0:
            continue
        for t in range(num):
            if info[t, LABEL] == label:
                columns[num_columns] = t
                num_columns += 1
        for stage in range(2):
            gate = (p[GATE] if stage == 0 else p[GATE_LOW]) * wider
            i_of, j_of, gains = _pairs(dets, tracks, rows[:num_rows], columns[:num_columns], p, stage, gate, matches)
            assign_sparse(i_of, j_of, gains, num_rows, num_columns, column_of[:num_rows])
            for i in range(num_rows):
                if column_of[i] >= 0:
                    track_of[rows[i]] = columns[column_of[i]]
                    det_of[columns[column_of[i]]] = rows[i]


@njit(nogil=True, cache=True)
def _pairs(
    dets: Detections,
    tracks: Tracks,
    rows: np.ndarray,
    columns: np.ndarray,
    p: np.ndarray,
    stage: int,
    gate: float,
    matches: Matches,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All unmatched pairs within the gate: places in `rows` (detections) and `columns` (tracks), and their gains."""
    track_of, det_of = matches
    evidence, world = dets.evidence, dets.world
    motion, motion_cov, belief = tracks.motion, tracks.motion_cov, tracks.belief
    room = 4 * (len(rows) + len(columns)) + 16
    i_of, j_of, gains = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
    num_pairs = 0
    floor = p[SIGMA_FLOOR] ** 2
    for i in range(len(rows)):
        d = rows[i]
        is_high = evidence[d] >= p[HIGH]
        if track_of[d] >= 0 or (stage == 0) != is_high or evidence[d] < p[LOW]:
            continue
        z = world[d]
        for j in range(len(columns)):
            t = columns[j]
            if det_of[t] >= 0 or (stage == 1 and belief[t, EVIDENCE] < p[TENTATIVE]):
                continue
            dx, dy = z[X] - motion[t, 0], z[Y] - motion[t, 1]
            if p[METRIC] == DISTANCE:
                if abs(dx) > gate or abs(dy) > gate:
                    continue
                apart = np.sqrt(dx * dx + dy * dy)
            else:  # Mahalanobis distance, S = H C H' + R + floor
                C = motion_cov[t]
                sxx, sxy, syy = C[0, 0] + z[COV_XX] + floor, C[0, 1], C[1, 1] + z[COV_YY] + floor
                if dx * dx + dy * dy > gate * gate * (sxx + syy):  # no eigenvalue of S exceeds its trace
                    continue
                apart = np.sqrt((syy * dx * dx - 2 * sxy * dx * dy + sxx * dy * dy) / (sxx * syy - sxy * sxy))
            if apart >= gate:
                continue
            if num_pairs == room:
                room *= 2
                i_of, j_of, gains = _longer(i_of, room), _longer(j_of, room), _longer(gains, room)
            i_of[num_pairs], j_of[num_pairs], gains[num_pairs] = i, j, gate - apart
            num_pairs += 1
    return i_of[:num_pairs], j_of[:num_pairs], gains[:num_pairs]


@njit(nogil=True, cache=True)
def _longer(array: np.ndarray, size: int) -> np.ndarray:
    out = np.empty(size, array.dtype)
    for k in range(len(array)):  # a slice assignment takes a second longer to compile
        out[k] = array[k]
    return out
