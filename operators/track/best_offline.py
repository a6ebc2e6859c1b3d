"""Preset `best_offline`: the output of `best` frame by frame, and at the end of a recording all frames again, in hindsight.

A track is real if the mean evidence of all its detections is high enough. A real track is output from its first to its last
detection, also in frames where `best` did not show it, with gaps of up to MAX_GAP steps filled; other tracks are left out. The
path is smoothed (kernels/smooth.py), the size is the last one. The `history` port emits this once per recording, with the frame
that the source marks `last: true`; an interrupted recording has no history.
With `unsure: keep` the other tracks are output too, where they were detected and one step after; one score per track, from the
mean evidence of all its detections.
"""

from __future__ import annotations

import numpy as np

from operators.geometry.boxes3d import wrap_angle
from operators.kernels.best import state as kernel
from operators.kernels.best.life import farness, oddity
from operators.kernels.best.state import Tracks
from operators.kernels.smooth import look_back
from operators.streams import Calibration, History
from operators.track.best import BORDER_PX, KEPT_UNSEEN, Best, in_picture
from operators.track.frame import Seen, Shown

MEAN_EVIDENCE = 0.2
MIN_HITS = 4
MAX_GAP = 15
_STEPS = 64
"""Steps per 1 of a logit with `keep`: sums of such scores are exact, so AB3DMOT's evaluator, which averages averages, finds every
track at its own mean."""


class BestOffline(Best):
    def restart(self) -> None:
        super().restart()
        self.numbers: list[int] = []
        self.steps: list[int] = []
        self.poses: list[np.ndarray] = []
        self.kept: list[Tracks] = []  # the tracks of each frame
        self.calibration: Calibration | None = None

    def step(self, seen: Seen) -> Shown:
        shown = super().step(seen)
        self.numbers.append(seen.number)
        self.steps.append(seen.steps)
        self.poses.append(self.T.copy())
        self.kept.append(self._copy())
        self.calibration = seen.calibration
        return shown

    def _copy(self) -> Tracks:
        """The tracks of this frame; with `keep` those of the second tracker behind them."""
        mine = Tracks(*(array[: self.num].copy() for array in self.tracks))
        if self.second is None:
            return mine
        theirs = (array[: self.second.num] for array in self.second.tracks)
        return Tracks(*(np.concatenate(pair) for pair in zip(mine, theirs, strict=True)))

    def history(self) -> History:
        """All rows from the first frame of the recording to this one, by frame, then in order of birth."""
        of_frame = np.repeat(np.arange(len(self.kept)), [len(tracks.info) for tracks in self.kept])
        all_rows = Tracks(*(np.concatenate(arrays) for arrays in zip(*self.kept, strict=True)))
        steps, poses, numbers = np.array(self.steps), np.stack(self.poses), np.array(self.numbers)
        parts: list[tuple[np.ndarray, ...]] = []
        ids = all_rows.info[:, kernel.ID]
        order = np.lexsort((of_frame, ids))
        for rows in np.split(order, np.flatnonzero(np.diff(ids[order])) + 1):
            hits = np.flatnonzero(all_rows.info[rows, kernel.TIME_SINCE_UPDATE] == 0)
            if not len(hits) or (len(hits) < MIN_HITS and self.second is None):
                continue
            rows = rows[: hits[-1] + 1]
            track = Tracks(*(array[rows] for array in all_rows))
            params = self.params[track.info[0, kernel.LABEL]]
            look_back(track, steps[of_frame[rows]], self.params)
            boxes3d = _boxes(track, poses[of_frame[rows]])
            less = np.array([farness(box, params) for box in boxes3d])
            needed = MEAN_EVIDENCE + oddity(boxes3d[-1], params) - less
            mean = track.belief[hits, kernel.LATEST].mean()
            is_real, gaps = len(hits) >= MIN_HITS and mean >= needed, _gaps(hits, len(rows))
            real = is_real & (gaps <= MAX_GAP)
            score = np.float32(track.belief[-1, kernel.SCORE])
            if self.second is not None:
                real |= gaps <= KEPT_UNSEEN + 1
                num_hits, label = np.array([len(hits)]), track.info[-1:, kernel.LABEL]
                of_all = self.as_score(mean[None], num_hits, boxes3d[-1:], label).item()
                score = np.float32(round(of_all * _STEPS) / _STEPS if self.kind == "logit" else of_all)
            seen = np.zeros(len(rows), bool)
            seen[hits] = True
            parts.append((of_frame[rows][real], boxes3d[real], track.info[real], np.full(real.sum(), score), seen[real]))
        return self._by_frame(parts, numbers)

    def _by_frame(self, parts: list[tuple[np.ndarray, ...]], numbers: np.ndarray) -> History:
        """The rows of all tracks -> by frame, without unseen rows outside the picture."""
        none = (np.empty(0, np.int64), np.empty((0, 7)), np.empty((0, 7), np.int64), np.empty(0, np.float32), np.empty(0, bool))
        of_frame, boxes3d, info, scores, seen = (np.concatenate(p) for p in zip(none, *parts, strict=True))
        boxes2d = np.full((len(boxes3d), 4), np.nan, np.float32)
        stays = np.ones(len(boxes3d), bool)
        if self.calibration is not None:
            boxes2d, visible = in_picture(boxes3d, info[:, kernel.LABEL], self.calibration)
            inside = (boxes2d[:, 0] >= BORDER_PX) & (boxes2d[:, 2] <= self.calibration.image_size[0] - 1 - BORDER_PX)
            stays = seen | (visible & inside)
        rows = np.lexsort((info[:, kernel.ID], of_frame))
        rows = rows[stays[rows]]
        boxes3d = boxes3d[rows].astype(np.float32)
        boxes3d[:, 6] = wrap_angle(boxes3d[:, 6])
        labels, ids = info[rows, kernel.LABEL].astype(np.int32), info[rows, kernel.ID]
        return History(numbers[of_frame[rows]], boxes3d, scores[rows], labels, ids, boxes2d[rows])


def _boxes(track: Tracks, T: np.ndarray) -> np.ndarray:
    """Rows in the world, T (N, 4, 4) T_world_velo -> (N, 7) in the velodyne frame."""
    out = np.empty((len(track.motion), 7))
    out[:, :3] = np.einsum("nij,ni->nj", T[:, :3, :3], np.column_stack([track.motion[:, :2], track.height[:, 0]]) - T[:, :3, 3])
    out[:, 3:6] = track.size[:, :3]
    c, s = np.cos(track.yaw[:, 0]), np.sin(track.yaw[:, 0])
    out[:, 6] = np.arctan2(T[:, 0, 1] * c + T[:, 1, 1] * s, T[:, 0, 0] * c + T[:, 1, 0] * s)
    return out


def _gaps(hits: np.ndarray, num: int) -> np.ndarray:
    """(num,): distance between the hits before and after each row; 0 at a hit."""
    rows = np.arange(num)
    after = hits[np.searchsorted(hits, rows)]
    before = hits[np.searchsorted(hits, rows, side="right") - 1]
    return after - before
