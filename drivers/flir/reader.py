"""FLIR ADAS, versions 1 and 2: thermal pictures of 8 and 16 bits, RGB of a second camera, boxes.       Layout: README.md

out  image        (H, W, 3) uint8  RGB, mostly 1800 x 1600; not aligned: fuse.align makes it so
     thermal      (H, W) uint8     after the camera's gain control, 640 x 512
     thermal_raw  (H, W) uint16    counts of the same pictures
     truth        boxes2d in the thermal picture; fact class_names: the categories of the file; iscrowd: label -1

A split is one series of pictures, or of `video` a sequence per video. RGB of another size than most have and pictures without
a partner are left out and counted. Version 2 pairs pictures only in its videos: of its other splits only thermal is played.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drivers.flir.annotations import Annotations, Coco
from drivers.flir.forms import RAW_SUFFIXES
from drivers.flir.pairs import OUTPUTS, Layout, Pair, Pairs, Sizes, Unpaired, by_number, joined, pictures
from drivers.kitti.files import check_rate, root_folder, wrong_root
from drivers.pictures import SUFFIXES
from operators import folders, textfile
from pipeline.errors import InputError
from pipeline.operator import Source
from pipeline.outside import parse_json

_WHO = "flir"
_NEEDS = "FLIR ADAS: SPLIT/thermal_8_bit/ (version 1) or images_thermal_SPLIT/data/ (version 2)"
_VIDEO_HZ, _STILLS_HZ = 30.0, 2.0
_FRAME = re.compile(r"video-(?P<video>.+)-frame-(?P<frame>\d+)-[^-]*")
_MAP = "rgb_to_thermal_vid_map.json"


@dataclass(frozen=True, slots=True)
class FlirConfig:
    root: str = ""  # folder with train/ val/ video/ (version 1) or images_thermal_train/ ... (version 2)
    split: Literal["train", "val", "video"] = "val"  # video: version 1's video/, version 2's video_thermal_test/
    unpaired: Unpaired = "skip"  # pictures without a partner; keep: the frame lacks the other port
    sizes: Sizes = "common"  # common: RGB and thermal each of the size that most have; equal: of one size; any
    rate_hz: float | None = None  # None: 30 of videos, 2 of the other splits, which the data set samples so


class Flir(Pairs, Source):
    Config, outputs, who = FlirConfig, OUTPUTS, _WHO

    @classmethod
    def rate(cls, config: FlirConfig) -> float:
        rate_hz = config.rate_hz
        if rate_hz is None:
            rate_hz = _VIDEO_HZ if config.split == "video" else _STILLS_HZ
        check_rate(_WHO, rate_hz)
        return rate_hz

    @classmethod
    def layout(cls, config: FlirConfig) -> Layout:
        root = root_folder(_WHO, config.root, _NEEDS)
        one = root / config.split
        if any(folders.is_folder(one / name) for name in ("thermal_8_bit", "thermal_16_bit")):
            return _version1(one, config.split)
        thermal = root / ("video_thermal_test" if config.split == "video" else f"images_thermal_{config.split}")
        if folders.is_folder(thermal):
            return _version2(root, thermal, config.split)
        raise wrong_root(_WHO, root, _NEEDS.replace("SPLIT", config.split))


def _version1(folder: Path, split: str) -> Layout:
    pairs = joined(
        pictures(folder / "RGB", *SUFFIXES),
        pictures(folder / "thermal_8_bit", *SUFFIXES),
        pictures(folder / "thermal_16_bit", *RAW_SUFFIXES),
    )
    return Layout({split if split == "video" else "": pairs}, _opener(folder / "thermal_annotations.json"))


def _version2(root: Path, folder: Path, split: str) -> Layout:
    image = pictures(root / folder.name.replace("thermal", "rgb") / "data", *SUFFIXES)
    thermal, raw = pictures(folder / "data", *SUFFIXES), pictures(folder / "analyticsData", *RAW_SUFFIXES)
    partner = _partners(root / _MAP)
    partners = {partner.get(stem, stem): path for stem, path in image.items()}
    note = ""
    if image and not partners.keys() & {*thermal, *raw}:
        note = f"{len(image)} RGB pictures left out: version 2 of the data set has no thermal partners for those of {split}"
        partners = {}
    pairs = joined(partners, thermal, raw)
    return Layout(_videos(pairs) if split == "video" else {"": pairs}, _opener(folder / "coco.json"), note)


def _videos(pairs: list[Pair]) -> dict[str, list[Pair]]:
    """A sequence per video, in the order of its frame numbers; names of another form are one sequence `video`."""
    out: dict[str, list[Pair]] = {}
    for pair in pairs:
        found = _FRAME.fullmatch(pair.name)
        out.setdefault(found["video"] if found else "video", []).append(pair)
    return {name: sorted(out[name], key=_frame) for name in sorted(out, key=by_number)}


def _frame(pair: Pair) -> int:
    found = _FRAME.fullmatch(pair.name)
    return int(found["frame"]) if found else 0


def _partners(path: Path) -> Mapping[str, str]:
    """Stem of an RGB frame -> stem of the thermal frame of the same time. Nothing without the file."""
    if not folders.is_file(path):
        return {}
    try:
        names = parse_json(textfile.read(path))
    except ValueError as error:
        raise InputError(f"{path}: needs JSON, got: {error}; copied incompletely?") from None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InputError(f"{path}: needs a mapping of RGB file names to thermal ones, got other JSON")
    return {Path(rgb).stem: Path(thermal).stem for rgb, thermal in names.items()}


def _opener(path: Path) -> Callable[[], Annotations] | None:
    return (lambda: Coco(path)) if folders.is_file(path) else None
