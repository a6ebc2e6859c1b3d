"""Steps 6 and 7 of preset `best`: which tracks begin, which end, which are shown."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.best.state import (
    AT_ONCE,
    BIRTH,
    COAST,
    COASTING,
    COV_XX,
    COV_XY,
    COV_YY,
    CROWDED,
    EVIDENCE,
    FAR,
    HIDDEN,
    HITS,
    ID,
    LABEL,
    LATEST,
    LOOSENESS,
    MAX_AGE,
    MAX_AGE_YOUNG,
    MAX_COAST,
    MEAN_L,
    MIN_HITS,
    ODD_SIZE,
    SCORE,
    SHOW,
    SHOWN,
    SIGMA_L,
    SIGMA_YAW,
    SIGMA_Z,
    SPEED_0,
    SPREAD_L,
    STATE,
    TIME_SINCE_UPDATE,
    VOTES,
    WAS_SHOWN,
    WORLD_YAW,
    Detections,
    Tracks,
    X,
    Y,
    Z,
)
from operators.kernels.best.update import blend

_GROWN_UP = 3  # matches from which on MAX_AGE holds, not MAX_AGE_YOUNG
_FREE_SPREADS, _MOST_ODD = 1.5, 10.0  # of a size: spreads that cost nothing; largest sum of squares that is charged
_FAR_M, _FAR_STEP_M, _MOST_STEPS = 40.0, 10.0, 2.0


@njit(nogil=True, cache=True)
def give_birth(dets: Detections, tracks: Tracks, num: int, params: np.ndarray, track_of: np.ndarray, next_id: int) -> int:
    """Unmatched detections of at least BIRTH evidence become tracks, and get their rows in `track_of` -> number of tracks.

    A detection within CROWDED metres of a track of its class that was detected in this frame begins none: detectors report one
    object twice. A size begins at the mean of its class.
    """
    boxes, labels, evidence, scores, world = dets
    motion, motion_cov, height, yaw, sizes, beliefs, infos = tracks
    old = num
    for d in range(len(boxes)):
        label, z = labels[d], world[d]
        p = params[label]
        if track_of[d] >= 0 or evidence[d] < p[BIRTH]:
            continue
        is_crowded = False
        for t in range(num):
            if infos[t, LABEL] == label and (t >= old or infos[t, TIME_SINCE_UPDATE] == 0):
                dx, dy = z[X] - motion[t, 0], z[Y] - motion[t, 1]
                if dx * dx + dy * dy < p[CROWDED] ** 2:
                    is_crowded = True
                    break
        if is_crowded:
            continue

        x, C = motion[num], motion_cov[num]
        x[0], x[1], x[2], x[3] = z[X], z[Y], 0.0, 0.0
        for i in range(4):
            for j in range(4):
                C[i, j] = 0.0
        C[0, 0], C[0, 1], C[1, 0], C[1, 1] = z[COV_XX], z[COV_XY], z[COV_XY], z[COV_YY]
        C[2, 2] = C[3, 3] = p[SPEED_0] ** 2
        height[num, 0], height[num, 1] = z[Z], (p[SIGMA_Z] * z[LOOSENESS]) ** 2
        yaw[num, 0], yaw[num, 1] = z[WORLD_YAW], (p[SIGMA_YAW] * z[LOOSENESS]) ** 2
        size, belief, info = sizes[num], beliefs[num], infos[num]
        for k in range(3):
            size[k], size[3 + k] = p[MEAN_L + k], p[SPREAD_L + k] ** 2
            blend(size, k, 3 + k, boxes[d, 3 + k], p[SIGMA_L + k] * z[LOOSENESS])
        belief[EVIDENCE], belief[SCORE], belief[LATEST] = evidence[d], scores[d], evidence[d]
        info[ID], info[LABEL], info[HITS], info[TIME_SINCE_UPDATE], info[WAS_SHOWN], info[VOTES] = next_id, label, 1, 0, 0, 1
        track_of[d] = num
        num += 1
        next_id += 1
    return num


@njit(nogil=True, cache=True)
def settle(tracks: Tracks, num: int, T: np.ndarray, params: np.ndarray, frame: int, boxes: np.ndarray) -> int:
    """Removes tracks that were unmatched for too long, sets STATE, fills boxes (T, 7) as BOXES3D -> number of tracks.

    A track is shown if its evidence reaches SHOW + oddity - farness and it has MIN_HITS matches or AT_ONCE evidence (in the first
    MIN_HITS frames: anyway). Unmatched, a track that was shown before stays shown for MAX_COAST steps while its evidence is at
    least COAST.
    """
    motion, _, height, yaws, size, belief, infos = tracks
    kept = np.int64(0)  # numba compiles _move once more for a literal 0
    for t in range(num):
        p, misses = params[infos[t, LABEL]], infos[t, TIME_SINCE_UPDATE]
        if misses > (p[MAX_AGE] if infos[t, HITS] >= _GROWN_UP else p[MAX_AGE_YOUNG]):
            continue
        if kept < t:
            _move(tracks, t, kept)

        # world -> velodyne: box = T^-1 track
        info, box, yaw = infos[kept], boxes[kept], yaws[kept, 0]
        dx, dy, dz = motion[kept, 0] - T[0, 3], motion[kept, 1] - T[1, 3], height[kept, 0] - T[2, 3]
        for k in range(3):
            box[k] = T[0, k] * dx + T[1, k] * dy + T[2, k] * dz
        c, s = np.cos(yaw), np.sin(yaw)
        box[6] = np.arctan2(T[0, 1] * c + T[1, 1] * s, T[0, 0] * c + T[1, 0] * s)
        for k in range(3):
            box[3 + k] = size[kept, k]

        needed = p[SHOW] + oddity(box, p) - farness(box, p)
        evidence = belief[kept, EVIDENCE]
        is_good = evidence >= needed and (info[HITS] >= p[MIN_HITS] or evidence >= p[AT_ONCE] or frame <= p[MIN_HITS])
        if is_good and misses == 0:
            info[WAS_SHOWN] = 1
        coasts = is_good and info[WAS_SHOWN] == 1 and misses <= p[MAX_COAST] and evidence >= p[COAST]
        info[STATE] = SHOWN if is_good and misses == 0 else (COASTING if coasts else HIDDEN)
        kept += 1
    return kept


@njit(nogil=True, cache=True)
def oddity(box: np.ndarray, p: np.ndarray) -> float:
    """Extra evidence that a box of unusual size for its class needs to be shown."""
    odd = 0.0
    for k in range(3):
        away = max(abs(box[3 + k] - p[MEAN_L + k]) / p[SPREAD_L + k] - _FREE_SPREADS, 0.0)
        odd += away * away
    return p[ODD_SIZE] * min(odd, _MOST_ODD)


@njit(nogil=True, cache=True)
def farness(box: np.ndarray, p: np.ndarray) -> float:
    """Evidence that a distant box is spared: detectors see few points there and give low scores."""
    return p[FAR] * min(max((np.hypot(box[0], box[1]) - _FAR_M) / _FAR_STEP_M, 0.0), _MOST_STEPS)


@njit(nogil=True, cache=True)
def _move(tracks: Tracks, t: int, to: int) -> None:
    """Copies row t to row `to`; loops, because slice assignments take long to compile."""
    motion, motion_cov, height, yaw, size, belief, info = tracks
    for i in range(4):
        motion[to, i] = motion[t, i]
        for j in range(4):
            motion_cov[to, i, j] = motion_cov[t, i, j]
    for i in range(2):
        height[to, i], yaw[to, i] = height[t, i], yaw[t, i]
    for i in range(3):
        belief[to, i] = belief[t, i]
    for i in range(6):
        size[to, i] = size[t, i]
    for i in range(7):
        info[to, i] = info[t, i]
