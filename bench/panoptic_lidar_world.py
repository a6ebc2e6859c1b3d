"""The LiDAR chain on generated scans that training never saw: points to range image to net to points with ids, with intervals.

    python -m bench.panoptic_lidar_world [--weights FILE] [--drives 12] [--frames 10] [--threads 2]

Streets of their own seeds, bodies of the family `test`; nodes and configs of panoptic_lidar_world. Ids by embeddings and, beside,
by IoU of the boxes. The baseline is one map for all scans, the commonest class of each pixel in the very truth that it is
scored with, without objects. PQ and mIoU are of the classes present. Intervals: 95 % of a bootstrap over the drives. Scores as
score.points counts them. Writes bench/results/panoptic-lidar-world-<machine>.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import RESULTS, header, save
from bench.panoptic_intervals import lines
from bench.panoptic_scans import Drives, Truth, count, interval, numbers
from drivers.synthetic.world import SyntheticWorld, WorldConfig
from operators.fuse.panoptic_fusion import Fusion, Objects, Rules
from operators.lidar.range_image import Projection, RangeImageConfig
from operators.lidar.range_picture import RangePictureConfig, as_picture
from operators.lidar.unproject import Unproject, UnprojectConfig
from operators.segment.efficientps import SegmentEfficientps, SegmentEfficientpsConfig
from operators.streams import CLASS_NAMES, THINGS, Panoptic, RangeImage
from operators.track.panoptic import NO_ID, TrackPanopticConfig, Tracks
from pipeline.operator import prepare

SEED, MIN_STUFF_PX = 60_000, 32
WAYS = ("embedding", "iou", "constant")
PORTS = ("points", "point_rings", "point_classes_truth", "point_ids")


def main(arguments: Sequence[str] | None = None, results: Path = RESULTS) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m bench.panoptic_lidar_world", description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", default="panoptic_lidar_world", help="a shipped model or a .safetensors file")
    for key, least in (("drives", 12), ("frames", 10), ("threads", 2)):
        parser.add_argument(f"--{key}", type=int, default=least)
    args = parser.parse_args(arguments)
    data = f"{args.drives * args.frames} generated scans of seed {SEED}, {args.drives} drives"
    about = header(f"python -m bench.panoptic_lidar_world --weights {args.weights}", data)
    world = WorldConfig(SEED, args.drives, frames=args.frames, start_s=5, shapes="test")
    config = SegmentEfficientpsConfig(args.weights, semantic="quarter")
    ways, things = watched(config, world, args.threads)
    out = {"about": about, "figures": {way: interval(drives, things) for way, drives in ways.items()}}
    print("\n".join(lines(out["figures"])))
    save(results, "panoptic-lidar-world", out)
    return out


def watched(config: SegmentEfficientpsConfig, world: WorldConfig, threads: int) -> tuple[dict[str, Drives], tuple[int, ...]]:
    """Association, or `constant` -> drives; classes that are things."""
    node = prepare(SegmentEfficientps(), "segment", config, threads=threads)
    points_of = prepare(Unproject(), "points", UnprojectConfig())
    for part in (node, points_of):
        part.open()
    net, (width, height) = node.net_config, node.net_config.image_size
    project, fusion = Projection(RangeImageConfig(height, width)), Fusion(Rules(min_stuff_px=MIN_STUFF_PX), threads)
    is_thing = np.array([name in net.things for name in net.class_names], bool)
    source = prepare(SyntheticWorld(), "world", world, threads=threads, wanted=PORTS)
    source.open(0)
    tracks = {way: Tracks(TrackPanopticConfig(way), 1) for way in ("embedding", "iou")}
    ways: dict[str, Drives] = {way: {} for way in WAYS}
    names: tuple[str, ...] = ()
    things, truths, votes = set[str](), list[Truth](), np.zeros(0)
    while (reading := source.read()) is not None:
        facts, drive = reading.meta["point_classes_truth"], reading.item.rpartition("/")[0]
        names, things = tuple(facts[CLASS_NAMES]), set(facts[THINGS])
        points, rings, classes, ids = (np.array(reading.values[port]) for port in PORTS)
        picture, pixels = np.empty((5, height, width), np.float32), np.empty((len(points), 2), np.int32)
        project(points, rings, picture, pixels)
        flat = np.where(pixels[:, 0] < 0, -1, pixels[:, 0] * width + pixels[:, 1])
        truths.append(Truth(drive, numbers(classes, names, names), np.where(ids < 0, 0, ids + 1), flat))
        if not votes.size:
            votes = np.zeros((1 + len(names), height * width), np.int32)
        np.add.at(votes, (truths[-1].classes[flat >= 0], flat[flat >= 0]), 1)
        if drive not in ways["iou"]:
            for of_way in tracks.values():
                of_way.restart()
        made = node.process(as_picture(picture, RangePictureConfig()))
        found, out = made["instances"], np.empty((height, width), np.int32)
        objects = Objects(found.boxes2d, found.scores, found.labels.astype(np.int64), found.mask_logits)
        segments = fusion.fuse(made["semantic"], 4, is_thing, objects, out)
        sure, kept, num = np.flatnonzero(found.scores > 0.5), segments.rows >= 0, len(segments.rows)
        for way, of_way in tracks.items():
            of_found = np.full(len(found.scores), NO_ID)
            of_found[sure] = of_way.step(
                found.labels[sure], (made["embeddings"] if way == "embedding" else found.boxes2d)[sure], 1
            )
            track_ids = np.full(num, NO_ID)
            track_ids[kept] = of_found[segments.rows[kept]]
            row = np.arange(1, num + 1, dtype=np.int32), segments.planes.astype(np.int32), np.ones(num, np.float32), track_ids
            labelled = points_of.process(points, RangeImage(picture, pixels), panoptic=Panoptic(out, *row))
            own = numbers(labelled["point_classes"], net.class_names, names)
            count(ways[way], len(names), truths[-1], own, np.where(labelled["point_ids"] < 0, 0, labelled["point_ids"] + 1))
    source.close()
    fusion.close()
    best = np.append(votes[1:].argmax(0) + 1, 0)
    for truth in truths:
        own = best[truth.pixels]
        count(ways["constant"], len(names), truth, own, np.zeros(len(own), np.int64))
    return ways, tuple(1 + number for number, name in enumerate(names) if name in things)


if __name__ == "__main__":
    main()
