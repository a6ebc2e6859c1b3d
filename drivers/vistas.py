"""Mapillary Vistas 1.2 and 2.0: street pictures with a class and an instance per pixel.          Layout: panoptic/README.md

out  image           (H, W, 3) uint8  RGB, shrunk to `most_px`
     panoptic_truth  of instances/NAME.png, 16 bits: class * 256 + instance; facts class_names: those of the config file's classes
                     that are evaluated, 65 of version 1.2; the others are void

The pictures of a split are one series in the order of their names, one period apart: they are unrelated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from drivers.kitti.files import root_folder, wrong_root
from drivers.panoptic.labels import Classes, Meaning, read_ids
from drivers.panoptic.shots import OUTPUTS, Layout, Played, Shot, Shots, Unpaired, paired, tailed
from operators import folders, textfile
from operators.streams import MAX_CLASSES, MAX_PICTURE
from pipeline.errors import InputError
from pipeline.operator import Source
from pipeline.outside import parse_json

_WHO = "vistas"
_NEEDS = "SPLIT/images/*.jpg, SPLIT/vX.X/instances/*.png (or SPLIT/instances/*.png) and config_vX.X.json"
PER_CLASS = 256


@dataclass(frozen=True, slots=True)
class VistasConfig:
    root: str = ""  # folder with training/ validation/ and config_v1.2.json
    split: Literal["training", "validation", "testing"] = "validation"
    version: Literal["v1.2", "v2.0"] = "v1.2"
    most_px: int = 2048  # longest side of what is sent; larger pictures are shrunk, labels by the nearest pixel
    unpaired: Unpaired = "skip"  # pictures without labels, labels without a picture; keep: the frame lacks the other port
    rate_hz: float = 1.0

    def __post_init__(self) -> None:
        if not 16 <= self.most_px <= MAX_PICTURE["W"]:
            raise ValueError(f"most_px: needs 16..{MAX_PICTURE['W']}, got {self.most_px}")


class Vistas(Shots, Source):
    Config, outputs, who = VistasConfig, OUTPUTS, _WHO

    @classmethod
    def layout(cls, config: VistasConfig) -> Layout:
        root = root_folder(_WHO, config.root, _NEEDS)
        folder = root / config.split
        of_version = folder / config.version / "instances"
        labels = of_version if folders.is_folder(of_version) else folder / "instances"
        shots = paired(tailed(folder / "images", ".jpg", ".png"), tailed(labels, ".png"))
        if not shots:
            raise wrong_root(_WHO, root, _NEEDS.replace("SPLIT", config.split).replace("vX.X", config.version))
        names = (f"config_{config.version}.json", "config.json")
        path = next((path for name in names if folders.is_file(path := root / name)), None)
        if path is None:
            raise wrong_root(_WHO, root, names[0])
        classes, own = read_classes(path)
        shots = [shot._replace(about=own) for shot in shots]
        return Layout({"": shots}, classes, f"{config.split}/{config.version}/instances/*.png")

    @classmethod
    def shown(cls, config: VistasConfig, size: tuple[int, int]) -> tuple[int, int]:
        scale = config.most_px / max(size)
        return size if scale >= 1 else (max(round(size[0] * scale), 1), max(round(size[1] * scale), 1))

    def ids(self, shot: Shot) -> np.ndarray:
        return read_ids(shot.labels[0])

    def meaning(self, found: np.ndarray, played: Played) -> Meaning:
        own: np.ndarray = played.shot.about
        classes = found // PER_CLASS
        known = classes < len(own)
        labels = np.where(known, own[np.minimum(classes, len(own) - 1)], -1)
        none = np.full(len(found), -1, np.int64)
        return Meaning(labels.astype(np.int32), np.zeros(len(found), np.bool_), none, ~known)


def read_classes(path: Path) -> tuple[Classes, np.ndarray]:
    """Those that are evaluated, and (K,) int32: index into their names of each class of the file, -1 = none."""
    try:
        found: Any = parse_json(textfile.read(path))
        rows = [(str(row["name"]), bool(row["instances"]), bool(row["evaluate"])) for row in found["labels"]]
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{path}: needs JSON with labels: [{{name, instances, evaluate}}], got {type(error).__name__}: {error}"
        ) from None
    names = [name for name, _, evaluated in rows if evaluated]
    if not 0 < len(names) <= MAX_CLASSES or len(set(names)) < len(names):
        raise InputError(f"{path}: needs 1..{MAX_CLASSES} evaluated labels of different names, got {len(names)}")
    things = tuple(name for name, counted, evaluated in rows if counted and evaluated)
    own = [names.index(name) if evaluated else -1 for name, _, evaluated in rows]
    return Classes(tuple(names), things), np.array(own, np.int32)
