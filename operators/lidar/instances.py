"""Instances of the points of a semantic net: clusters of each class of things, with ids that last from scan to scan.

in   points         (N, 4) float32  x y z [m, velodyne frame], intensity [0..1]
     point_classes  (N,) uint8      of the same points; the fact things, or config things, names the classes of objects
     pose           POSE            optional: of the same instant; without it the car's own motion counts as motion of the objects
out  point_ids      (N,) int64      id of the object, -1 = none: stuff, a cluster smaller than min_points, outside range_m
     facts          class_names, things

1. Clusters per class: cells of cell_m seen from above, connected up to gap_m + gap_per_m * distance, as in lidar.cluster.
2. A cluster takes the id of the nearest object of its class in the scans before, at most max_move_m per scan away; pairs in
   order of their distance. Others get new ids. An object that is not seen keeps its place for max_age scans.
State: the objects of the last scans; it empties at a new sequence, a stamp that goes back, a gap above max_age periods. A crash
loses it.   Empty scan: N = 0.   NaN points: -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from operators.geometry.transforms import transform_points
from operators.lidar.components import Components
from operators.streams import CLASS_NAMES, MAX_POINTS, POINT_CLASSES, POINT_IDS, POINTS, POSE, THINGS
from operators.track.clock import NEW_RECORDING, FrameClock
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional

_IDS_PER_RESTART = 1 << 40


@dataclass(frozen=True, slots=True)
class InstancesConfig:
    things: tuple[str, ...] = ()  # names of the classes; (): those of the fact things
    range_m: tuple[float, float, float, float, float, float] = (-80.0, -80.0, -6.0, 80.0, 80.0, 6.0)  # x0 y0 z0 x1 y1 z1
    cell_m: float = 0.2
    gap_m: float = 0.4  # between two points of one object, at the sensor
    gap_per_m: float = 0.01  # more of it per metre of distance
    min_points: int = 10
    max_move_m: float = 2.5  # of an object's middle from scan to scan
    max_age: int = 3  # scans

    def __post_init__(self) -> None:
        for key in ("cell_m", "gap_m", "max_move_m"):
            if not 0 < getattr(self, key) < np.inf:
                raise ValueError(f"{key}: needs more than 0, got {getattr(self, key):g}")
        if not 0 <= self.gap_per_m < np.inf:
            raise ValueError(f"gap_per_m: needs 0 or more, got {self.gap_per_m:g}")
        for key in ("min_points", "max_age"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: needs 1 or more, got {getattr(self, key)}")
        if not all(self.range_m[i] < self.range_m[i + 3] for i in range(3)):
            raise ValueError(f"range_m: needs x0 < x1, y0 < y1, z0 < z1, got {list(self.range_m)}")
        x0, y0, _, x1, y1, _ = self.range_m
        if (x1 - x0) * (y1 - y0) > 2**26 * self.cell_m**2:
            raise ValueError(f"cell_m: needs at most {2**26} cells in range_m, got cells of {self.cell_m:g} m")


class Clusters:
    """Step 1, without the engine."""

    def __init__(self, config: InstancesConfig) -> None:
        self.min_points = config.min_points
        self._components = Components(config.cell_m, config.range_m, config.gap_m, config.gap_per_m)

    def find(self, points: np.ndarray) -> np.ndarray:
        """(N, 4) float32 of one class -> (N,) cluster of each point, from 0; -1: none"""
        label, _, count = self._components.find(points)
        pillars = self._components.grouping.pillars_of(points)
        of_points = np.where(pillars >= 0, np.append(label, -1)[pillars], -1)
        large = np.bincount(of_points[of_points >= 0], minlength=count) >= self.min_points
        numbers = np.append(np.where(large, np.cumsum(large) - 1, -1), -1)
        return numbers[of_points]


class Seen(NamedTuple):
    """An object: its class, middle (3,) in the world, scans since it was seen."""

    label: int
    middle: np.ndarray
    age: int


class Objects:
    """Step 2, without the engine."""

    def __init__(self, max_move_m: float, max_age: int, first_id: int = 1) -> None:
        self.max_move_m, self.max_age, self.next_id = max_move_m, max_age, first_id
        self.seen: dict[int, Seen] = {}

    def take(self, labels: np.ndarray, middles: np.ndarray, scans: int = 1) -> np.ndarray:
        """Objects of one scan, class (M,) and middle in the world (M, 3), `scans` after the last one -> ids (M,) int64"""
        ids = np.full(len(labels), -1, np.int64)
        known = {i: seen._replace(age=seen.age + scans) for i, seen in self.seen.items() if seen.age + scans <= self.max_age}
        pairs = [
            (float(np.linalg.norm(seen.middle - middle)), m, i)
            for m, (label, middle) in enumerate(zip(labels.tolist(), middles, strict=True))
            for i, seen in known.items()
            if seen.label == label
        ]
        for move_m, m, i in sorted(pairs):
            if i in known and move_m <= self.max_move_m * known[i].age and ids[m] < 0:
                ids[m] = i
                del known[i]
        new = ids < 0
        ids[new] = self.next_id + np.arange(new.sum())
        self.next_id += int(new.sum())
        found = zip(ids.tolist(), labels.tolist(), middles, strict=True)
        self.seen = known | {i: Seen(label, middle, 0) for i, label, middle in found}
        return ids


class Instances(Operator):
    Config, outputs = InstancesConfig, {"point_ids": POINT_IDS}
    tunable = ("min_points", "max_move_m")
    inputs = {"points": POINTS, "point_classes": POINT_CLASSES, "pose": optional(POSE)}

    @classmethod
    def slot_bytes(cls, config: InstancesConfig) -> dict[str, int]:
        return {"point_ids": 8 * MAX_POINTS}

    def open(self) -> None:
        config = self.config
        restarts = self.resume.restarts if self.resume else 0
        self.clusters = Clusters(config)
        self.clock = FrameClock(None, config.max_age)
        self.objects = Objects(config.max_move_m, config.max_age, 1 + _IDS_PER_RESTART * restarts)
        self.clusters.find(np.zeros((1, 4), np.float32))  # compiles: clusters are found in copies

    def reconfigured(self, old: InstancesConfig, new: InstancesConfig) -> None:
        self.clusters.min_points, self.objects.max_move_m = new.min_points, new.max_move_m

    def process(self, points: np.ndarray, point_classes: np.ndarray, pose: np.ndarray | None = None) -> np.ndarray:
        if len(points) != len(point_classes):
            raise FrameError(
                f"{self.name} at {self.header}: needs a class of each of the {len(points)} points, got {len(point_classes)}"
            )
        scans = self.clock.tick(self.header.sequence, self.header.stamp_ns)
        if scans == NEW_RECORDING:
            self.objects.seen, scans = {}, 1
        ids = self.alloc("point_ids", "point_ids", point_classes.shape, np.int64)
        ids[:] = -1
        labels, middles, members = [], [], []
        for label in self._things():
            rows = np.flatnonzero(point_classes == label)
            of_class = points[rows]
            clusters = self.clusters.find(of_class)
            for cluster in range(int(clusters.max(initial=-1)) + 1):
                inside = clusters == cluster
                labels.append(label)
                middles.append(np.median(of_class[inside, :3], axis=0))
                members.append(rows[inside])
        places = np.array(middles, np.float64).reshape(-1, 3)
        if pose is not None:
            places = transform_points(places, pose)
        for of_object, number in zip(members, self.objects.take(np.array(labels, np.int64), places, scans), strict=True):
            ids[of_object] = number
        return ids

    def _things(self) -> list[int]:
        """Numbers of the classes of things; also hands on the facts."""
        facts = self.meta.get("point_classes", {})
        names, things = tuple(facts.get(CLASS_NAMES, ())), self.config.things or tuple(facts.get(THINGS, ()))
        if not things or not set(things) <= set(names):
            needs = f"config.things of the names {', '.join(names)}" if names else "the fact class_names of point_classes"
            raise FrameError(f"{self.name} at {self.header}: needs {needs}, got {', '.join(things) or 'none'}")
        self.describe("point_ids", **{CLASS_NAMES: names, THINGS: things})
        return [number for number, name in enumerate(names) if name in things]
