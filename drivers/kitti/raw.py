"""KITTI raw: one synchronised drive, played on the clock of one of its sensors.     Layout: README.md beside this file

out  points       (N, 4) float32      x y z [m, velodyne frame], intensity [0..1]
     image        (H, W, 3) uint8     RGB of the colour camera
     grey         (H, W) uint8        of the grey camera
     pose         (4, 4) float64      T_world_velo, world = velodyne at the first oxts file of the drive
     calibration  static

`clock` names the sensor that gives frames and timestamps; the other ports send their file of the same number. Two sensors
in a graph are two nodes of this driver with different clocks. A port without a file sends nothing. Empty scan: N = 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from drivers.kitti.calibration import KittiCalibration, find_calibration
from drivers.kitti.files import (
    check_rate,
    check_scans,
    check_stamp,
    numbered,
    read_sensors,
    root_folder,
)
from drivers.kitti.oxts import read_oxts_folder
from drivers.kitti.timestamps import read_stamps
from drivers.pictures import SUFFIXES, check_pictures, picture_size
from drivers.recorded import Item, Listing, Recorded
from operators import folders
from operators.geometry.gps import poses
from operators.streams import CALIBRATION, GREY, IMAGE, POINTS, POSE
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.operator import Source
from pipeline.schema import static

_WHO = "kitti.raw"
_NEEDS = "DATE/DATE_drive_NNNN_sync/velodyne_points/data"
_PORT_OF_CLOCK = {"velodyne": "points", "camera": "image", "grey": "grey", "oxts": "pose"}


@dataclass(frozen=True, slots=True)
class RawConfig:
    root: str = ""  # folder with DATE/
    date: str = ""  # 2011_09_26; "" = the only one
    drive: str = ""  # folder name, or its number as in 0009; "" = the only one
    clock: Literal["velodyne", "camera", "grey", "oxts"] = "velodyne"  # the sensor that gives frames and timestamps
    camera: Literal[0, 1, 2, 3] = 2  # camera of image and calibration: 2, 3 colour
    grey_camera: Literal[0, 1, 2, 3] = 0  # 0, 1 grey
    rate_hz: float = 10.0  # used without timestamps.txt; counted from frame number 0


@dataclass(frozen=True, slots=True)
class _Drive:
    """Folders of the drive, and frame number -> file per port."""

    folder: Path
    sensors: dict[str, Path]
    files: dict[str, dict[int, Path]]
    frames: list[int]
    stamps_ns: list[int]

    def calibration(self) -> KittiCalibration | None:
        return find_calibration([self.folder.parent, self.folder, self.folder.parent.parent])

    def poses(self, wanted: Collection[str]) -> dict[int, np.ndarray]:
        """Frame number -> (4, 4) T_world_velo; none if they are not wanted or cannot be known. Raises InputError if a played
        frame has none."""
        calibration = self.calibration() if "pose" in wanted and self.files["pose"] else None
        if calibration is None or calibration.lacks_imu:
            return {}
        folder = self.sensors["pose"] / "data"
        rows = read_oxts_folder(folder)
        without = next((frame for frame in self.frames if frame not in rows), None)
        if without is not None:
            raise InputError(f"{folder}: needs {without:010d}.txt for the frame of that number, got {len(rows)} other files")
        return dict(zip(rows, poses(np.stack(list(rows.values())), calibration.T_velo_imu), strict=True))


class KittiRaw(Recorded, Source):
    Config, outputs = (
        RawConfig,
        {
            "points": POINTS,
            "image": IMAGE,
            "grey": GREY,
            "pose": POSE,
            "calibration": static(CALIBRATION),
        },
    )

    _poses: dict[int, np.ndarray]

    @classmethod
    def list_items(cls, config: RawConfig) -> Listing:
        drive = survey(config)
        names = (f"{drive.folder.name}/{frame:010d}" for frame in drive.frames)
        items = [Item(0, *item) for item in zip(drive.frames, names, drive.stamps_ns, strict=True)]
        return Listing([drive], items, _rate_hz(config, drive))

    def lacks(self, ports: Collection[str]) -> dict[str, str]:
        drive = self.listing.parts[0]
        out = {p: f"{drive.sensors[p] / 'data'} holds no files" for p, files in drive.files.items() if p in ports and not files}
        of_calibration = sorted({"calibration", "pose"}.intersection(ports))
        calibration = drive.calibration() if of_calibration else None
        for port in of_calibration:
            if calibration is None:
                out.setdefault(port, f"{drive.folder.parent} holds no calib*.txt")
            elif port == "pose" and calibration.lacks_imu:
                out.setdefault(port, calibration.lacks_imu)
        return out

    def check_wanted(self) -> None:
        drive = self.listing.parts[0]
        files = drive.files
        if "points" in self.wanted:
            check_scans(files["points"].values())
        if "image" in self.wanted:
            check_pictures(files["image"].values())
        if "grey" in self.wanted:
            check_pictures(files["grey"].values())
        drive.poses(self.wanted)
        list(self.statics())

    def open(self, start: int = 0) -> None:
        super().open(start)
        self._poses = self.listing.parts[0].poses(self.wanted)

    def statics(self) -> Iterable[Static]:
        drive = self.listing.parts[0]
        calibration = drive.calibration() if "calibration" in self.wanted else None
        if calibration is not None:
            pictures = list(drive.files["image"].values())
            yield Static("calibration", calibration.stream(self.config.camera, picture_size(pictures[0]) if pictures else None))

    def load(self, drive: _Drive, frame: int, reading: Reading) -> None:
        there = {port: files[frame] for port, files in drive.files.items() if frame in files}
        reading.values |= read_sensors(self, there)
        if frame in self._poses:
            reading.values["pose"] = self.put("pose", "T_world_velo", self._poses[frame])


def survey(config: RawConfig) -> _Drive:
    """The frames and their stamps."""
    root = root_folder(_WHO, config.root, _NEEDS)
    check_rate(_WHO, config.rate_hz)
    days = {p.name: p for p in folders.folders(root) if folders.folders(p, f"{p.name}_drive_*")}
    date = _only("date", root, days, config.date)
    folder = _only("drive", date, {p.name: p for p in folders.folders(date, f"{date.name}_drive_*")}, config.drive)

    sensors = {
        "points": folder / "velodyne_points",
        "image": folder / f"image_{config.camera:02d}",
        "grey": folder / f"image_{config.grey_camera:02d}",
        "pose": folder / "oxts",
    }
    suffixes = {"points": [".bin"], "image": SUFFIXES, "grey": SUFFIXES, "pose": [".txt"]}
    files = {port: numbered(sensor / "data", *suffixes[port]) for port, sensor in sensors.items()}
    port = _PORT_OF_CLOCK[config.clock]
    frames = list(files[port])
    if not frames:
        others = [clock for clock, other in _PORT_OF_CLOCK.items() if files[other]]
        raise InputError(
            f"{_WHO}: config.clock: {config.clock} needs files in {sensors[port] / 'data'}, got none; "
            f"there are frames of {', '.join(others) or 'no sensor'}"
        )
    times = sensors[port] / "timestamps.txt"
    if folders.is_file(times):
        stamps_ns = read_stamps(times, frames)
    else:
        check_stamp(files[port][frames[-1]], frames[-1], config.rate_hz)
        stamps_ns = [round(frame * 1e9 / config.rate_hz) for frame in frames]
    return _Drive(folder, sensors, files, frames, stamps_ns)


def _only(key: str, folder: Path, there: dict[str, Path], asked: str) -> Path:
    """The folder with the configured name or drive number; without either, the only folder."""
    if not asked and len(there) == 1:
        return next(iter(there.values()))
    for name, path in there.items():
        if asked and asked in (name, name.rpartition("_drive_")[2].split("_")[0]):
            return path
    choice = ", ".join(there) or f"{_NEEDS} in {folder}"
    raise InputError(f"{_WHO}: config.{key}: needs one of {choice}, got {asked or 'nothing'}")


def _rate_hz(config: RawConfig, drive: _Drive) -> float:
    """The recorded rate, from the median interval because a drive may lack frames."""
    if len(drive.stamps_ns) < 2:
        return config.rate_hz
    return float(1e9 / np.median(np.diff(drive.stamps_ns)))
