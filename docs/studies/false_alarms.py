"""What the detector takes for road users:   python -m studies.false_alarms ROOT... [--weights W]

ROOT is a folder of the KITTI object or tracking layout. Detector and tracker of `kitti_lidar` run over its scans and over
generated drives with streets and scenery that no training has; false tracks by the rule of `pipe eval kitti-centres`. Each is
described by its points alone, within 0.8 m of its centre (vehicles: within its box and 0.5 m around): how high they reach above
the ground, how wide they are between knee and head, how bright. Of generated ones the thing nearest to the centre is known.

kinds: pole, trunk, mass reach above 2.1 m and are up to 0.3 m, up to 0.8 m, wider; post, figure, block reach 1.3 to 2.1 m, of the
same widths; stub and low reach up to 1.3 m, up to 0.5 m wide and wider; few have less than 5 points.
Prints tables; no scan can be reconstructed.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.common import commit
from drivers.kitti.object import KittiObject, ObjectConfig
from drivers.kitti.tracking import KittiTracking, TrackingConfig
from drivers.synthetic.scene import pose
from drivers.synthetic.street_layout import make_street
from operators.detect.pointpillars import DetectorConfig
from operators.geometry.transforms import transform_points
from operators.track.best import BestClassConfig, BestConfig
from operators.track.frame import Shown
from pipeline.errors import PipeError
from pipeline.operator import prepare
from studies.detector import Frame, detected, generated, tracked, verdict

SEED, DRIVES, FRAMES, START_S = 4500, 60, 5, 5.0
BANDS_M = ((0, 10), (10, 20), (20, 30), (30, 40))
KINDS = ("pole", "trunk", "mass", "post", "figure", "block", "stub", "low", "few")
SHIPPED = BestConfig(
    car=BestClassConfig(even_score=0.25), pedestrian=BestClassConfig(even_score=0.6), cyclist=BestClassConfig(even_score=0.5)
)
"""As in graphs/kitti_lidar.yaml."""
_RADIUS_M, _MARGIN_M, _GROUND_M = 0.8, 0.5, 2.5
_NARROW_M, _WIDE_M, _TALL_M, _LOW_M, _STUB_M = 0.3, 0.8, 2.1, 1.3, 0.5
_LEAST_POINTS = 5


class Looks(NamedTuple):
    """Of the points at a result: top above the ground, width from 0.4 to 1.8 m height [m]; median intensity, share of 0."""

    points: int
    top_m: float
    width_m: float
    intensity: float
    zero: float

    @property
    def kind(self) -> str:
        if self.points < _LEAST_POINTS:
            return "few"
        if self.top_m < _LOW_M:
            return "stub" if self.width_m <= _STUB_M else "low"
        names = ("pole", "trunk", "mass") if self.top_m > _TALL_M else ("post", "figure", "block")
        return names[int(np.digitize(self.width_m, (_NARROW_M, _WIDE_M)))]


class Alarm(NamedTuple):
    """A false result: group, distance [m], looks; of a generated scan the kind of thing there, else ""."""

    item: str
    group: str
    distance_m: float
    looks: Looks
    thing: str


def looks(points: np.ndarray, box: np.ndarray, is_vehicle: bool) -> Looks:
    """points (N, 4) of the scan, box (7,) of the result."""
    offset = points[:, :2] - box[:2]
    near = np.hypot(*offset.T) < _GROUND_M + (box[3] / 2 if is_vehicle else 0)
    ground = np.quantile(points[near, 2], 0.05) if near.any() else box[2] - box[5] / 2
    if is_vehicle:
        c, s = np.cos(box[6]), np.sin(box[6])
        along, across = offset @ (c, s), offset @ (-s, c)
        mine = (np.abs(along) < box[3] / 2 + _MARGIN_M) & (np.abs(across) < box[4] / 2 + _MARGIN_M)
    else:
        mine = np.hypot(*offset.T) < _RADIUS_M
    own = points[mine & (points[:, 2] > ground + 0.2)]
    if not len(own):
        return Looks(0, 0.0, 0.0, float("nan"), float("nan"))
    height = own[:, 2] - ground
    middle = own[(height > 0.4) & (height < 1.8)]
    away = np.arctan2(box[1], box[0])  # width as the sensor sees it
    sideways = middle[:, :2] @ (-np.sin(away), np.cos(away))
    width = float(np.quantile(sideways, 0.95) - np.quantile(sideways, 0.05)) if len(middle) else 0.0
    return Looks(len(own), float(height.max()), width, float(np.median(own[:, 3])), float((own[:, 3] <= 0).mean()))


def alarms(frames: Iterable[Frame], shown: Iterable[Shown], group: str, is_generated: bool) -> Iterator[Alarm]:
    for frame, tracks in zip(frames, shown, strict=True):
        of = verdict(frame, tracks, group, max_occluded=2)
        for row in of.results[~of.right]:
            box = tracks.boxes3d[row].astype(np.float64)
            thing = thing_at(frame.item, box) if is_generated else ""
            yield Alarm(frame.item, group, float(np.hypot(*box[:2])), looks(frame.points, box, group == "vehicles"), thing)


def thing_at(item: str, box: np.ndarray) -> str:
    """The kind of the thing whose middle is nearest to the box in a generated scan."""
    drive, frame = (int(part) for part in item.split("/"))
    street, t_s = make_street(SEED, drive), START_S + frame / 10
    x, y, _ = transform_points(box[None, :3], pose(street, t_s))[0]
    reach = {"houses": 8.0, "hedges": 4.0, "walls": 4.0, "fences": 4.0, "trees": 2.0}
    best, kind = 1.5, "nothing"
    for thing in street.things(t_s, 60.0):
        distance = np.hypot(thing.x - x, thing.y - y) / reach.get(thing.kind, 1.0)
        if distance < best:
            best, kind = float(distance), thing.kind
    return kind


def tables(name: str, num_scans: int, found: Sequence[Alarm]) -> list[str]:
    """Per group: false results by kind and distance, their looks, and the things they are."""
    out = []
    for group in ("pedestrians", "vehicles", "cyclists"):
        of = [a for a in found if a.group == group]
        out += [
            "",
            f"{name}, {group}: {len(of)} false results in {num_scans} scans, {len(of) / max(num_scans, 1):.3f} a scan",
            "",
        ]
        if not of:
            continue
        out += [
            "| kind | all | " + " | ".join(f"{a}..{b} m" for a, b in BANDS_M) + " | points | top m | width m | intensity | zero |"
        ]
        out += ["|---" * 11 + "|"]
        for kind in KINDS:
            rows = [a for a in of if a.looks.kind == kind]
            if rows:
                counts = [str(sum(low <= a.distance_m < high for a in rows)) for low, high in BANDS_M]
                medians = [np.median([a.looks[k] for a in rows]) for k in range(5)]
                words = [f"{medians[0]:.0f}", *(f"{value:.2f}" for value in medians[1:])]
                out.append(f"| {kind} | {len(rows)} | {' | '.join((*counts, *words))} |")
        things = Counter(a.thing for a in of if a.thing)
        if things:
            out += ["", "things: " + ", ".join(f"{thing} {count}" for thing, count in things.most_common())]
    return out


def opened(root: Path) -> KittiObject | KittiTracking:
    is_object = (root / "training").is_dir()
    source: KittiObject | KittiTracking = KittiObject() if is_object else KittiTracking()
    config = (ObjectConfig if is_object else TrackingConfig)(root=str(root))
    wanted = ("points", "truth", "calibration", *(() if is_object else ("pose",)))
    prepare(source, "scans", config, wanted=wanted, needed=())
    source.open()
    return source


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="studies.false_alarms", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("roots", nargs="*", type=Path, metavar="ROOT", help="folder of KITTI object or tracking")
    parser.add_argument("--weights", default=DetectorConfig().weights, help="shipped weights, or a .safetensors file")
    parser.add_argument("--drives", type=int, default=DRIVES, help=f"generated drives of {FRAMES} frames (default {DRIVES})")
    args = parser.parse_args(argv)
    text = [f"{args.weights} at commit {commit()}"]
    try:
        for root in (*args.roots, None):
            source = generated(SEED, args.drives, FRAMES, threads=2) if root is None else opened(root)
            frames = list(detected(source, args.weights, threads=2, single=isinstance(source, KittiObject)))
            source.close()
            shown = list(tracked(frames, SHIPPED))
            groups = ("vehicles", "pedestrians", "cyclists")
            found = [a for group in groups for a in alarms(frames, shown, group, root is None)]
            text += tables("generated" if root is None else root.name, len(frames), found)
    except PipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
