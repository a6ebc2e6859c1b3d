"""LLVIP: registered RGB and thermal pictures of streets at night, with boxes of people.          Layout: flir/README.md

out  image    (H, W, 3) uint8  RGB, 1280 x 1024
     thermal  (H, W) uint8     the same view
     truth    boxes2d; fact class_names: person

The pictures of a split are one series in the order of their names, one per second as the data set samples them. Pairs of unequal
sizes and pictures without a partner are left out and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drivers.flir.annotations import Files, in_folder
from drivers.flir.pairs import OUTPUTS, Layout, Pairs, Sizes, Unpaired, joined, pictures
from drivers.kitti.files import check_rate, root_folder, wrong_root
from drivers.pictures import SUFFIXES
from operators import folders
from pipeline.operator import Source

CLASS_NAMES = ("person",)
_WHO = "llvip"
_NEEDS = "visible/ and infrared/, in them train/ or test/"


@dataclass(frozen=True, slots=True)
class LlvipConfig:
    root: str = ""  # folder with visible/ infrared/ Annotations/
    split: Literal["train", "test"] = "test"
    unpaired: Unpaired = "skip"  # pictures without a partner; keep: the frame lacks the other port
    sizes: Sizes = "equal"  # equal: pairs of one size; common: each of the size that most have; any
    rate_hz: float = 1.0


class Llvip(Pairs, Source):
    Config, outputs, who = LlvipConfig, {name: OUTPUTS[name] for name in ("image", "thermal", "truth")}, _WHO

    @classmethod
    def layout(cls, config: LlvipConfig) -> Layout:
        root = root_folder(_WHO, config.root, _NEEDS)
        check_rate(_WHO, config.rate_hz)
        visible, infrared = _split(root, config.split)
        if not visible and not infrared:
            raise wrong_root(_WHO, root, _NEEDS)
        pairs = {"": joined(visible, infrared, {})}
        boxes = root / "Annotations"  # of both splits
        if not folders.is_folder(boxes):
            return Layout(pairs)
        others = set().union(*_split(root, "train" if config.split == "test" else "test"))
        return Layout(pairs, lambda: Files({k: path for k, path in in_folder(boxes).items() if k not in others}, CLASS_NAMES))


def _split(root: Path, split: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Stem -> file: visible, infrared."""
    return pictures(root / "visible" / split, *SUFFIXES), pictures(root / "infrared" / split, *SUFFIXES)
