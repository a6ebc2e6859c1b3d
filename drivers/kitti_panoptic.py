"""KITTI panoptic, as the authors of EfficientPS publish it: single pictures of KITTI.          Layout: panoptic/README.md

out  image           (H, W, 3) uint8  RGB, about 1242 x 375
     panoptic_truth  of annotations/NAME.png: R + 256 G + 65,536 B is Cityscapes' instance id; facts class_names: Cityscapes' 19
                     classes; groups of things (ids below 1000) are crowds

The pictures of a split are one series in the order of their names, one period apart: the set tells no time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from drivers.cityscapes import CLASSES, LABEL_IDS, PER_CLASS
from drivers.kitti.files import root_folder, wrong_root
from drivers.panoptic.labels import Meaning, by_class, read_ids
from drivers.panoptic.shots import OUTPUTS, Layout, Played, Shot, Shots, Unpaired, paired, tailed
from pipeline.operator import Source

_WHO = "kitti_panoptic"
_NEEDS = "SPLIT/images/*.png and SPLIT/annotations/*.png"


@dataclass(frozen=True, slots=True)
class KittiPanopticConfig:
    root: str = ""  # folder with training/ and validation/
    split: Literal["training", "validation", "test"] = "validation"
    unpaired: Unpaired = "skip"  # pictures without labels, labels without a picture; keep: the frame lacks the other port
    rate_hz: float = 1.0


class KittiPanoptic(Shots, Source):
    Config, outputs, who, largest = KittiPanopticConfig, OUTPUTS, _WHO, (1280, 384)

    @classmethod
    def layout(cls, config: KittiPanopticConfig) -> Layout:
        root = root_folder(_WHO, config.root, _NEEDS)
        folder = root / config.split
        shots = paired(tailed(folder / "images", ".png", ".jpg"), tailed(folder / "annotations", ".png"))
        if not shots:
            raise wrong_root(_WHO, root, _NEEDS.replace("SPLIT", config.split))
        return Layout({"": shots}, CLASSES, f"{config.split}/annotations/*.png")

    def ids(self, shot: Shot) -> np.ndarray:
        return read_ids(shot.labels[0])

    def meaning(self, found: np.ndarray, played: Played) -> Meaning:
        return by_class(found, PER_CLASS, LABEL_IDS, CLASSES)
