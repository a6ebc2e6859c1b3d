"""KAIST multispectral pedestrians: videos of registered RGB and thermal pictures with boxes.       Layout: flir/README.md

out  image    (H, W, 3) uint8  RGB, 640 x 512
     thermal  (H, W) uint8     the same view
     truth    boxes2d with occluded 0 (none) to 2 (heavy); fact class_names; boxes marked `ignore`: label -1

Sequences set00/V000 and on; items set00/V000/I00000. A stamp is the position of a frame in its video, so that a list of frames
(`frames`) keeps the distances in time. Pairs of unequal sizes and pictures without a partner are left out and counted.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from drivers.flir.annotations import Files, in_folder
from drivers.flir.pairs import OUTPUTS, Layout, Pair, Pairs, Sizes, Unpaired, joined, pictures
from drivers.kitti.files import check_rate, root_folder, wrong_root
from drivers.pictures import SUFFIXES
from operators import folders, textfile
from pipeline.errors import InputError
from pipeline.operator import Source

CLASS_NAMES = ("person", "people", "cyclist", "person?", "person?a")
_WHO = "kaist"
_NEEDS = "images/setNN/VNNN/visible/ and lwir/, or setNN/VNNN/..."
_FRAME = re.compile(r"set\d+/V\d+/I\d+")
_ANNOTATIONS = ("annotations", "annotations-xml-new-sanitized", "annotations-xml-new", "annotations-xml-15")


@dataclass(frozen=True, slots=True)
class KaistConfig:
    root: str = ""  # folder with images/setNN/VNNN/ (or setNN/VNNN/) and annotations
    sequences: str | list[str] = "all"  # "all", a set ("set06"), a video ("set06/V000"), or a list of them
    frames: str = ""  # list of the frames to play, such as imageSets/test-all-20.txt: set06/V000/I00019 per line; "" = all
    annotations: str = ""  # folder below root; "" = the first of annotations, annotations-xml-new-sanitized, ...
    unpaired: Unpaired = "skip"  # pictures without a partner; keep: the frame lacks the other port
    sizes: Sizes = "equal"  # equal: pairs of one size; common: each of the size that most have; any
    rate_hz: float = 20.0  # of the videos


class Kaist(Pairs, Source):
    Config, outputs, who = KaistConfig, {name: OUTPUTS[name] for name in ("image", "thermal", "truth")}, _WHO

    @classmethod
    def layout(cls, config: KaistConfig) -> Layout:
        root = root_folder(_WHO, config.root, _NEEDS)
        check_rate(_WHO, config.rate_hz)
        images = root / "images" if folders.is_folder(root / "images") else root
        videos = [video for group in folders.folders(images, "set*") for video in folders.folders(group, "V*")]
        names = [f"{video.parent.name}/{video.name}" for video in videos]
        if not names:
            raise wrong_root(_WHO, root, _NEEDS)
        chosen = _chosen(names, config.sequences)
        sequences = {name: _frames(images / name, name) for name in names if name in chosen}
        only = _listed(folders.at(config.frames), sequences) if config.frames else None
        kinds = (config.annotations,) if config.annotations else _ANNOTATIONS
        folder = next((path for kind in kinds if folders.is_folder(path := root / kind)), None)
        if folder is None:
            if config.annotations:
                raise InputError(f"{_WHO}: config.annotations: needs a folder in {root}, got {config.annotations} (not there)")
            return Layout(sequences, only=only)
        return Layout(sequences, lambda: Files(_annotated(folder, list(sequences)), CLASS_NAMES), only=only)


def _frames(video: Path, name: str) -> list[Pair]:
    pairs = joined(pictures(video / "visible", *SUFFIXES), pictures(video / "lwir", *SUFFIXES), {})
    return [pair._replace(key=f"{name}/{pair.name}") for pair in pairs]


def _annotated(folder: Path, names: list[str]) -> dict[str, Path]:
    return {key: path for name in names for key, path in in_folder(folder / name, name).items()}


def _chosen(names: list[str], asked: str | list[str]) -> set[str]:
    if asked == "all":
        return set(names)
    out: set[str] = set()
    for one in [asked] if isinstance(asked, str) else asked:
        found = {name for name in names if one in (name, name.partition("/")[0])}
        if not found:
            raise InputError(f"{_WHO}: config.sequences: needs sets or videos of {', '.join(names[:6])}, .., got {one}")
        out |= found
    return out


def _listed(path: Path, sequences: Collection[str]) -> list[str]:
    """The frames of a list that are in these sequences."""
    out = []
    for number, line in enumerate(textfile.lines(path), 1):
        frame = line.strip()
        if not _FRAME.fullmatch(frame):
            textfile.refuse(path, number, "a frame such as set06/V000/I00019", textfile.shown(line))
        if frame.rpartition("/")[0] in sequences:
            out.append(frame)
    return out
