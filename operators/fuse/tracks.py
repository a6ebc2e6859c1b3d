"""Late association: one id for an object that LiDAR and camera track separately.

in   tracks       TRACKS       3D tracks
     boxes2d      BOXES2D      optional: the same in the picture, row by row; NaN or not connected: projected here
     tracks2d     TRACKS2D     tracks of the camera, of the same instant (sync: exact); if missing in a frame: 3D tracks alone
     calibration  CALIBRATION  static, of that camera
out  tracks       TRACKS       the 3D tracks, row by row, with joint ids
     tracks2d     TRACKS2D     the camera's, row by row, with joint ids: equal ids mean the same object
State: the ties between tracks.   Empty frame of either: ties stay.

Untied tracks of one class are tied if their boxes overlap by `min_iou`; the pairs with the largest total overlap are chosen.
A tie lasts until both tracks are seen and overlap by less than `min_iou_tied`. A track whose partner is not seen may get a new
tie.
The 3D tracks lead, because objects that pass each other in the picture are metres apart: a 3D track keeps its id, and a 2D track
takes the id of its last partner. Only a 3D track that is tied in its first frame takes over the id of the 2D track: the camera
saw the object first, or the LiDAR has lost it for more than `gone` frames.
Ids are unique in each stream, over sequences and restarts; a new sequence ends all ties. A track not seen for `forget` frames
is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from operators.geometry.project import in_picture
from operators.kernels.lsap import best_pairs
from operators.kernels.overlaps import iou_2d
from operators.streams import BOXES2D, CALIBRATION, CLASS_NAMES, TRACKS, TRACKS2D, Boxes2D, Calibration, Tracks, Tracks2D
from operators.track.tracker import IDS_PER_RESTART
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional, static


@dataclass(frozen=True, slots=True)
class FuseTracksConfig:
    min_iou: float = 0.5
    min_iou_tied: float = 0.4  # less than min_iou: ties near the limit do not flicker
    gone: int = 5  # frames
    forget: int = 100  # frames; more than any track survives unseen

    def __post_init__(self) -> None:
        if not 0 < self.min_iou_tied <= self.min_iou <= 1:
            raise ValueError(
                f"min_iou_tied, min_iou: needs 0 < min_iou_tied <= min_iou <= 1, got {self.min_iou_tied}, {self.min_iou}"
            )
        for key in ("gone", "forget"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: needs 1 or more, got {getattr(self, key)}")


@dataclass(slots=True)
class Side:
    """The tracks of one sensor: own id -> known facts."""

    joint: dict[int, int] = field(default_factory=dict)  # its joint id
    owner: dict[int, int] = field(default_factory=dict)  # joint id -> own id
    partner: dict[int, int] = field(default_factory=dict)  # own id on the other side
    seen: dict[int, int] = field(default_factory=dict)  # last frame

    def give(self, own: int, joint: int) -> None:
        """Gives a joint id. Its former owner gets a new one when seen again."""
        before = self.owner.get(joint)
        if before is not None and before != own:
            self.joint.pop(before, None)
        if own in self.joint:
            self.owner.pop(self.joint[own], None)
        self.joint[own], self.owner[joint] = joint, own

    def lose(self, own: int) -> None:
        """Removes the joint id. The track gets a new one when seen again."""
        joint = self.joint.pop(own, None)
        if joint is not None:
            self.owner.pop(joint, None)

    def drop(self, own: int) -> None:
        self.lose(own)
        self.partner.pop(own, None)
        self.seen.pop(own, None)


class Ties:
    """The association without the engine."""

    def __init__(self, config: FuseTracksConfig, first_id: int) -> None:
        self.config, self.next_id = config, first_id
        self.restart()

    def restart(self) -> None:
        """Another recording begins: all ties end, ids continue."""
        self.frame = 0
        self.lidar, self.camera = Side(), Side()

    def step(self, ids3d: np.ndarray, ids2d: np.ndarray, overlap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One frame -> the joint ids of both. overlap (T, S) float64: IoU of every pair, 0 where their classes differ."""
        self.frame += 1
        mine, theirs = ids3d.tolist(), ids2d.tolist()
        rows, columns = {i: k for k, i in enumerate(mine)}, {i: k for k, i in enumerate(theirs)}
        self._contradict(rows, columns, overlap)
        self._tie(rows, columns, overlap)
        out = []
        for side, ids in ((self.lidar, mine), (self.camera, theirs)):
            for own in ids:
                if own not in side.joint:
                    self._new_id(side, own)
                side.seen[own] = self.frame
            out.append(np.array([side.joint[own] for own in ids], np.int64))
        self._forget()
        return out[0], out[1]

    def _contradict(self, rows: dict[int, int], columns: dict[int, int], overlap: np.ndarray) -> None:
        """Untie tracks that are both seen but no longer overlap."""
        for own, row in rows.items():
            other = self.lidar.partner.get(own)
            if other in columns and overlap[row, columns[other]] < self.config.min_iou_tied:
                self._untie(own, other)
                self.camera.lose(other)

    def _tie(self, rows: dict[int, int], columns: dict[int, int], overlap: np.ndarray) -> None:
        """New ties among tracks that are untied or whose partner is not seen."""
        mine = [i for i in rows if self.lidar.partner.get(i) not in columns]
        theirs = [i for i in columns if self.camera.partner.get(i) not in rows]
        among = overlap[np.ix_([rows[i] for i in mine], [columns[i] for i in theirs])]
        chosen = np.empty(len(mine), np.int64)
        best_pairs(np.where(among >= self.config.min_iou, among, 0.0), chosen)
        for own, column in zip(mine, chosen.tolist(), strict=True):
            if column >= 0:
                self._join(own, theirs[column])

    def _join(self, own: int, other: int) -> None:
        if own in self.lidar.partner:
            self._untie(own, self.lidar.partner[own])
        if other in self.camera.partner:
            self._untie(self.camera.partner[other], other)
        if own not in self.lidar.joint:
            known = self.camera.joint.get(other)
            if known is not None and self._is_free(known):
                self.lidar.give(own, known)
            else:
                self._new_id(self.lidar, own)
        self.camera.give(other, self.lidar.joint[own])
        self.lidar.partner[own], self.camera.partner[other] = other, own

    def _is_free(self, joint: int) -> bool:
        """May a new 3D track take this id of a 2D track? Not while the id's former 3D track may still return."""
        owner = self.lidar.owner.get(joint)
        return owner is None or self.frame - self.lidar.seen[owner] > self.config.gone

    def _untie(self, own: int, other: int) -> None:
        self.lidar.partner.pop(own, None)
        self.camera.partner.pop(other, None)

    def _new_id(self, side: Side, own: int) -> None:
        side.give(own, self.next_id)
        self.next_id += 1

    def _forget(self) -> None:
        for own in self._old(self.lidar):
            if own in self.lidar.partner:
                self._untie(own, self.lidar.partner[own])
            self.lidar.drop(own)
        for other in self._old(self.camera):
            if other in self.camera.partner:
                self._untie(self.camera.partner[other], other)
            self.camera.drop(other)

    def _old(self, side: Side) -> list[int]:
        return [own for own, frame in side.seen.items() if self.frame - frame > self.config.forget]


class FuseTracks(Operator):
    Config = FuseTracksConfig
    tunable = ("min_iou", "min_iou_tied", "gone", "forget")
    inputs = {"tracks": TRACKS, "boxes2d": optional(BOXES2D), "tracks2d": TRACKS2D, "calibration": static(CALIBRATION)}
    outputs = {"tracks": TRACKS, "tracks2d": TRACKS2D}

    def open(self) -> None:
        self.ties = Ties(self.config, 1 + IDS_PER_RESTART * (self.resume.restarts if self.resume else 0))
        self.sequence: str | None = None
        one = np.ones(1, np.int64)  # compile before the first frame
        Ties(self.config, 1).step(one, one, overlaps(_ANY_BOX, _ANY_LABEL, _ANY_BOX, _ANY_LABEL))

    def reconfigured(self, old: FuseTracksConfig, new: FuseTracksConfig) -> None:
        self.ties.config = new

    def process(
        self,
        tracks: Tracks,
        calibration: Calibration,
        boxes2d: Boxes2D | None = None,
        tracks2d: Tracks2D | None = None,
    ) -> dict[str, Tracks | Tracks2D]:
        who = f"{self.name} at {self.header}"
        if boxes2d is not None and len(boxes2d.labels) != len(tracks.labels):
            raise FrameError(
                f"{who}: boxes2d: needs a row for each of {len(tracks.labels)} tracks, got {len(boxes2d.labels)}; "
                "of another tracker?"
            )
        if CLASS_NAMES in self.meta.get("tracks2d", {}):
            raise FrameError(
                f"{who}: tracks2d: needs our classes, as the 3D tracks have, got the detector's own ones; set classes of the "
                "detector: {car: Car, person: Pedestrian}"
            )
        unique(tracks.track_ids, f"{who}: tracks")
        if tracks2d is not None:
            unique(tracks2d.track_ids, f"{who}: tracks2d")
        if self.header.sequence != self.sequence:
            self.sequence = self.header.sequence
            self.ties.restart()
        seen = _NONE if tracks2d is None else tracks2d
        picture, visible = in_picture(tracks.boxes3d, calibration, None if boxes2d is None else boxes2d.boxes2d)
        picture[~visible] = np.nan
        overlap = overlaps(picture, tracks.labels, seen.boxes2d, seen.labels)
        ids3d, ids2d = self.ties.step(tracks.track_ids, seen.track_ids, overlap)
        out: dict[str, Tracks | Tracks2D] = {"tracks": tracks._replace(track_ids=ids3d)}
        if tracks2d is not None:
            out["tracks2d"] = tracks2d._replace(track_ids=ids2d)
        return {
            port: type(value)(*(self.put(port, name, array) for name, array in value._asdict().items()))
            for port, value in out.items()
        }


def unique(ids: np.ndarray, who: str) -> None:
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise FrameError(f"{who}: needs every track id once per frame, got {values[counts > 1][0]} twice")


def overlaps(boxes_a: np.ndarray, labels_a: np.ndarray, boxes_b: np.ndarray, labels_b: np.ndarray) -> np.ndarray:
    """(A, 4), (A,), (B, 4), (B,) -> (A, B) float64 IoU; 0 where the classes differ or a box is NaN."""
    out = np.zeros((len(labels_a), len(labels_b)))
    iou_2d(boxes_a.astype(np.float64), boxes_b.astype(np.float64), out)
    return np.where((labels_a[:, None] == labels_b[None, :]) & np.isfinite(out), out, 0.0)


_NONE = Tracks2D(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32), np.empty(0, np.int64))
_ANY_BOX, _ANY_LABEL = np.array([[0, 0, 9, 9]], np.float32), np.zeros(1, np.int32)
