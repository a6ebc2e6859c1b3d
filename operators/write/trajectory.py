"""Write the poses of each sequence to a file that other tools read: KITTI odometry or TUM, DIR/<node>/SEQ.txt.

in  pose         POSE
    calibration  CALIBRATION  static; optional: KITTI's files then hold the poses of rectified camera 0, as KITTI's own do
format kitti: 12 numbers a line, the first three rows of T_world_velo (T_world_cam); line = frame number of the item, from 0.
       tum: time [s], x y z [m], quaternion x y z w; T_world_velo.
Numbers are exact: the shortest text that loses no bit.
State: none but the files.   Missing frames: tum has no line; kitti has a line for each number and repeats the pose before (the
identity before the first one); the status and the log count them. Two frames of one number are refused in kitti.
A frame's line is on disk when process() returns. After a crash, the lines of a frame that does not count are removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.files import frame_number
from operators.geometry.transforms import invert
from operators.record.scene import quaternion
from operators.streams import CALIBRATION, POSE, Calibration
from operators.write.folder import Folder, Write
from pipeline.errors import RunError
from pipeline.operator import Operator
from pipeline.schema import static

MAX_MISSING = 100_000


@dataclass(frozen=True, slots=True)
class TrajectoryConfig:
    format: Literal["kitti", "tum"] = "kitti"


class Trajectory(Operator):
    Config = TrajectoryConfig
    inputs = {"pose": POSE, "calibration": static(CALIBRATION, optional=True)}

    def open(self) -> None:
        self.folder = Folder(self.name, self.out_dir, self.resume)
        self.before: dict[str, tuple[int, bytes]] = {}  # file -> lines, the last one
        self.num_missing = 0

    def process(self, pose: np.ndarray, calibration: Calibration | None = None) -> None:
        name = f"{self.folder.sequence(self.header)}.txt"
        if self.config.format == "tum":
            seconds, nanos = divmod(self.header.stamp_ns, 1_000_000_000)
            numbers = [*pose[:3, 3], *quaternion(pose[:3, :3])]
            data = f"{seconds}.{nanos:09d} {_text(numbers)}\n".encode()
        else:
            T = pose if calibration is None else calibration.T_cam_velo @ pose @ invert(calibration.T_cam_velo)
            data = self._filled(name, f"{_text(T[:3].ravel())}\n".encode())
        self.folder.write(self.header, [Write(name, data, "append")])

    def close(self) -> None:
        self.folder.close()
        if self.num_missing:
            self.log.warning("%s", self._missing())

    def _filled(self, name: str, line: bytes) -> bytes:
        """The line, and before it one for each missing frame."""
        if name not in self.before:
            path = self.folder.at(name, self.header)
            there = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            self.before[name] = (len(there), there[-1] if there else f"{_text(np.eye(4)[:3].ravel())}\n".encode())
        rows, last = self.before[name]
        number = frame_number(self.header.item, self.header.frame_id)
        if not 0 <= number - rows <= MAX_MISSING:
            raise RunError(
                f"{self.name}: {name}: needs frames in the order of their numbers, at most {MAX_MISSING} missing, got {number} "
                f"({self.header.item}) after {rows - 1}; format: tum has no numbers"
            )
        if number > rows:
            self.num_missing += number - rows
            self.status(self._missing())
        self.before[name] = (number + 1, line)
        return last * (number - rows) + line

    def _missing(self) -> str:
        return f"{self.num_missing} frames without a pose: their lines repeat the pose before"


def _text(numbers: np.ndarray | list[float]) -> str:
    return " ".join(repr(float(number)) for number in numbers)
