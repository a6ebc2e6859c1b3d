"""Generated test scenes in memory, and nets scored and timed on them: shared by `pipe bench students` and `subscenes`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench.detector import Detect
from drivers.synthetic.spinning import LidarConfig
from drivers.synthetic.world import CameraConfig, SyntheticWorld, WorldConfig
from operators.geometry.project import boxes_to_image
from operators.score.ap import KITTI_LEVELS, AveragePrecision, Region
from operators.streams import Calibration, Truth
from pipeline.operator import prepare

WORLD = WorldConfig(
    seed=3000, frames=1, start_s=5, shapes="test", lidar=LidarConfig(view_deg=90, range_m=80, crop="camera"),
    camera=CameraConfig(1242, 375),
)  # fmt: skip
"""Streets and bodies that training never sees."""
LEVELS = ("easy", "moderate")
CLASSES = {"Car": ("Car", "Van")}
DRAWS = 1000


@dataclass(frozen=True)
class Scene:
    points: np.ndarray
    truth: Truth
    calibration: Calibration


def generate(count: int) -> list[Scene]:
    world = prepare(SyntheticWorld(), "world", replace(WORLD, drives=count), wanted=("points", "truth", "calibration"), needed=())
    world.open()
    ((_, calibration),) = [(s.port, s.value) for s in world.statics() if s.port == "calibration"]
    out = []
    for _ in range(count):
        reading = world.read()
        assert reading is not None
        out.append(Scene(np.array(reading.values["points"]), reading.values["truth"], calibration))
    world.close()
    return out


def times(nets: Mapping[str, Detect], scenes: Sequence[Scene]) -> dict[str, float]:
    """Median milliseconds of each; all take turns on every scene."""
    spent: dict[str, list[float]] = {name: [] for name in nets}
    for scene in [scenes[0], *scenes]:  # the first round warms up
        for name, detect in nets.items():
            begun = time.perf_counter()
            detect(scene.points)
            spent[name].append(1e3 * (time.perf_counter() - begun))
    return {name: statistics.median(values[1:]) for name, values in spent.items()}


@dataclass
class Scored:
    """Average precision of cars, R40, by KITTI's levels: level -> [low, AP, high], with the 95 % interval of a bootstrap over
    scenes; AP None without truth. truth: boxes that count."""

    ap: dict[str, list[float | None]] = field(default_factory=dict)
    truth: dict[str, int] = field(default_factory=dict)


def score(detect: Detect, scenes: Sequence[Scene], region: Region | None = None, seed: int = 1) -> tuple[Scored, Scored]:
    """-> against all truth (mode 1/2), against the truth in `region` alone (mode 1/1; None: the same)."""
    inside = [replace(level, name=f"{level.name} in", region_m=region) for level in KITTI_LEVELS]
    ap = AveragePrecision(CLASSES, [*KITTI_LEVELS, *inside], "3d", {"Car": 0.7}, dontcare=False)
    for scene in scenes:
        found, camera = detect(scene.points), scene.calibration
        boxes2d, _ = boxes_to_image(found.boxes3d, camera.P_cam, camera.T_cam_velo, camera.image_size)
        ap.add(found, scene.truth, boxes2d)
    draws = np.random.default_rng(seed).multinomial(len(scenes), np.full(len(scenes), 1 / len(scenes)), size=DRAWS)
    results, intervals = ap.result()["Car"], ap.intervals(draws)["Car"]

    def part(suffix: str) -> Scored:
        out = Scored()
        for level in LEVELS:
            result, interval = results[level + suffix], intervals[level + suffix]
            out.ap[level] = [None] * 3 if result.r40 is None else [interval.r40[0], result.r40, interval.r40[1]]
            out.truth[level] = result.num_truth
        return out

    return part(""), part(" in")


def apart(rows: Mapping[str, Sequence[float | None]]) -> list[str]:
    """`a > b` for every two rows [low, value, high] whose intervals do not overlap; nothing is claimed about the others."""
    known: list[tuple[str, Any]] = [(name, row) for name, row in rows.items() if None not in row]
    known.sort(key=lambda item: -item[1][1])
    return [f"{a} > {b}" for i, (a, row) in enumerate(known) for b, other in known[i + 1 :] if row[0] > other[2]]


def cell(row: Sequence[float | None]) -> str:
    """`81.2 (79.0 .. 83.1)`"""
    if row[1] is None:
        return "-"
    low, high = ("?" if value is None else f"{value:.1f}" for value in (row[0], row[2]))
    return f"{row[1]:.1f} ({low} .. {high})"
