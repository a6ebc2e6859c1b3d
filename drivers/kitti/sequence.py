"""Calibration, ego-motion and labels of one sequence in the tracking layout."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drivers.kitti.calibration import KittiCalibration
from drivers.kitti.labels import read_tracking_labels
from drivers.kitti.oxts import check_covers, read_oxts
from drivers.recorded import Listing, Numbered
from operators import folders
from operators.geometry.gps import enu_pose, poses
from operators.streams import Imu, Truth

_NEEDS = {
    "boxes3d": ("calib",),
    "pose": ("oxts", "calib"),
    "imu": ("oxts", "calib"),
    "calibration": ("calib",),
    "truth": ("calib",),
}


@dataclass(frozen=True, slots=True)
class Sequence:
    """The played frames of one sequence, ascending, and the files of the sequence (which may be absent)."""

    root: Path
    name: str
    frames: list[int] | range
    start_ns: int = 0
    rate_hz: float = 10.0

    def stamp_ns(self, frame: int) -> int:
        return self.start_ns + round(frame * 1e9 / self.rate_hz)

    def file(self, kind: str) -> Path:
        return self.root / kind / f"{self.name}.txt"

    def has(self, kind: str) -> bool:
        return folders.is_file(self.file(kind))

    def needs_frame(self) -> str:
        """What a line with a frame number after the end is told."""
        why = f"{self.file('oxts')} has {len(self.frames)} lines" if self.has("oxts") else "so long is the sequence"
        return f"a frame 0..{len(self.frames) - 1} ({why})"

    def check(self, wanted: Collection[str]) -> None:
        """Reads the files of the wanted ports. Raises InputError if one is wrong or does not cover the frames."""
        if {"pose", "imu"}.intersection(wanted) and not self.lacks("pose"):
            self.imu()
            check_covers(self.file("oxts"), len(read_oxts(self.file("oxts"))), self.frames[-1] if self.frames else -1)
        if "truth" in wanted:
            self.truth()
        calibration = self.calibration() if "boxes3d" in wanted else None
        if calibration is not None:
            calibration.T_cam_velo.sum()

    def calibration(self) -> KittiCalibration | None:
        return KittiCalibration(self.file("calib")) if self.has("calib") else None

    def poses(self) -> np.ndarray | None:
        """(K, 4, 4) T_world_velo, row = frame number; None without oxts or without the mounting of the IMU."""
        calibration = self.calibration()
        if calibration is None or self.lacks("pose"):
            return None
        return poses(read_oxts(self.file("oxts")), calibration.T_velo_imu)

    def imu(self) -> Imu | None:
        """Mounting of the IMU; None if `poses` is None."""
        calibration = self.calibration()
        if calibration is None or self.lacks("imu"):
            return None
        first = read_oxts(self.file("oxts"))[0]
        return Imu(calibration.T_velo_imu, enu_pose(first) @ np.linalg.inv(calibration.T_velo_imu))

    def truth(self) -> dict[int, Truth] | None:
        """Frame number -> truth; None without labels or without calibration (labels are in the camera frame)."""
        calibration = self.calibration()
        if calibration is None or not self.has("label_02"):
            return None
        return read_tracking_labels(self.file("label_02"), calibration.T_cam_velo)

    def lacks(self, port: str) -> str:
        """What `port` needs for this sequence and does not have, or "". A folder without any labels is valid."""
        if port not in _NEEDS or (port == "truth" and not self.has("label_02")):
            return ""
        for kind in _NEEDS[port]:
            if not self.has(kind):
                return f"{self.file(kind)} is not there"
        calibration = self.calibration()
        return calibration.lacks_imu if calibration is not None and port in ("pose", "imu") else ""


def lacking(sequences: Collection[Sequence], ports: Collection[str]) -> dict[str, str]:
    """Port -> what the first sequence that cannot serve it lacks."""
    out = {}
    for port in sorted(ports):
        if missing := next((text for sequence in sequences if (text := sequence.lacks(port))), ""):
            out[port] = missing
    return out


def listing(sequences: list[Sequence]) -> Listing:
    """The frames of all sequences, one after another."""
    return Listing(sequences, Numbered(sequences), sequences[0].rate_hz)
