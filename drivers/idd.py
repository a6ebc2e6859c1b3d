"""IDD, the India Driving Dataset: pictures of drives with a class and an instance per pixel.      Layout: panoptic/README.md

out  image           (H, W, 3) uint8  RGB, 1920 x 1080 or 1280 x 720
     panoptic_truth  of the label pictures that the set's own tool createLabels.py makes of its polygons:
                     gtFine/SPLIT/DRIVE/*_gtFine_instancelevel3Ids.png, or *_gtFine_instanceids.png; facts class_names: the 26
                     classes of level 3, each by its first name; groups of things (ids below 1000) are crowds

The pictures of a drive are a sequence in the order of their names. Level 3 merges classes: an animal is a person there,
a caravan a vehicle fallback. Of instanceids.png the classes that the set does not evaluate (such as those) are void.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from drivers.kitti.files import root_folder, wrong_root
from drivers.panoptic.labels import Classes, Meaning, by_class, read_ids
from drivers.panoptic.shots import OUTPUTS, Layout, Played, Shot, Shots, Unpaired, chosen, paired, tailed
from operators import folders
from pipeline.operator import Source

_WHO = "idd"
_NEEDS = "leftImg8bit/SPLIT/DRIVE/*_leftImg8bit.png and gtFine/SPLIT/DRIVE/*_gtFine_instancelevel3Ids.png"
_LEVEL3 = ("_gtFine_instancelevel3Ids.png", "_gtFine_instanceLevel3Ids.png")
_IDS = ("_gtFine_instanceids.png", "_gtFine_instanceIds.png")
CLASSES = Classes(
    ("road", "drivable fallback", "sidewalk", "non-drivable fallback", "person", "rider", "motorcycle", "bicycle", "autorickshaw",
     "car", "truck", "bus", "vehicle fallback", "curb", "wall", "fence", "guard rail", "billboard", "traffic sign",
     "traffic light", "pole", "obs-str-bar-fallback", "building", "bridge", "vegetation", "sky"),
    ("person", "rider", "motorcycle", "bicycle", "autorickshaw", "car", "truck", "bus", "vehicle fallback"),
)  # fmt: skip
LEVEL3 = {**{number: number for number in range(26)}, 255: -1}
"""Level-3 id -> index into the class names."""
LABEL_IDS = {
    **{0: 0, 1: 1, 2: 1, 3: 2, 4: 3, 5: 3, 6: 4, 8: 5, 9: 6, 10: 7, 11: 8, 12: 9, 13: 10, 14: 11, 18: 12, 19: 13, 20: 14},
    **{21: 15, 22: 16, 23: 17, 24: 18, 25: 19, 26: 20, 27: 20, 28: 21, 29: 22, 30: 23, 31: 23, 32: 24, 33: 25, 34: 25},
    **dict.fromkeys((7, 15, 16, 17, 35, 36, 37, 38, 39), -1),
}
"""The set's label id -> index into the class names, -1 = not evaluated."""
PER_CLASS = 1000


@dataclass(frozen=True, slots=True)
class IddConfig:
    root: str = ""  # folder with leftImg8bit/ and gtFine/
    split: Literal["train", "val", "test"] = "val"
    ids: Literal["auto", "level3", "id"] = "auto"  # which label pictures; auto: instancelevel3Ids where present
    drives: str | list[str] = "all"  # "all", "201", or a list
    unpaired: Unpaired = "skip"  # pictures without labels, labels without a picture; keep: the frame lacks the other port
    rate_hz: float = 1.0


class Idd(Shots, Source):
    Config, outputs, who, largest = IddConfig, OUTPUTS, _WHO, (1920, 1080)

    @classmethod
    def layout(cls, config: IddConfig) -> Layout:
        root = root_folder(_WHO, config.root, _NEEDS)
        tails = {"auto": (*_LEVEL3, *_IDS), "level3": _LEVEL3, "id": _IDS}[config.ids]
        drives: dict[str, list[Shot]] = {}
        names = {f.name for kind in ("leftImg8bit", "gtFine") for f in folders.folders(root / kind / config.split)}
        for drive in sorted(names):
            pictures = tailed(root / "leftImg8bit" / config.split / drive, "_leftImg8bit.png", "_leftImg8bit.jpg")
            drives[drive] = paired(pictures, tailed(root / "gtFine" / config.split / drive, *tails))
        if not any(drives.values()):
            raise wrong_root(_WHO, root, _NEEDS.replace("SPLIT", config.split))
        needs = f"gtFine/{config.split}/DRIVE/*{tails[0]} (createLabels.py of the set makes it)"
        return Layout(chosen(_WHO, "drives", drives, config.drives), CLASSES, needs)

    def ids(self, shot: Shot) -> np.ndarray:
        return read_ids(shot.labels[0])

    def meaning(self, found: np.ndarray, played: Played) -> Meaning:
        level3 = played.shot.labels[0].name.endswith(_LEVEL3)
        return by_class(found, PER_CLASS, LEVEL3 if level3 else LABEL_IDS, CLASSES)
