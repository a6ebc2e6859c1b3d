"""Logits of classes and masks of instances -> one label per pixel.  Source: EfficientPS, PanopticTrackNet; Kirillov et al. 2019

in   semantic      SEMANTIC      (C, h, w), of the picture's size or smaller by the factor `stride`; facts class_names, things
     instances     INSTANCES     boxes with masks, from any operator; fact class_names: theirs
     instance_ids  INSTANCE_IDS  optional: the track of each instance
out  panoptic      PANOPTIC      (H, W) segment ids 1..S: things by falling score, then stuff by class; 0 = void
method efficientps: instances below score_threshold leave; masks are stretched over their boxes; by falling score (equal ones in
the order of input), one that lies on those before by more than max_overlap of its own mask leaves, as does an empty mask. In its
box, the logits A of an instance and B of its class make (sigmoid(A) + sigmoid(B)) (A + B); of these and the stuff logits the
largest gives each pixel. Pixels of no instance are what the class logits say if that is stuff with min_stuff_px or more of them;
else void. An instance has no pixel outside its box, whatever the logits there.
method panoptictracknet: the same, but of the masks (logit > 0) on a pixel only the best competes, and scores and areas of stuff
must be larger than score_threshold and min_stuff_px.
method heuristic: as efficientps, but instances take the pixels of their masks by falling score, without the class logits.
State: counters only. No instance: stuff alone. Instances of a class that `semantic` does not have as a thing are left out and
counted; a label that class_names does not have is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from operators.fuse.panoptic_fusion import Fusion, Objects, Rules
from operators.streams import (
    CLASS_NAMES,
    IMAGE_SIZE,
    INSTANCE_IDS,
    INSTANCES,
    MAX_PICTURE,
    PANOPTIC,
    SEMANTIC,
    STRIDE,
    THINGS,
    Instances,
    Panoptic,
    names_of,
)
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional

_DROPPED = (
    "with a score below score_threshold",
    "outside of the picture",
    "with an empty mask or on better ones",
    "without a pixel in the end",
    "of classes that semantic does not have as things",
)


@dataclass(frozen=True, slots=True)
class PanopticConfig:
    method: Literal["efficientps", "panoptictracknet", "heuristic"] = "efficientps"
    score_threshold: float = 0.5  # least score of an instance
    max_overlap: float = 0.5  # share of a mask that may lie on those of higher scores
    min_stuff_px: int = 2048  # least area of a stuff class in the picture
    mask_scale: float = 4.0  # mask logits are multiplied by it before they meet the class logits
    stride: int | None = None  # pixels per cell of semantic, along a side; None: its fact stride, else 1
    things: tuple[str, ...] | None = None  # names of the classes that instances have; None: the fact things
    names: dict[str, str] = field(default_factory=dict)  # class of instances -> class of semantic, where the names differ

    def __post_init__(self) -> None:
        for key in ("score_threshold", "max_overlap"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"{key}: needs 0..1, got {getattr(self, key)}")
        if self.min_stuff_px < 0:
            raise ValueError(f"min_stuff_px: needs 0 or more, got {self.min_stuff_px}")
        if not (math.isfinite(self.mask_scale) and self.mask_scale > 0):
            raise ValueError(f"mask_scale: needs more than 0, got {self.mask_scale}")
        if self.stride is not None and not 1 <= self.stride <= 64:
            raise ValueError(f"stride: needs 1..64, got {self.stride}")

    @property
    def rules(self) -> Rules:
        larger = self.method == "panoptictracknet"
        above = np.nextafter(np.float32(self.score_threshold), np.float32(2))
        return Rules(
            self.method == "heuristic",
            larger,
            float(above) if larger else self.score_threshold,
            self.max_overlap,
            self.min_stuff_px + larger,
            self.mask_scale,
        )


class FusePanoptic(Operator):
    Config, outputs = PanopticConfig, {"panoptic": PANOPTIC}
    tunable = ("score_threshold", "max_overlap", "min_stuff_px", "mask_scale")
    inputs = {"semantic": SEMANTIC, "instances": INSTANCES, "instance_ids": optional(INSTANCE_IDS)}

    def open(self) -> None:
        self.fusion = Fusion(self.config.rules, self.threads)
        self.dropped = np.zeros(len(_DROPPED), np.int64)
        self._compile()

    def reconfigured(self, old: PanopticConfig, new: PanopticConfig) -> None:
        self.fusion.rules = new.rules

    def process(self, semantic: np.ndarray, instances: Instances, instance_ids: np.ndarray | None = None) -> Panoptic:
        names, is_thing = self._classes(len(semantic))
        planes = self._planes(instances, names, is_thing)
        if instance_ids is not None and len(instance_ids) != len(planes):
            raise FrameError(f"{self.name}.instance_ids: needs {len(planes)} rows as instances, got {len(instance_ids)}")
        if instance_ids is not None:
            ids, counts = np.unique(instance_ids[instance_ids >= 0], return_counts=True)
            if (counts > 1).any():
                raise FrameError(f"{self.name}.instance_ids: needs every id once in a frame, got {ids[counts > 1][0]} again")
        known = np.flatnonzero(planes >= 0)
        stride, (height, width) = self._size(semantic)
        panoptic = self.alloc("panoptic", "panoptic", (height, width), np.int32)
        objects = Objects(instances.boxes2d[known], instances.scores[known], planes[known], instances.mask_logits[known])
        found = self.fusion.fuse(semantic, stride, is_thing, objects, panoptic)
        self.dropped += [*found.dropped, len(planes) - len(known)]
        num, things = len(found.rows), known[found.rows[found.rows >= 0]]
        scores, track_ids = np.ones(num, np.float32), np.full(num, -1, np.int64)
        scores[: len(things)] = instances.scores[things]
        if instance_ids is not None:
            track_ids[: len(things)] = instance_ids[things]
        self.describe("panoptic", **{CLASS_NAMES: list(names), THINGS: [n for n, t in zip(names, is_thing, strict=True) if t]})
        return Panoptic(panoptic, np.arange(1, num + 1, dtype=np.int32), found.planes.astype(np.int32), scores, track_ids)

    def close(self) -> None:
        self.fusion.close()
        if self.dropped.any():
            parts = [f"{n} {what}" for n, what in zip(self.dropped, _DROPPED, strict=True) if n]
            self.log.info("instances left out: %s", ", ".join(parts))

    def _classes(self, num: int) -> tuple[tuple[str, ...], np.ndarray]:
        """Names of the planes, and (C,) bool: which are things."""
        facts = self.meta.get("semantic", {})
        names = names_of(facts)
        if len(names) != num:
            raise FrameError(f"{self.name}.semantic: needs the fact {CLASS_NAMES} with {num} names, got {len(names)}")
        things = self.config.things if self.config.things is not None else facts.get(THINGS)
        if things is None:
            raise FrameError(f"{self.name}.semantic: needs the fact {THINGS}, got none; name them with config.things?")
        if unknown := [name for name in things if name not in names]:
            raise FrameError(f"{self.name}: things: needs names of {', '.join(names)}, got {unknown[0]}")
        return names, np.array([name in things for name in names], bool)

    def _planes(self, instances: Instances, names: tuple[str, ...], is_thing: np.ndarray) -> np.ndarray:
        """(M,) int64: the plane of each instance's class, -1 = none."""
        own = names_of(self.meta.get("instances", {}))
        labels = instances.labels
        if len(labels) and not instances.mask_logits.size:
            raise FrameError(f"{self.name}.instances: needs masks of 1 x 1 cells or more, got {instances.mask_logits.shape[1:]}")
        if len(labels) and not (0 <= labels.min() and labels.max() < len(own)):
            wrong = labels[(labels < 0) | (labels >= len(own))][0]
            raise FrameError(f"{self.name}.instances: needs labels of the {len(own)} {CLASS_NAMES}, got {wrong}")
        shared = [self.config.names.get(name, name) for name in own]
        plane_of = {name: plane for plane, name in enumerate(names) if is_thing[plane]}
        return np.array([plane_of.get(name, -1) for name in shared], np.int64)[labels]

    def _size(self, semantic: np.ndarray) -> tuple[int, tuple[int, int]]:
        """Stride; height and width of the picture."""
        facts = self.meta.get("semantic", {})
        stride = self.config.stride or facts.get(STRIDE, 1)
        rows, columns = semantic.shape[1:]
        width, height = facts.get(IMAGE_SIZE, (columns * stride, rows * stride))
        if -(-height // stride) != rows or -(-width // stride) != columns:
            raise FrameError(
                f"{self.name}.semantic: needs {-(-width // stride)} x {-(-height // stride)} cells for a picture of "
                f"{width} x {height} pixels at stride {stride}, got {columns} x {rows}"
            )
        if height > MAX_PICTURE["H"] or width > MAX_PICTURE["W"]:
            limits = f"{MAX_PICTURE['W']} x {MAX_PICTURE['H']}"
            raise FrameError(f"{self.name}: needs a picture of at most {limits} pixels, got {width} x {height}")
        return stride, (height, width)

    def _compile(self) -> None:
        """Compile before the first frame."""
        one = Objects(
            np.array([[0, 0, 3, 3]], np.float32), np.ones(1, np.float32), np.ones(1, np.int64), np.ones((1, 2, 2), np.float32)
        )
        for stride in (1, 2):
            out = np.empty((4 * stride, 4 * stride), np.int32)
            self.fusion.fuse(np.zeros((2, 4, 4), np.float32), stride, np.array([False, True]), one, out)
