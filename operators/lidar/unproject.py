"""Labels of a range image back to the points, cleaned by their neighbours.      Source: Milioto et al. 2019 (RangeNet++), alg. 1

in   points         (N, 4) float32  x y z [m, velodyne frame], intensity [0..1]
     range_image    RANGE_IMAGE     of the same points
     class_map      CLASS_MAP       optional: a class per pixel of the range image
     panoptic       PANOPTIC        optional: segments of the range image; connect one of the two
out  point_classes  (N,) uint8      255 = none: no pixel, or a pixel without a class
     point_ids      (N,) int64      track id of the segment, -1 = none; of a class_map: -1 everywhere
     facts          class_names, things: those of the input
Several points share a pixel, but the net saw only the nearest. A point takes the majority of its `neighbours` nearest neighbours
in a window of the picture, nearest by range difference. As published, but for two things: the window goes on over the edge where
the turn closes, and pixels outside the picture have no say. neighbours: 0: every point takes the label of its pixel.
State: none.   Empty scan: N = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.kernels import range_image as kernel
from operators.streams import (
    CLASS_MAP,
    CLASS_NAMES,
    MAX_POINTS,
    PANOPTIC,
    POINT_CLASSES,
    POINT_IDS,
    POINTS,
    RANGE_IMAGE,
    THINGS,
    VOID,
    Panoptic,
    RangeImage,
)
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional


@dataclass(frozen=True, slots=True)
class UnprojectConfig:
    neighbours: int = 5  # that vote; 0: none
    window: int = 5  # pixels, odd
    sigma: float = 1.0  # pixels: a difference far from the middle of the window weighs more
    cutoff_m: float = 1.0  # largest weighted difference that votes
    silent: tuple[str, ...] = ("unlabeled",)  # classes that cast no vote, if there are such
    max_points: int = MAX_POINTS  # of a scan: sets the size of a slot

    def __post_init__(self) -> None:
        if self.window < 1 or self.window % 2 == 0 or self.window > 31:
            raise ValueError(f"window: needs an odd number, 1 .. 31, got {self.window}")
        if not 0 <= self.neighbours <= self.window**2:
            raise ValueError(f"neighbours: needs 0 .. {self.window**2}, the pixels of the window, got {self.neighbours}")
        for key in ("sigma", "cutoff_m"):
            if not 0 < getattr(self, key) < np.inf:
                raise ValueError(f"{key}: needs more than 0, got {getattr(self, key):g}")
        if not 1 <= self.max_points <= MAX_POINTS:
            raise ValueError(f"max_points: needs 1 .. {MAX_POINTS}, got {self.max_points}")


def weights(window: int, sigma: float) -> np.ndarray:
    """(window, window) float32: 1 - a Gaussian whose sum is 1. One pixel: 0."""
    at = np.arange(window) - window // 2
    gauss = np.exp(-(at[:, None] ** 2 + at**2) / (2 * sigma**2))
    return (1 - gauss / gauss.sum()).astype(np.float32)


def of_points(points: np.ndarray, made: RangeImage, labels: np.ndarray, config: UnprojectConfig) -> np.ndarray:
    """labels (H, W) int32 of the range image, below 0: none -> (N,) int32 of the points, -1: none"""
    out = np.empty(len(points), np.int32)
    if config.neighbours:
        ranges = np.ascontiguousarray(made.range_image[3])
        around = weights(config.window, config.sigma)
        kernel.vote(points, made.point_pixels, ranges, labels, around, config.neighbours, np.float32(config.cutoff_m), out)
    else:
        row, column = made.point_pixels.T
        out[:] = np.where(row < 0, -1, labels[row, column])
    return out


class Unproject(Operator):
    Config = UnprojectConfig
    inputs = {"points": POINTS, "range_image": RANGE_IMAGE, "class_map": optional(CLASS_MAP), "panoptic": optional(PANOPTIC)}
    outputs = {"point_classes": POINT_CLASSES, "point_ids": POINT_IDS}

    @classmethod
    def slot_bytes(cls, config: UnprojectConfig) -> dict[str, int]:
        return {"point_classes": config.max_points, "point_ids": 8 * config.max_points}

    def open(self) -> None:
        points, labels = np.zeros((0, 4), np.float32), np.zeros((1, 1), np.int32)
        pixels = np.zeros((0, 2), np.int32)
        for writeable in (True, False):  # compiles, for frames of both kinds
            points.flags.writeable = pixels.flags.writeable = writeable
            of_points(points, RangeImage(np.zeros((5, 1, 1), np.float32), pixels), labels, self.config)

    def process(
        self,
        points: np.ndarray,
        range_image: RangeImage,
        class_map: np.ndarray | None = None,
        panoptic: Panoptic | None = None,
    ) -> dict[str, np.ndarray]:
        if (class_map is None) == (panoptic is None):
            got = "neither" if class_map is None else "both"
            raise FrameError(f"{self.name}: needs one of its inputs class_map and panoptic, got {got}")
        port = "panoptic" if class_map is None else "class_map"
        facts = {key: self.meta[port][key] for key in (CLASS_NAMES, THINGS) if key in self.meta.get(port, {})}
        if panoptic is not None:
            labels = self._rows(panoptic)
            classes, ids = np.append(panoptic.labels, VOID), np.append(panoptic.track_ids, -1)
        else:
            assert class_map is not None
            labels = class_map.astype(np.int32)
            classes, ids = np.arange(VOID + 1), np.full(VOID + 1, -1)
        if labels.shape != range_image.range_image.shape[1:] or len(points) != len(range_image.point_pixels):
            raise FrameError(
                f"{self.name} at {self.header}: needs {port} and points of one range image, {range_image.range_image.shape[1:]} "
                f"with {len(range_image.point_pixels)} points, got {labels.shape} and {len(points)} points"
            )
        if self.config.window > labels.shape[1]:
            raise FrameError(f"{self.name}: needs a picture as wide as the window of {self.config.window}, got {labels.shape}")
        silent = [number for number, name in enumerate(facts.get(CLASS_NAMES, ())) if name in self.config.silent]
        votes = _silenced(labels, np.isin(classes, [*silent, VOID]))
        found = of_points(np.ascontiguousarray(points), range_image, votes, self.config)
        found = np.where(found < -1, -2 - found, np.where(found < 0, len(classes) - 1, found))
        for port in self.outputs:
            self.describe(port, **facts)
        return {
            "point_classes": self.put("point_classes", "point_classes", classes[found].astype(np.uint8)),
            "point_ids": self.put("point_ids", "point_ids", ids[found].astype(np.int64)),
        }

    def _rows(self, panoptic: Panoptic) -> np.ndarray:
        """(H, W) int32: row of each pixel's segment; void: the number of segments."""
        num = len(panoptic.segment_ids)
        most = max(int(panoptic.panoptic.max(initial=0)), int(panoptic.segment_ids.max(initial=0)))
        table = np.full(most + 1, -1, np.int32)
        table[0], table[panoptic.segment_ids] = num, np.arange(num)
        rows = table[panoptic.panoptic]
        if rows.min(initial=0) < 0:
            unknown = int(panoptic.panoptic[rows < 0][0])
            raise FrameError(f"{self.name} at {self.header}: needs pixels of the {num} segments, got the id {unknown}")
        return rows


def _silenced(labels: np.ndarray, silent: np.ndarray) -> np.ndarray:
    """Labels of silent (L,) bool become -2 - label: they cast no vote, and come back where nobody votes."""
    return np.where(silent[labels], -2 - labels, labels).astype(np.int32)
