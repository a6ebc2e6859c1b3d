"""2D boxes in, tracks with ids out: Kalman filter and association in stages.

in   boxes2d      BOXES2D      detections of all classes of one frame
     embeddings   EMBEDDINGS   optional, used by preset `fairmot`: the appearance of each box; any width
     calibration  CALIBRATION  static, optional: tracks are cut to its picture, and not shown outside
out  tracks2d     TRACKS2D     tracks seen in this frame, filtered; ids unique over classes and restarts
Names of the classes, if the detector has own ones (fact class_names), go on with the tracks.
State: the tracks, the last stamp.   Empty frame: all tracks are lost, and die after `max_age` periods.

byte      Zhang et al. 2022 (ByteTrack), alg. 1. Boxes of at least `high` score continue tracks by IoU, lost ones too; remaining
          tracks take boxes of at least `low` score. Lost tracks wait `max_age` periods for a box. An unmatched box of at least
          `birth` score begins a track, shown from `min_hits` boxes in a row on; in the first frame of a recording at once.
fairmot   Zhang et al. 2021 (FairMOT), Wang et al. 2020 (JDE). First, boxes of at least `high` score and all tracks, lost ones
          too, by appearance: 0.98 x cosine distance + 0.02 x squared Mahalanobis distance, which must be within the 95 % gate.
          Then as `byte`, except that a lost track with a known embedding does not return by overlap alone. The embedding of a
          track is a running mean.

Without embeddings (not connected, none in this frame, a row of zeros, or a track without any) a pair is matched as in `byte`.
NaN in embeddings is refused, and so is a change of width within a recording; their length does not matter.
A filter's state is [cx, cy, w, h] and their changes: w and h change independently when the picture's border cuts a box or an
object turns; a state of aspect and height would couple them (kernels/kalman2d.py).
Time and recordings as in tracker.py: frame periods; a new sequence, a stamp that goes back or a gap end all tracks, ids continue.
No output is revised or decided by later frames. Score of a track: that of its last box, in the detector's kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np

from operators.kernels import tracker2d as kernel
from operators.streams import (
    BOXES2D,
    CALIBRATION,
    CLASS_NAMES,
    CLASSES,
    EMBEDDINGS,
    TRACKS2D,
    Boxes2D,
    Calibration,
    Tracks2D,
    names_of,
)
from operators.track.clock import NEW_RECORDING, FrameClock
from operators.track.frame import longer
from operators.track.tracker import IDS_PER_RESTART
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional, static

_SHARES = ("high", "low", "birth", "min_iou", "min_iou_next", "min_iou_new")


@dataclass(frozen=True, slots=True)
class ByteConfig:
    high: float = 0.6  # scores are probabilities here; logits are converted first
    low: float = 0.1
    birth: float = 0.7
    min_iou: float = 0.2  # of boxes of a high score
    min_iou_next: float = 0.5  # of boxes of a low score; in `fairmot` if embeddings did not decide
    min_iou_new: float = 0.3  # of tracks that are not shown yet
    min_hits: int = 2
    max_age: int = 30  # frame periods without a box that a track survives
    position_noise: float = 0.05  # of a box, as a share of its size
    change_noise: float = 0.0125  # of its change per period: twice the paper's, whose video has 30 frames a second

    def __post_init__(self) -> None:
        for key in _SHARES:
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"{key}: needs 0..1, got {getattr(self, key)}")
        if not self.low <= self.high <= self.birth:
            raise ValueError(f"low, high, birth: needs low <= high <= birth, got {self.low}, {self.high}, {self.birth}")
        for key, least in (("min_hits", 1), ("max_age", 0)):
            if getattr(self, key) < least:
                raise ValueError(f"{key}: needs {least} or more, got {getattr(self, key)}")
        for key in ("position_noise", "change_noise"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key}: needs a number above 0, got {getattr(self, key)}")


@dataclass(frozen=True, slots=True)
class FairmotConfig(ByteConfig):
    high: float = 0.4
    birth: float = 0.4
    max_unlike: float = 0.4  # of appearance and motion together
    motion_gate: float = 9.4877  # squared Mahalanobis distance: 95 % of chi-square, 4 degrees of freedom
    motion_share: float = 0.02  # of motion in the cost
    memory: float = 0.9  # share of the old embedding in the new mean

    def __post_init__(self) -> None:
        ByteConfig.__post_init__(self)
        for key, most in (("max_unlike", 2), ("motion_share", 1), ("memory", 1)):
            if not 0 <= getattr(self, key) <= most:
                raise ValueError(f"{key}: needs 0..{most}, got {getattr(self, key)}")
        if not self.motion_gate > 0:
            raise ValueError(f"motion_gate: needs a number above 0, got {self.motion_gate}")


@dataclass(frozen=True, slots=True)
class Tracker2dConfig:
    preset: Literal["byte", "fairmot"] = "byte"
    byte: ByteConfig = field(default_factory=ByteConfig)
    fairmot: FairmotConfig = field(default_factory=FairmotConfig)
    score_kind: Literal["auto", "probability", "logit"] = "auto"  # auto: the kind of the detector's port
    rate_hz: float | None = None  # of the frames; None: learned from the stamps
    max_gap: int = 30  # frame periods without a frame after which every track has ended

    @property
    def rules(self) -> ByteConfig:
        """Of the preset."""
        return self.fairmot if self.preset == "fairmot" else self.byte


class Tracks:
    """The tracker without the engine."""

    def __init__(self, config: ByteConfig, first_id: int) -> None:
        self.next_id = first_id
        self.by_looks = isinstance(config, FairmotConfig)
        self.configure(config)
        self.rows = kernel.Tracks(
            np.zeros((0, 8)),
            np.zeros((0, 4, 3)),
            np.zeros((0, 0), np.float32),
            np.zeros(0, np.float32),
            np.zeros((0, 5), np.int64),
        )
        self.restart()

    def configure(self, config: ByteConfig) -> None:
        """The rules of the next frame; the tracks stay."""
        self.rules = np.zeros(kernel.NUM_RULES)
        for rule in fields(config):
            self.rules[getattr(kernel, rule.name.upper())] = getattr(config, rule.name)

    def restart(self) -> None:
        """Another recording begins: all tracks end, ids continue."""
        self.num, self.frame = 0, 0
        self._look_width(0)

    def step(self, boxes: Boxes2D, sure: np.ndarray, looks: np.ndarray | None, steps: int) -> Tracks2D:
        """One frame. sure (D,) float64: scores as probabilities; looks (D, E) float32, of unit length or zeros."""
        count = len(boxes.labels)
        if looks is None:
            looks = np.zeros((count, self.rows.looks.shape[1]), np.float32)
        elif looks.shape[1] != self.rows.looks.shape[1]:
            self._look_width(looks.shape[1])
        if self.num + count > len(self.rows.x):
            self.rows = kernel.Tracks(*(longer(array, 2 * (self.num + count)) for array in self.rows))
        corners = boxes.boxes2d.astype(np.float64)
        centred = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)
        # copies, because numba compiles again for read-only arrays
        dets = kernel.Detections(centred, boxes.labels.copy(), boxes.scores.copy(), sure, looks)
        self.frame += 1
        self.num, self.next_id = kernel.step(
            tuple(dets), tuple(self.rows), self.num, steps, self.rules, self.frame, self.next_id, np.empty(count, np.int64)
        )
        info = self.rows.info[: self.num]
        shown = np.flatnonzero((info[:, kernel.STATE] == kernel.TRACKED) & (info[:, kernel.TIME_SINCE_UPDATE] == 0))
        centre, half = self.rows.x[shown, :2], np.maximum(self.rows.x[shown, 2:4], 1.0) / 2
        boxes2d = np.concatenate([centre - half, centre + half], 1).astype(np.float32)
        return Tracks2D(boxes2d, self.rows.scores[shown], info[shown, kernel.LABEL].astype(np.int32), info[shown, kernel.ID])

    def _look_width(self, width: int) -> None:
        self.rows = self.rows._replace(looks=np.zeros((len(self.rows.x), width), np.float32))


class Tracker2d(Operator):
    Config = Tracker2dConfig
    tunable = ("byte", "fairmot")
    inputs = {"boxes2d": BOXES2D, "embeddings": optional(EMBEDDINGS), "calibration": static(CALIBRATION, optional=True)}
    outputs = {"tracks2d": TRACKS2D}

    def open(self) -> None:
        first_id = 1 + IDS_PER_RESTART * (self.resume.restarts if self.resume else 0)
        self.clock = FrameClock(self.config.rate_hz, self.config.max_gap)
        said = self.config.score_kind
        self.kind = said if said != "auto" else self.kinds.get("boxes2d") or "probability"
        config = self.config.rules
        self.tracks = Tracks(config, first_id)
        warm = Tracks(config, first_id)
        for looks in (None, np.ones((1, 1), np.float32)):  # compile before the first frame
            warm.step(_ANY_BOX, np.ones(1), looks, 1)

    def reconfigured(self, old: Tracker2dConfig, new: Tracker2dConfig) -> None:
        self.tracks.configure(new.rules)

    def process(self, boxes2d: Boxes2D, embeddings: np.ndarray | None = None, calibration: Calibration | None = None) -> Tracks2D:
        who = f"{self.name} at {self.header}"
        names = names_of(self.meta.get("boxes2d", {}))
        check(boxes2d, self.kind, who, len(names))
        if names != CLASSES:
            self.describe("tracks2d", **{CLASS_NAMES: list(names)})
        looks = None
        if embeddings is not None and self.tracks.by_looks:
            looks = unit_rows(embeddings, len(boxes2d.labels), who)
        steps = self.clock.tick(self.header.sequence, self.header.stamp_ns)
        if steps == NEW_RECORDING:
            self.tracks.restart()
        width = self.tracks.rows.looks.shape[1]
        if looks is not None and width not in (0, looks.shape[1]):
            raise FrameError(
                f"{who}: embeddings: needs width {width}, as this recording began with, got {looks.shape[1]}; "
                "of another net, they cannot be compared"
            )
        scores = boxes2d.scores.astype(np.float64)
        sure = scores if self.kind == "probability" else 1 / (1 + np.exp(-scores))
        shown = self.tracks.step(boxes2d, sure, looks, max(steps, 1))
        if calibration is not None:
            shown = in_picture(shown, calibration.image_size)
        return Tracks2D(*(self.put("tracks2d", name, array) for name, array in shown._asdict().items()))


def check(detections: Boxes2D, kind: str, who: str, num_classes: int = len(CLASSES)) -> None:
    """Raises FrameError on invalid boxes, which would corrupt their tracks, and on scores of another kind."""
    boxes2d, scores, labels = detections
    good = np.isfinite(boxes2d).all(1) & (boxes2d[:, 2:] > boxes2d[:, :2]).all(1)
    if not good.all():
        row = int(good.argmin())
        raise FrameError(
            f"{who}: boxes2d: needs finite x1 y1 x2 y2 with x2 > x1 and y2 > y1, got {boxes2d[row].tolist()} in row {row}; "
            "a damaged detection file?"
        )
    right = (labels >= 0) & (labels < num_classes) & ~np.isnan(scores)
    if not right.all():
        row = int(right.argmin())
        raise FrameError(
            f"{who}: boxes2d: needs labels 0..{num_classes - 1} and scores, got label {labels[row]} with score "
            f"{scores[row]} in row {row}; DontCare regions are no detections"
        )
    if kind == "probability" and len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        row = int(((scores < 0) | (scores > 1)).argmax())
        raise FrameError(
            f"{who}: boxes2d: needs scores 0..1, since nobody says otherwise, got {scores[row]} in row {row}; "
            "are they logits? set config.score_kind: logit"
        )


def unit_rows(embeddings: np.ndarray, count: int, who: str) -> np.ndarray:
    """(D, E) float32 of any length -> of unit length, rows of zeros as they are. Raises FrameError on NaN, on D != count."""
    if len(embeddings) != count:
        raise FrameError(
            f"{who}: embeddings: needs a row for each of {count} boxes2d, got {len(embeddings)}; of another detector?"
        )
    finite = np.isfinite(embeddings).all(1)
    if not finite.all():
        raise FrameError(
            f"{who}: embeddings: needs finite numbers, got {embeddings[finite.argmin()][:4].tolist()}.. in row "
            f"{int(finite.argmin())}; zeros say that looks are not known"
        )
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    return np.divide(embeddings, lengths, out=np.zeros(embeddings.shape), where=lengths > 0).astype(np.float32)


def in_picture(tracks: Tracks2D, image_size: np.ndarray) -> Tracks2D:
    """Cut to 0..W-1, 0..H-1; tracks entirely outside are removed."""
    last = np.tile(image_size.astype(np.float32) - 1, 2)
    boxes2d = np.clip(tracks.boxes2d, 0, last)
    left = (boxes2d[:, 2:] > boxes2d[:, :2]).all(1)
    return Tracks2D(boxes2d[left], *(a[left] for a in tracks[1:]))


_ANY_BOX = Boxes2D(np.array([[0, 0, 9, 9]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int32))
