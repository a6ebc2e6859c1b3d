"""KITTI tracking: scans, images, ego-motion and labels of numbered sequences.     Layout: README.md beside this file

out  points       (N, 4) float32      x y z [m, velodyne frame], intensity [0..1]
     image        (H, W, 3) uint8     RGB of the colour camera
     grey         (H, W) uint8        of the grey camera
     pose         (4, 4) float64      T_world_velo, world = velodyne at frame 0 of the sequence
     truth        labels of the frame, DontCare included; sent for every frame of a labelled sequence, possibly empty
     calibration  static, one per sequence

A port without a file sends nothing. A frame is played if it has a scan (without velodyne/: an image). Empty scan: N = 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from drivers.kitti.clock import make_clock
from drivers.kitti.files import (
    check_scans,
    numbered,
    read_sensors,
    root_folder,
    wrong_root,
)
from drivers.kitti.labels import empty_truth
from drivers.kitti.sequence import Sequence, lacking, listing
from drivers.pictures import SUFFIXES, check_pictures, picture_size
from drivers.recorded import Listing, Recorded
from operators.streams import CALIBRATION, GREY, IMAGE, POINTS, POSE, TRUTH, Truth
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.operator import Source
from pipeline.schema import static

_WHO = "kitti.tracking"


@dataclass(frozen=True, slots=True)
class TrackingConfig:
    root: str = ""  # folder with velodyne/, image_02/, calib/, oxts/, label_02/
    sequences: str | int | list[str | int] = "all"  # "all", "0002", or a list
    camera: Literal[0, 1, 2, 3] = 2  # camera of image and calibration: 2, 3 colour
    grey_camera: Literal[0, 1, 2, 3] = 0  # 0, 1 grey
    rate_hz: float = 10.0


@dataclass(frozen=True, slots=True)
class _Files:
    """Frame number -> file, per port."""

    points: dict[int, Path]
    image: dict[int, Path]
    grey: dict[int, Path]

    def of_frame(self, frame: int) -> dict[str, Path]:
        ports = {"points": self.points, "image": self.image, "grey": self.grey}
        return {port: files[frame] for port, files in ports.items() if frame in files}


class KittiTracking(Recorded, Source):
    Config, outputs = (
        TrackingConfig,
        {
            "points": POINTS,
            "image": IMAGE,
            "grey": GREY,
            "pose": POSE,
            "truth": TRUTH,
            "calibration": static(CALIBRATION),
        },
    )
    parts_key = "sequences"

    instead: ClassVar[Mapping[str, str]] = {"pose": "; lidar.odometry gives poses from scans: graph kitti_lidar_odometry"}
    truth_in_view = True  # objects outside the camera's view have no labels

    _files: _Files
    _poses: np.ndarray | None
    _truth: dict[int, Truth] | None

    @classmethod
    def list_items(cls, config: TrackingConfig) -> Listing:
        return listing(survey(config))

    def lacks(self, ports: Collection[str]) -> dict[str, str]:
        out = lacking(self.listing.parts, ports)
        for sequence in self.listing.parts:
            files = _list(self.config, sequence.root, sequence.name)
            for port, kind in (("points", "velodyne"), *_image_kinds(self.config)):
                if port in ports and not getattr(files, port):
                    out.setdefault(port, f"{sequence.root / kind / sequence.name} holds no files")
        return out

    def check_wanted(self) -> None:
        for sequence in self.listing.parts:
            files = _list(self.config, sequence.root, sequence.name)
            if "points" in self.wanted:
                check_scans(files.points.values())
            if "image" in self.wanted:
                check_pictures(files.image.values())
            if "grey" in self.wanted:
                check_pictures(files.grey.values())
            sequence.check(self.wanted)
        list(self.statics())

    def statics(self) -> Iterable[Static]:
        for sequence in self.listing.parts if "calibration" in self.wanted else ():
            calibration = sequence.calibration()
            if calibration is not None:
                images = _list(self.config, sequence.root, sequence.name).image
                on_disk = picture_size(next(iter(images.values()))) if images else None
                value = calibration.stream(self.config.camera, on_disk)
                yield Static("calibration", value, sequence.stamp_ns(0))

    def enter(self, sequence: Sequence) -> None:
        self._files = _list(self.config, sequence.root, sequence.name)
        self._poses = sequence.poses() if "pose" in self.wanted else None
        self._truth = sequence.truth() if "truth" in self.wanted else None

    def load(self, sequence: Sequence, frame: int, reading: Reading) -> None:
        reading.values |= read_sensors(self, self._files.of_frame(frame))
        if self._poses is not None:
            reading.values["pose"] = self.put("pose", "T_world_velo", self._poses[frame])
        if self._truth is not None:
            reading.values["truth"] = self._truth.get(frame, empty_truth())


def survey(config: TrackingConfig) -> list[Sequence]:
    """The sequences and frames, found from file names only."""
    needs = f"velodyne/ or image_{config.camera:02d}/"
    root = root_folder(_WHO, config.root, needs)
    clock = make_clock(_WHO, root, config.sequences, config.rate_hz)
    sequences = []
    for name in clock.start_ns:
        files = _list(config, root, name)
        frames = list(files.points or files.image or files.grey)
        if frames:
            sequences.append(Sequence(root, name, frames, clock.start_ns[name], clock.rate_hz))
        elif config.sequences != "all":
            raise InputError(
                f"{_WHO}: config.sequences: {name} needs scans in {root / 'velodyne' / name} or pictures, got no files"
            )
    if not sequences:
        raise wrong_root(_WHO, root, needs)
    return sequences


def _image_kinds(config: TrackingConfig) -> tuple[tuple[str, str], ...]:
    return ("image", f"image_{config.camera:02d}"), ("grey", f"image_{config.grey_camera:02d}")


def _list(config: TrackingConfig, root: Path, name: str) -> _Files:
    pictures = {port: numbered(root / kind / name, *SUFFIXES) for port, kind in _image_kinds(config)}
    return _Files(numbered(root / "velodyne" / name, ".bin"), **pictures)
