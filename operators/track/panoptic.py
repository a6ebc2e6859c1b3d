"""Instances in, an id for each of them that lasts over frames: the association of PanopticTrackNet.

Source: Hurtado et al. 2020 (MOPT), sec. 3.5; report, B3.2

in   instances     INSTANCES     of one frame, before fusion
     embeddings    EMBEDDINGS    association `embedding`: how each instance looks, row by row
     tracks2d      TRACKS2D      association `tracks`: of a separate tracker on the same frame
out  instance_ids  INSTANCE_IDS  row by row; -1 where the score is min_score or less. fuse.panoptic puts them into its track_ids
State: class, id, last embedding and box of each track that was seen in the last `window` + 1 frames.   No instance: M = 0.

embedding  Tracks of a class that are hidden for at most `window` frames, and the instances of that class, are paired by Hungarian
           on the Euclidean distance of their embeddings.
iou        The same with 1 - IoU of the boxes: a baseline without a tracking head.
tracks     The disjoint baseline, a panoptic net and a tracker that do not know each other: an instance takes the id of the track
           that overlaps it most, one to one.
An instance without a track gets a fresh id, in `tracks` -1. Ids are unique per run, over classes and restarts. Time and
recordings as in tracker.py: frame periods; a new sequence, a stamp that goes back or a gap end all tracks, ids continue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.kernels.lsap import assign
from operators.kernels.overlaps import iou_2d
from operators.streams import EMBEDDINGS, INSTANCE_IDS, INSTANCES, TRACKS2D, Instances, Tracks2D
from operators.track.clock import NEW_RECORDING, FrameClock
from operators.track.tracker import IDS_PER_RESTART
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional

NO_ID = -1
_FAR = 1e6  # cost of a pair that must not be


@dataclass(frozen=True, slots=True)
class TrackPanopticConfig:
    association: Literal["embedding", "iou", "tracks"] = "embedding"
    min_score: float = 0.5  # u_s: instances above it are tracked
    window: int = 3  # N_T: frame periods that a track may be hidden
    max_distance: float | None = None  # of two embeddings of one object; None: any, as in the paper
    min_iou: float = 0.3  # of two boxes of one object, in `iou` and `tracks`
    rate_hz: float | None = None  # of the frames; None: learned from the stamps
    max_gap: int = 30  # frame periods without a frame after which every track has ended

    def __post_init__(self) -> None:
        for key in ("min_score", "min_iou"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"{key}: needs 0..1, got {getattr(self, key)}")
        if self.window < 0:
            raise ValueError(f"window: needs 0 or more frame periods, got {self.window}")
        if self.max_gap < 1:
            raise ValueError(f"max_gap: needs 1 or more frame periods, got {self.max_gap}")
        for key in ("max_distance", "rate_hz"):
            value = getattr(self, key)
            if value is not None and not value > 0:
                raise ValueError(f"{key}: needs more than 0, got {value}")

    @property
    def limit(self) -> float:
        """Largest cost of a pair."""
        if self.association == "embedding":
            return _FAR if self.max_distance is None else self.max_distance
        return 1 - self.min_iou


class Tracks:
    """Ids without the engine. `features` are embeddings or boxes, whatever the association compares."""

    def __init__(self, config: TrackPanopticConfig, first_id: int) -> None:
        self.config, self.next_id = config, first_id
        self.restart()

    def restart(self) -> None:
        """Another recording begins: all tracks end, ids continue."""
        self.labels: np.ndarray = np.zeros(0, np.int32)
        self.ids: np.ndarray = np.zeros(0, np.int64)
        self.since: np.ndarray = np.zeros(0, np.int64)  # frame periods since the track was seen
        self.features: np.ndarray = np.zeros((0, 0))

    def step(self, labels: np.ndarray, features: np.ndarray, steps: int) -> np.ndarray:
        """labels (K,), features (K, E) of the instances to track, `steps` frame periods after the last frame -> ids (K,) int64"""
        self.since += steps
        keep = self.since <= self.config.window + 1
        self.labels, self.ids = self.labels[keep], self.ids[keep]
        self.since, self.features = self.since[keep], self.features[keep]
        ids = np.full(len(labels), NO_ID, np.int64)
        cost_of = distances if self.config.association == "embedding" else box_costs
        for label in np.unique(labels):
            mine, theirs = np.flatnonzero(labels == label), np.flatnonzero(self.labels == label)
            for row, column in pairs(cost_of(features[mine], self.features[theirs]), self.config.limit):
                ids[mine[row]] = self.ids[theirs[column]]
        fresh = np.flatnonzero(ids == NO_ID)
        ids[fresh] = self.next_id + np.arange(len(fresh))
        self.next_id += len(fresh)
        lost = ~np.isin(self.ids, ids)
        unseen = self.features[lost]
        if len(unseen) == 0 or len(features) == 0:  # an empty table has no width of its own
            self.features = unseen if len(unseen) else features
        else:
            self.features = np.concatenate([unseen, features])
        self.labels = np.concatenate([self.labels[lost], labels])
        self.ids = np.concatenate([self.ids[lost], ids])
        self.since = np.concatenate([self.since[lost], np.zeros(len(ids), np.int64)])
        return ids


def distances(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Euclidean: (R, E), (C, E) -> (R, C) float64"""
    return np.linalg.norm(rows[:, None].astype(np.float64) - columns[None], axis=2) if len(columns) else np.zeros((len(rows), 0))


def box_costs(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """1 - IoU: (R, 4), (C, 4) -> (R, C) float64"""
    overlap = np.zeros((len(rows), len(columns)))
    if overlap.size:
        iou_2d(rows.astype(np.float64), columns.astype(np.float64), overlap)
    return 1 - overlap


def pairs(cost: np.ndarray, limit: float) -> list[tuple[int, int]]:
    """Row, column of the pairs of least total cost; none costs more than `limit`."""
    column_of = np.empty(len(cost), np.int64)
    assign(np.where(cost <= limit, cost, _FAR), column_of)
    return [(row, column) for row, column in enumerate(column_of.tolist()) if column >= 0 and cost[row, column] <= limit]


class TrackPanoptic(Operator):
    Config, outputs = TrackPanopticConfig, {"instance_ids": INSTANCE_IDS}
    tunable = ("min_score", "window", "max_distance", "min_iou")
    inputs = {"instances": INSTANCES, "embeddings": optional(EMBEDDINGS), "tracks2d": optional(TRACKS2D)}

    def open(self) -> None:
        self.clock = FrameClock(self.config.rate_hz, self.config.max_gap)
        self.tracks = Tracks(self.config, 1 + IDS_PER_RESTART * (self.resume.restarts if self.resume else 0))
        pairs(box_costs(np.array([[0.0, 0, 1, 1]]), np.array([[0.0, 0, 1, 1]])), 1.0)  # compile before the first frame

    def reconfigured(self, old: TrackPanopticConfig, new: TrackPanopticConfig) -> None:
        self.tracks.config = new

    def process(self, instances: Instances, embeddings: np.ndarray | None = None, tracks2d: Tracks2D | None = None) -> np.ndarray:
        sure = np.flatnonzero(instances.scores > self.config.min_score)
        ids = self.alloc("instance_ids", "instance_ids", (len(instances.labels),), np.int64)
        ids[:] = NO_ID
        labels, boxes = instances.labels[sure], instances.boxes2d[sure]
        if self.config.association == "tracks":
            if tracks2d is None:
                raise self._missing("tracks2d")
            ids[sure] = ids_of_tracks(labels, boxes, tracks2d, self.config.limit)
            return ids
        features = boxes
        if self.config.association == "embedding":
            if embeddings is None:
                raise self._missing("embeddings")
            features = self._looks(embeddings, len(instances.labels), sure)
        steps = self.clock.tick(self.header.sequence, self.header.stamp_ns)
        if steps == NEW_RECORDING:
            self.tracks.restart()
        ids[sure] = self.tracks.step(labels, features, max(steps, 1))
        return ids

    def _missing(self, port: str) -> FrameError:
        who = f"{self.name} at {self.header}"
        return FrameError(f"{who}: needs the input {port} for association: {self.config.association}, got none")

    def _looks(self, embeddings: np.ndarray, count: int, sure: np.ndarray) -> np.ndarray:
        """(K, E) of the instances to track. Raises FrameError where they are not there, not finite, unknown, of another width."""
        who = f"{self.name} at {self.header}: embeddings"
        if len(embeddings) != count:
            raise FrameError(f"{who}: needs a row for each of {count} instances, got {len(embeddings)}; of another net?")
        looks = embeddings[sure]
        known = np.isfinite(looks).all(1) & looks.any(1)
        if not known.all():
            row = int(sure[known.argmin()])
            raise FrameError(
                f"{who}: needs finite numbers, not all 0, got {embeddings[row][:4].tolist()}.. in row {row}; "
                "a net without a tracking head? set config.association: iou"
            )
        width = self.tracks.features.shape[1]
        if len(self.tracks.ids) and len(looks) and width != looks.shape[1]:
            raise FrameError(f"{who}: needs width {width}, as this recording began with, got {looks.shape[1]}; of another net?")
        return looks


def ids_of_tracks(labels: np.ndarray, boxes: np.ndarray, tracks: Tracks2D, limit: float) -> np.ndarray:
    """The ids of the tracks of the same class that overlap the boxes most, one to one: (K,) int64, -1 where there is none."""
    cost = box_costs(boxes, tracks.boxes2d)
    cost[labels[:, None] != tracks.labels[None]] = 2.0
    ids = np.full(len(labels), NO_ID, np.int64)
    for row, column in pairs(cost, limit):
        ids[row] = tracks.track_ids[column]
    return ids
