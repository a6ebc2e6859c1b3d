"""AB3DMOT written plainly: a filterpy object per track, Python loops over pairs. The oracle of preset `ab3dmot`.

Algorithm, camera frame and tracks are those of the preset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from filterpy.kalman import KalmanFilter
from scipy.optimize import linear_sum_assignment
from scipy.spatial import ConvexHull

from operators.track.ab3dmot import ClassConfig

Point = tuple[float, float]


@dataclass
class _Track:
    filter: KalmanFilter
    id: int
    score: float
    hits: int = 1
    time_since_update: int = 0


class NaiveTracker:
    """One class. Boxes are [x, y, z, yaw, l, w, h] of the camera frame."""

    def __init__(self, rule: ClassConfig) -> None:
        self.rule, self.tracks, self.frame, self.next_id = rule, [], 0, 1

    tracks: list[_Track]

    def step(self, boxes: np.ndarray, scores: np.ndarray, motion: np.ndarray) -> list[tuple[int, np.ndarray, float]]:
        """motion (3, 4): from the last camera frame to this one -> (id, box, score) of each output track."""
        self.frame += 1
        for track in self.tracks:
            track.filter.predict()
            track.filter.x[3] = _once(track.filter.x[3, 0])
            track.filter.x[:3, 0] = motion[:, :3] @ track.filter.x[:3, 0] + motion[:, 3]
            track.time_since_update += 1
        pairs, alone = self._associate(boxes)
        for d, t in pairs:
            track = self.tracks[t]
            track.hits, track.time_since_update, track.score = track.hits + 1, 0, float(scores[d])
            track.filter.x[3] = _facing(track.filter.x[3, 0], boxes[d, 3])
            track.filter.update(boxes[d])
            track.filter.x[3] = _once(track.filter.x[3, 0])
        for d in alone:
            self.tracks.append(_Track(_new_filter(boxes[d]), self.next_id, float(scores[d])))
            self.next_id += 1
        self.tracks = [t for t in self.tracks if t.time_since_update < self.rule.max_age]
        least = self.rule.min_hits
        return [(t.id, t.filter.x[:7, 0].copy(), t.score) for t in self.tracks if t.hits >= least or self.frame <= least]

    def _associate(self, boxes: np.ndarray) -> tuple[list[tuple[int, int]], list[int]]:
        near = np.zeros((len(boxes), len(self.tracks)), np.float32)
        for d, box in enumerate(boxes):
            for t, track in enumerate(self.tracks):
                near[d, t] = _similarity(box, track.filter.x[:7, 0], self.rule.metric)
        limit = np.float32(-self.rule.threshold if self.rule.metric == "distance_3d" else self.rule.threshold)
        pairs = _greedy(near) if self.rule.matching == "greedy" else list(zip(*linear_sum_assignment(-near), strict=True))
        kept = [(int(d), int(t)) for d, t in pairs if near[d, t] >= limit]
        taken, undone = {int(d) for d, _ in pairs}, [int(d) for d, t in pairs if near[d, t] < limit]
        return kept, [d for d in range(len(boxes)) if d not in taken] + undone


def _new_filter(box: np.ndarray) -> KalmanFilter:
    one = KalmanFilter(dim_x=10, dim_z=7)
    one.F[0, 7] = one.F[1, 8] = one.F[2, 9] = 1
    one.H[:] = np.eye(7, 10)
    one.P[7:, 7:] *= 1000.0
    one.P *= 10.0
    one.Q[7:, 7:] *= 0.01
    one.x[:7, 0] = box
    return one


def _greedy(near: np.ndarray) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    rows, columns = set(), set()
    for at in np.argsort(-near, axis=None, kind="stable"):
        d, t = divmod(int(at), near.shape[1])
        if d not in rows and t not in columns:
            rows.add(d)
            columns.add(t)
            pairs.append((d, t))
    return pairs


def _once(yaw: float) -> float:
    if yaw >= math.pi:
        yaw -= 2 * math.pi
    if yaw < -math.pi:
        yaw += 2 * math.pi
    return yaw


def _facing(track: float, seen: float) -> float:
    if math.pi / 2 < abs(seen - track) < math.pi * 3 / 2:
        track = _once(track + math.pi)
    if abs(seen - track) >= math.pi * 3 / 2:
        track += 2 * math.pi if seen > 0 else -2 * math.pi
    return track


def _similarity(a: np.ndarray, b: np.ndarray, metric: str) -> float:
    if metric == "distance_3d":
        up = [(box[1] - box[6] / 2) for box in (a, b)]
        return -math.hypot(a[0] - b[0], up[0] - up[1], a[2] - b[2])
    feet = [_footprint(a), _footprint(b)]
    shared_height = max(0.0, min(a[1], b[1]) - max(a[1] - a[6], b[1] - b[6]))
    shared = _area(_clip(*feet)) * shared_height
    union = float(np.prod(a[4:7]) + np.prod(b[4:7])) - shared
    if metric == "iou_3d":
        return shared / union
    hull = ConvexHull(np.array(feet[0] + feet[1])).volume * (max(a[1], b[1]) - min(a[1] - a[6], b[1] - b[6]))
    return shared / union - (hull - union) / hull


def _footprint(box: np.ndarray) -> list[Point]:
    c, s = math.cos(box[3]), math.sin(box[3])
    corners = []
    for u, v in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
        ahead, left = u * box[4] / 2, v * box[5] / 2
        corners.append((box[0] + c * ahead - s * left, -box[2] + s * ahead + c * left))
    return corners


def _clip(subject: list[Point], clip: list[Point]) -> list[Point]:
    for a, b in zip(clip, clip[1:] + clip[:1], strict=True):
        result: list[Point] = []
        sides = [(b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) for p in subject]
        for k, (p, side) in enumerate(zip(subject, sides, strict=True)):
            q, other = subject[(k + 1) % len(subject)], sides[(k + 1) % len(sides)]
            if side >= 0:
                result.append(p)
            if side * other < 0:
                share = side / (side - other)
                result.append((p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])))
        subject = result
    return subject


def _area(polygon: list[Point]) -> float:
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True)) / 2 if polygon else 0.0
