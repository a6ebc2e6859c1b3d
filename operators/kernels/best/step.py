"""One frame of preset `best`, step by step. See track/best.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from operators.kernels.best.associate import associate
from operators.kernels.best.ego import NEW_FRAMES, correct, drive_on, multiply4, own_motion, remember
from operators.kernels.best.life import give_birth, settle
from operators.kernels.best.measure import measure
from operators.kernels.best.predict import predict
from operators.kernels.best.state import Detections, Ego, Matches, Tracks
from operators.kernels.best.update import update

_ATTEMPTS = 2
_WIDER = 1.8  # gates of the first attempt while the car's speed is unknown
_NEW_AHEAD, _NEW_LEFT, _NEW_TURN = 4.0, 0.04, 0.01  # variances then: a speed of up to 2 m per step, or more [m2, m2, rad2]
_LEFT_SHARE = 0.3  # sideways changes are smaller than those ahead


@njit(nogil=True, cache=True)
def step(
    det_fields: tuple[np.ndarray, ...],
    track_fields: tuple[np.ndarray, ...],
    num: int,
    steps: int,
    ego_fields: tuple[Any, ...],
    params: np.ndarray,
    frame: int,
    next_id: int,
    boxes: np.ndarray,
    track_of: np.ndarray,
) -> tuple[int, int]:
    """-> number of tracks, next id. Tracks and `boxes` need room for num + D rows.

    det_fields, track_fields, ego_fields  of Detections, Tracks, Ego, as plain tuples: a call from Python takes 10 us longer with
                                          NamedTuples
    steps   frame periods since the last frame;   frame  of the recording, from 1
    boxes   (T, 7) float64 is filled: the tracks as BOXES3D; info[STATE] says which are shown
    track_of (D,) int64 is filled: row of the track that each detection continued (before deaths: below num) or began, -1 = none
    """
    dets, tracks, ego = Detections(*det_fields), Tracks(*track_fields), Ego(*ego_fields)

    # 1. where the tracks are expected now
    for _ in range(steps):
        predict(tracks, num, params)

    # 2., 3. the car's pose: known, or from the detections of earlier tracks; it places the detections in the world
    matches = Matches(track_of, np.empty(num, np.int64))
    last = np.empty((4, 4))
    for i in range(4):
        for j in range(4):
            last[i, j] = ego.T[i, j]
    if ego.is_known:
        multiply4(last, ego.T_before_now, ego.T)
    elif frame > 1:
        _find_pose(dets, tracks, num, steps, ego, params, matches)
    measure(dets, ego.T, params)

    # 4. which detection continues which track
    associate(dets, tracks, num, params, 1.0, matches)
    is_observed = ego.is_known
    for t in range(num):
        is_observed = is_observed or matches.det_of[t] >= 0
    remember(last, ego, steps, is_observed)

    # 5. Kalman updates;   6. births;   7. deaths, and what is shown
    update(dets, tracks, num, params, matches.det_of)
    old, num = num, give_birth(dets, tracks, num, params, matches.track_of, next_id)
    return settle(tracks, num, ego.T, params, frame, boxes), next_id + num - old


@njit(nogil=True, cache=True)
def _find_pose(dets: Detections, tracks: Tracks, num: int, steps: int, ego: Ego, params: np.ndarray, matches: Matches) -> None:
    """Without a pose: drive on as before, then correct T_world_velo from the matches, and once more with the new matches."""
    is_new = ego.drive[3] < NEW_FRAMES
    drive_on(ego, steps)
    variance, fix = np.empty(3), np.empty(3)
    variance[0] = _NEW_AHEAD if is_new else ego.sigmas[0] ** 2
    variance[1] = _NEW_LEFT if is_new else (_LEFT_SHARE * ego.sigmas[0]) ** 2
    variance[2] = _NEW_TURN if is_new else ego.sigmas[1] ** 2
    for attempt in range(_ATTEMPTS):
        measure(dets, ego.T, params)
        wider = _WIDER if is_new and attempt == 0 else 1.0
        associate(dets, tracks, num, params, wider, matches)
        own_motion(dets, ego.T, variance, tracks, num, params, matches.det_of, fix)
        correct(ego.T, fix)
