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
from typing import Any, NamedTuple

import numpy as np

from drivers.panoptic.labels import Classes, Meaning, read_ids
from drivers.panoptic.shots import OUTPUTS, Layout, Played, Shot, Shots, Unpaired
from drivers.pictures import SUFFIXES
from operators import folders, textfile
from pipeline.errors import InputError, printable
from pipeline.operator import Source
from pipeline.outside import parse_json

_WHO = "coco_panoptic"


@dataclass(frozen=True, slots=True)
class CocoPanopticConfig:
    file: str = ""  # such as panoptic_val2017.json
    labels: str = ""  # folder of its label pictures; "": beside the file, named as the file without .json
    images: str = ""  # folder of the pictures; "": none, so that there is no port image
    unpaired: Unpaired = "skip"  # pictures without labels, labels without a picture; keep: the frame lacks the other port
    rate_hz: float = 1.0


class Segment(NamedTuple):
    label: int
    crowd: bool
    track_id: int


class CocoPanoptic(Shots, Source):
    Config, outputs, who = CocoPanopticConfig, OUTPUTS, _WHO

    @classmethod
    def layout(cls, config: CocoPanopticConfig) -> Layout:
        path = folders.at(config.file)
        if not config.file or not folders.is_file(path):
            got = f"{config.file} (not there)" if config.file else "nothing"
            raise InputError(f"{_WHO}: config.file: needs COCO panoptic JSON, got {got}; set --set NODE.config.file=F.json")
        labels = folders.at(config.labels) if config.labels else path.with_suffix("")
        images = folders.at(config.images) if config.images else None
        for key, folder in (("labels", labels), ("images", images)):
            if folder is not None and not folders.is_folder(folder):
                raise InputError(f"{_WHO}: config.{key}: needs a folder, got {folder} (not there)")
        classes, annotations = read_panoptic(path)
        sequences: dict[str, list[Shot]] = {}
        for name, file, segments in annotations:
            item = PurePosixPath(name)
            stem = item.stem if item.suffix.lower() in SUFFIXES else item.name
            label = labels / file
            there = (label,) if folders.is_file(label) else ()
            sequence = "" if str(item.parent) == "." else str(item.parent)
            sequences.setdefault(sequence, []).append(Shot(stem, _image(images, item), there, segments))
        if not any(shot.image or shot.labels for shots in sequences.values() for shot in shots):
            raise InputError(f"{_WHO}: needs the label pictures of {path}, got none of {len(annotations)} in {labels}")
        kept = {name: [s for s in shots if s.image or s.labels] for name, shots in sequences.items()}
        absent = len(annotations) - sum(map(len, kept.values()))
        return Layout(kept, classes, f"label picture in {labels}", f"{absent} images without any file left out" if absent else "")

    def ids(self, shot: Shot) -> np.ndarray:
        return read_ids(shot.labels[0])

    def meaning(self, found: np.ndarray, played: Played) -> Meaning:
        segments: dict[int, Segment] = played.shot.about
        numbers = found.tolist()
        for number in segments.keys() - set(numbers):
            self.cut("segments of the file without a pixel", f"{number} of {played.shot.labels[0]}")
        none = Segment(-1, False, -1)
        rows = [segments.get(number, none) for number in numbers]
        unknown = np.array([number != 0 and number not in segments for number in numbers], np.bool_)
        labels, crowd, track_ids = (np.array(column) for column in zip(*rows, strict=True))
        return Meaning(labels.astype(np.int32), crowd.astype(np.bool_), track_ids.astype(np.int64), unknown)


def _image(folder: Path | None, item: PurePosixPath) -> Path | None:
    """The picture of an item: by its name, or by its name with a suffix of a picture."""
    names = () if folder is None else (item.name, *(f"{item.name}{suffix}" for suffix in SUFFIXES))
    paths = [folder / item.parent / name for name in names if Path(name).suffix.lower() in SUFFIXES] if folder else []
    return next((path for path in paths if folders.is_file(path)), None)


def read_panoptic(path: Path) -> tuple[Classes, list[tuple[str, str, dict[int, Segment]]]]:
    """The classes, and of each annotation the picture's name, the label picture's name, id -> segment. Raises InputError."""
    try:
        data: Any = parse_json(textfile.read(path))
    except ValueError as error:
        raise InputError(f"{path}: needs JSON, got: {error}; copied incompletely?") from None
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in ("images", "annotations", "categories")):
        raise InputError(
            f"{path}: needs COCO panoptic JSON (an object with the lists images, annotations, categories), got other JSON"
        )
    at = "categories"
    try:
        ids = [_whole(row["id"]) for row in data["categories"]]
        names = tuple(str(row["name"]) for row in data["categories"])
        things = tuple(str(row["name"]) for row in data["categories"] if row["isthing"])
        if len(set(ids)) < len(ids) or len(set(names)) < len(names):
            raise ValueError("an id or a name twice")
        at = "images"
        images = {row["id"]: str(row["file_name"]) for row in data["images"]}
        out = []
        for k, row in enumerate(data["annotations"]):
            at = f"annotations[{k}]"
            out.append((images[row["image_id"]], str(row["file_name"]), _segments(row["segments_info"], ids)))
    except (ValueError, LookupError, TypeError) as error:
        what = f"no key {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path}: {at}: needs COCO panoptic JSON, got {printable(what, 120)}") from None
    return Classes(names, things), out


def _segments(rows: list[dict[str, Any]], ids: list[int]) -> dict[int, Segment]:
    """Raises ValueError, LookupError or TypeError."""
    out: dict[int, Segment] = {}
    for row in rows:
        number, category = _whole(row["id"]), _whole(row["category_id"])
        if number in out:
            raise ValueError(f"segment {number} twice")
        if category not in ids:
            raise ValueError(f"category {category}, which categories do not have")
        out[number] = Segment(ids.index(category), bool(row.get("iscrowd", 0)), _whole(row.get("track_id", -1)))
    return out


def _whole(value: Any) -> int:
    if not isinstance(value, (int, float)) or not abs(value) < 2**62 or value != int(value):
        raise ValueError(f"{value!r} in the place of a whole number")
    return int(value)
