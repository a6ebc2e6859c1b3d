"""Virtual KITTI 2: rendered drives of five KITTI sequences in ten variations, with tracks.        Layout: panoptic/README.md

out  image           (H, W, 3) uint8  RGB, 1242 x 375
     panoptic_truth  of classgt_NNNNN.png and instancegt_NNNNN.png; facts class_names: the set's 14 classes; things: Truck, Car,
                     Van. track_ids: the set's trackID + 1000 x number of the sequence, so that no two sequences share one. A
                     vehicle without an instance is a crowd
     pose            (4, 4) float64   T_world_velo from extrinsic.txt, world = velodyne at the sequence's first frame
     calibration     static, of intrinsic.txt, sent again where it changes

A sequence is a scene in one variation: Scene01/clone. The set has no LiDAR: the velodyne frame is the camera's own, its axes
turned (x forward, y left, z up). The archives may be unpacked into one folder or lie side by side (vkitti_2.0.3_rgb/, ..).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from drivers.kitti.files import root_folder, wrong_root
from drivers.panoptic.cameras import T_CAM_VELO, pinhole, same
from drivers.panoptic.labels import Classes, Meaning, color_ids
from drivers.panoptic.shots import OUTPUTS, Layout, Played, Shot, Shots, Unpaired, chosen, tailed
from drivers.pictures import picture_size, read_labels
from operators import folders, textfile
from operators.geometry.transforms import invert
from operators.streams import CALIBRATION, POSE, Calibration
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.operator import Source
from pipeline.schema import static

_WHO = "vkitti2"
_NEEDS = "SceneNN/VARIATION/frames/rgb/Camera_N/rgb_*.jpg, classSegmentation/ and instanceSegmentation/ beside rgb/"
_KINDS = {
    "rgb": ("rgb",),
    "classgt": ("classSegmentation", "classsegmentation"),
    "instancegt": ("instanceSegmentation", "instancesegmentation"),
}
"""Start of the files' names -> their folder, as it is and as the set's page writes it."""
_COLORS = {
    "Terrain": (210, 0, 200), "Sky": (90, 200, 255), "Tree": (0, 199, 0), "Vegetation": (90, 240, 0), "Building": (140, 140, 140),
    "Road": (100, 60, 100), "GuardRail": (250, 100, 255), "TrafficSign": (255, 255, 0), "TrafficLight": (200, 200, 0),
    "Pole": (255, 130, 0), "Misc": (80, 80, 80), "Truck": (160, 60, 60), "Car": (255, 127, 80), "Van": (0, 139, 139),
}  # fmt: skip
"""Where a sequence has no colors.txt. Undefined (0, 0, 0) is void."""
CLASSES = Classes(tuple(_COLORS), ("Truck", "Car", "Van"))
_INSTANCES = 256  # ids are class * 256 + instance; the classes after those of the set are void and unknown
_VOID, _UNKNOWN = len(CLASSES.names), len(CLASSES.names) + 1
_PER_SEQUENCE = 1000


class _Texts(NamedTuple):
    """Files of a sequence."""

    colors: Path | None
    extrinsic: Path | None
    intrinsic: Path | None


@dataclass(frozen=True, slots=True)
class Vkitti2Config:
    root: str = ""  # folder with Scene01/ Scene02/ ..
    sequences: str | list[str] = "all"  # "all", a scene ("Scene01"), a variation of it ("Scene01/clone"), or a list of them
    camera: Literal[0, 1] = 0  # left, right
    unpaired: Unpaired = "skip"  # pictures without labels, labels without a picture; keep: the frame lacks the other port
    rate_hz: float = 10.0


class Vkitti2(Shots, Source):
    Config, who, largest = Vkitti2Config, _WHO, (1242, 375)
    outputs = {**OUTPUTS, "pose": POSE, "calibration": static(CALIBRATION)}

    @classmethod
    def layout(cls, config: Vkitti2Config) -> Layout:
        root = root_folder(_WHO, config.root, _NEEDS)
        bases = [root, *folders.folders(root, "vkitti_*")]
        names = {
            f"{scene.name}/{variation.name}"
            for base in bases
            for scene in folders.folders(base, "Scene*")
            for variation in folders.folders(scene)
        }
        sequences = {name: _shots(bases, name, config.camera) for name in sorted(names)}
        if not any(sequences.values()):
            raise wrong_root(_WHO, root, _NEEDS)
        needs = "classSegmentation/ and instanceSegmentation/ beside rgb/"
        return Layout(chosen(_WHO, "sequences", sequences, config.sequences), CLASSES, needs)

    def lacks(self, ports: Collection[str]) -> dict[str, str]:
        out = super().lacks(ports)
        texts = {item.key.shot.about for item in self.listing.items}
        for port, file in (("pose", "extrinsic"), ("calibration", "intrinsic")):
            if port in ports and not any(getattr(of, file) for of in texts):
                out[port] = f"there is no SceneNN/VARIATION/{file}.txt"
        return out

    def check_wanted(self) -> None:
        super().check_wanted()
        list(self.statics())
        for item in self.listing.items:
            texts = item.key.shot.about
            if "panoptic_truth" in self.wanted and texts.colors is not None:
                read_colors(texts.colors)
            if "pose" in self.wanted and texts.extrinsic is not None:
                _pose(texts.extrinsic, self.config.camera, int(item.key.shot.name))

    def statics(self) -> Iterable[Static]:
        before: Calibration | None = None
        part = -1
        for item in self.listing.items if "calibration" in self.wanted else ():
            shot: Shot = item.key.shot
            if item.part == part or shot.about.intrinsic is None:
                continue
            part = item.part
            rows = _rows(shot.about.intrinsic, self.config.camera, 4)
            if int(shot.name) not in rows:
                raise _no_row(shot.about.intrinsic, self.config.camera, int(shot.name))
            fx, fy, cx, cy = rows[int(shot.name)].tolist()
            value = pinhole(fx, fy, cx, cy, picture_size(shot.anything))
            if before is None:
                yield Static("calibration", value)
            elif not same(value, before):
                yield Static("calibration", value, item.stamp_ns)
            before = value

    def load(self, part: str, played: Played, reading: Reading) -> None:
        super().load(part, played, reading)
        extrinsic = played.shot.about.extrinsic
        if "pose" in self.wanted and extrinsic is not None:
            reading.values["pose"] = _pose(extrinsic, self.config.camera, int(played.shot.name))

    def ids(self, shot: Shot) -> np.ndarray:
        classgt, instancegt = shot.labels
        rgb, instances = read_labels(classgt), read_labels(instancegt)
        if rgb.ndim != 3:
            raise InputError(f"{classgt}: needs an RGB picture of class colours, got grey values")
        if instances.ndim != 2 or instances.dtype != np.uint8:
            raise InputError(
                f"{instancegt}: needs 8-bit instances, grey or with a palette, got {instances.dtype} of {instances.ndim}"
            )
        colors = read_colors(shot.about.colors) if shot.about.colors is not None else _COLORS
        codes = color_ids(np.array([*(colors[name] for name in CLASSES.names), (0, 0, 0)], np.uint8)[None])[0]
        order = np.argsort(codes)
        pixels = color_ids(rgb)
        at = order[np.minimum(np.searchsorted(codes, pixels, sorter=order), len(codes) - 1)]
        classes = np.where(codes[at] == pixels, at, _UNKNOWN)
        return (classes * _INSTANCES + instances).astype(np.uint16)

    def meaning(self, found: np.ndarray, played: Played) -> Meaning:
        own, instances = np.divmod(found, _INSTANCES)
        labels = np.where(own < _VOID, own, -1).astype(np.int32)
        crowd = CLASSES.is_thing[labels] & (labels >= 0) & (instances == 0)
        track_ids = instances.astype(np.int64) - 1 + _PER_SEQUENCE * played.part
        return Meaning(labels, crowd, track_ids, own == _UNKNOWN)


def _shots(bases: list[Path], name: str, camera: int) -> list[Shot]:
    found: dict[str, dict[str, Path]] = {}
    for kind, names in _KINDS.items():
        files = {
            stem.removeprefix(f"{kind}_"): path
            for base in reversed(bases)
            for spelt in names
            for stem, path in tailed(base / name / "frames" / spelt / f"Camera_{camera}", ".jpg", ".png").items()
        }
        found[kind] = {number: path for number, path in files.items() if number.isdecimal()}
    texts = _Texts(*(_text(bases, name, file) for file in ("colors", "extrinsic", "intrinsic")))
    out = []
    for number in sorted({*found["rgb"], *found["classgt"]}, key=int):
        labels = (found["classgt"].get(number), found["instancegt"].get(number))
        both = tuple(path for path in labels if path is not None)
        if number in found["rgb"] or len(both) == 2:
            out.append(Shot(number, found["rgb"].get(number), both if len(both) == 2 else (), texts))
    return out


def _text(bases: list[Path], name: str, file: str) -> Path | None:
    return next((path for base in bases if folders.is_file(path := base / name / f"{file}.txt")), None)


@lru_cache(maxsize=64)
def read_colors(path: Path) -> dict[str, tuple[int, ...]]:
    """Class -> colour of colors.txt (Category r g b). Raises InputError, also if a class of the set is missing."""
    out: dict[str, tuple[int, ...]] = {}
    for number, line in enumerate(textfile.lines(path), 1):
        name, *values = line.split() or [""]
        if number == 1 and values[:1] == ["r"]:
            continue
        if len(values) != 3 or not all(value.isdecimal() and int(value) < 256 for value in values):
            textfile.refuse(path, number, "a class and its colour, as Car 255 127 80", textfile.shown(line))
        out[name] = tuple(map(int, values))
    if missing := [name for name in CLASSES.names if name not in out]:
        raise InputError(f"{path}: needs a colour for each class of Virtual KITTI 2, got none for {', '.join(missing)}")
    return out


@lru_cache(maxsize=64)
def _rows(path: Path, camera: int, columns: int) -> dict[int, np.ndarray]:
    """Frame -> numbers of its line, of one camera; lines are frame, camera, numbers, after a header."""
    out = {}
    for number, line in enumerate(textfile.lines(path), 1):
        if number == 1 and line.startswith("frame"):
            continue
        values = textfile.numbers(path, number, "the start of the line", line, columns + 2)
        if values[1] == camera:
            out[int(values[0])] = values[2:]
    return out


def _pose(path: Path, camera: int, frame: int) -> np.ndarray:
    """(4, 4) T_world_velo: extrinsic.txt has p_cam = M @ p_scene."""
    rows = _rows(path, camera, 16)
    if frame not in rows:
        raise _no_row(path, camera, frame)
    first, now = (rows[number].reshape(4, 4) for number in (min(rows), frame))
    if abs(np.linalg.det(now[:3, :3]) - 1) > 1e-3:
        raise InputError(f"{path}: needs a rotation for frame {frame} of camera {camera}, got another matrix")
    return invert(T_CAM_VELO) @ first @ invert(now) @ T_CAM_VELO


def _no_row(path: Path, camera: int, frame: int) -> InputError:
    return InputError(f"{path}: needs a line for frame {frame} of camera {camera}, got none")
