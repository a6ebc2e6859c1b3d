"""Write a data set in one of KITTI's folder layouts: the drivers kitti.tracking, kitti.object and kitti.raw read them.

in   points       POINTS       optional
     image        IMAGE        optional
     truth        TRUTH        optional; raw cannot hold it
     pose         POSE         optional; object cannot hold it
     calibration  CALIBRATION  static
Frame 000012 of sequence 0003 (item "0003/000012"; without a sequence: 0000) goes below DIR/<node>/ to

  tracking  velodyne/0003/000012.bin  image_02/0003/000012.png  label_02/0003.txt  oxts/0003.txt  calib/0003.txt
  object    training/ or testing/: velodyne/000012.bin  image_2/  label_2/  calib/; the layout has no sequences: their frames
            are numbered by frame_id
  raw       DATE/DATE_drive_0003_sync/: velodyne_points/  image_02/  oxts/, in each data/0000000012.* and timestamps.txt;
            DATE/calib_*.txt

Points, pictures, calibration (17 digits) and truth are bit-identical when read back. Exceptions in the truth: `truncated` in
tracking (rounded to 0, 0.5 or 1), track ids in object (not stored), angles and coordinates within 1e-7 of 0. Poses are exact to
1e-7 m. raw stores stamps; the other layouts derive them from frame numbers (10 Hz). raw stores the image size; the other
layouts take it from a picture.
Values that no stream contains: all four cameras equal the calibration's, rectified; the IMU is at the LiDAR's position, at
`origin` in the first frame, level, facing east. Lines of missing frames: the first pose in oxts, blank in timestamps.
State: none but the files.   Empty scan: an empty file. No objects: an empty label file.
A frame is written as a whole or not at all, also at a crash (undo.py). Two frames of one number are refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from operators.files import failed, frame_number
from operators.geometry.boxes3d import alpha, velo_to_camera
from operators.geometry.gps import readings
from operators.streams import CALIBRATION, CLASSES, DONT_CARE, IMAGE, POINTS, POSE, TRUTH, Calibration, Truth
from operators.write.folder import Folder, Write
from pipeline.errors import RunError
from pipeline.frame import Header
from pipeline.operator import Operator
from pipeline.schema import optional, static

_NO_BOX = "-1 -1 -10 {} -1 -1 -1 -1000 -1000 -1000 -10"  # DontCare: a region of the picture
_UNKNOWN_OXTS = " 0" * 24  # velocities, accelerations, accuracies
MAX_MISSING = 100_000
"""Most lines of missing frames before one frame: the files grow with the frame numbers, and these may be anything."""


@dataclass(frozen=True, slots=True)
class KittiLayoutConfig:
    layout: Literal["tracking", "object", "raw"] = "tracking"
    split: Literal["training", "testing"] = "training"  # of object
    date: str = "2011_09_26"  # of raw; a sequence named DATE_drive_NNNN_sync keeps its own date
    origin: tuple[float, float, float] = (49.011, 8.4, 116.0)  # lat, lon [deg], alt [m] of a sequence's first frame

    def __post_init__(self) -> None:
        if not (abs(self.origin[0]) <= 80 and abs(self.origin[1]) <= 180):
            raise ValueError(f"origin: needs a latitude within 80 and a longitude within 180 degrees, got {list(self.origin)}")


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """One frame and its names; `headers` of the connected ports."""

    sequence: str
    number: int
    points: np.ndarray | None
    image: np.ndarray | None
    truth: Truth | None
    pose: np.ndarray | None
    calibration: Calibration
    headers: dict[str, Header]


@dataclass(frozen=True, slots=True)
class _Write:
    """One change of a file. whole: a new file; once: create it if missing; lines: append; row: append as line number `row`,
    after one `filler` per missing line."""

    path: str
    data: bytes
    how: Literal["whole", "once", "lines", "row"] = "whole"
    row: int = 0
    filler: bytes = b"\n"


class KittiLayout(Operator):
    Config = KittiLayoutConfig
    inputs = {
        "points": optional(POINTS),
        "image": optional(IMAGE),
        "truth": optional(TRUTH),
        "pose": optional(POSE),
        "calibration": static(CALIBRATION),
    }

    def open(self) -> None:
        self.folder = Folder(self.name, self.out_dir, self.resume)
        self.once: dict[str, bytes] = {}
        self.rows: dict[str, int] = {}  # file -> number of its lines, for files written by `row`

    def process(
        self,
        points: np.ndarray | None,
        image: np.ndarray | None,
        truth: Truth | None,
        pose: np.ndarray | None,
        calibration: Calibration,
    ) -> None:
        header, layout = self.header, self.config.layout
        for port, value, of in (("truth", truth, "raw"), ("pose", pose, "object")):
            if value is not None and layout == of:
                raise RunError(f"{self.name}: {port} is connected, but layout {of} has no place for it; disconnect it?")
        number = header.frame_id if layout == "object" and header.sequence else frame_number(header.item, header.frame_id)
        sequence = "" if layout == "object" else self.folder.sequence(header, _drive(header, self.config))
        frame = _Frame(sequence, number, points, image, truth, pose, calibration, self.headers)
        made = list(_LAYOUTS[layout](frame, self.config))
        try:
            writes = [self._write(change) for change in made]
        except OSError as error:
            raise failed(self.name, self.out_dir, error, f"frame {header} ({header.item})") from error
        self.folder.write(header, [write for write in writes if write is not None])
        self.rows |= {change.path: change.row + 1 for change in made if change.how == "row"}

    def close(self) -> None:
        self.folder.close()

    def _write(self, change: _Write) -> Write | None:
        """The change of a file; None if the file is there already."""
        if change.how == "whole":
            return Write(change.path, change.data, "new")
        if change.how == "lines":
            return Write(change.path, change.data, "append")
        path = self.folder.at(change.path, self.header)
        if change.how == "row":
            return Write(change.path, self._filled(change, path), "append")
        if change.path not in self.once:
            self.once[change.path] = path.read_bytes() if path.exists() else change.data  # one of the life before a crash
        if self.once[change.path] != change.data:
            raise RunError(
                f"{self.name}: {change.path}: needs one calibration, got another one with frame {self.header} "
                f"({self.header.item})"
            )
        return None if path.exists() else Write(change.path, change.data, "new")

    def _filled(self, change: _Write, path: Path) -> bytes:
        """The line, and those of the frames missing before it."""
        if change.path not in self.rows:
            self.rows[change.path] = path.read_bytes().count(b"\n") if path.exists() else 0
        rows = self.rows[change.path]
        missing = change.row - rows
        problem = ""
        if missing < 0:
            problem = "needs frames in the order of their numbers"
        elif missing > MAX_MISSING:
            problem = f"has a line for each frame number and needs gaps of at most {MAX_MISSING}"
        if problem:
            raise RunError(f"{self.name}: {change.path}: {problem}, got {change.row} ({self.header.item}) after {rows - 1}")
        return change.filler * missing + change.data


def _drive(header: Header, config: KittiLayoutConfig) -> str | None:
    """In layout raw the folder of the sequence; a sequence named DATE_drive_NNNN_sync is one already."""
    sequence = header.sequence.replace("/", "_") or "0000"
    return f"{config.date}_drive_{sequence}_sync" if config.layout == "raw" and "_drive_" not in sequence else None


def _tracking(frame: _Frame, config: KittiLayoutConfig) -> Iterator[_Write]:
    sequence, name = frame.sequence, f"{frame.sequence}/{frame.number:06d}"
    yield _Write(f"calib/{sequence}.txt", _calibration(frame.calibration, "R_rect", "Tr_velo_cam", "Tr_imu_velo"), "once")
    if frame.points is not None:
        yield _Write(f"velodyne/{name}.bin", frame.points.tobytes())
    if frame.image is not None:
        yield _Write(f"image_02/{name}.png", _png(frame.image))
    if frame.truth is not None:
        start = [f"{frame.number} {track_id}" for track_id in frame.truth.track_ids.tolist()]
        cut = np.where(frame.truth.truncated > 0, np.rint(2 * frame.truth.truncated), frame.truth.truncated).astype(int)
        lines = _labels(frame.truth, frame.calibration, cut.tolist(), {"Person_sitting": "Person"})
        yield _Write(f"label_02/{sequence}.txt", _text(f"{a} {b}" for a, b in zip(start, lines, strict=True)), "lines")
    if frame.pose is not None:
        yield _Write(f"oxts/{sequence}.txt", _oxts(frame.pose, config), "row", frame.number, _oxts(np.eye(4), config))


def _object(frame: _Frame, config: KittiLayoutConfig) -> Iterator[_Write]:
    split, name = config.split, f"{frame.number:06d}"
    yield _Write(f"{split}/calib/{name}.txt", _calibration(frame.calibration, "R0_rect:", "Tr_velo_to_cam:", "Tr_imu_to_velo:"))
    if frame.points is not None:
        yield _Write(f"{split}/velodyne/{name}.bin", frame.points.tobytes())
    if frame.image is not None:
        yield _Write(f"{split}/image_2/{name}.png", _png(frame.image))
    if frame.truth is not None:
        lines = _labels(frame.truth, frame.calibration, [_number(value) for value in frame.truth.truncated.tolist()], {})
        yield _Write(f"{split}/label_2/{name}.txt", _text(lines))


def _raw(frame: _Frame, config: KittiLayoutConfig) -> Iterator[_Write]:
    date, drive, name = frame.sequence.partition("_drive_")[0], frame.sequence, f"{frame.number:010d}"
    for file, text in _raw_calibration(frame.calibration).items():
        yield _Write(f"{date}/{file}", text, "once")
    sensors = {
        "points": ("velodyne_points", ".bin", None if frame.points is None else frame.points.tobytes()),
        "image": ("image_02", ".png", None if frame.image is None else _png(frame.image)),
        "pose": ("oxts", ".txt", None if frame.pose is None else _oxts(frame.pose, config)),
    }
    for port, (folder, suffix, data) in sensors.items():
        if data is not None:
            yield _Write(f"{date}/{drive}/{folder}/data/{name}{suffix}", data)
            stamp = _stamp(frame.headers[port].stamp_ns)
            yield _Write(f"{date}/{drive}/{folder}/timestamps.txt", stamp, "row", frame.number)


_LAYOUTS: dict[str, Callable[[_Frame, KittiLayoutConfig], Iterator[_Write]]] = {
    "tracking": _tracking,
    "object": _object,
    "raw": _raw,
}


def _labels(truth: Truth, calibration: Calibration, truncated: Sequence[object], names: dict[str, str]) -> list[str]:
    """`type truncated occluded alpha x1 y1 x2 y2 h w l x y z ry` of each object."""
    boxes_cam = velo_to_camera(truth.boxes3d, calibration.T_cam_velo)
    columns = zip(
        truth.labels.tolist(), truncated, truth.occluded.tolist(), alpha(boxes_cam).tolist(), truth.boxes2d.tolist(),
        boxes_cam.tolist(), strict=True,
    )  # fmt: skip
    lines = []
    for label, cut, occluded, angle, box2d, box_cam in columns:
        if label == DONT_CARE:
            lines.append("DontCare " + _NO_BOX.format(_numbers(box2d)))
        else:
            name = CLASSES[label]
            lines.append(f"{names.get(name, name)} {cut} {occluded} {_numbers([angle, *box2d, *box_cam])}")
    return lines


def _calibration(calibration: Calibration, R_rect: str, Tr_velo_cam: str, Tr_imu_velo: str) -> bytes:
    """The calibration file of tracking and object, with the field names of the layout."""
    rows = {f"P{camera}:": calibration.P_cam for camera in range(4)}
    rows |= {R_rect: np.eye(3), Tr_velo_cam: calibration.T_cam_velo[:3], Tr_imu_velo: np.eye(4)[:3]}
    return _text(f"{key} {_numbers(values.ravel())}" for key, values in rows.items())


def _raw_calibration(calibration: Calibration) -> dict[str, bytes]:
    cameras = []
    for camera in range(4):
        cameras += [
            f"S_rect_{camera:02d}: {_numbers(calibration.image_size)}",
            f"R_rect_{camera:02d}: {_numbers(np.eye(3).ravel())}",
            f"P_rect_{camera:02d}: {_numbers(calibration.P_cam.ravel())}",
        ]
    return {
        "calib_cam_to_cam.txt": _text(cameras),
        "calib_velo_to_cam.txt": _rigid(calibration.T_cam_velo),
        "calib_imu_to_velo.txt": _rigid(np.eye(4)),
    }


def _rigid(T: np.ndarray) -> bytes:
    return _text([f"R: {_numbers(T[:3, :3].ravel())}", f"T: {_numbers(T[:3, 3])}"])


def _oxts(T_world_velo: np.ndarray, config: KittiLayoutConfig) -> bytes:
    return _text([_numbers(readings(T_world_velo[None], np.eye(4), config.origin)[0]) + _UNKNOWN_OXTS])


def _stamp(stamp_ns: int) -> bytes:
    seconds, nanos = divmod(stamp_ns, 1_000_000_000)
    return _text([time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{nanos:09d}"])


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def _text(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _numbers(values: Iterable[float]) -> str:
    return " ".join(_number(value) for value in values)


def _number(value: float) -> str:
    """The shortest text that loses no bit."""
    return repr(float(value)).removesuffix(".0")
