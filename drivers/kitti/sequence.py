"""Calibration, ego-motion and labels of one sequence in the tracking layout."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drivers.kitti.calibration import KittiCalibration, read_calibration
from drivers.kitti.files import not_served
from drivers.kitti.labels import read_tracking_labels
from drivers.kitti.oxts import check_covers, read_oxts
from drivers.recorded import Item, Listing
from operators.geometry.gps import enu_pose, poses
from operators.streams import Imu, Truth

_NEEDS = {"pose": ("oxts", "calib"), "imu": ("oxts", "calib"), "calibration": ("calib",), "truth": ("calib",)}


@dataclass(frozen=True, slots=True)
class Sequence:
    """The played frames of one sequence, ascending, and the files of the sequence (which may be absent)."""

    root: Path
    name: str
    frames: list[int]
    start_ns: int = 0
    rate_hz: float = 10.0

    def stamp_ns(self, frame: int) -> int:
        return self.start_ns + round(frame * 1e9 / self.rate_hz)

    def file(self, kind: str) -> Path:
        return self.root / kind / f"{self.name}.txt"

    def check(self) -> None:
        """Reads all files present. Raises InputError if one is wrong or does not cover the frames."""
        if self.file("oxts").exists():
            check_covers(self.file("oxts"), len(read_oxts(self.file("oxts"))), self.frames[-1] if self.frames else -1)
        self.truth()

    def calibration(self) -> KittiCalibration | None:
        path = self.file("calib")
        return read_calibration(path) if path.exists() else None

    def poses(self) -> np.ndarray | None:
        """(K, 4, 4) T_world_velo, row = frame number; None without oxts or without calibration."""
        calibration = self.calibration()
        if calibration is None or not self.file("oxts").exists():
            return None
        assert calibration.T_velo_imu is not None  # this layout always has it
        return poses(read_oxts(self.file("oxts")), calibration.T_velo_imu)

    def imu(self) -> Imu | None:
        """Mounting of the IMU; None if `poses` is None."""
        calibration = self.calibration()
        if calibration is None or not self.file("oxts").exists():
            return None
        assert calibration.T_velo_imu is not None
        return Imu(calibration.T_velo_imu, enu_pose(read_oxts(self.file("oxts"))[0]) @ np.linalg.inv(calibration.T_velo_imu))

    def truth(self) -> dict[int, Truth] | None:
        """Frame number -> truth; None without labels or without calibration (labels are in the camera frame)."""
        calibration = self.calibration()
        path = self.file("label_02")
        return read_tracking_labels(path, calibration.T_cam_velo) if calibration is not None and path.exists() else None

    def lacks(self, port: str) -> Path | None:
        """The missing file that `port` needs for this sequence, or None. A folder without any labels is valid."""
        if port == "truth" and not self.file("label_02").exists():
            return None
        return next((self.file(kind) for kind in _NEEDS[port] if not self.file(kind).exists()), None)


def listing(sequences: list[Sequence]) -> Listing:
    """The frames of all sequences, one after another."""
    items = [Item(i, k, f"{s.name}/{k:06d}", s.stamp_ns(k)) for i, s in enumerate(sequences) for k in s.frames]
    return Listing(sequences, items, sequences[0].rate_hz)


def check_served(node: str, needed: Iterable[str], sequences: list[Sequence]) -> None:
    """Raises InputError for the first port that an operator needs and that has no file."""
    for port in sorted(set(needed) & set(_NEEDS)):
        for sequence in sequences:
            missing = sequence.lacks(port)
            if missing is not None:
                raise not_served(node, port, f"{missing} is not there")
