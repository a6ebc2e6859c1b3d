"""Objects without a trained net: clusters of points that stand on the ground, boxes around them, classes by size.

in   points   (N, 4) float32       x y z [m, velodyne frame], intensity [0..1]; without the ground (lidar.ground)
out  boxes3d  BOXES3D_PROBABILITY  best first; scores order the boxes, they are no calibrated probabilities
State: counters only.   Empty scan, no cluster of a known size: M = 0.   Full: the worst boxes are dropped and counted.

1. Clusters: cells of cell_m seen from above, connected up to gap_m + gap_per_m * distance (Euclidean clustering on a grid).
2. Rectangle: the one whose edges the points follow best (Zhang et al. 2017, closeness). Class: by the sizes of RULES.
3. A LiDAR sees the near sides only: a vehicle's box grows away from the sensor up to the usual size of its class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from operators.geometry.boxes3d import wrap_angle
from operators.kernels import cluster as kernel
from operators.lidar.components import Components
from operators.streams import BOXES3D_PROBABILITY, CLASSES, MAX_BOXES, POINTS, Boxes3D
from pipeline.operator import Operator


class Rule(NamedTuple):
    """What a class looks like [m]: long edge, short edge, height from the ground, each from .. to; usual l w h of vehicles."""

    name: str
    long_m: tuple[float, float]
    short_m: tuple[float, float]
    height_m: tuple[float, float]
    usual_m: tuple[float, float, float] | None = None


RULES = (
    Rule("Pedestrian", (0.2, 1.2), (0.1, 1.0), (1.1, 2.1)),
    Rule("Cyclist", (1.2, 2.2), (0.2, 1.0), (1.55, 2.1)),
    Rule("Car", (1.2, 6.5), (0.3, 2.5), (0.9, 2.7), (3.9, 1.6, 1.5)),
)
"""A cluster has the class of the first rule it fits: sizes of people and vehicles, not tuned on any data. A van is a Car, because
what is seen of an object changes from scan to scan, and a track ends where its class changes."""
_END_M = 2.3
"""A vehicle whose longest seen edge is shorter shows its front or back: the edge is its width."""


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    range_m: tuple[float, float, float, float, float, float] = (
        0.0,
        -25.6,
        -3.0,
        51.2,
        25.6,
        0.8,
    )  # x0 y0 z0 x1 y1 z1; others are ignored
    cell_m: float = 0.2
    gap_m: float = 0.4  # between two points of one object, at the sensor
    gap_per_m: float = 0.01  # more of it per metre of distance
    min_points: int = 10
    foot_m: float = 0.25  # the ground's share of an object's height: above_m of lidar.ground
    max_boxes: int = 500

    def __post_init__(self) -> None:
        for key in ("cell_m", "gap_m"):
            if not 0 < getattr(self, key) < np.inf:
                raise ValueError(f"{key}: needs more than 0, got {getattr(self, key):g}")
        for key in ("gap_per_m", "foot_m"):
            if not 0 <= getattr(self, key) < np.inf:
                raise ValueError(f"{key}: needs 0 or more, got {getattr(self, key):g}")
        if self.min_points < 1:
            raise ValueError(f"min_points: needs 1 or more, got {self.min_points}")
        if not 1 <= self.max_boxes <= MAX_BOXES:
            raise ValueError(f"max_boxes: needs 1 .. {MAX_BOXES}, got {self.max_boxes}")
        if not all(self.range_m[i] < self.range_m[i + 3] for i in range(3)):
            raise ValueError(f"range_m: needs x0 < x1, y0 < y1, z0 < z1, got {list(self.range_m)}")


class Clusters:
    """The algorithm without the engine."""

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self._components = Components(config.cell_m, config.range_m, config.gap_m, config.gap_per_m)

    def find(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 4) -> points of all clusters, one cluster after another (R, 4); starts (C + 1,): those of cluster c are
        rows starts[c] .. starts[c + 1]. Clusters with fewer than min_points are left out."""
        label, counts, count = self._components.find(points)
        packed = np.empty((int(counts.sum()), 4), np.float32)
        self._components.grouping.pack(points, counts, packed)
        of_points = np.repeat(label, counts)
        sizes = np.bincount(of_points, minlength=count)
        large = sizes >= self.config.min_points
        order = np.argsort(of_points, kind="stable")
        return packed[order[large[of_points[order]]]], np.concatenate([[0], np.cumsum(sizes[large])]).astype(np.int32)

    def boxes(self, points: np.ndarray, starts: np.ndarray) -> Boxes3D:
        """Of the clusters of `find` that have the size of a class, in the order of the clusters."""
        fitted = np.empty((len(starts) - 1, 8))
        kernel.rectangles(points, starts, 45, 0.1, 200, fitted)
        rows, scores, labels = [], [], []
        for rectangle, size in zip(fitted, np.diff(starts).tolist(), strict=True):
            if (found := self._box(rectangle)) is not None:
                rows.append(found[0])
                labels.append(CLASSES.index(found[1]))
                scores.append(rectangle[7] * size / (size + self.config.min_points))
        return Boxes3D(
            np.array(rows, np.float32).reshape(-1, 7), np.array(scores, np.float32).reshape(-1), np.array(labels, np.int32)
        )

    def _box(self, rectangle: np.ndarray) -> tuple[tuple[float, ...], str] | None:
        """Box (7,) and name of the class; None: no object of a known size."""
        angle, low_u, high_u, low_v, high_v, low_z, high_z, _ = rectangle.tolist()
        bottom = low_z - self.config.foot_m
        long_m, short_m = sorted((high_u - low_u, high_v - low_v), reverse=True)
        height_m = high_z - bottom
        rule = next((rule for rule in RULES if _fits(rule, long_m, short_m, height_m)), None)
        if rule is None:
            return None
        along_u = high_u - low_u >= high_v - low_v
        if rule.usual_m is not None:
            along_u ^= long_m < _END_M
            length, width, height = rule.usual_m
            low_u, high_u = _grown(low_u, high_u, length if along_u else width)
            low_v, high_v = _grown(low_v, high_v, width if along_u else length)
            high_z = max(high_z, bottom + height)
        u, v = (low_u + high_u) / 2, (low_v + high_v) / 2
        c, s = np.cos(angle), np.sin(angle)
        size = (high_u - low_u, high_v - low_v) if along_u else (high_v - low_v, high_u - low_u)
        yaw = angle if along_u else angle - np.pi / 2  # forward rather than backward: which of both is unknown
        return (
            c * u - s * v,
            s * u + c * v,
            (bottom + high_z) / 2,
            *size,
            high_z - bottom,
            float(wrap_angle(np.array(yaw))),
        ), rule.name


def _fits(rule: Rule, long_m: float, short_m: float, height_m: float) -> bool:
    pairs = ((rule.long_m, long_m), (rule.short_m, short_m), (rule.height_m, height_m))
    return all(low <= value <= high for (low, high), value in pairs)


def _grown(low: float, high: float, size: float) -> tuple[float, float]:
    """An interval of at least this size: the end near the sensor, which is at 0, stays; around the sensor both ends move."""
    missing = max(size - (high - low), 0.0)
    if low > 0:
        return low, high + missing
    if high < 0:
        return low - missing, high
    return low - missing / 2, high + missing / 2


class Cluster(Operator):
    Config, inputs, outputs = ClusterConfig, {"points": POINTS}, {"boxes3d": BOXES3D_PROBABILITY}
    tunable = ("min_points", "foot_m", "max_boxes")

    def open(self) -> None:
        self.clusters, self.num_dropped = Clusters(self.config), 0
        points = np.zeros((self.config.min_points, 4), np.float32)
        points.flags.writeable = False
        for scan in (points, points.copy()):  # compiles, for frames of both kinds
            self.clusters.boxes(*self.clusters.find(scan))

    def reconfigured(self, old: ClusterConfig, new: ClusterConfig) -> None:
        self.clusters.config = new

    def process(self, points: np.ndarray) -> Boxes3D:
        found = self.clusters.boxes(*self.clusters.find(np.ascontiguousarray(points)))
        order = np.argsort(-found.scores, kind="stable")
        self.num_dropped += max(len(order) - self.config.max_boxes, 0)
        order = order[: self.config.max_boxes]
        return Boxes3D(*(self.put("boxes3d", name, array[order]) for name, array in found._asdict().items()))

    def close(self) -> None:
        if self.num_dropped:
            self.log.info("dropped %d boxes beyond max_boxes", self.num_dropped)
