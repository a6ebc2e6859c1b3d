"""How many LiDAR points a car has at 10, 20, 30 and 40 m:   python -m bench.car_points ROOT   (KITTI object or tracking layout)

Cars in the picture that nothing hides or cuts (occluded 0, truncated up to 0.15). A car at r within 5 m of distance d counts
as one with points * (r / d)^2 at d: points go with the solid angle. Medians; `CarPoints` is the same as a sink of a graph.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from drivers.kitti.object import KittiObject, ObjectConfig
from drivers.kitti.tracking import KittiTracking, TrackingConfig
from operators.kernels.box_points import owners
from operators.streams import CLASSES, POINTS, TRUTH, Truth
from pipeline.errors import PipeError
from pipeline.operator import Operator, prepare

DISTANCES_M, WITHIN_M = (10, 20, 30, 40), 5.0


def rows(points: np.ndarray, truth: Truth) -> np.ndarray:
    """-> (K, 2) distance along the ground [m], points, of each car that is seen whole."""
    car = truth.labels == CLASSES.index("Car")
    whole = (truth.occluded == 0) & (truth.truncated <= 0.15) & (truth.boxes2d[:, 3] > truth.boxes2d[:, 1])
    boxes = np.ascontiguousarray(truth.boxes3d[car & whole], np.float64)
    owner, counts = np.empty(len(points), np.int32), np.empty(len(boxes), np.int64)
    owners(points, boxes, owner, counts)
    return np.column_stack([np.hypot(boxes[:, 0], boxes[:, 1]), counts]).astype(np.float64)


def table(cars: np.ndarray) -> dict[str, dict[str, Any]]:
    """Rows of many frames -> per distance how many cars, and the median of their points (None without any)."""
    out = {}
    for d in DISTANCES_M:
        near = cars[np.abs(cars[:, 0] - d) <= WITHIN_M]
        scaled = near[:, 1] * (near[:, 0] / d) ** 2
        out[f"{d} m"] = {"cars": len(near), "points": float(np.median(scaled)) if len(near) else None}
    return out


def line(what: str, by_distance: dict[str, dict[str, Any]]) -> str:
    parts = []
    for distance, row in by_distance.items():
        points = "-" if row["points"] is None else f"{row['points']:.0f}"
        parts.append(f"{distance} {points} ({row['cars']} cars)")
    return f"points of a car, {what}: " + ", ".join(parts)


class CarPoints(Operator):
    """Writes DIR/<node>/car_points.json at the end."""

    inputs = {"points": POINTS, "truth": TRUTH}

    def open(self) -> None:
        self.rows = [np.empty((0, 2))]

    def process(self, points: np.ndarray, truth: Truth) -> None:
        self.rows.append(rows(points, truth))

    def close(self) -> None:
        self.out_dir.mkdir(parents=True, exist_ok=True)
        (self.out_dir / "car_points.json").write_text(json.dumps(table(np.concatenate(self.rows))) + "\n", encoding="utf-8")


def opened(root: Path) -> KittiObject | KittiTracking:
    """The driver of the layout that the folder has."""
    is_object = (root / "training").is_dir()
    source: KittiObject | KittiTracking = KittiObject() if is_object else KittiTracking()
    config = (ObjectConfig if is_object else TrackingConfig)(root=str(root))
    prepare(source, "scans", config, wanted=("points", "truth"), needed=())
    source.open()
    return source


def scans(root: Path) -> Iterator[tuple[np.ndarray, Truth]]:
    """Points and truth of every labelled scan of a folder."""
    source = opened(root)
    while (reading := source.read()) is not None:
        if "points" in reading.values and "truth" in reading.values:
            yield reading.values["points"], reading.values["truth"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.car_points", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", type=Path, help="folder with training/, or with velodyne/ and label_02/")
    args = parser.parse_args()
    try:
        cars = [rows(points, truth) for points, truth in scans(args.root)]
    except PipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(line(f"{args.root}, {len(cars)} scans", table(np.concatenate([np.empty((0, 2)), *cars]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
