"""KITTI object: unordered single frames with scan, colour picture, labels and a calibration each.     Layout: README.md

out  points       (N, 4) float32      x y z [m, velodyne frame], intensity [0..1]
     image        (H, W, 3) uint8     RGB of camera 2
     truth        labels of the frame, DontCare included, track ids -1
     calibration  static, sent again where it changes

A port without a file sends nothing. The frames have no common clock: their stamps are one period apart in the order of their
names. Empty scan: N = 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from drivers.kitti.calibration import KittiCalibration
from drivers.kitti.files import (
    check_rate,
    check_scans,
    numbered,
    read_sensors,
    root_folder,
    wrong_root,
)
from drivers.kitti.labels import read_object_labels
from drivers.pictures import SUFFIXES, check_pictures, picture_size
from drivers.recorded import Item, Listing, Recorded
from operators import folders, textfile
from operators.streams import CALIBRATION, IMAGE, POINTS, TRUTH, Calibration
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.operator import Source
from pipeline.schema import static

_WHO = "kitti.object"
_NEEDS = "training/ or testing/, and in it velodyne/, velodyne_reduced/ or image_2/"
_CAMERA = 2
_SCANS = ("velodyne", "velodyne_reduced")


@dataclass(frozen=True, slots=True)
class ObjectConfig:
    root: str = ""  # folder with training/ or testing/
    split: Literal["training", "testing"] = "training"
    scan: Literal["auto", "velodyne", "velodyne_reduced"] = "auto"  # full sweep or camera's view; auto: full if present
    rate_hz: float = 10.0


@dataclass(frozen=True, slots=True)
class _Files:
    """Frame number -> file; `frames`: the played frames, ascending."""

    frames: list[int]
    points: dict[int, Path]
    image: dict[int, Path]
    calib: dict[int, Path]
    truth: dict[int, Path]


class KittiObject(Recorded, Source):
    Config, outputs = (
        ObjectConfig,
        {
            "points": POINTS,
            "image": IMAGE,
            "truth": TRUTH,
            "calibration": static(CALIBRATION),
        },
    )

    truth_in_view = True  # objects outside the camera's view have no labels

    @classmethod
    def list_items(cls, config: ObjectConfig) -> Listing:
        files = survey(config)
        items = [Item(0, frame, f"{frame:06d}", _stamp_ns(config, index)) for index, frame in enumerate(files.frames)]
        return Listing([files], items, config.rate_hz)

    def lacks(self, ports: Collection[str]) -> dict[str, str]:
        files = self.listing.parts[0]
        folder = folders.at(self.config.root) / self.config.split
        needs = {"points": ("velodyne", files.points), "image": ("image_2", files.image), "calibration": ("calib", files.calib)}
        if files.truth:  # a folder without any labels is valid
            needs["truth"] = ("calib", files.calib)
        return {port: f"{folder / kind} holds no files" for port, (kind, there) in needs.items() if port in ports and not there}

    def check_wanted(self) -> None:
        files = self.listing.parts[0]
        if "points" in self.wanted:
            check_scans(files.points.values())
        if self.wanted & {"image", "calibration"}:  # the calibration has the size of the pictures
            check_pictures(files.image.values())
        if self.wanted & {"truth", "calibration"}:
            self._check_texts(files)

    def _check_texts(self, files: _Files) -> None:
        without = next((frame for frame in files.frames if frame not in files.calib), None)
        if files.calib and without is not None:
            path = next(iter(files.calib.values())).parent / f"{without:06d}.txt"
            raise InputError(f"{path}: needs to be there, other frames have one; got no such file")
        self._read_calibration = _Calibrations(files)
        list(self.statics())
        for frame in files.frames:
            calibration = self._read_calibration(frame)
            if "truth" in self.wanted and calibration is not None and frame in files.truth:
                read_object_labels(files.truth[frame], calibration.T_cam_velo)

    def open(self, start: int = 0) -> None:
        super().open(start)
        self._read_calibration = _Calibrations(self.listing.parts[0])

    def statics(self) -> Iterable[Static]:
        before: Calibration | None = None
        files = self.listing.parts[0]
        for index, frame in enumerate(files.frames if "calibration" in self.wanted else ()):
            calibration = self._read_calibration(frame)
            if calibration is None:
                return
            picture = files.image.get(frame)
            value = calibration.stream(_CAMERA, picture_size(picture) if picture else None)
            if before is None or not all(np.array_equal(a, b) for a, b in zip(value, before, strict=True)):
                yield Static("calibration", value, _stamp_ns(self.config, index))
                before = value

    def load(self, files: _Files, frame: int, reading: Reading) -> None:
        ports = {"points": files.points, "image": files.image}
        reading.values |= read_sensors(self, {port: there[frame] for port, there in ports.items() if frame in there})
        if "truth" in self.wanted and frame in files.truth:
            calibration = self._read_calibration(frame)
            if calibration is not None:
                reading.values["truth"] = read_object_labels(files.truth[frame], calibration.T_cam_velo)


def survey(config: ObjectConfig) -> _Files:
    """The frames that have a scan; if there are no scans, the frames that have an image."""
    root = root_folder(_WHO, config.root, _NEEDS)
    check_rate(_WHO, config.rate_hz)
    folder = root / config.split
    full, reduced = (numbered(folder / kind, ".bin") for kind in _SCANS)
    points = {"auto": reduced | full, "velodyne": full, "velodyne_reduced": reduced}[config.scan]
    image = numbered(folder / "image_2", *SUFFIXES)
    frames = sorted(points or image)
    if not frames:
        raise wrong_root(_WHO, root, _NEEDS)
    return _Files(frames, points, image, numbered(folder / "calib", ".txt"), numbered(folder / "label_2", ".txt"))


def _stamp_ns(config: ObjectConfig, index: int) -> int:
    return round(index * 1e9 / config.rate_hz)


class _Calibrations:
    """Frame -> calibration. KITTI's 7,481 files hold a few dozen different texts: each text is parsed once."""

    def __init__(self, files: _Files) -> None:
        self._files = files
        self._parsed: dict[bytes, KittiCalibration] = {}

    def __call__(self, frame: int) -> KittiCalibration | None:
        path = self._files.calib.get(frame)
        if path is None:
            return None
        text = textfile.read(path)
        if text not in self._parsed:
            self._parsed[text] = KittiCalibration(path)
        return self._parsed[text]
