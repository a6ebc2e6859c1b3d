"""Detector and tracker of `kitti_lidar` in one process, for studies that look at single results or try many settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from drivers.synthetic.spinning import LidarConfig
from drivers.synthetic.world import CameraConfig, SyntheticWorld, WorldConfig
from operators.detect.pointpillars import DetectorConfig, torch_net
from operators.geometry.project import boxes_to_image
from operators.nets import weights
from operators.nets.pointpillars_config import POINTPILLARS
from operators.score.centres import pair
from operators.score.kitti_centres import GROUPS, LOW_PX, MATCH_M, NEAR_M, NEIGHBOURS, inside
from operators.streams import CLASSES, Boxes3D, Calibration, Truth
from operators.track.best import Best, BestConfig
from operators.track.frame import Seen, Shown
from operators.train.pointpillars.batches import Pillarizer
from pipeline.operator import Source, prepare
from studies.world_vs_real import cut

BEAM_MRAD = 2.0
"""Of the HDL-64E, from its manual."""


class Frame(NamedTuple):
    """points: in the picture; found: all detections of the net; T_world_velo: None if unknown; begins: a recording."""

    item: str
    points: np.ndarray
    truth: Truth
    found: Boxes3D
    T_world_velo: np.ndarray | None
    calibration: Calibration
    begins: bool


class Verdict(NamedTuple):
    """Of one group of classes in one frame: rows of the truth that counts and whether each is found; rows of the results that
    count and whether each is right."""

    truth: np.ndarray
    found: np.ndarray
    results: np.ndarray
    right: np.ndarray


def detected(source: Source, name: str, threads: int, single: bool = False) -> Iterator[Frame]:
    """Every labelled frame of an open source with the detections of a net in the picture. name: of shipped weights, or a file.

    single: each frame is a recording of its own. Raises InputError where a frame has no calibration.
    """
    config = DetectorConfig(weights=name)
    loaded = weights.load(name, POINTPILLARS)
    net, pillarize = torch_net(config, loaded, threads, "studies"), Pillarizer(loaded.config)
    sequence = None
    for reading, points, calibration in cut(source):
        pillars, counts, cells = pillarize(points)
        found = Boxes3D(**net.run({"pillars": pillars.copy(), "counts": counts.copy(), "cells": cells.copy()}))
        before, sequence = sequence, reading.item.rpartition("/")[0]
        begins = single or sequence != before
        yield Frame(reading.item, points, reading.values["truth"], found, reading.values.get("pose"), calibration, begins)


def tracked(frames: Sequence[Frame], config: BestConfig) -> Iterator[Shown]:
    """The tracks of each frame, in the picture."""
    tracker = Best(config, "probability", 1)
    for number, frame in enumerate(frames):
        if frame.begins:
            tracker.restart()
        boxes2d = np.full((len(frame.found.labels), 4), np.nan, np.float32)
        shown = tracker.step(Seen(*frame.found, boxes2d, number, 1, frame.T_world_velo, None, None))
        boxes2d, visible = boxes_to_image(shown.boxes3d.astype(np.float64), *frame.calibration)
        yield Shown(*(array[visible] for array in (*shown[:4], boxes2d)))


def verdict(frame: Frame, shown: Shown, group: str, near_m: float = NEAR_M, max_occluded: int = 3) -> Verdict:
    """As `pipe eval kitti-centres` scores a group; truth above `max_occluded` is forgiven."""
    truth = frame.truth
    labels = [CLASSES.index(name) for name in GROUPS[group]]
    mine = [*labels, *(CLASSES.index(name) for name in NEIGHBOURS.get(group, ()) if name in CLASSES)]
    t, d = np.flatnonzero(np.isin(truth.labels, mine)), np.flatnonzero(np.isin(shown.labels, labels))
    xy_t, xy_d = truth.boxes3d[t, :2].astype(np.float64), shown.boxes3d[d, :2].astype(np.float64)
    regions = truth.boxes2d[truth.labels < 0]
    forgiven_t = _far_or_low(xy_t, truth.boxes2d[t], near_m) | ~np.isin(truth.labels[t], labels)
    forgiven_t |= truth.occluded[t] > max_occluded
    forgiven_d = _far_or_low(xy_d, shown.boxes2d[d], near_m) | inside(shown.boxes2d[d], regions)
    pairs = pair(xy_t, xy_d, MATCH_M)
    found, right = np.zeros(len(t), bool), np.zeros(len(d), bool)
    found[pairs[:, 0]], right[pairs[:, 1]] = True, True
    counts = ~forgiven_d | right
    counts[pairs[:, 1]] &= ~forgiven_t[pairs[:, 0]]
    return Verdict(t[~forgiven_t], found[~forgiven_t], d[counts], right[counts])


def _far_or_low(xy: np.ndarray, boxes2d: np.ndarray, near_m: float) -> np.ndarray:
    return (np.linalg.norm(xy, axis=1) > near_m) | (boxes2d[:, 3] - boxes2d[:, 1] <= LOW_PX)


def generated(seed: int, drives: int, frames: int, threads: int) -> SyntheticWorld:
    """Drives with bodies and scenery that no training has, seen as KITTI's scans are: an open source."""
    lidar, kitti = LidarConfig(view_deg=90, crop="camera", beam_mrad=BEAM_MRAD), CameraConfig(1242, 375)
    config = WorldConfig(seed, drives, frames=frames, start_s=5.0, shapes="test", lidar=lidar, camera=kitti)
    world = prepare(SyntheticWorld(), "world", config, threads=threads, wanted=("points", "truth", "pose"))
    world.open()
    return world
