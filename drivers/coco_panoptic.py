"""COCO panoptic: a JSON file, a folder of label pictures, and the pictures they are of.           Layout: panoptic/README.md

out  image           (H, W, 3) uint8  RGB
     panoptic_truth  of the label pictures: R + 256 G + 65,536 B is the id of a segment, whose class, iscrowd and, if present,
                     track_id the JSON file tells; facts class_names and things: its categories in their order

This also reads what `write.panoptic` writes, with its track ids. Items are the names of the pictures without suffix; the part
before the last "/" is their sequence. An id that the file does not have is void and counted; segments without a pixel are
counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from drivers.panoptic.labels import Classes, Meaning, read_ids
from drivers.panoptic.shots import OUTPUTS, Layout, Played, Shot, Shots, Unpaired
from drivers.pictures import SUFFIXES
from operators import folders
from operators.score.panoptic_files import VOID, Listed, read_truth
from pipeline.errors import InputError
from pipeline.operator import Source

_WHO = "coco_panoptic"


@dataclass(frozen=True, slots=True)
class CocoPanopticConfig:
    file: str = ""  # such as panoptic_val2017.json
    labels: str = ""  # folder of its label pictures; "": the folder named as the file without .json, or the file's own
    images: str = ""  # folder of the pictures; "": none, so that there is no port image
    unpaired: Unpaired = "skip"  # pictures without labels, labels without a picture; keep: the frame lacks the other port
    rate_hz: float = 1.0


class Segments(NamedTuple):
    """Of one picture, by rising id; the last row is void, of id -1."""

    ids: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    track_ids: np.ndarray


class CocoPanoptic(Shots, Source):
    Config, outputs, who = CocoPanopticConfig, OUTPUTS, _WHO

    @classmethod
    def layout(cls, config: CocoPanopticConfig) -> Layout:
        path = folders.at(config.file)
        if not config.file or not folders.is_file(path):
            got = f"{config.file} (not there)" if config.file else "nothing"
            raise InputError(f"{_WHO}: config.file: needs COCO panoptic JSON, got {got}; set --set NODE.config.file=F.json")
        labels, images = (folders.at(name) if name else None for name in (config.labels, config.images))
        for key, folder in (("labels", labels), ("images", images)):
            if folder is not None and not folders.is_folder(folder):
                raise InputError(f"{_WHO}: config.{key}: needs a folder, got {folder} (not there)")
        truth = read_truth(path, labels)
        categories = list(truth.categories)
        names = tuple(category.name for category in truth.categories.values())
        if len(set(names)) < len(names):
            raise InputError(f"{path}: categories: needs a name of its own for each category, got one twice")
        sequences: dict[str, list[Shot]] = {}
        for name, listed in truth.frames.values():
            item = PurePosixPath(name or listed.png.name)
            stem = item.stem if item.suffix.lower() in SUFFIXES else item.name
            there = (listed.png,) if folders.is_file(listed.png) else ()
            sequence = "" if str(item.parent) == "." else str(item.parent)
            shot = Shot(stem, _image(images, item), there, segments_of(listed, categories))
            if shot.image or shot.labels:
                sequences.setdefault(sequence, []).append(shot)
        absent = len(truth.frames) - sum(map(len, sequences.values()))
        note = f"{absent} images without any file left out" if absent else ""
        things = tuple(category.name for category in truth.categories.values() if category.is_thing)
        return Layout(sequences, Classes(names, things), f"label picture of {path}", note)

    def ids(self, shot: Shot) -> np.ndarray:
        return read_ids(shot.labels[0])

    def meaning(self, found: np.ndarray, played: Played) -> Meaning:
        segments: Segments = played.shot.about
        for number in segments.ids[:-1][~np.isin(segments.ids[:-1], found)].tolist():
            self.cut("segments of the file without a pixel", f"{number} of {played.shot.labels[0]}")
        at = np.searchsorted(segments.ids[:-1], found)
        known = segments.ids[at] == found
        at[~known] = -1
        return Meaning(segments.labels[at], segments.crowd[at], segments.track_ids[at], ~known & (found != VOID))


def segments_of(listed: Listed, categories: list[int]) -> Segments:
    """categories: their ids, in the order of the class names."""
    order = np.argsort(listed.ids)
    labels = np.array([categories.index(own) for own in listed.classes[order].tolist()], np.int32)
    columns = ((listed.ids[order], -1), (labels, -1), (listed.crowd[order], False), (listed.tracks[order], -1))
    return Segments(*(np.append(column, np.array(void, column.dtype)) for column, void in columns))


def _image(folder: Path | None, item: PurePosixPath) -> Path | None:
    """The picture of an item: by its name, or by its name with a suffix of a picture."""
    if folder is None:
        return None
    names = [item.name] if item.suffix.lower() in SUFFIXES else [f"{item.name}{suffix}" for suffix in SUFFIXES]
    return next((path for name in names if folders.is_file(path := folder / item.parent / name)), None)
