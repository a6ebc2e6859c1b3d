"""segment.efficientps, track.panoptic and fuse.panoptic on generated pictures that training never saw, with intervals.

    python -m bench.panoptic_world [--weights FILE] [--drives 12] [--frames 20] [--threads 2]

Streets of their own seeds, bodies of the family `test`. One pass of the net; ids by embeddings and, beside, by IoU of the boxes.
The baseline is one map for all frames, the commonest class of each pixel in the very truth it is scored with. Intervals: 95 % of
a bootstrap over the drives. Scores as score.panoptic counts them. Writes bench/results/panoptic-world-<machine>.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import RESULTS, header, save
from bench.panoptic_intervals import Frames, constant, interval, lines
from drivers.synthetic.world import CameraConfig, SyntheticWorld, WorldConfig
from operators.fuse.panoptic_fusion import Fusion, Objects, Rules
from operators.score.panoptic import scored
from operators.score.panoptic_pairs import pairs_of
from operators.segment.efficientps import SegmentEfficientps, SegmentEfficientpsConfig
from operators.streams import CLASS_NAMES, Panoptic
from operators.track.panoptic import NO_ID, TrackPanopticConfig, Tracks
from operators.train.panoptic.validate import MIN_STUFF
from pipeline.operator import prepare

SEED = 50_000
WAYS = ("embedding", "iou", "constant")


def main(arguments: Sequence[str] | None = None, results: Path = RESULTS) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m bench.panoptic_world", description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", default="panoptic_world", help="a shipped model or a .safetensors file")
    for key, least in (("drives", 12), ("frames", 20), ("threads", 2)):
        parser.add_argument(f"--{key}", type=int, default=least)
    args = parser.parse_args(arguments)
    config = SegmentEfficientpsConfig(args.weights, semantic="quarter", proposals=100)
    data = f"{args.drives * args.frames} generated pictures of seed {SEED}, {args.drives} drives"
    about = header(f"python -m bench.panoptic_world --weights {args.weights}", data)
    ways, things = watched(config, args.drives, args.frames, args.threads)
    out = {"about": about, "figures": {way: interval(frames, things) for way, frames in ways.items()}}
    print("\n".join(lines(out["figures"])))
    save(results, "panoptic-world", out)
    return out


def watched(config: SegmentEfficientpsConfig, drives: int, frames: int, threads: int) -> tuple[dict[str, Frames], set[str]]:
    """Association, or `constant` -> frames; names of the things."""
    node = prepare(SegmentEfficientps(), "segment", config, threads=threads)
    node.open()
    net, (width, height) = node.net_config, node.net_config.image_size
    is_thing = np.array([name in net.things for name in net.class_names], bool)
    fusion = Fusion(Rules(min_stuff_px=round(MIN_STUFF * width * height)), threads)
    world = WorldConfig(SEED, drives, frames=frames, start_s=5, shapes="test", camera=CameraConfig(width, height))
    source = prepare(SyntheticWorld(), "world", world, threads=threads, wanted=("image", "panoptic_truth"))
    source.open(0)
    tracks = {way: Tracks(TrackPanopticConfig(way), 1) for way in ("embedding", "iou")}
    ways: dict[str, Frames] = {way: {} for way in WAYS}
    truths: list[tuple[str, Panoptic, tuple[str, ...]]] = []
    while (reading := source.read()) is not None:
        drive, names = reading.item.rpartition("/")[0], tuple(reading.meta["panoptic_truth"][CLASS_NAMES])
        truth = Panoptic(*(np.array(a) for a in reading.values["panoptic_truth"]))
        if drive not in ways["iou"]:
            for of_way in tracks.values():
                of_way.restart()
        truths.append((drive, truth, names))
        made = node.process(reading.values["image"])
        found, looks = made["instances"], made["embeddings"]
        out = np.empty((height, width), np.int32)
        objects = Objects(found.boxes2d, found.scores, found.labels.astype(np.int64), found.mask_logits)
        segments = fusion.fuse(made["semantic"], 4, is_thing, objects, out)
        sure, kept = np.flatnonzero(found.scores > 0.5), segments.rows >= 0
        pairs, num = pairs_of(truth.panoptic, out), len(segments.rows)
        for way, of_way in tracks.items():
            ids = np.full(len(found.scores), NO_ID)
            ids[sure] = of_way.step(found.labels[sure], (looks if way == "embedding" else found.boxes2d)[sure], 1)
            track_ids = np.full(num, NO_ID)
            track_ids[kept] = ids[segments.rows[kept]]
            labels, ones = segments.planes.astype(np.int32), np.ones(num, np.float32)
            prediction = Panoptic(out, np.arange(1, num + 1, dtype=np.int32), labels, ones, track_ids)
            ways[way].setdefault(drive, []).append(scored(pairs, truth, names, prediction, net.class_names))
    source.close()
    fusion.close()
    constant(truths, ways["constant"])
    return ways, set(net.things)


if __name__ == "__main__":
    main()
