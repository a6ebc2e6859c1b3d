"""KITTI tracking: scans, pictures, ego-motion and labels of numbered sequences.     Layout: README.md beside this file

out  points       (N, 4) float32      x y z [m, velodyne frame], intensity [0..1]
     image        (H, W, 3) uint8     RGB of the colour camera
     grey         (H, W) uint8        of the grey camera
     pose         (4, 4) float64      T_world_velo, world = velodyne at frame 0 of the sequence
     truth        labels of the frame, DontCare included; sent, maybe empty, for every frame of a labelled sequence
     calibration  static, one per sequence

What is not on disk is not sent; a frame is played when it has a scan (without velodyne/: a picture). Empty scan: N = 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from drivers.kitti.clock import Clock, make_clock
from drivers.kitti.files import (
    check_scans,
    not_served,
    numbered,
    png_size,
    read_grey,
    read_points,
    read_rgb,
    root_folder,
    wrong_root,
)
from drivers.kitti.labels import empty_truth
from drivers.kitti.sequence import Sequence, check_served
from operators.streams import CALIBRATION, GREY, IMAGE, POINTS, POSE, TRUTH, Truth
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.operator import Found, Source
from pipeline.schema import static

_WHO = "kitti.tracking"


@dataclass(frozen=True, slots=True)
class TrackingConfig:
    root: str = ""  # folder with velodyne/, image_02/, calib/, oxts/, label_02/
    sequences: str | int | list[str | int] = "all"  # "all", "0002", or a list
    camera: Literal[0, 1, 2, 3] = 2  # whose pictures and calibration: 2, 3 colour
    grey_camera: Literal[0, 1, 2, 3] = 0  # 0, 1 grey
    rate_hz: float = 10.0


@dataclass(frozen=True, slots=True)
class _Files:
    """Frame number -> file, per port."""

    points: dict[int, Path]
    image: dict[int, Path]
    grey: dict[int, Path]


class KittiTracking(Source):
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

    truth_in_view = True  # what the camera does not see has no labels

    _clock: Clock
    _sequences: list[Sequence]
    _plan: list[tuple[int, int]]  # (index of the sequence, frame number) per reading
    _next: int
    _entered: int  # index of the sequence whose files, poses and truth are loaded
    _files: _Files
    _poses: np.ndarray | None
    _truth: dict[int, Truth] | None

    @classmethod
    def find(cls, config: TrackingConfig) -> Found:
        clock, sequences = survey(config)
        for sequence in sequences:
            check_scans(_list(config, sequence.root, sequence.name).points.values())
            sequence.check()
        stamps = [clock.stamp_ns(s.name, frame) for s in sequences for frame in s.frames]
        return Found(len(stamps), config.rate_hz, np.array(stamps, np.int64))

    def open(self, start: int = 0) -> None:
        self._clock, self._sequences = survey(self.config)
        check_served(self.name, self.needed, self._sequences)
        for sequence in self._sequences:
            files = _list(self.config, sequence.root, sequence.name)
            for port, kind in (("points", "velodyne"), *_image_kinds(self.config)):
                if port in self.needed and not getattr(files, port):
                    raise not_served(self.name, port, f"{sequence.root / kind / sequence.name} holds no files")
        self._plan = [(i, frame) for i, s in enumerate(self._sequences) for frame in s.frames]
        self._next, self._entered = start, -1

    def statics(self) -> Iterable[Static]:
        for sequence in self._sequences:
            calibration = sequence.calibration()
            if calibration is not None:
                images = _list(self.config, sequence.root, sequence.name).image
                on_disk = png_size(next(iter(images.values()))) if images else None
                value = calibration.stream(self.config.camera, on_disk)
                yield Static("calibration", value, self._clock.stamp_ns(sequence.name, 0))

    def read(self) -> Reading | None:
        if self._next >= len(self._plan):
            return None
        index, frame = self._plan[self._next]
        self._next += 1  # before reading: after an unreadable frame comes the next one
        sequence = self._sequences[index]
        if index != self._entered:
            self._enter(index)
        values: dict[str, Any] = {}
        if "points" in self.wanted and frame in self._files.points:
            values["points"] = read_points(
                self._files.points[frame], lambda shape: self.alloc("points", "points", shape, "float32")
            )
        if "image" in self.wanted and frame in self._files.image:
            values["image"] = read_rgb(self._files.image[frame], lambda shape: self.alloc("image", "image", shape, "uint8"))
        if "grey" in self.wanted and frame in self._files.grey:
            values["grey"] = read_grey(self._files.grey[frame], lambda shape: self.alloc("grey", "image", shape, "uint8"))
        if self._poses is not None:
            values["pose"] = self.put("pose", "T_world_velo", self._poses[frame])
        if self._truth is not None:
            values["truth"] = self._truth.get(frame, empty_truth())
        return Reading(values, f"{sequence.name}/{frame:06d}", self._clock.stamp_ns(sequence.name, frame))

    def _enter(self, index: int) -> None:
        sequence = self._sequences[index]
        self._entered = index
        self._files = _list(self.config, sequence.root, sequence.name)
        self._poses = sequence.poses() if "pose" in self.wanted else None
        self._truth = sequence.truth() if "truth" in self.wanted else None


def survey(config: TrackingConfig) -> tuple[Clock, list[Sequence]]:
    """Which frames there are, by looking at names only."""
    needs = f"velodyne/ or image_{config.camera:02d}/"
    root = root_folder(_WHO, config.root, needs)
    clock = make_clock(_WHO, root, config.sequences, config.rate_hz)
    sequences = []
    for name in clock.start_ns:
        files = _list(config, root, name)
        frames = list(files.points or files.image or files.grey)
        if frames:
            sequences.append(Sequence(root, name, frames))
        elif config.sequences != "all":
            raise InputError(
                f"{_WHO}: config.sequences: {name} needs scans in {root / 'velodyne' / name} or pictures, got no files"
            )
    if not sequences:
        raise wrong_root(_WHO, root, needs)
    return clock, sequences


def _image_kinds(config: TrackingConfig) -> tuple[tuple[str, str], ...]:
    return ("image", f"image_{config.camera:02d}"), ("grey", f"image_{config.grey_camera:02d}")


def _list(config: TrackingConfig, root: Path, name: str) -> _Files:
    pictures = {port: numbered(root / kind / name, ".png") for port, kind in _image_kinds(config)}
    return _Files(numbered(root / "velodyne" / name, ".bin"), **pictures)
