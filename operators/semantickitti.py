"""SemanticKITTI's classes and files, for its driver, its writer and its evaluator.     Source: semantic-kitti.yaml of its devkit

A .label file holds a little-endian uint32 per point of the .bin file of the same number: instance << 16 | label. An instance
keeps its number over a sequence; 0 = no instance. Labels are the data set's (10 = car, 252 = moving car); the 20 classes of the
benchmark number them anew. Layout, below a root: sequences/SS/velodyne/NNNNNN.bin, sequences/SS/labels/NNNNNN.label; of results
sequences/SS/predictions/NNNNNN.label. The root may also be `sequences`, one SS, or one folder with the files themselves, which is
then sequence 00.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from operators import folders
from pipeline.errors import InputError

NAMES = (
    "unlabeled", "car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist", "road",
    "parking", "sidewalk", "other-ground", "building", "fence", "vegetation", "trunk", "terrain", "pole", "traffic-sign",
)  # fmt: skip
"""The classes of the benchmark; class 0 is not scored."""
THINGS = NAMES[1:9]
LABELS = {
    0: 0, 1: 0, 10: 1, 11: 2, 13: 5, 15: 3, 16: 5, 18: 4, 20: 5, 30: 6, 31: 7, 32: 8, 40: 9, 44: 10, 48: 11, 49: 12, 50: 13,
    51: 14, 52: 0, 60: 9, 70: 15, 71: 16, 72: 17, 80: 18, 81: 19, 99: 0,
    252: 1, 253: 7, 254: 6, 255: 8, 256: 5, 257: 5, 258: 4, 259: 5,
}  # fmt: skip
"""The data set's label -> class: the learning map. 13 bus, 16 and 256 on rails are other vehicles; 1 outlier, 52 other structure
and 99 other object have no class; 60 lane marking is road; 252 .. 259 are moving."""
LABEL_OF_CLASS = (0, 10, 11, 15, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 70, 71, 72, 80, 81)
"""Class -> label: the inverse learning map."""
MAX_INSTANCE = 0xFFFF
_UNKNOWN = 255
_TABLE = np.full(1 << 16, _UNKNOWN, np.uint8)
_TABLE[list(LABELS)] = list(LABELS.values())


class Folder(NamedTuple):
    """A sequence and the folder of its files of one kind."""

    sequence: str
    path: Path


def sequences(root: Path, *kinds: str, suffix: str) -> list[Folder]:
    """The sequences with a folder of one of these kinds (velodyne, labels, predictions), of the first of them that is there;
    sorted. A folder that holds files *SUFFIX itself is sequence 00. No such folder: none."""
    for parent in (root / "sequences", root):
        found = [_first(folder.name, folder, kinds) for folder in folders.folders(parent)]
        if there := [folder for folder in found if folder is not None]:
            return sorted(there)
    name = root.name if root.name.isdecimal() else "00"
    if (one := _first(name, root, kinds)) is not None:
        return [one]
    return [Folder(name, root)] if any(item.endswith(suffix) for item in folders.names(root)) else []


def _first(name: str, folder: Path, kinds: Sequence[str]) -> Folder | None:
    return next((Folder(name, folder / kind) for kind in kinds if folders.is_folder(folder / kind)), None)


def chosen(found: Sequence[Folder], asked: str | int | Sequence[str | int], key: str, root: Path) -> list[Folder]:
    """Those of the sequences that are asked for: "all", one, or a list; 8 is 08. Raises InputError."""
    if asked == "all":
        return list(found)
    wanted = [asked] if isinstance(asked, (str, int)) else asked
    names = {str(name).zfill(2) if str(name).isdecimal() else str(name) for name in wanted}
    there = [folder for folder in found if folder.sequence in names]
    if len(there) < len(names) or not names:
        missing = ", ".join(sorted(names - {folder.sequence for folder in there})) or "an empty list"
        raise InputError(f"{key}: needs sequences of {root} ({', '.join(f.sequence for f in found) or 'none'}), got {missing}")
    return there


def read_label(path: Path, num_points: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """-> class (N,) uint8, instance (N,) int64 of each point. num_points: of the scan. Raises InputError."""
    size = folders.size(path)
    if size % 4 or num_points not in (None, size // 4):
        needs = "a multiple of 4 bytes" if num_points is None else f"{num_points} labels of 4 bytes, one per point of its scan"
        raise InputError(f"{path}: needs {needs}, got {size} bytes; copied incompletely?")
    with os.fdopen(folders.open_file(path), "rb", buffering=0) as file:
        try:
            data = file.readall()
        except OSError as error:
            raise folders.unreadable(path, error) from error
    if len(data) != size:
        raise InputError(f"{path}: needs {size} bytes as at the start, got {len(data)}; written to while being read?")
    packed = np.frombuffer(data, "<u4")
    classes = _TABLE[packed & 0xFFFF]
    if (unknown := classes == _UNKNOWN).any():
        row = int(np.argmax(unknown))
        raise InputError(
            f"{path}: needs labels of SemanticKITTI (0, 1, 10 .. 99, 252 .. 259), got {packed[row] & 0xFFFF} at point {row} and "
            f"{int(unknown.sum())} such points; other numbers than the data set's own?"
        )
    return classes, (packed >> 16).astype(np.int64)


def packed(classes: np.ndarray, instances: np.ndarray) -> bytes:
    """Classes (N,), 0 .. 19, and instances (N,), 0 .. MAX_INSTANCE -> the bytes of a .label file"""
    labels = np.array(LABEL_OF_CLASS, np.uint32)[classes]
    return (instances.astype(np.uint32) << 16 | labels).astype("<u4").tobytes()
