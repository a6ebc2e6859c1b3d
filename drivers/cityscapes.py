"""Cityscapes: pictures of 50 cities with a class and an instance per pixel.                       Layout: panoptic/README.md

out  image           (H, W, 3) uint8  RGB, 2048 x 1024
     panoptic_truth  of gtFine/SPLIT/CITY/*_gtFine_instanceIds.png; facts class_names: the 19 classes that are evaluated, in the
                     order of their training ids; the other classes are void; groups of things (ids below 1000) are crowds
     calibration     static, of camera/SPLIT/CITY/*_camera.json, sent again where it changes

The shots of a city are a sequence in the order of their names, one per second: the data set has one of 30 frames of each scene.
The set has no LiDAR: the velodyne frame of the calibration is the camera's own, its axes turned (x forward, y left, z up).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from drivers.kitti.files import root_folder, wrong_root
from drivers.panoptic.cameras import calibration_of_json, same
from drivers.panoptic.labels import Classes, Meaning, by_class, read_ids
from drivers.panoptic.shots import OUTPUTS, Layout, Played, Shot, Shots, Unpaired, chosen, paired, tailed
from drivers.pictures import picture_size
from operators import folders
from operators.streams import CALIBRATION, Calibration
from pipeline.frame import Static
from pipeline.operator import Source
from pipeline.schema import static

_WHO = "cityscapes"
_NEEDS = "leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and gtFine/SPLIT/CITY/*_gtFine_instanceIds.png"
CLASSES = Classes(
    ("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain", "sky",
     "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
    ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)  # fmt: skip
_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
LABEL_IDS = {number: _IDS.index(number) if number in _IDS else -1 for number in range(34)}
"""The set's label id -> index into the class names, -1 = not evaluated."""
PER_CLASS = 1000


@dataclass(frozen=True, slots=True)
class CityscapesConfig:
    root: str = ""  # folder with leftImg8bit/ and gtFine/
    split: Literal["train", "val", "test", "train_extra"] = "val"
    labels: Literal["gtFine", "gtCoarse"] = "gtFine"  # folder of the labels; train_extra has only coarse ones
    cities: str | list[str] = "all"  # "all", "aachen", or a list
    unpaired: Unpaired = "skip"  # pictures without labels, labels without a picture; keep: the frame lacks the other port
    rate_hz: float = 1.0


class Cityscapes(Shots, Source):
    Config, who, largest = CityscapesConfig, _WHO, (2048, 1024)
    outputs = {**OUTPUTS, "calibration": static(CALIBRATION)}

    @classmethod
    def layout(cls, config: CityscapesConfig) -> Layout:
        root = root_folder(_WHO, config.root, _NEEDS)
        tail = f"_{config.labels}_instanceIds.png"
        cities: dict[str, list[Shot]] = {}
        names = {f.name for kind in ("leftImg8bit", config.labels) for f in folders.folders(root / kind / config.split)}
        for city in sorted(names):
            pictures = tailed(root / "leftImg8bit" / config.split / city, "_leftImg8bit.png")
            labels = tailed(root / config.labels / config.split / city, tail)
            cameras = tailed(root / "camera" / config.split / city, "_camera.json")
            cities[city] = paired(pictures, labels, cameras)
        if not any(cities.values()):
            raise wrong_root(_WHO, root, _NEEDS.replace("SPLIT", config.split))
        return Layout(chosen(_WHO, "cities", cities, config.cities), CLASSES, f"{config.labels}/{config.split}/CITY/*{tail}")

    def lacks(self, ports: Collection[str]) -> dict[str, str]:
        out = super().lacks(ports)
        if "calibration" in ports and not any(item.key.shot.about for item in self.listing.items):
            out["calibration"] = f"there is no camera/{self.config.split}/CITY/*_camera.json"
        return out

    def check_wanted(self) -> None:
        super().check_wanted()
        list(self.statics())

    def statics(self) -> Iterable[Static]:
        before: Calibration | None = None
        for item in self.listing.items if "calibration" in self.wanted else ():
            shot: Shot = item.key.shot
            if shot.about is None:
                continue
            value = calibration_of_json(shot.about, picture_size(shot.anything))
            if before is None:
                yield Static("calibration", value)
            elif not same(value, before):
                yield Static("calibration", value, item.stamp_ns)
            before = value

    def ids(self, shot: Shot) -> np.ndarray:
        return read_ids(shot.labels[0])

    def meaning(self, found: np.ndarray, played: Played) -> Meaning:
        return by_class(found, PER_CLASS, LABEL_IDS, CLASSES)
