"""3D detections from KITTI 15-column files, with ego-motion and labels of the same sequences.

out  boxes3d      boxes of all classes of the frame in one value, velodyne frame; Car, Pedestrian, Cyclist, in file order;
                  scores as the detector wrote them (for PointRCNN a logit, about -1..17)
     boxes2d      the same detections in the image, row by row, as the detector wrote them
     pose         (4, 4) float64 T_world_velo, world = velodyne at frame 0 of the sequence; needs oxts/
     truth        labels of the frame; needs label_02/
     calibration  static, one per sequence, of camera 2
     imu          static, one per sequence: mounting of the IMU, origin of the world of its poses; needs oxts/

Lines may have any order of frames; the driver sorts them and logs it. A frame without detections is sent as M = 0.
The meta of boxes3d has `last: true` in the last frame of a sequence. Stamps equal those of `kitti.tracking` for the same root
and sequences.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from drivers.kitti.calibration import KittiCalibration
from drivers.kitti.clock import make_clock
from drivers.kitti.detection_files import (
    BOX2D,
    BOX3D,
    FRAME,
    LABEL_OF_TYPE,
    SCORE,
    TYPE,
    WIDTH,
    Detected,
    last_frame,
    left_out,
    read_detections,
)
from drivers.kitti.files import numbered, root_folder, wrong_root
from drivers.kitti.labels import empty_truth
from drivers.kitti.sequence import Sequence, lacking, listing
from drivers.recorded import Listing, Recorded
from operators import folders, textfile
from operators.geometry.boxes3d import camera_to_velo
from operators.streams import BOXES2D_LOGIT, BOXES3D_LOGIT, CALIBRATION, IMU, POSE, TRUTH, Boxes2D, Boxes3D, Truth
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.operator import Source
from pipeline.schema import static

_WHO = "detections"
_NEEDS = "detections/<detector>_<Class>/SSSS.txt"
_CAMERA = 2
_CLASS_ORDER = ("Car", "Pedestrian", "Cyclist")


@dataclass(frozen=True, slots=True)
class DetectionsConfig:
    root: str = ""  # folder with detections/, calib/, and optionally oxts/, label_02/, velodyne/
    detector: str = ""  # the part of the folders' names before _<Class>; "" = the only one
    sequences: str | int | list[str | int] = "all"  # "all", "0002", or a list
    # auto: one frame per line of oxts; without oxts, up to the last detection; scans: frames with a scan
    frames: Literal["auto", "oxts", "scans"] = "auto"
    rate_hz: float = 10.0
    min_score: float | None = None  # in the detector's own unit; lower ones are dropped


class Detections(Recorded, Source):
    Config, outputs = (
        DetectionsConfig,
        {
            "boxes3d": BOXES3D_LOGIT,
            "boxes2d": BOXES2D_LOGIT,
            "pose": POSE,
            "truth": TRUTH,
            "calibration": static(CALIBRATION),
            "imu": static(IMU),
        },
    )
    parts_key = "sequences"

    _boxes: dict[int, Boxes]
    _poses: np.ndarray | None
    _truth: dict[int, Truth] | None

    @classmethod
    def list_items(cls, config: DetectionsConfig) -> Listing:
        return listing(survey(config))

    @classmethod
    def check(cls, config: DetectionsConfig, listing: Listing) -> None:
        for sequence in listing.parts:
            read(config, sequence)

    def lacks(self, ports: Collection[str]) -> dict[str, str]:
        return lacking(self.listing.parts, ports)

    def check_wanted(self) -> None:
        for sequence in self.listing.parts:
            sequence.check(self.wanted)
        list(self.statics())

    def statics(self) -> Iterable[Static]:
        for sequence in self.listing.parts:
            calibration = sequence.calibration() if "calibration" in self.wanted else None
            if calibration is not None:
                yield Static("calibration", calibration.stream(_CAMERA), sequence.stamp_ns(0))
            imu = sequence.imu() if "imu" in self.wanted else None
            if imu is not None:
                yield Static("imu", imu, sequence.stamp_ns(0))

    def load(self, sequence: Sequence, frame: int, reading: Reading) -> None:
        boxes = self._boxes.get(frame, _EMPTY)
        if self._in_velodyne:
            reading.values["boxes3d"] = self._write("boxes3d", Boxes3D(boxes.boxes3d, boxes.scores, boxes.labels))
            reading.meta["boxes3d"] = {"last": frame == sequence.frames[-1]}
        if "boxes2d" in self.wanted:
            reading.values["boxes2d"] = self._write("boxes2d", Boxes2D(boxes.boxes2d, boxes.scores, boxes.labels))
        if self._poses is not None:
            reading.values["pose"] = self.put("pose", "T_world_velo", self._poses[frame])
        if self._truth is not None:
            reading.values["truth"] = self._truth.get(frame, empty_truth())

    def _write(self, port: str, value: Any) -> Any:
        return type(value)(*(self.put(port, name, array) for name, array in value._asdict().items()))

    def enter(self, sequence: Sequence) -> None:
        found = read(self.config, sequence)
        calibration = sequence.calibration() if "boxes3d" in self.wanted else None
        self._in_velodyne = calibration is not None
        self._boxes = by_frame(found.rows, calibration)
        self.say(left_out(found.files))
        if found.num_outside:
            self.log.info("%s: %d detections are of frames without a scan, not played", sequence.name, found.num_outside)
        for line in found.unsorted:
            self.log.warning("%s: not in the order of frames; sorted", line)
        self._poses = sequence.poses() if "pose" in self.wanted else None
        self._truth = sequence.truth() if "truth" in self.wanted else None


def survey(config: DetectionsConfig) -> list[Sequence]:
    """The sequences and frames, found from file names and line counts only."""
    root = root_folder(_WHO, config.root, _NEEDS)
    if not _folders(config, root):
        raise wrong_root(_WHO, root, _NEEDS)
    clock = make_clock(_WHO, root, config.sequences, config.rate_hz)
    sequences = []
    for name in clock.start_ns:
        frames = _frames(config, root, name)
        if frames is not None:
            sequences.append(Sequence(root, name, frames, clock.start_ns[name], clock.rate_hz))
        elif config.sequences != "all":
            what = f"scans in {root / 'velodyne' / name}" if _by_scans(config, root) else "a detections or oxts file"
            raise InputError(f"{_WHO}: config.sequences: {name} needs {what}, got none")
    if not sequences:
        raise wrong_root(_WHO, root, _NEEDS)
    return sequences


def _folders(config: DetectionsConfig, root: Path) -> list[Path]:
    """The detector's folders in the order in which their boxes are sent."""
    found = folders.folders(root / "detections", "*_*")
    detectors = sorted({p.name.rpartition("_")[0] for p in found})
    if config.detector and config.detector not in detectors:
        raise InputError(f"{_WHO}: config.detector: needs one of {', '.join(detectors) or 'none'}, got {config.detector}")
    if not config.detector and len(detectors) > 1:
        raise InputError(
            f"{_WHO}: config.detector: needs one of {', '.join(detectors)}, got nothing; they would be counted twice"
        )
    chosen = config.detector or next(iter(detectors), "")
    mine = [p for p in found if p.name.rpartition("_")[0] == chosen]
    return sorted(mine, key=lambda p: (_order(p.name.rpartition("_")[2]), p.name))


def _order(class_name: str) -> int:
    return _CLASS_ORDER.index(class_name) if class_name in _CLASS_ORDER else len(_CLASS_ORDER)


def _by_scans(config: DetectionsConfig, root: Path) -> bool:
    return config.frames == "scans" and folders.is_folder(root / "velodyne")


def _frames(config: DetectionsConfig, root: Path, name: str) -> list[int] | range | None:
    """The frames to send; None if the sequence is not played."""
    if _by_scans(config, root):
        return list(numbered(root / "velodyne" / name, ".bin")) or None
    oxts = root / "oxts" / f"{name}.txt"
    if folders.is_file(oxts):
        return range(textfile.count_lines(oxts))
    if config.frames == "oxts":
        raise InputError(f"{oxts}: needs to be there for config.frames: oxts, got no such file; config.frames: auto goes without")
    files = [p for folder in _folders(config, root) if folders.is_file(p := folder / f"{name}.txt")]
    if not files:
        return None
    for path in files:
        textfile.check_last(path, last_frame(path))
    return range(max(0, *map(last_frame, files)) + 1)  # an empty file is one frame without detections


class Boxes(NamedTuple):
    """The detections of one frame."""

    boxes3d: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    boxes2d: np.ndarray


class Found(NamedTuple):
    """The detections of a sequence: rows (D, 15) of the played frames, by frame; how many are of other frames; FILE:LINE of the
    first line of each file that is out of order."""

    rows: np.ndarray
    num_outside: int
    unsorted: list[str]
    files: list[Detected]


def read(config: DetectionsConfig, sequence: Sequence) -> Found:
    """Raises InputError naming file and line."""
    played = np.array(sequence.frames)
    tables, num_outside, unsorted, files = [np.empty((0, WIDTH))], 0, [], []
    for folder in _folders(config, sequence.root):
        path = folder / f"{sequence.name}.txt"
        if not folders.is_file(path):
            continue
        files.append(read_detections(path))
        rows, lines = files[-1].values, files[-1].lines
        outside = ~np.isin(rows[:, FRAME], played)
        if outside.any() and not _by_scans(config, sequence.root):
            row = int(np.argmax(outside))
            textfile.refuse(path, int(lines[row]), sequence.needs_frame(), f"frame {rows[row, FRAME]:.0f}")
        back = np.flatnonzero(np.diff(rows[:, FRAME]) < 0)
        unsorted += [f"{path}:{lines[row + 1]}" for row in back[:1]]
        num_outside += int(outside.sum())
        tables.append(rows[~outside])
    rows = np.concatenate(tables)
    if config.min_score is not None:
        rows = rows[rows[:, SCORE] >= config.min_score]
    rows = rows[np.argsort(rows[:, FRAME], kind="stable")]  # stable: keeps the order of classes and lines within a frame
    return Found(rows, num_outside, unsorted, files)


def by_frame(rows: np.ndarray, calibration: KittiCalibration | None) -> dict[int, Boxes]:
    """Frame number -> boxes in the velodyne frame; without a calibration their 3D boxes stay in the camera frame."""
    boxes3d = camera_to_velo(rows[:, BOX3D], np.eye(4) if calibration is None else calibration.T_cam_velo)
    scores = rows[:, SCORE].astype(np.float32)
    labels = np.array([LABEL_OF_TYPE[kind] for kind in rows[:, TYPE]], np.int32)
    boxes2d = rows[:, BOX2D].astype(np.float32)
    frames, starts, counts = np.unique(rows[:, FRAME].astype(int), return_index=True, return_counts=True)
    return {
        int(frame): Boxes(boxes3d[a : a + n], scores[a : a + n], labels[a : a + n], boxes2d[a : a + n])
        for frame, a, n in zip(frames, starts, counts, strict=True)
    }


_EMPTY = Boxes(np.empty((0, 7), np.float32), np.empty(0, np.float32), np.empty(0, np.int32), np.empty((0, 4), np.float32))
