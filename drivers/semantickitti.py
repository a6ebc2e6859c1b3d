"""SemanticKITTI: scans of KITTI odometry with a class and an instance per point.     Layout: operators/semantickitti.py

out  points              (N, 4) float32  x y z [m, velodyne frame], intensity [0..1]
     pose                (4, 4) float64  T_world_velo, world = velodyne at row 0 of poses.txt
     point_classes_truth (N,) uint8      index into the 20 names of the benchmark, of its learning map; 255 = unlabeled
     point_ids_truth     (N,) int64      sequence << 32 | class << 16 | instance; -1 = no instance, or no class
     facts               class_names, things, of both truths

A sequence SS holds velodyne/NNNNNN.bin and, where it has them, labels/NNNNNN.label, poses.txt (a line of 12 numbers per frame,
rectified camera 0 in its own first frame), calib.txt (Tr: velodyne to that camera) and times.txt (seconds). Without times.txt the
frames come at rate_hz. A frame is played if it has a scan. A port without a file sends nothing. Empty scan: N = 0.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from drivers.kitti.calibration import KittiCalibration
from drivers.kitti.files import (
    POINT_BYTES,
    check_rate,
    check_scans,
    check_stamp,
    numbered,
    read_points,
    root_folder,
    wrong_root,
)
from drivers.recorded import Listing, Numbered, Recorded
from operators import folders, textfile
from operators import semantickitti as format
from operators.streams import CLASS_NAMES, POINT_CLASSES, POINT_IDS, POINTS, POSE, THINGS, VOID
from pipeline.errors import InputError
from pipeline.frame import Reading
from pipeline.operator import Source

_WHO = "semantickitti"
_GAP_NS = 1_000_000_000
"""Between two sequences."""
_NEEDS = "sequences/SS/velodyne/NNNNNN.bin, or NNNNNN.bin"
_TRUTHS = ("point_classes_truth", "point_ids_truth")


@dataclass(frozen=True, slots=True)
class SemanticKittiConfig:
    root: str = ""  # folder with sequences/, or one sequence, or scans beside their labels
    sequences: str | int | list[str | int] = "all"  # "all", "08", or a list
    rate_hz: float = 10.0  # without times.txt


@dataclass(frozen=True, slots=True)
class _Sequence:
    number: int  # in playing order
    name: str
    folder: Path
    scans: dict[int, Path]
    labels: dict[int, Path]
    start_ns: int
    rate_hz: float
    times_ns: np.ndarray | None = None
    frames: list[int] = field(default_factory=list)

    def stamp_ns(self, frame: int) -> int:
        if self.times_ns is not None:
            return self.start_ns + int(self.times_ns[frame])
        return self.start_ns + round(frame * 1e9 / self.rate_hz)

    def lacks(self, port: str) -> str:
        """What a port needs and this sequence does not have, or ""."""
        if port in _TRUTHS and not self.labels:
            return f"{self.folder / 'labels'} holds no .label files"
        if port == "pose":
            missing = [name for name in ("poses.txt", "calib.txt") if not folders.is_file(self.folder / name)]
            return f"{self.folder / missing[0]} is not there" if missing else ""
        return ""

    def poses(self) -> np.ndarray:
        """(K, 4, 4) T_world_velo, row = frame number. Raises InputError."""
        path = self.folder / "poses.txt"
        table = textfile.read_table(path, (12,), 12, names="a 3 x 4 pose")
        textfile.check_finite(table, slice(0, 12), "a pose")
        if len(table.values) <= self.frames[-1]:
            raise InputError(f"{path}: needs a line per frame, {self.frames[-1] + 1} or more, got {len(table.values)}")
        T_world_cam = np.tile(np.eye(4), (len(table.values), 1, 1))
        T_world_cam[:, :3] = table.values.reshape(-1, 3, 4)
        if len(flat := np.flatnonzero(~(np.abs(np.linalg.det(T_world_cam[:, :3, :3]) - 1) < 0.5))):
            table.refuse(int(flat[0]), "a rotation in columns 1-3, 5-7, 9-11", "one whose determinant is far from 1")
        T_cam_velo = KittiCalibration(self.folder / "calib.txt").T_cam_velo
        T_world_velo = np.linalg.inv(T_world_cam[0] @ T_cam_velo) @ T_world_cam @ T_cam_velo
        T_world_velo[0] = np.eye(4)  # without the rounding of inv
        return T_world_velo

    def check(self, wanted: Collection[str]) -> None:
        """Reads the files of the wanted ports, of scans and labels only their sizes. Raises InputError."""
        if "points" in wanted:
            check_scans(self.scans.values())
        if set(wanted) & set(_TRUTHS):
            for frame, path in self.labels.items():
                if frame in self.scans and 4 * folders.size(path) != folders.size(self.scans[frame]):
                    format.read_label(path, folders.size(self.scans[frame]) // POINT_BYTES)
        if "pose" in wanted and not self.lacks("pose"):
            self.poses()


class SemanticKitti(Recorded, Source):
    Config = SemanticKittiConfig
    outputs = {"points": POINTS, "pose": POSE, "point_classes_truth": POINT_CLASSES, "point_ids_truth": POINT_IDS}
    parts_key = "sequences"

    _poses: np.ndarray | None

    @classmethod
    def list_items(cls, config: SemanticKittiConfig) -> Listing:
        sequences = survey(config)
        return Listing(sequences, Numbered(sequences), config.rate_hz)

    def lacks(self, ports: Collection[str]) -> dict[str, str]:
        found = {port: [text for sequence in self.listing.parts if (text := sequence.lacks(port))] for port in sorted(ports)}
        return {port: texts[0] for port, texts in found.items() if texts}

    def check_wanted(self) -> None:
        for sequence in self.listing.parts:
            sequence.check(self.wanted)

    def enter(self, sequence: _Sequence) -> None:
        self._poses = sequence.poses() if "pose" in self.wanted and not sequence.lacks("pose") else None

    def load(self, sequence: _Sequence, frame: int, reading: Reading) -> None:
        path = sequence.scans[frame]
        if "points" in self.wanted:
            reading.values["points"] = read_points(path, lambda shape: self.alloc("points", "points", shape, "float32"))
        if self._poses is not None:
            reading.values["pose"] = self.put("pose", "T_world_velo", self._poses[frame])
        wanted = [port for port in _TRUTHS if port in self.wanted]
        if not wanted or frame not in sequence.labels:
            return
        classes, instances = format.read_label(sequence.labels[frame], folders.size(path) // POINT_BYTES)
        ids = np.where((instances > 0) & (classes > 0), sequence.number << 32 | classes.astype(np.int64) << 16 | instances, -1)
        values = {"point_classes_truth": np.where(classes == 0, VOID, classes).astype(np.uint8), "point_ids_truth": ids}
        for port in wanted:
            reading.values[port] = self.put(port, port.removesuffix("_truth"), values[port])
            reading.meta[port] = {CLASS_NAMES: list(format.NAMES), THINGS: list(format.THINGS)}


def survey(config: SemanticKittiConfig) -> list[_Sequence]:
    """The sequences and frames, from names of files and times.txt. Raises InputError."""
    root = root_folder(_WHO, config.root, _NEEDS)
    check_rate(_WHO, config.rate_hz)
    found = format.sequences(root, "velodyne", suffix=".bin")
    sequences, now = [], 0
    for at, (name, folder) in enumerate(format.chosen(found, config.sequences, f"{_WHO}: config.sequences", root)):
        scans = numbered(folder, ".bin")
        if not scans:
            continue
        flat = folder.name != "velodyne"
        labels = numbered(folder if flat else folder.parent / "labels", ".label")
        last = list(scans)[-1]
        check_stamp(scans[last], last, config.rate_hz, now)
        own = folder if flat else folder.parent
        times_ns = _times_ns(own / "times.txt", last)
        sequences.append(_Sequence(at, name, own, scans, labels, now, config.rate_hz, times_ns, list(scans)))
        now = sequences[-1].stamp_ns(last) + _GAP_NS
    if not sequences:
        raise wrong_root(_WHO, root, _NEEDS)
    return sequences


def _times_ns(path: Path, last: int) -> np.ndarray | None:
    """(K,) int64, row = frame number; None without the file. Raises InputError."""
    if not folders.is_file(path):
        return None
    table = textfile.read_table(path, (1,), 1, names="the time of a frame [s]")
    textfile.check_finite(table, slice(0, 1), "a time")
    times = table.values[:, 0]
    if len(times) <= last:
        raise InputError(f"{path}: needs a line per frame, {last + 1} or more, got {len(times)}")
    if len(back := np.flatnonzero(np.diff(times, prepend=-np.inf) <= 0)):
        table.refuse(int(back[0]), "a time after that of the line before", f"{times[back[0]]:g} s")
    if not (times[0] >= 0 and times[-1] < 1e9):
        table.refuse(0, "times from 0 to 1e9 s", f"{times[0]:g} .. {times[-1]:g} s")
    return np.rint(times * 1e9).astype(np.int64)
