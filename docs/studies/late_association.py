"""`python -m studies.late_association [ROOT]`: does an object have the same id in the LiDAR's tracks and in the camera's?

    ROOT holds detections/, detections_2d_<detector>/, calib/, label_02/ (default ../shared/data/kitti_tracking)

Runs graphs/kitti_tracking_fused.yaml, writes the tracks before and after `fuse.tracks`, and compares both with the truth: a
track matches a truth box if they overlap by half in the image, one to one with the largest total overlap.
both      truth boxes matched by a 3D track and a 2D track in the same frame;   same  the share whose two tracks have the same id
objects   truth objects matched by both in 5 frames or more;   one id  the share with the same id in more than half of them
IDS, HOTA of each stream before and after (KITTI's rules)
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import pipeline
from bench.common import header
from operators.kernels.lsap import best_pairs
from operators.kernels.overlaps import iou_2d
from operators.score import kitti_tracking
from operators.score.kitti_rows import Rows, read_results, read_truth

GRAPH = Path(__file__).resolve().parents[2] / "graphs" / "kitti_tracking_fused.yaml"
BEFORE = """
  lidar_before:
    op: write.kitti_tracking
    inputs: {tracks: tracker.tracks, boxes2d: tracker.boxes2d, calibration: lidar.calibration}
  camera_before: {op: write.kitti_tracking_2d, inputs: {tracks2d: tracker2d.tracks2d}}
"""
FOLDERS = {"lidar": ("lidar_before", "results"), "camera": ("camera_before", "results2d")}
SHARED = Path("../shared/data/kitti_tracking")
MIN_FRAMES = 5


def main(root: Path, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Class -> figures; config: of fuse.tracks."""
    truth = read_truth(root)
    with tempfile.TemporaryDirectory() as folder:
        graph, out = Path(folder) / "fused.yaml", Path(folder) / "out"
        graph.write_text(GRAPH.read_text() + BEFORE)
        sets = {"lidar.config.root": str(root), "camera.config.root": str(root)}
        sets |= {f"fuse.config.{key}": value for key, value in (config or {}).items()}
        pipeline.run(graph, sets, out=out)
        rows = {name: read_results(out / name, truth) for names in FOLDERS.values() for name in names}
    scores = {name: kitti_tracking.score_rows(truth, tracks) for name, tracks in rows.items()}
    found: dict[str, Any] = {}
    for cls in kitti_tracking.CLASSES:
        counts = [agreement(truth.rows[s].of(cls), rows["results"][s].of(cls), rows["results2d"][s].of(cls)) for s in truth.rows]
        both, same, objects, one = np.sum(counts, axis=0).tolist()
        found[cls] = {"both": both, "same": same / max(both, 1), "objects": objects, "one id": one / max(objects, 1)}
        for stream, names in FOLDERS.items():
            for key in ("IDS", "HOTA"):
                found[cls][f"{stream} {key}"] = tuple(scores[name][cls][key] for name in names)
    return found


def agreement(truth: Rows, lidar: Rows, camera: Rows) -> tuple[int, int, int, int]:
    """For one class and sequence: truth boxes with both tracks, those with one id; objects with both, those with one id."""
    of_object: dict[int, list[bool]] = {}
    for frame in np.unique(truth.frames):
        boxes = truth.take(truth.frames == frame)
        ids = [found_ids(boxes, tracks.take(tracks.frames == frame)) for tracks in (lidar, camera)]
        for who, a, b in zip(boxes.ids.tolist(), *ids, strict=True):
            if a >= 0 and b >= 0:
                of_object.setdefault(who, []).append(a == b)
    long = [same for same in of_object.values() if len(same) >= MIN_FRAMES]
    pairs = [same for of_one in of_object.values() for same in of_one]
    return len(pairs), sum(pairs), len(long), sum(2 * sum(same) > len(same) for same in long)


def found_ids(truth: Rows, tracks: Rows) -> list[int]:
    """The id of the track on each truth box, -1 = none."""
    overlap = np.zeros((len(truth.ids), len(tracks.ids)))
    iou_2d(truth.boxes2d, tracks.boxes2d, overlap)
    column = np.empty(len(truth.ids), np.int64)
    best_pairs(np.where(overlap >= 0.5, overlap, 0.0), column)
    return [int(tracks.ids[c]) if c >= 0 else -1 for c in column]


def lines(found: Mapping[str, Any]) -> list[str]:
    out = []
    for cls, of in found.items():
        out += [f"{cls}: {of['both']} truth boxes under both, {100 * of['same']:.2f} % with one id"]
        out += [f"  {of['objects']} objects under both in {MIN_FRAMES} frames or more, {100 * of['one id']:.2f} % with one id"]
        for stream in FOLDERS:
            (ids, ids_after), (hota, hota_after) = of[f"{stream} IDS"], of[f"{stream} HOTA"]
            out += [f"  {stream}: IDS {ids} -> {ids_after}, HOTA {100 * hota:.2f} -> {100 * hota_after:.2f}"]
    return out


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    header("python -m studies.late_association " + str(where), str(where))
    print("\n".join(lines(main(where))))
