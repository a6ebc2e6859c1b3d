"""nuScenes: key frames with sweep, picture of one of six cameras, calibration and boxes.     Layout: README.md beside this file

out  points       (N, 4) float32      x y z [m, velodyne frame], intensity [0..1]
     point_rings  (N,) uint8          beam, 0 = the highest of 32
     image        (H, W, 3) uint8     RGB of `camera`
     truth        boxes of the frame; fact class_names: the file's categories; boxes2d is 0 outside the picture
     calibration  static, of `camera`, sent again with each frame

Files are found below `root`: the one info file (*.pkl), and beside it or in samples/SENSOR/ the pictures and sweeps. Several
cameras are several nodes. A port without a file sends nothing. Empty sweep: N = 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from drivers.kitti.files import root_folder
from drivers.nuscenes import info
from drivers.pictures import check_pictures, picture_size, read_rgb
from drivers.recorded import Item, Listing, Recorded
from operators import folders
from operators.geometry.project import boxes_to_image
from operators.geometry.transforms import rigid, rotation_problem, transform_boxes, turn_of_axes
from operators.streams import CALIBRATION, CLASS_NAMES, IMAGE, POINT_RINGS, POINTS, TRUTH, Calibration, Truth
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.operator import Source
from pipeline.schema import static

_WHO = "nuscenes"
_NEEDS = "an info file (*.pkl), and samples/ or the files themselves"
_LIDAR = "LIDAR_TOP"
_COLUMNS, _TOP_RING = 5, 31
_RATE_HZ = 2.0
"""Of key frames."""
T_VELO_FILE = rigid(turn_of_axes(("y", "-x", "z")))
"""x right, y forward, z up -> velodyne frame."""
Camera = Literal["CAM_FRONT", "CAM_FRONT_LEFT", "CAM_FRONT_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT"]


@dataclass(frozen=True, slots=True)
class NuscenesConfig:
    root: str = ""  # folder with the info file
    info: str = ""  # its name; "" = the only one
    camera: Camera = "CAM_FRONT"  # of image and calibration
    clock: Literal["lidar", "camera"] = "lidar"  # the sensor that gives the stamps


@dataclass(frozen=True, slots=True)
class _Set:
    """The info file and what it says; frames: entries of data_list."""

    path: Path
    names: tuple[str, ...]
    frames: list[Any]

    def file(self, sensor: str, name: str) -> Path | None:
        root = self.path.parent
        places = (root / name, root / "samples" / sensor / Path(name).name)
        return next((place for place in places if folders.is_file(place)), None)


class Nuscenes(Recorded, Source):
    Config, outputs = (
        NuscenesConfig,
        {
            "points": POINTS,
            "point_rings": POINT_RINGS,
            "image": IMAGE,
            "truth": TRUTH,
            "calibration": static(CALIBRATION),
        },
    )

    @classmethod
    def list_items(cls, config: NuscenesConfig) -> Listing:
        files = survey(config)
        items = []
        for number in range(len(files.frames)):
            sensor = ("timestamp",) if config.clock == "lidar" else ("images", config.camera, "timestamp")
            stamp_s = float(info.numbers(files.path, files.frames, (), number, *sensor))
            scene = _text(files, number, "lidar_points", "lidar_path").rpartition("/")[2].partition("__")[0]
            items.append(Item(0, number, f"{scene}/{number:06d}", round(stamp_s * 1e6) * 1000))
        if not items:
            raise InputError(f"{files.path}: data_list: needs a key frame or more, got none")
        return Listing([files], sorted(items, key=lambda item: item.stamp_ns), _RATE_HZ)

    def lacks(self, ports: Collection[str]) -> dict[str, str]:
        files: _Set = self.listing.parts[0]
        needs = {"points": _LIDAR, "point_rings": _LIDAR, "image": self.config.camera}
        missing = {}
        for port in sorted(needs.keys() & set(ports)):
            if all(_sensor_file(files, item.key, needs[port]) is None for item in self.listing.items):
                name = Path(_name(files, self.listing.items[0].key, needs[port])).name
                missing[port] = f"{files.path.parent} has no {name}, nor has samples/{needs[port]} in it"
        return missing

    def check_wanted(self) -> None:
        files: _Set = self.listing.parts[0]
        for item in self.listing.items:
            if self.wanted & {"points", "point_rings"} and (path := _sensor_file(files, item.key, _LIDAR)):
                _num_points(path)
            if "image" in self.wanted and (path := _sensor_file(files, item.key, self.config.camera)):
                check_pictures([path])
            if "truth" in self.wanted:
                read_truth(files, item.key, self._calibration(item.key))
        if "calibration" in self.wanted:
            list(self.statics())

    def statics(self) -> Iterable[Static]:
        for item in self.listing.items if "calibration" in self.wanted else ():
            yield Static("calibration", self._calibration(item.key), item.stamp_ns)

    def _calibration(self, number: int) -> Calibration:
        files: _Set = self.listing.parts[0]
        path = _sensor_file(files, number, self.config.camera)
        return read_calibration(files, number, self.config.camera, picture_size(path) if path else (1600, 900))

    def load(self, files: _Set, number: int, reading: Reading) -> None:
        if self.wanted & {"points", "point_rings"} and (path := _sensor_file(files, number, _LIDAR)):
            sweep = read_sweep(path)
            if "points" in self.wanted:
                points = self.alloc("points", "points", (len(sweep), 4), np.float32)
                convert(sweep, points)
                reading.values["points"] = points
            if "point_rings" in self.wanted:
                reading.values["point_rings"] = (_TOP_RING - sweep[:, 4]).astype(np.uint8)
        if "image" in self.wanted and (path := _sensor_file(files, number, self.config.camera)):
            reading.values["image"] = read_rgb(path, lambda shape: self.alloc("image", "image", shape, "uint8"))
        if "truth" in self.wanted:
            reading.values["truth"] = read_truth(files, number, self._calibration(number))
            reading.meta["truth"] = {CLASS_NAMES: list(files.names)}


def survey(config: NuscenesConfig) -> _Set:
    root = root_folder(_WHO, config.root, _NEEDS)
    there = folders.files(root, "*.pkl")
    path = root / config.info if config.info else there[0] if len(there) == 1 else None
    if path is None:
        got = ", ".join(file.name for file in there) or "none"
        raise InputError(f"{_WHO}: config.info: needs the name of an info file (*.pkl) in {root}, got {got}")
    data = info.read(path)
    categories, frames = info.value(path, data, "metainfo", "categories"), info.value(path, data, "data_list")
    if not isinstance(categories, dict) or not all(isinstance(n, int) for n in categories.values()):
        raise InputError(f"{path}: metainfo.categories: needs names with numbers, got {str(categories)[:60]}")
    if sorted(categories.values()) != list(range(len(categories))) or not isinstance(frames, list):
        raise InputError(f"{path}: needs categories 0, 1, .. and a list data_list, got {str(categories)[:60]}")
    return _Set(path, tuple(map(str, sorted(categories, key=categories.__getitem__))), frames)


def read_calibration(files: _Set, number: int, camera: str, size: tuple[int, int]) -> Calibration:
    """Of one camera for the sweep of this frame; size: (width, height) of its pictures. Raises InputError."""
    at = (number, "images", camera)
    K = info.numbers(files.path, files.frames, (3, 3), *at, "cam2img")
    T_cam_file = info.numbers(files.path, files.frames, (4, 4), *at, "lidar2cam")
    if wrong := rotation_problem(T_cam_file[:3, :3]):
        raise InputError(f"{files.path}: data_list.{number}.images.{camera}.lidar2cam: {wrong}")
    return Calibration(np.c_[K, np.zeros(3)], T_cam_file @ T_VELO_FILE.T, np.array(size, np.int32))


def read_sweep(path: Path) -> np.ndarray:
    """(N, 5) float32: x right, y forward, z up [m], intensity 0..255, ring 0..31 from the lowest. Raises InputError."""
    with folders.reading(path) as file:
        sweep = np.frombuffer(file.read(4 * _COLUMNS * _num_points(path)), np.float32).reshape(-1, _COLUMNS)
    wrong = ~(np.isfinite(sweep).all(1) & (sweep[:, 4] >= 0) & (sweep[:, 4] <= _TOP_RING))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{path}: needs finite numbers, rings 0..{_TOP_RING}, got {sweep[row].tolist()} as point {row}; another format?"
        )
    return sweep


def convert(sweep: np.ndarray, points: np.ndarray) -> None:
    """(N, 5) of a file -> (N, 4) of the velodyne frame, which is filled."""
    points[:, 0], points[:, 1], points[:, 2] = sweep[:, 1], -sweep[:, 0], sweep[:, 2]
    np.divide(sweep[:, 3], 255, out=points[:, 3])


def read_truth(files: _Set, number: int, calibration: Calibration) -> Truth:
    """The boxes of a frame. Raises InputError."""
    instances = info.value(files.path, files.frames, number, "instances")
    num = len(instances)
    boxes = np.zeros((num, 7))
    labels = np.zeros(num, np.int32)
    for row in range(num):
        boxes[row] = info.numbers(files.path, files.frames, (7,), number, "instances", row, "bbox_3d")
        label = info.value(files.path, files.frames, number, "instances", row, "bbox_label_3d")
        if not (type(label) is int and -1 <= label < len(files.names)):
            raise InputError(
                f"{files.path}: {number}.instances.{row}.bbox_label_3d: needs -1..{len(files.names) - 1}, got {label}"
            )
        labels[row] = label
    boxes3d = transform_boxes(boxes, T_VELO_FILE).astype(np.float32)
    boxes2d, _ = boxes_to_image(boxes3d, *calibration)
    unknown = np.full(num, -1, np.int64)
    return Truth(boxes3d, boxes2d, labels, unknown, np.full(num, 3, np.int32), np.full(num, -1, np.float32))


def _text(files: _Set, number: int, *keys: str) -> str:
    got = info.value(files.path, files.frames, number, *keys)
    if not isinstance(got, str):
        raise InputError(f"{files.path}: {number}.{'.'.join(keys)}: needs the name of a file, got {str(got)[:60]}")
    return got


def _name(files: _Set, number: int, sensor: str) -> str:
    keys = ("lidar_points", "lidar_path") if sensor == _LIDAR else ("images", sensor, "img_path")
    return _text(files, number, *keys)


def _sensor_file(files: _Set, number: int, sensor: str) -> Path | None:
    return files.file(sensor, _name(files, number, sensor))


def _num_points(path: Path) -> int:
    size = folders.size(path)
    if size % (4 * _COLUMNS):
        raise InputError(
            f"{path}: needs a multiple of 20 bytes (x y z intensity ring, float32), got {size}; copied incompletely?"
        )
    return size // (4 * _COLUMNS)
