"""The contracts of the shipped streams: one schema per kind of data, in the words of docs/frames.md.

Drivers and operators use these names for ports, arrays and variables alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pipeline.errors import FrameError
from pipeline.schema import Array, Schema

CLASSES = ("Car", "Pedestrian", "Cyclist", "Van", "Truck", "Person_sitting", "Tram", "Misc")
"""`labels` index into this table; -1 is an unlabelled region (KITTI's DontCare)."""
DONT_CARE = -1
VOID = 255
"""Class of a pixel that has none."""
CLASS_NAMES = "class_names"
"""Fact of a frame whose labels or class map index other names than CLASSES: those names."""

MAX_POINTS = 200_000
MAX_BOXES = 4_096
MAX_HISTORY = 131_072
MAX_EMBEDDING = 512
MAX_PICTURE = {"H": 2048, "W": 2048}
MAX_MODALITIES = 4
MAX_CLASSES = 128
MAX_INSTANCES = 512
MAX_MASK = 28
MAX_BEAMS, MAX_COLUMNS = 128, 4_096
NO_RING = 255
"""Ring of a point whose beam is not known."""

THINGS = "things"
"""Fact of a frame with classes: names of those that can be counted, such as Car; the others are stuff, such as road."""
STRIDE, IMAGE_SIZE = "stride", "image_size"
"""Facts of a SEMANTIC frame that is smaller than its picture: pixels per cell along a side (the centre of a cell is that of its
pixels); width, height of the picture [px]. Without them: 1, and stride * cells."""
MODALITIES = "modalities"
"""Fact of a HEALTH or WEIGHTS frame: names of the modalities, row by row; those of the input ports, such as image, thermal."""
REASONS = "reasons"
"""Fact of a HEALTH frame: one line per modality that is not healthy, such as `thermal: frozen for 5 frames`."""
SENSOR_FAULTS = ("blank", "frozen", "saturated", "glare", "noise", "blur", "shifted", "too_old", "missing")
"""Columns of HEALTH."""


def names_of(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that the labels of a frame index; facts: its `meta`."""
    return tuple(facts.get(CLASS_NAMES, CLASSES))


def things_of(facts: Mapping[str, Any]) -> frozenset[str]:
    """Those of the names that can be counted; all of CLASSES where a frame names neither classes nor things."""
    return frozenset(facts.get(THINGS, () if CLASS_NAMES in facts else CLASSES))


def one_picture(image: np.ndarray | None, grey: np.ndarray | None, node: str) -> np.ndarray:
    """The picture of a node that takes IMAGE or GREY. Raises FrameError where it gets both or neither."""
    if image is not None and grey is None:
        return image
    if grey is None or image is not None:
        raise FrameError(f"{node}: needs one of its inputs image and grey, got {'both' if grey is not None else 'neither'}")
    return grey


class Boxes3D(NamedTuple):
    boxes3d: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


class Tracks(NamedTuple):
    boxes3d: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    track_ids: np.ndarray


class Boxes2D(NamedTuple):
    boxes2d: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


class Tracks2D(NamedTuple):
    boxes2d: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    track_ids: np.ndarray


class History(NamedTuple):
    frames: np.ndarray
    boxes3d: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    track_ids: np.ndarray
    boxes2d: np.ndarray


class Truth(NamedTuple):
    boxes3d: np.ndarray
    boxes2d: np.ndarray
    labels: np.ndarray
    track_ids: np.ndarray
    occluded: np.ndarray
    truncated: np.ndarray


class Calibration(NamedTuple):
    P_cam: np.ndarray
    T_cam_velo: np.ndarray
    image_size: np.ndarray


class Lens(NamedTuple):
    K_cam: np.ndarray
    distortion: np.ndarray
    fisheye: np.ndarray
    image_size: np.ndarray
    R_rect: np.ndarray
    K_rect: np.ndarray
    rect_size: np.ndarray


class Imu(NamedTuple):
    T_velo_imu: np.ndarray
    T_enu_world: np.ndarray


class Health(NamedTuple):
    health: np.ndarray
    usable: np.ndarray


class Instances(NamedTuple):
    boxes2d: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    mask_logits: np.ndarray


class Panoptic(NamedTuple):
    panoptic: np.ndarray
    segment_ids: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    track_ids: np.ndarray


class RangeImage(NamedTuple):
    range_image: np.ndarray
    point_pixels: np.ndarray


class PointColors(NamedTuple):
    point_colors: np.ndarray
    painted: np.ndarray


class Pillars(NamedTuple):
    """Padded or packed; with K = 1 both are the same."""

    pillars: np.ndarray
    cells: np.ndarray
    counts: np.ndarray


_BOXES3D = Array("float32", ("M", 7), "m", "x y z l w h yaw; geometric centre; yaw about +z from +x [rad]")
_BOXES2D = Array("float32", ("M", 4), "px", "x1 y1 x2 y2, cut to the picture; NaN where unknown")
_SCORES = Array("float32", ("M",), "", "confidence; the schema's kind says of which sort")
_LABELS = Array("int32", ("M",), "", "index into CLASSES, or into the fact class_names")
_IDS = Array("int64", ("M",), "", "unique per run over all classes")

POINTS = Schema(
    "POINTS",
    {"points": Array("float32", ("N", 4), "m", "x y z, intensity 0..1")},
    frame="velodyne",
    limits={"N": MAX_POINTS},
)
BOXES3D = Schema(
    "BOXES3D",
    {"boxes3d": _BOXES3D, "scores": _SCORES, "labels": _LABELS},
    frame="velodyne",
    limits={"M": MAX_BOXES},
    value=Boxes3D,
)
BOXES3D_LOGIT = Schema("BOXES3D", BOXES3D.arrays, frame="velodyne", kind="logit", limits=BOXES3D.limits, value=Boxes3D)
BOXES3D_PROBABILITY = Schema(
    "BOXES3D", BOXES3D.arrays, frame="velodyne", kind="probability", limits=BOXES3D.limits, value=Boxes3D
)
TRACKS = Schema(
    "TRACKS",
    {"boxes3d": _BOXES3D, "scores": _SCORES, "labels": _LABELS, "track_ids": _IDS},
    frame="velodyne",
    limits={"M": MAX_BOXES},
    value=Tracks,
)
BOXES2D = Schema(
    "BOXES2D",
    {"boxes2d": _BOXES2D, "scores": _SCORES, "labels": _LABELS},
    frame="image",
    limits={"M": MAX_BOXES},
    value=Boxes2D,
)
BOXES2D_LOGIT = Schema("BOXES2D", BOXES2D.arrays, frame="image", kind="logit", limits=BOXES2D.limits, value=Boxes2D)
BOXES2D_PROBABILITY = Schema("BOXES2D", BOXES2D.arrays, frame="image", kind="probability", limits=BOXES2D.limits, value=Boxes2D)
TRACKS2D = Schema(
    "TRACKS2D",
    {"boxes2d": _BOXES2D, "scores": _SCORES, "labels": _LABELS, "track_ids": _IDS},
    frame="image",
    limits={"M": MAX_BOXES},
    value=Tracks2D,
)
EMBEDDINGS = Schema(
    "EMBEDDINGS",
    {"embeddings": Array("float32", ("M", "E"), "", "how each box of the same frame looks, row by row; of zeros: unknown")},
    limits={"M": MAX_BOXES, "E": MAX_EMBEDDING},
)
HISTORY = Schema(
    "HISTORY",
    {
        "frames": Array("int64", ("M",), "", "number of the frame in its recording, as its item says; rising"),
        "boxes3d": _BOXES3D,
        "scores": _SCORES,
        "labels": _LABELS,
        "track_ids": _IDS,
        "boxes2d": _BOXES2D,
    },
    frame="velodyne",
    limits={"M": MAX_HISTORY},
    value=History,
)
TRUTH = Schema(
    "TRUTH",
    {
        "boxes3d": Array("float32", ("M", 7), "m", "as BOXES3D; NaN for DontCare"),
        "boxes2d": Array("float32", ("M", 4), "px", "x1 y1 x2 y2"),
        "labels": _LABELS,
        "track_ids": Array("int64", ("M",), "", "the data set's own ids, -1 = none"),
        "occluded": Array("int32", ("M",), "", "0 visible .. 3 unknown"),
        "truncated": Array("float32", ("M",), "", "0..1"),
    },
    frame="velodyne",
    limits={"M": MAX_BOXES},
    value=Truth,
)
IMAGE = Schema(
    "IMAGE",
    {"image": Array("uint8", ("H", "W", 3), "", "RGB")},
    frame="image",
    limits=MAX_PICTURE,
)
GREY = Schema(
    "GREY",
    {"image": Array("uint8", ("H", "W"), "", "luminance, or a thermal picture after gain control")},
    frame="image",
    limits=MAX_PICTURE,
)
THERMAL_RAW = Schema(
    "THERMAL_RAW",
    {"thermal_raw": Array("uint16", ("H", "W"), "counts", "of the thermal sensor, before gain control; warmer is larger")},
    frame="image",
    limits=MAX_PICTURE,
)
THERMAL_K = Schema(
    "THERMAL_K",
    {"thermal_k": Array("float32", ("H", "W"), "K", "temperature; NaN where a count has none")},
    frame="image",
    limits=MAX_PICTURE,
)
CLASS_MAP = Schema(
    "CLASS_MAP",
    {"class_map": Array("uint8", ("H", "W"), "class", "index into the fact class_names; 255 = none")},
    frame="image",
    limits=IMAGE.limits,
)
SEMANTIC = Schema(
    "SEMANTIC",
    {"semantic_logits": Array("float32", ("C", "H", "W"), "", "one plane per class of the fact class_names, before softmax")},
    frame="image",
    limits={"C": MAX_CLASSES, **MAX_PICTURE},
)
INSTANCES = Schema(
    "INSTANCES",
    {
        "boxes2d": Array("float32", ("M", 4), "px", "x1 y1 x2 y2; may reach beyond the picture"),
        "scores": _SCORES,
        "labels": _LABELS,
        "mask_logits": Array("float32", ("M", "S", "S"), "", "of the instance's class, stretched over its box; > 0 is inside"),
    },
    frame="image",
    kind="probability",
    limits={"M": MAX_INSTANCES, "S": MAX_MASK},
    value=Instances,
)
INSTANCE_IDS = Schema(
    "INSTANCE_IDS",
    {"instance_ids": Array("int64", ("M",), "", "track id of each row of the frame's INSTANCES, unique per run; -1 = none")},
    limits={"M": MAX_INSTANCES},
)
PANOPTIC = Schema(
    "PANOPTIC",
    {
        "panoptic": Array("int32", ("H", "W"), "", "segment id of each pixel; 0 = void"),
        "segment_ids": Array("int32", ("S",), "", "each id of the map once, 1 or more"),
        "labels": Array("int32", ("S",), "", "class of each segment: index into CLASSES, or into the fact class_names"),
        "scores": Array("float32", ("S",), "", "confidence of a thing, 0..1; 1 for stuff and truth, 0 for a crowd of truth"),
        "track_ids": Array("int64", ("S",), "", "unique per run over all classes; -1 = stuff, or not tracked"),
    },
    frame="image",
    limits={"S": MAX_INSTANCES + MAX_CLASSES, **MAX_PICTURE},
    value=Panoptic,
)
RANGE_IMAGE = Schema(
    "RANGE_IMAGE",
    {
        "range_image": Array("float32", (5, "H", "W"), "m", "x y z range, intensity 0..1; all 0 where no point falls"),
        "point_pixels": Array("int32", ("N", 2), "", "row, column of each point of the scan; -1 -1 outside"),
    },
    frame="velodyne",
    limits={"H": MAX_BEAMS, "W": MAX_COLUMNS, "N": MAX_POINTS},
    value=RangeImage,
)
POINT_RINGS = Schema(
    "POINT_RINGS",
    {"point_rings": Array("uint8", ("N",), "", "beam of each point of the same scan, 0 = the highest; 255 = unknown")},
    limits={"N": MAX_POINTS},
)
POINT_TIMES = Schema(
    "POINT_TIMES",
    {"point_times": Array("float32", ("N",), "s", "capture time of each point of the same scan, from the frame's stamp_ns on")},
    limits={"N": MAX_POINTS},
)
POINT_CLASSES = Schema(
    "POINT_CLASSES",
    {"point_classes": Array("uint8", ("N",), "class", "of each point of the same scan, index into class_names; 255 = none")},
    limits={"N": MAX_POINTS},
)
POINT_COLORS = Schema(
    "POINT_COLORS",
    {
        "point_colors": Array(
            "uint8", ("N", 3), "", "RGB of the pixel that shows each point of the same scan; 0 where none does"
        ),
        "painted": Array("bool", ("N",), "", "has the point a pixel in a picture?"),
    },
    limits={"N": MAX_POINTS},
    value=PointColors,
)
POINT_SCORES = Schema(
    "POINT_SCORES",
    {"point_scores": Array("float32", ("N", "C"), "", "probability of each class of class_names, row by row; all 0: no pixel")},
    kind="probability",
    limits={"N": MAX_POINTS, "C": MAX_CLASSES},
)
DEPTH = Schema(
    "DEPTH",
    {"depth_m": Array("float32", ("H", "W"), "m", "along the optical axis; inf where nothing is hit")},
    frame="image",
    limits=IMAGE.limits,
)
POINT_IDS = Schema(
    "POINT_IDS",
    {"point_ids": Array("int64", ("N",), "", "track id of what each point of the same scan lies on; -1 = no object")},
    limits={"N": MAX_POINTS},
)
PIXEL_IDS = Schema(
    "PIXEL_IDS",
    {"pixel_ids": Array("int64", ("H", "W"), "", "track id of what each pixel shows; -1 = no object")},
    frame="image",
    limits=IMAGE.limits,
)
HEALTH = Schema(
    "HEALTH",
    {
        "health": Array("float32", ("S", len(SENSOR_FAULTS)), "", "how surely each modality has each of SENSOR_FAULTS, 0..1"),
        "usable": Array("bool", ("S",), "", "false: a fusion works without this modality"),
    },
    limits={"S": MAX_MODALITIES},
    value=Health,
)
WEIGHTS = Schema(
    "WEIGHTS",
    {
        "weights": Array(
            "float32", ("S",), "", "share of each modality in the result: sum 1, exactly 0 where not used; all 0 without any"
        )
    },
    limits={"S": MAX_MODALITIES},
)
GATE = Schema(
    "GATE",
    {"gate": Array("float32", ("H", "W"), "", "weight of image against the second modality, 0..1; of the picture or coarser")},
    frame="image",
    limits=MAX_PICTURE,
)
HOMOGRAPHY = Schema(
    "HOMOGRAPHY",
    {"homography": Array("float64", (3, 3), "px", "thermal [u v 1] ~ homography @ image [u v 1]; pixel centres are whole")},
)
POSE = Schema(
    "POSE",
    {
        "T_world_velo": Array(
            "float64", (4, 4), "m", "p_world = T_world_velo @ p_velo; world = velodyne at the first frame of a sequence"
        )
    },
    frame="world",
)
CALIBRATION = Schema(
    "CALIBRATION",
    {
        "P_cam": Array("float64", (3, 4), "px", "rectified camera -> pixels, of the camera named in the driver's config"),
        "T_cam_velo": Array("float64", (4, 4), "m", "p_cam = T_cam_velo @ p_velo, rectified camera 0"),
        "image_size": Array("int32", (2,), "px", "width, height"),
    },
    value=Calibration,
)
LENS = Schema(
    "LENS",
    {
        "K_cam": Array("float64", (3, 3), "px", "intrinsics of the picture as the camera gives it"),
        "distortion": Array(
            "float64", (8,), "", "k1 k2 p1 p2 k3 k4 k5 k6 in OpenCV's order, of a fisheye k1 k2 k3 k4 0 ..; 0: none"
        ),
        "fisheye": Array("bool", (1,), "", "true: equidistant model, false: radial and tangential (plumb bob)"),
        "image_size": Array("int32", (2,), "px", "width, height of the picture as the camera gives it"),
        "R_rect": Array("float64", (3, 3), "", "camera -> rectified camera"),
        "K_rect": Array(
            "float64", (3, 3), "px", "intrinsics of the rectified picture; P_cam of CALIBRATION is K_rect with a column of 0"
        ),
        "rect_size": Array("int32", (2,), "px", "width, height of the rectified picture, as in CALIBRATION"),
    },
    value=Lens,
)
IMU = Schema(
    "IMU",
    {
        "T_velo_imu": Array("float64", (4, 4), "m", "p_velo = T_velo_imu @ p_imu: how the IMU is mounted"),
        "T_enu_world": Array(
            "float64",
            (4, 4),
            "m",
            "p_enu = T_enu_world @ p_world of POSE; east, north, up from the IMU at the first frame",
        ),
    },
    value=Imu,
)
PILLARS = Schema(
    "PILLARS",
    {
        "pillars": Array(
            "float32",
            ("R", "K", 4),
            "m",
            "points of each pillar, zero-padded: R = P; packed, pillar after pillar: R = sum of counts, K = 1",
        ),
        "cells": Array("int32", ("P", 2), "", "row (y), column (x) of each pillar"),
        "counts": Array("int32", ("P",), "", "points kept of each pillar, 1 or more"),
    },
    frame="velodyne",
    value=Pillars,
)
