"""Label pictures -> PANOPTIC: one id per pixel, what the ids mean, and segments numbered 1, 2, .. in each frame.

A driver reads a picture as ids (`read_ids`, or its own) and says what each id that occurs means (`Meaning`). Here ids of one
class of stuff become one segment, each id of a thing stays one, and void has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drivers.pictures import read_labels
from operators.streams import CLASS_NAMES, PANOPTIC, THINGS, Panoptic
from pipeline.errors import InputError

_TABLE = 1 << 18  # ids below it are looked up, others are sorted
MAX_SEGMENTS = PANOPTIC.limits["S"]


class Classes(NamedTuple):
    """names: the table that labels index; things: those of them that can be counted."""

    names: tuple[str, ...]
    things: tuple[str, ...]

    @property
    def facts(self) -> dict[str, list[str]]:
        return {CLASS_NAMES: list(self.names), THINGS: list(self.things)}

    @property
    def is_thing(self) -> np.ndarray:
        """(C,) bool."""
        return np.isin(self.names, self.things)


class Meaning(NamedTuple):
    """Of U ids: labels (U,) int, index into the names, -1 = void; crowd (U,) bool: several things as one; track_ids (U,) int64,
    -1 = none; unknown (U,) bool: of no class of the data set, and void."""

    labels: np.ndarray
    crowd: np.ndarray
    track_ids: np.ndarray
    unknown: np.ndarray


def read_ids(path: Path) -> np.ndarray:
    """(H, W) of a label picture: uint8 or uint16 as stored, or int32 R + 256 G + 65,536 B of a colour picture."""
    labels = read_labels(path)
    return labels if labels.ndim == 2 else color_ids(labels)


def color_ids(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) int32, as COCO counts."""
    wide = rgb.astype(np.int32)
    return wide[:, :, 0] | wide[:, :, 1] << 8 | wide[:, :, 2] << 16


def by_class(found: np.ndarray, per_class: int, table: Mapping[int, int], classes: Classes) -> Meaning:
    """Cityscapes' rule: ids from `per_class` on are things, class * per_class + instance; below it they are the class itself,
    and if this is of things, a crowd. table: class of the data set -> index into the names, or -1."""
    own = np.where(found < per_class, found, found // per_class).tolist()
    known = np.array([number in table for number in own], np.bool_)
    labels = np.array([table.get(number, -1) for number in own], np.int32)
    crowd = (found < per_class) & (labels >= 0) & classes.is_thing[labels]
    return Meaning(labels, crowd, np.full(len(found), -1, np.int64), ~known)


def panoptic_of(
    path: Path,
    ids: np.ndarray,
    meaning: Callable[[np.ndarray], Meaning],
    classes: Classes,
    alloc: Callable[[tuple[int, ...]], np.ndarray],
) -> tuple[Panoptic, np.ndarray]:
    """ids (H, W) of whole numbers, 0 or more -> the segments, and the unknown ids (K,). Raises InputError if they are too many.

    meaning: called with the ids that occur, rising."""
    if ids.dtype.itemsize <= 2 or ids.max(initial=0) < _TABLE:
        counts = np.bincount(ids.ravel())
        found, at, size = np.flatnonzero(counts), ids, len(counts)
    else:
        found, inverse = np.unique(ids, return_inverse=True)
        at, size = inverse.reshape(ids.shape), len(found)
    labels, crowd, track_ids, unknown = meaning(found)
    single = (labels >= 0) & classes.is_thing[labels] & ~crowd
    numbers = np.zeros(len(found), np.int32)
    segment: dict[tuple[int, bool, int], int] = {}
    first: list[int] = []  # id of each segment, or the first of its ids
    for k, (label, crowded, alone) in enumerate(zip(labels.tolist(), crowd.tolist(), single.tolist(), strict=True)):
        if label < 0:
            continue
        key = label, crowded, k if alone else -1
        if key not in segment:
            segment[key] = len(segment) + 1
            first.append(k)
        numbers[k] = segment[key]
    if len(first) > MAX_SEGMENTS:
        raise InputError(f"{path}: needs at most {MAX_SEGMENTS} segments, got {len(first)}")
    table = np.zeros(size, np.int32)
    table[found if at is ids else slice(None)] = numbers
    panoptic = alloc(ids.shape)
    np.take(table, at, out=panoptic, mode="clip")
    return (
        Panoptic(
            panoptic,
            np.arange(1, len(first) + 1, dtype=np.int32),
            labels[first].astype(np.int32),
            np.where(crowd[first], 0, 1).astype(np.float32),
            np.where(single[first], track_ids[first], -1).astype(np.int64),
        ),
        found[unknown],
    )
