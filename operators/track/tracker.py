"""Detections in, tracks with ids out: 3D Kalman filter + assignment.      Source: Weng et al. 2020 (AB3DMOT)

in   boxes3d  BOXES3D  detections of all classes of one frame
     pose     POSE     optional: where the car is; predictions are then carried along with the ego-motion
out  tracks   TRACKS   filtered boxes; score of the last matched detection; ids unique over classes and restarts
State: the table of tracks (lifecycle.py), the last stamp and pose.   Empty frame: tracks coast, and die of it.
Time is counted in frame periods: a frame whose stamp shows k periods since the last one is predicted k steps ahead.
A new sequence, a stamp that goes back, or a gap above `max_gap` periods ends all tracks; ids run on. Without a pose in
one frame (sync: optional) that step is not compensated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from operators.geometry.boxes3d import wrap_angle
from operators.geometry.transforms import invert
from operators.streams import BOXES3D, CLASSES, POSE, TRACKS, Boxes3D, Tracks
from operators.track import kalman
from operators.track.assign import COSTS, match
from operators.track.clock import NEW_RECORDING, FrameClock
from operators.track.lifecycle import Table
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional

IDS_PER_RESTART = 1_000_000


@dataclass(frozen=True, slots=True)
class ClassConfig:
    """The settings of a class, by default AB3DMOT's for cars."""

    metric: Literal["giou_3d", "iou_3d", "distance_3d"] = "giou_3d"
    threshold: float = -0.2  # least overlap, or most metres, of a match
    matching: Literal["hungarian", "greedy"] = "hungarian"
    min_hits: int = 3  # detections before a track is shown
    max_age: int = 2  # frame periods without a detection until it dies
    min_score: float | None = None  # of this class; None: the tracker's

    def __post_init__(self) -> None:
        for key in ("min_hits", "max_age"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: needs 1 frame or more, got {getattr(self, key)}")


@dataclass(frozen=True, slots=True)
class PedestrianConfig(ClassConfig):
    threshold: float = -0.4
    matching: Literal["hungarian", "greedy"] = "greedy"
    min_hits: int = 1
    max_age: int = 4


@dataclass(frozen=True, slots=True)
class CyclistConfig(ClassConfig):
    metric: Literal["giou_3d", "iou_3d", "distance_3d"] = "distance_3d"
    threshold: float = 2.0
    max_age: int = 4


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    car: ClassConfig = ClassConfig()
    pedestrian: PedestrianConfig = PedestrianConfig()
    cyclist: CyclistConfig = CyclistConfig()
    other: ClassConfig = ClassConfig()
    min_score: float | None = None  # detections below are not tracked; in the detector's own kind of score
    use_ego_motion: bool = True  # when a pose is connected
    rate_hz: float | None = None  # of the frames; None: learned from the stamps
    max_gap: int = 10  # frame periods without a frame after which every track has ended


class Rules(NamedTuple):
    """The class settings as tables over `labels`."""

    of_label: tuple[ClassConfig, ...]
    min_hits: np.ndarray
    max_age: np.ndarray
    min_score: np.ndarray


def rules(config: TrackerConfig) -> Rules:
    known = {"Car": config.car, "Pedestrian": config.pedestrian, "Cyclist": config.cyclist}
    of_label = tuple(known.get(name, config.other) for name in CLASSES)
    lowest = [config.min_score if c.min_score is None else c.min_score for c in of_label]
    return Rules(
        of_label,
        np.array([c.min_hits for c in of_label]),
        np.array([c.max_age for c in of_label]),
        np.array([-np.inf if score is None else score for score in lowest]),
    )


def associate(dets: np.ndarray, labels: np.ndarray, tracks: np.ndarray, track_labels: np.ndarray, rules: Rules) -> np.ndarray:
    """boxes3d (D, 7), (T, 7) float64 -> matches (K, 2) [det, track], class by class."""
    found = [np.empty((0, 2), np.int64)]
    for label in np.unique(labels):
        d, t = np.flatnonzero(labels == label), np.flatnonzero(track_labels == label)
        rule = rules.of_label[label]
        pairs = match(dets[d], tracks[t], rule.metric, rule.threshold, rule.matching)
        found.append(np.stack([d[pairs[:, 0]], t[pairs[:, 1]]], 1))
    return np.concatenate(found)


def step(
    table: Table,
    detections: Boxes3D,
    model: kalman.Model,
    rules: Rules,
    next_id: int,
    steps: int = 1,
    T_now_prev: np.ndarray | None = None,
) -> tuple[Table, int]:
    """One frame: predict, associate, update, births, deaths. Consumes the table -> the new one, the new next_id."""
    for _ in range(steps):
        table.x, table.P = kalman.predict(table.x, table.P, model)
    table.missed(steps)
    if T_now_prev is not None:
        table.x = kalman.carry(table.x, T_now_prev)

    z = kalman.measurements(detections.boxes3d)
    matches = associate(kalman.boxes(z), detections.labels, kalman.boxes(table.x), table.labels, rules)
    det, row = matches[:, 0], matches[:, 1]
    table.x[row], table.P[row] = kalman.update(table.x[row], table.P[row], z[det], model)
    table.hit(row, detections.scores[det])

    unmatched = np.ones(len(z), bool)
    unmatched[det] = False
    if unmatched.any():
        x, P = kalman.newborn(z[unmatched], model)
        table = table.join(Table.born(x, P, detections.labels[unmatched], detections.scores[unmatched], next_id))
    alive = table.alive(rules.max_age[table.labels])
    return (table if alive.all() else table.keep(alive)), next_id + int(unmatched.sum())


def usable(detections: Boxes3D, rules: Rules, who: str) -> Boxes3D:
    """Detections that score enough. Raises FrameError on numbers that no box has: one would poison its track."""
    boxes3d, scores, labels = detections
    wrong = ~np.isfinite(boxes3d).all(1) | (boxes3d[:, 3:6] <= 0).any(1)
    if wrong.any():
        row = int(wrong.argmax())
        raise FrameError(
            f"{who}: boxes3d: needs finite x y z l w h yaw with l, w, h > 0, got {boxes3d[row].tolist()} in row {row}; "
            "a damaged detection file?"
        )
    wrong = (labels < 0) | (labels >= len(CLASSES)) | np.isnan(scores)
    if wrong.any():
        row = int(wrong.argmax())
        raise FrameError(
            f"{who}: boxes3d: needs labels 0..{len(CLASSES) - 1} and scores, got label {labels[row]} with score "
            f"{scores[row]} in row {row}; DontCare regions are no detections"
        )
    enough = scores >= rules.min_score[labels]
    return Boxes3D(boxes3d[enough], scores[enough], labels[enough])


class Tracker(Operator):
    Config, inputs, outputs = TrackerConfig, {"boxes3d": BOXES3D, "pose": optional(POSE)}, {"tracks": TRACKS}

    def open(self) -> None:
        self.model = kalman.constant_velocity()
        self.rules = rules(self.config)
        self.clock = FrameClock(self.config.rate_hz, self.config.max_gap)
        self.next_id = 1 + IDS_PER_RESTART * (self.resume.restarts if self.resume else 0)
        self.table = Table.empty()
        self.frame = 0  # of this recording, from 1
        self.T_world_velo: np.ndarray | None = None
        for cost in COSTS.values():  # compile here, where no frame is waiting
            cost(np.ones((1, 7)), np.ones((1, 7)))

    def process(self, boxes3d: Boxes3D, pose: np.ndarray | None = None) -> Tracks:
        detections = usable(boxes3d, self.rules, f"{self.name} at {self.header}")
        steps = self.clock.tick(self.header.sequence, self.header.stamp_ns)
        if steps == NEW_RECORDING:
            self.table, self.frame, self.T_world_velo = Table.empty(), 0, None
        self.frame += 1
        motion = self._ego_motion(pose)
        self.table, self.next_id = step(self.table, detections, self.model, self.rules, self.next_id, steps, motion)

        table = self.table
        shown = table.shown(self.rules.min_hits[table.labels], self.frame)
        boxes = self.alloc("tracks", "boxes3d", (int(shown.sum()), 7), np.float32)
        boxes[:] = kalman.boxes(table.x[shown])
        boxes[:, 6] = wrap_angle(boxes[:, 6])
        columns = {"scores": table.scores, "labels": table.labels, "track_ids": table.track_ids}
        return Tracks(boxes, *(self.put("tracks", name, column[shown]) for name, column in columns.items()))

    def _ego_motion(self, T_world_velo: np.ndarray | None) -> np.ndarray | None:
        """T_now_prev, or None where it is unknown or not wanted."""
        before = self.T_world_velo
        if T_world_velo is None or not self.config.use_ego_motion:
            self.T_world_velo = None
            return None
        self.T_world_velo = T_world_velo.copy()  # the frame's memory goes back when process() returns
        return None if before is None else invert(T_world_velo) @ before
