"""Panoptic scores of scans grouped by drive, with intervals. For panoptic_lidar_world.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bench.panoptic_intervals import bootstrap
from operators.score.point_segments import PointScores, shared
from operators.streams import VOID

KEYS = ("pq", "sq", "rq", "miou", "lstq", "s_assoc")
Drives = dict[str, PointScores]
"""Drive -> the counts of its scans."""


class Truth(NamedTuple):
    """Of one scan: drive; per point its class (0 = none), its instance (0 = none), its pixel (-1 = none)."""

    drive: str
    classes: np.ndarray
    instances: np.ndarray
    pixels: np.ndarray


def numbers(classes: np.ndarray, own: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """(N,) classes with the names `own` -> 0 = none, 1 + their index in `names`"""
    table = np.zeros(VOID + 1, np.int64)
    table[: len(own)] = [1 + names.index(name) for name in own]
    return table[classes]


def count(drives: Drives, num: int, truth: Truth, classes: np.ndarray, instances: np.ndarray) -> None:
    scores = drives.setdefault(truth.drive, PointScores(1 + num))
    scores.count("", shared(truth.classes, truth.instances, classes, instances))


def interval(drives: Drives, things: tuple[int, ...]) -> dict[str, tuple[float, float, float]]:
    """Score -> value, ends of its interval, in per cent; NaN where no tube of truth is."""

    def values(some: Sequence[str]) -> list[float]:
        found = together([drives[name] for name in some]).numbers(things)
        every = {**found["present"], "lstq": found["lstq"], "s_assoc": found["s_assoc"]}
        return [np.nan if every[key] is None else 100 * every[key] for key in KEYS]

    return dict(zip(KEYS, bootstrap(values, list(drives)), strict=True))


def together(drives: Sequence[PointScores]) -> PointScores:
    """The counts of several drives, of which one may come twice."""
    out = PointScores(drives[0].num_classes, drives[0].min_points)
    for number, one in enumerate(drives):
        for key in ("confusion", "tp", "fp", "fn", "iou"):
            getattr(out, key)[...] += getattr(one, key)
        out.tubes[f"{number}"] = one.tubes[""]
    return out
