"""Truth of points as truth of a range image, for nets that learn on it.

A pixel shows its nearest point, so it has that point's class and object; hidden points are not learnt from.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from operators.lidar.range_image import Projection
from operators.streams import VOID, Panoptic


def pixel_truth(owners: np.ndarray, point_classes: np.ndarray, point_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-> class_map (H, W) uint8, VOID where no point is; pixel_ids (H, W) int64, -1: no object

    owners (H, W) int32: the point in each pixel, -1: none (`Projection.owners`); point_classes (N,) uint8, point_ids (N,) int64
    """
    classes, ids = np.append(point_classes, np.uint8(VOID)), np.append(point_ids, np.int64(-1))
    return classes[owners], ids[owners]  # -1 is the last entry


def panoptic_truth(class_map: np.ndarray, pixel_ids: np.ndarray, things: Collection[int]) -> Panoptic:
    """Of a picture: each object of a class of things is a segment with its id as track id, each class of stuff is one.

    class_map (H, W) uint8, VOID: none; pixel_ids (H, W) int64, -1: no object; things: numbers of their classes
    Pixels of things without an id are void: nobody knows which object they show. Segments come in rising order of class and id.
    """
    is_thing = np.isin(class_map, list(things))
    void = (class_map == VOID) | (is_thing & (pixel_ids < 0))
    ids = np.where(is_thing, pixel_ids, -1)
    pairs = np.stack([class_map[~void].astype(np.int64), ids[~void]])
    segments, row = np.unique(pairs, axis=1, return_inverse=True)
    panoptic = np.zeros(class_map.shape, np.int32)
    panoptic[~void] = row.reshape(-1) + 1
    num = segments.shape[1]
    numbers = np.arange(1, num + 1, dtype=np.int32)
    return Panoptic(panoptic, numbers, segments[0].astype(np.int32), np.ones(num, np.float32), segments[1].astype(np.int64))


def learnt_picture(
    project: Projection,
    points: np.ndarray,
    point_classes: np.ndarray,
    point_ids: np.ndarray,
    things: Collection[int],
    rings: np.ndarray | None = None,
) -> tuple[np.ndarray, Panoptic]:
    """A labelled scan as what a net learns from: the range image (5, H, W) float32, x y z range intensity; its truth. rings (N,):
    the beam of each point, if known."""
    config = project.config
    image = np.empty((5, config.beams, config.columns), np.float32)
    project(points, rings, image, np.empty((len(points), 2), np.int32))
    return image, panoptic_truth(*pixel_truth(project.owners, point_classes, point_ids), things)
