"""Preset `best`: causal, tracks in the world frame, decides by evidence.

- Evidence: log-odds that a detection is true, computed from its score per class and kind of score (models.py). Evidence decides
  which detections are matched first (two stages: Zhang et al. 2022, ByteTrack), which begin a track, their noise (less with more
  evidence), and, as a running mean that falls with every miss, which tracks are shown. No output is revised by later frames.
- Motion: constant velocity in the world of the first frame, filtered with one 4 x 4 covariance per track; height, yaw and sizes
  have separate filters, sizes start at the class's mean. Front and back are not distinguished until the track is born.
- The world: poses if connected; else the ego-motion is estimated from the tracks (kernels/best/ego.py), mostly from parked
  objects. A frame without pose among frames with poses is bridged in this way.
- A track continues with a detection after up to `max_age` steps unseen; it is shown unseen for `max_coast` steps, and only
  while its box does not touch the picture's border, where objects leave (with calibration connected).
- The picture: the projected box, cut at the border; for persons the elliptic cylinder inside, because limbs rarely fill the
  corners of their boxes. A track outside the picture has no 2D box (NaN).
Score of a track: the running mean of its detections' scores, in their own kind.

`unsure: keep` shows more, for evaluations that vary a threshold on the score; what `drop` shows is there with the same boxes:
- every track that was detected in this frame or the last one, whatever its evidence and number of detections;
- detections without enough evidence to begin a track: a second tracker follows them, with the same motion. A track that begins
  with a detection which continues one of these takes over its id.
Score of a row: the log-odds that the row is true, as a score of the detector's kind: evidence + ln(detections so far), less for
unusual sizes and more for far boxes, as `show` has it. It depends on this frame and earlier ones only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from operators.geometry.boxes3d import wrap_angle
from operators.geometry.transforms import invert
from operators.kernels.best import state as kernel
from operators.kernels.best.life import farness, oddity
from operators.kernels.best.state import Detections, Ego, Tracks
from operators.kernels.best.step import step
from operators.kernels.picture import rectangles
from operators.streams import CLASSES, Calibration
from operators.track import models
from operators.track.frame import Seen, Shown, longer

_EGO = np.array([0.4, 0.005])
_STILL = np.eye(4)
_ROUNDNESS = np.where(np.isin(CLASSES, ("Pedestrian", "Person_sitting")), 0.9, 0.0)
BORDER_PX = 3.0
UnsureTracks = Literal["drop", "keep"]
KEPT_UNSEEN = 1
"""Steps that `keep` shows an unsure track without a detection."""
PRIOR = -2.3
"""Log-odds of a row whose track has evidence 0 and one detection, measured over all classes (docs/tracking.md)."""


@dataclass(frozen=True, slots=True)
class BestClassConfig:
    """Settings of a class; None: as measured (models.py). Evidence 0: true with probability 1/2."""

    min_score: float | None = None  # detections below are ignored; in the detector's kind of score
    even_score: float | None = None  # score of a detection with evidence 0; in the detector's kind of score
    min_evidence: float | None = None  # of a shown track: a higher limit shows fewer false ones
    min_hits: int | None = None  # detections before a track is shown, unless its evidence is very high
    max_coast: int | None = None  # frame periods that a track is shown without a detection
    max_age: int | None = None  # frame periods without a detection until it dies

    def __post_init__(self) -> None:
        for key, least in (("min_hits", 1), ("max_coast", 0), ("max_age", 1)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise ValueError(f"{key}: needs {least} or more, got {value}")


@dataclass(frozen=True, slots=True)
class BestConfig:
    car: BestClassConfig = field(default_factory=BestClassConfig)
    pedestrian: BestClassConfig = field(default_factory=BestClassConfig)
    cyclist: BestClassConfig = field(default_factory=BestClassConfig)
    other: BestClassConfig = field(default_factory=BestClassConfig)


def of_label(config: BestConfig, label: int) -> BestClassConfig:
    return {"Car": config.car, "Pedestrian": config.pedestrian, "Cyclist": config.cyclist}.get(CLASSES[label], config.other)


def model(label: int, config: BestConfig) -> models.Model:
    """The model of a class, with the values set in the config."""
    mine, base = of_label(config, label), models.of_label(label)
    return replace(
        base,
        show=base.show if mine.min_evidence is None else mine.min_evidence,
        min_hits=base.min_hits if mine.min_hits is None else mine.min_hits,
        max_coast=base.max_coast if mine.max_coast is None else mine.max_coast,
        max_age=base.max_age if mine.max_age is None else mine.max_age,
    )


def worth(label: int, kind: str, config: BestConfig) -> models.Worth:
    """kind: probability or logit"""
    even_score, measured = of_label(config, label).even_score, models.worth(label, kind)
    return measured if even_score is None else measured._replace(middle=float(as_logit(np.array(even_score), kind)))


def as_logit(scores: np.ndarray, kind: str) -> np.ndarray:
    if kind == "logit":
        return scores
    p = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


class Best:
    def __init__(self, config: BestConfig, kind: str, first_id: int, unsure: UnsureTracks = "drop") -> None:
        """kind  of the scores: probability or logit"""
        self.next_id, self.kind = first_id, kind
        motion, motion_cov, height, yaw, size, belief = (
            np.zeros((0, *shape)) for shape in ((4,), (4, 4), (2,), (2,), (6,), (3,))
        )
        self.tracks = Tracks(motion, motion_cov, height, yaw, size, belief, np.zeros((0, 7), np.int64))
        self.boxes = np.zeros((0, 7))
        self.second: Best | None = None
        if unsure == "keep":
            self.second = Best(config, kind, first_id)
        self.configure(config)
        self.restart()

    def configure(self, config: BestConfig) -> None:
        """The rules of the next frame; the tracks stay."""
        labels = range(len(CLASSES))
        self.params = np.stack([models.row(model(label, config)) for label in labels])
        self.worth = np.array([worth(label, self.kind, config) for label in labels])
        self.min_score = np.array([-np.inf if (least := of_label(config, n).min_score) is None else least for n in labels])
        if self.second is not None:
            self.second.configure(config)
            any_evidence = [kernel.HIGH, kernel.LOW, kernel.TENTATIVE, kernel.BIRTH]
            self.second.params[:, any_evidence] = -np.inf

    def restart(self) -> None:
        self.num, self.frame = 0, 0
        self.T, self.drive = np.eye(4), np.zeros(4)
        self.T_world_velo: np.ndarray | None = None
        if self.second is not None:
            self.second.restart()

    def step(self, seen: Seen) -> Shown:
        self.advance(seen)
        is_shown = self.tracks.info[: self.num, kernel.STATE] != kernel.HIDDEN
        if self.second is None:
            rows = np.flatnonzero(is_shown)
            return self._shown(rows, self.tracks.belief[rows, kernel.SCORE], seen.calibration)
        rows, others = np.flatnonzero(is_shown | self.lately_seen), np.flatnonzero(self.second.lately_seen)
        parts = (
            self._shown(rows, self.certainty_score(rows), seen.calibration),
            self.second._shown(others, self.second.certainty_score(others), seen.calibration),
        )
        return Shown(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    @property
    def lately_seen(self) -> np.ndarray:
        """(num,) bool: tracks that `keep` shows."""
        return self.tracks.info[: self.num, kernel.TIME_SINCE_UPDATE] <= KEPT_UNSEEN

    def _shown(self, rows: np.ndarray, scores: np.ndarray, calibration: Calibration | None) -> Shown:
        """The tracks of these rows, without undetected ones that leave the picture."""
        boxes3d, labels = self.boxes[rows], self.tracks.info[rows, kernel.LABEL]
        if calibration is None:
            boxes2d = np.full((len(rows), 4), np.nan, np.float32)
        else:
            boxes2d, visible = in_picture(boxes3d, labels, calibration)
            last_px = calibration.image_size[0] - 1 - BORDER_PX
            leaves = ~visible | (boxes2d[:, 0] < BORDER_PX) | (boxes2d[:, 2] > last_px)
            leaves &= self.tracks.info[rows, kernel.TIME_SINCE_UPDATE] > 0
            if leaves.any():
                rows, boxes3d, labels, boxes2d, scores = (a[~leaves] for a in (rows, boxes3d, labels, boxes2d, scores))
        boxes3d, scores = boxes3d.astype(np.float32), scores.astype(np.float32)
        boxes3d[:, 6] = wrap_angle(boxes3d[:, 6])
        return Shown(boxes3d, scores, labels.astype(np.int32), self.tracks.info[rows, kernel.ID], boxes2d)

    def certainty_score(self, rows: np.ndarray) -> np.ndarray:
        """(R,) the score of each row with `keep`."""
        info = self.tracks.info[rows]
        hits, labels = info[:, kernel.HITS], info[:, kernel.LABEL]
        return self.as_score(self.tracks.belief[rows, kernel.EVIDENCE], hits, self.boxes[rows], labels)

    def as_score(self, evidence: np.ndarray, hits: np.ndarray, boxes3d: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(R,) mean evidence, number of detections, boxes (R, 7) -> log-odds of being true, as a score of the detector's kind."""
        usual = np.empty(len(labels))
        for k, p in enumerate(self.params[labels]):
            usual[k] = farness(boxes3d[k], p) - oddity(boxes3d[k], p)
        slope, middle = self.worth[labels].T
        logit = middle + (PRIOR + evidence + np.log(hits) + usual) / slope
        return logit if self.kind == "logit" else 1 / (1 + np.exp(-logit))

    def advance(self, seen: Seen) -> None:
        """Advances the tracks by one frame; nothing is shown."""
        enough = seen.scores >= self.min_score[seen.labels]
        boxes, scores, labels = (a[enough] for a in seen[:3])
        if self.num + len(labels) > len(self.boxes):
            self._room(2 * (self.num + len(labels)))
        self.frame += 1
        before, self.T_world_velo = self.T_world_velo, None if seen.T_world_velo is None else seen.T_world_velo.copy()
        T_before_now = None if before is None or self.T_world_velo is None else invert(before) @ self.T_world_velo
        T_before_now, is_known = (_STILL, False) if T_before_now is None else (T_before_now, True)
        scores = scores.astype(np.float64)
        world = np.empty((len(labels), 8))
        dets = Detections(boxes.astype(np.float64), labels, self.evidence(scores, labels), scores, world)
        ego = Ego(self.T, T_before_now, is_known, self.drive, _EGO)
        num, self.track_of = self.num, np.empty(len(labels), np.int64)
        self.num, self.next_id = step(
            tuple(dets), tuple(self.tracks), self.num, seen.steps, tuple(ego), self.params, self.frame, self.next_id, self.boxes,
            self.track_of,
        )  # fmt: skip

        if self.second is not None:
            self._follow(self.second, seen._replace(boxes3d=boxes, scores=seen.scores[enough], labels=labels), num)

    def _follow(self, second: Best, seen: Seen, num: int) -> None:
        """The second tracker gets the detections that continue none of the `num` tracks before this frame, except those beside a
        track just seen (the same object, detected twice)."""
        is_new = self.track_of >= num
        here = self.tracks.info[: self.num, kernel.TIME_SINCE_UPDATE] == 0
        apart = np.linalg.norm(seen.boxes3d[:, None, :2] - self.boxes[None, : self.num, :2][:, here], axis=2)
        same = seen.labels[:, None] == self.tracks.info[None, : self.num, kernel.LABEL][:, here]
        is_beside = (same & (apart < self.params[seen.labels, kernel.CROWDED][:, None])).any(1)
        alone = np.flatnonzero(is_new | ((self.track_of < 0) & ~is_beside))
        ids, first_id = second.tracks.info[: second.num, kernel.ID].copy(), self.next_id
        second.next_id = first_id
        second.advance(
            seen._replace(
                boxes3d=seen.boxes3d[alone], scores=seen.scores[alone], labels=seen.labels[alone], T_world_velo=self.T.copy()
            )
        )
        self.next_id = second.next_id

        # a track that began now takes the place of the unsure one with the same detection
        taken = second.track_of[is_new[alone]]
        older = (taken >= 0) & (taken < len(ids))
        born = np.arange(self.num - len(taken), self.num)
        self.tracks.info[born[older], kernel.ID] = ids[taken[older]]
        gone = np.concatenate([ids[taken[older]], first_id + taken[taken >= len(ids)] - len(ids)])
        second.keep_only(~np.isin(second.tracks.info[: second.num, kernel.ID], gone))

    def keep_only(self, which: np.ndarray) -> None:
        """which (num,) bool: the tracks that remain."""
        left = int(which.sum())
        for array in (*self.tracks, self.boxes):
            array[:left] = array[: self.num][which]
        self.num = left

    def evidence(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        slope, middle = self.worth[labels].T
        return slope * (as_logit(scores, self.kind) - middle)

    def _room(self, size: int) -> None:
        """Enlarges the arrays to `size` rows."""
        self.tracks = Tracks(*(longer(array, size) for array in self.tracks))
        self.boxes = longer(self.boxes, size)


def in_picture(boxes3d: np.ndarray, labels: np.ndarray, calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """boxes3d (T, 7) float64 -> boxes2d (T, 4), visible (T,)."""
    boxes2d, visible = np.empty((len(labels), 4), np.float32), np.empty(len(labels), np.bool_)
    width, height = calibration.image_size.tolist()
    rectangles(boxes3d, calibration.P_cam @ calibration.T_cam_velo, width, height, _ROUNDNESS[labels], boxes2d, visible)
    return boxes2d, visible
