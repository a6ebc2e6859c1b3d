"""Pictures in, boxes out: a detection net of your own, in an ONNX file.        docs/own_net.md: every key, with examples

in   image    IMAGE                optional: any size
     grey     GREY                 optional: a thermal or grey picture, as three equal channels; connect one of the two
out  boxes2d  BOXES2D_PROBABILITY  best first, at most max_boxes [px of the picture]; labels: see `classes`
State: none.   No object found: M = 0.
`names` are the classes of the net. `classes` picks from them and maps them to ours (streams.CLASSES) or to own names; without it
all are kept. Labels of own names index the fact `class_names` of the frame.
`pipe check` compares config and file without loading a runtime; shapes that the file leaves free are compared in `open()`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from operators.detect.decoders2d import anchor_free, anchors, centres, detr, distribution, end_to_end, grid
from operators.detect.decoders2d.found import Decoder, Found, Threshold
from operators.detect.decoders2d.rows import Shapes
from operators.kernels.nms import nms_2d
from operators.nets.own_net import Names, OwnNet, OwnNetConfig, class_names, inspect
from operators.streams import BOXES2D_PROBABILITY, CLASS_NAMES, CLASSES, GREY, IMAGE, MAX_BOXES, Boxes2D, one_picture
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional
from pipeline.settings import suggest

Kind = Literal["grid", "anchors", "anchor_free", "distribution", "detr", "end_to_end", "centres"]


@dataclass(frozen=True, slots=True)
class Onnx2dConfig(OwnNetConfig):
    names: Names | None = None  # of the net's classes: a list, a file, or their number; None: those in the model file
    classes: dict[str, str] | tuple[str, ...] | None = None  # {car: Car, person: Pedestrian}, or a list to keep; None: all
    decoder: Kind = "anchor_free"  # the family of the net; its settings are under the key of that name
    grid: grid.GridConfig = field(default_factory=grid.GridConfig)
    anchors: anchors.AnchorsConfig = field(default_factory=anchors.AnchorsConfig)
    anchor_free: anchor_free.AnchorFreeConfig = field(default_factory=anchor_free.AnchorFreeConfig)
    distribution: distribution.DistributionConfig = field(default_factory=distribution.DistributionConfig)
    detr: detr.DetrConfig = field(default_factory=detr.DetrConfig)
    end_to_end: end_to_end.EndToEndConfig = field(default_factory=end_to_end.EndToEndConfig)
    centres: centres.CentresConfig = field(default_factory=centres.CentresConfig)
    score_threshold: float = 0.25  # probability; boxes above it are kept
    multi_label: bool = False  # every class above the threshold is a box, not only the best one of a place
    nms: Literal["auto", "class", "all", "none"] = "auto"  # suppress within a class, over all; auto: class, or none if not needed
    nms_iou: float = 0.45  # of two boxes with a larger overlap the better one stays
    max_candidates: int = 1000  # before suppression, the best ones
    max_boxes: int = 300
    clip: bool = True  # cut boxes to the picture

    def __post_init__(self) -> None:
        for key in ("score_threshold", "nms_iou"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"{key}: needs 0..1, got {getattr(self, key)}")
        if not 1 <= self.max_boxes <= MAX_BOXES:
            raise ValueError(f"max_boxes: needs 1..{MAX_BOXES}, got {self.max_boxes}")
        if self.max_candidates < self.max_boxes:
            raise ValueError(f"max_candidates: needs max_boxes ({self.max_boxes}) or more, got {self.max_candidates}")
        found = inspect(self)
        if found.input.batch not in (None, 1):
            raise ValueError(f"model: needs a batch of 1, or a free one, got input {found.input.spec}; export it so")
        names = class_names(self.names, found.metadata)
        labelled(names, self.classes)
        shapes = found.shapes()
        if not any(None in shape for shape in shapes.values()) or self.decoder == "end_to_end":
            fit(self, shapes, len(names), found.input.size)

    @property
    def suppress(self) -> str:
        needless = self.decoder in ("detr", "end_to_end", "centres")
        return self.nms if self.nms != "auto" else "none" if needless else "class"


_FITS: dict[str, Callable[..., Decoder]] = {
    "grid": grid.fit,
    "anchors": anchors.fit,
    "anchor_free": anchor_free.fit,
    "distribution": distribution.fit,
    "detr": detr.fit,
    "end_to_end": end_to_end.fit,
    "centres": centres.fit,
}


def fit(config: Onnx2dConfig, shapes: Shapes, num_classes: int, size: tuple[int, int]) -> Decoder:
    """The decoder of the config for outputs of these shapes. Raises ValueError, one line: needed, got."""
    try:
        return _FITS[config.decoder](getattr(config, config.decoder), shapes, num_classes, size)
    except ValueError as error:
        raise ValueError(f"decoder: {config.decoder} {error}") from None


class Labels(NamedTuple):
    """table (C,) int32: class of the net -> label, -1 = left out; names: that labels index."""

    table: np.ndarray
    names: tuple[str, ...]


def labelled(names: tuple[str, ...], classes: dict[str, str] | tuple[str, ...] | None) -> Labels:
    """Raises ValueError for a class that the net does not have, and where ours and own names are mixed."""
    if classes is None:
        return Labels(np.arange(len(names), dtype=np.int32), names)
    chosen = classes if isinstance(classes, dict) else {name: name for name in classes}
    unknown = next((name for name in chosen if name not in names), None)
    if unknown is not None or not chosen:
        got = "none" if unknown is None else f"{unknown}{suggest(unknown, names[:20])}"
        raise ValueError(f"classes: needs names of the net's {len(names)} classes, got {got}")
    foreign = [own for own in chosen.values() if own not in CLASSES]
    if foreign and len(foreign) < len(chosen):
        raise ValueError(
            f"classes: needs our classes ({', '.join(CLASSES)}) or own names, not both, got {foreign[0]} beside ours"
        )
    out = tuple(dict.fromkeys(chosen.values())) if foreign else CLASSES
    table = np.full(len(names), -1, np.int32)
    for index, name in enumerate(names):
        if name in chosen:
            table[index] = out.index(chosen[name])
    return Labels(table, out)


def chosen(config: Onnx2dConfig, found: Found, table: np.ndarray, picture_size: tuple[int, int]) -> tuple[Boxes2D, int]:
    """Suppression, labels, clipping -> boxes, and how many were left out for their class. found: in pixels of the picture.

    A class that is left out still suppresses others where `nms` is all: the net took the object for something else.
    """
    boxes, scores, classes = found
    finite = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    boxes, scores, labels = boxes[finite], scores[finite], table[classes[finite]]
    groups = np.where(labels >= 0, labels, len(table) + classes[finite]).astype(np.int64)
    order = np.argsort(-scores, kind="stable")[: config.max_candidates]
    if config.suppress != "none":
        kept = np.empty(len(order), np.int64)
        of = groups[order] if config.suppress == "class" else np.zeros(len(order), np.int64)
        order = order[kept[: nms_2d(boxes[order].astype(np.float64), of, config.nms_iou, kept)]]
    ours = order[labels[order] >= 0]
    left_out, boxes = len(order) - len(ours), boxes[ours]
    if config.clip:
        boxes = np.clip(boxes, 0, np.tile(np.array(picture_size, np.float32) - 1, 2))
    there = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    rows = ours[there][: config.max_boxes]
    return Boxes2D(boxes[there][: config.max_boxes], scores[rows], labels[rows]), left_out


class Onnx2d(Operator):
    Config, outputs = Onnx2dConfig, {"boxes2d": BOXES2D_PROBABILITY}
    tunable = ("score_threshold", "multi_label", "nms_iou", "max_candidates", "max_boxes")
    inputs = {"image": optional(IMAGE), "grey": optional(GREY)}

    def open(self) -> None:
        config, found = self.config, inspect(self.config)
        names = class_names(config.names, found.metadata)
        self.net = OwnNet(config, self.name, self.threads)
        self.decoder = self.net.fit(lambda shapes: fit(config, shapes, len(names), found.input.size))
        self.labels = labelled(names, config.classes)
        self.reconfigured(config, config)
        self.left_out = 0
        nms_2d(np.zeros((1, 4)), np.zeros(1, np.int64), 0.5, np.empty(1, np.int64))  # compile before the first frame

    def reconfigured(self, old: Onnx2dConfig, new: Onnx2dConfig) -> None:
        self.threshold = Threshold(new.score_threshold, new.multi_label)

    def process(self, image: np.ndarray | None = None, grey: np.ndarray | None = None) -> Boxes2D:
        picture = one_picture(image, grey, self.name)
        outputs, (placed,) = self.net.run([picture])
        try:
            found = self.decoder.decode(outputs, self.threshold)
        except ValueError as error:
            raise FrameError(f"{self.name} at {self.header}: {error}") from None
        if not self.decoder.in_picture:
            found = found._replace(boxes=placed.to_picture(found.boxes))
        boxes, left_out = chosen(self.config, found, self.labels.table, picture.shape[1::-1])
        if left_out:
            self.left_out += left_out
            self.status(f"{self.left_out} boxes of classes that config.classes does not name")
        if self.labels.names != CLASSES:
            self.describe("boxes2d", **{CLASS_NAMES: list(self.labels.names)})
        return Boxes2D(*(self.put("boxes2d", name, array) for name, array in boxes._asdict().items()))
