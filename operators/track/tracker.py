"""Detections in, tracks with ids out: 3D Kalman filter and assignment, depending on the preset.

in   boxes3d      BOXES3D      detections of all classes of one frame
     boxes2d      BOXES2D      optional: the same detections in the picture, row by row
     pose         POSE         optional: pose of the car; predictions are then compensated for ego-motion
     calibration  CALIBRATION  static, optional
     imu          IMU          static, optional: only `ab3dmot` uses it
out  tracks       TRACKS       filtered boxes; ids unique over classes and restarts
     boxes2d      BOXES2D      the same tracks in the picture, row by row; NaN where unknown
     history      HISTORY      only of `best_offline`: with the last frame of a recording, all of its frames again
State: the tracks, the last stamp and pose.   Empty frame: tracks coast, and finally die.
Presets: best.py, the default; best_offline.py; ab3dmot.py, the paper's tracker.
Time is counted in frame periods: if a stamp is k periods after the last one, tracks are predicted k steps ahead.
A new sequence, a stamp that goes back, or a gap above `max_gap` periods ends all tracks; ids continue. A step without a pose
(sync: optional) is not compensated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from operators.files import frame_number
from operators.streams import (
    BOXES2D,
    BOXES3D,
    CALIBRATION,
    CLASSES,
    HISTORY,
    IMU,
    POSE,
    TRACKS,
    Boxes2D,
    Boxes3D,
    Calibration,
    Imu,
    Tracks,
)
from operators.track.ab3dmot import Ab3dmot, Ab3dmotConfig
from operators.track.best import Best, BestConfig, UnsureTracks
from operators.track.best_offline import MIN_HITS, BestOffline
from operators.track.clock import NEW_RECORDING, FrameClock
from operators.track.frame import Preset, Seen
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional, static

IDS_PER_RESTART = 1_000_000


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    preset: Literal["best", "best_offline", "ab3dmot"] = "best"
    best: BestConfig = field(default_factory=BestConfig)
    ab3dmot: Ab3dmotConfig = field(default_factory=Ab3dmotConfig)
    unsure: UnsureTracks = "drop"  # of the presets best and best_offline; keep: shows unsure tracks too, with low scores
    score_kind: Literal["auto", "probability", "logit"] = "auto"  # auto: the kind of the detector's port
    use_ego_motion: bool = True  # if a pose is connected
    rate_hz: float | None = None  # of the frames; None: learned from the stamps
    max_gap: int = 10  # frame periods without a frame after which every track has ended


def check(detections: Boxes3D, kind: str, who: str) -> None:
    """Raises FrameError on invalid boxes, which would corrupt their tracks, and on scores of another kind."""
    boxes3d, scores, labels = detections
    if not (np.isfinite(boxes3d).all() and (boxes3d[:, 3:6] > 0).all()):
        row = int((~np.isfinite(boxes3d).all(1) | (boxes3d[:, 3:6] <= 0).any(1)).argmax())
        raise FrameError(
            f"{who}: boxes3d: needs finite x y z l w h yaw with l, w, h > 0, got {boxes3d[row].tolist()} in row {row}; "
            "a damaged detection file?"
        )
    right = (labels >= 0) & (labels < len(CLASSES)) & ~np.isnan(scores)
    if not right.all():
        row = int(right.argmin())
        raise FrameError(
            f"{who}: boxes3d: needs labels 0..{len(CLASSES) - 1} and scores, got label {labels[row]} with score "
            f"{scores[row]} in row {row}; DontCare regions are no detections"
        )
    if kind == "probability" and len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        row = int(((scores < 0) | (scores > 1)).argmax())
        raise FrameError(
            f"{who}: boxes3d: needs scores 0..1, since nobody says otherwise, got {scores[row]} in row {row}; "
            "are they logits? set config.score_kind: logit"
        )


class Tracker(Operator):
    Config = TrackerConfig
    tunable = ("best", "ab3dmot")
    inputs = {
        "boxes3d": BOXES3D,
        "boxes2d": optional(BOXES2D),
        "pose": optional(POSE),
        "calibration": static(CALIBRATION, optional=True),
        "imu": static(IMU, optional=True),
    }
    outputs = {"tracks": TRACKS, "boxes2d": BOXES2D, "history": HISTORY}

    def open(self) -> None:
        first_id = 1 + IDS_PER_RESTART * (self.resume.restarts if self.resume else 0)
        self.clock = FrameClock(self.config.rate_hz, self.config.max_gap)
        self.kind = self._kind()
        self.preset = self._make(first_id)
        warm = self._make(first_id)
        for _ in range(MIN_HITS):  # compile before the first frame: births in the first step, association in the second
            warm.step(_ANY_FRAME)
        if isinstance(warm, BestOffline):
            warm.history()

    def process(
        self,
        boxes3d: Boxes3D,
        boxes2d: Boxes2D | None = None,
        pose: np.ndarray | None = None,
        calibration: Calibration | None = None,
        imu: Imu | None = None,
    ) -> dict[str, Any]:
        check(boxes3d, self.kind, f"{self.name} at {self.header}")
        if boxes2d is None:
            in_picture = np.full((len(boxes3d.labels), 4), np.nan, np.float32)
        elif len(boxes2d.labels) != len(boxes3d.labels):
            raise FrameError(
                f"{self.name} at {self.header}: boxes2d: needs a row for each of {len(boxes3d.labels)} boxes3d, "
                f"got {len(boxes2d.labels)}; of another detector?"
            )
        else:
            in_picture = boxes2d.boxes2d
        steps = self.clock.tick(self.header.sequence, self.header.stamp_ns)
        if steps == NEW_RECORDING:
            self.preset.restart()
        T_world_velo = pose if self.config.use_ego_motion else None
        number = frame_number(self.header.item, self.header.frame_id)
        shown = self.preset.step(Seen(*boxes3d, in_picture, number, max(steps, 1), T_world_velo, calibration, imu))
        tracks = Tracks(*(self.put("tracks", name, array) for name, array in zip(Tracks._fields, shown, strict=False)))
        picture = Boxes2D(*(self.put("boxes2d", n, a) for n, a in zip(Boxes2D._fields, shown[-1:] + shown[1:3], strict=True)))
        out: dict[str, Any] = {"tracks": tracks, "boxes2d": picture}
        if isinstance(self.preset, BestOffline) and self.meta.get("boxes3d", {}).get("last"):
            history = self.preset.history()
            self.describe("history", first=self.preset.numbers[0])
            out["history"] = type(history)(*(self.put("history", name, a) for name, a in history._asdict().items()))
        return out

    def reconfigured(self, old: TrackerConfig, new: TrackerConfig) -> None:
        if isinstance(self.preset, Ab3dmot):
            self.preset.configure(new.ab3dmot)
        elif isinstance(self.preset, Best):
            self.preset.configure(new.best)

    def _make(self, first_id: int) -> Preset:
        if self.config.preset == "ab3dmot":
            return Ab3dmot(self.config.ab3dmot, first_id)
        made = BestOffline if self.config.preset == "best_offline" else Best
        return made(self.config.best, self.kind, first_id, self.config.unsure)

    def _kind(self) -> str:
        """Kind of the scores. Scores of a port without a kind are probabilities."""
        said = self.config.score_kind
        if self.config.preset == "ab3dmot":
            return ""  # any kind: this preset ignores scores
        return said if said != "auto" else self.kinds.get("boxes3d") or "probability"


_ANY_FRAME = Seen(
    np.array([[10, 0, 0, 4, 2, 2, 0], [20, 0, 0, 1, 1, 2, 0], [30, 0, 0, 2, 1, 2, 0]], np.float32),
    np.full(3, 0.9, np.float32),
    np.arange(3, dtype=np.int32),
    np.zeros((3, 4), np.float32),
    0,
    1,
    None,
    Calibration(
        np.eye(3, 4), np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]), np.array([100, 100], np.int32)
    ),
    None,
)
