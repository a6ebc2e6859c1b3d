"""Pictures in, a class per pixel out: a segmentation net of your own, in an ONNX file.       docs/own_net.md

in   image      IMAGE      optional: any size
     grey       GREY       optional: a thermal or grey picture, as three equal channels; connect one of the two
out  class_map  CLASS_MAP  (H, W) uint8 of the picture's size, or the net's; the fact class_names says what its numbers mean
State: none.
An output is a score per class, (1, C, h, w) or (1, h, w, C); one probability or logit of two classes, (1, 1, h, w) or (1, h, w);
or finished classes, integers. Several outputs (`heads`) give one map: class = first + C1 * (second + C2 * ..), so that no head
hides another; the names of such a class are joined with " + ", those of class 0 are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import cv2
import numpy as np

from operators.kernels.argmax import best_class
from operators.nets.own_net import Inspected, Names, OwnNet, OwnNetConfig, class_names, inspect
from operators.nets.picture_input import Placed
from operators.streams import CLASS_MAP, CLASS_NAMES, GREY, IMAGE, VOID, one_picture
from pipeline.operator import Operator
from pipeline.schema import optional

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class SegmentConfig(OwnNetConfig):
    names: Names | None = None  # of the classes: a list, a file, or their number; None: those in the model file
    output: str = ""  # the output that has them; "": the only one
    heads: dict[str, tuple[str, ...]] = field(default_factory=dict)  # in place of both, of several outputs: output -> names
    scores: Literal["logits", "probabilities"] = "logits"  # what the net gives; needed for one number per pixel, and a threshold
    threshold: float | None = None  # least probability of a class, else 255; of one number per pixel: of class 1, default 0.5
    size: Literal["picture", "net"] = "picture"  # of the class map; picture: by nearest neighbour

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold: needs 0..1, got {self.threshold}")
        found = inspect(self)
        if found.input.batch not in (None, 1):
            raise ValueError(f"model: needs a batch of 1, or a free one, got input {found.input.spec}; export it so")
        heads = heads_of(self, found)
        num = math.prod(len(names) for names in heads.values())
        if num > VOID:
            raise ValueError(f"heads: needs at most {VOID} classes together, got {num}")
        for name, shape in found.shapes().items():
            if name in heads and None not in shape:
                form_of(name, shape, len(heads[name]))


class Head(NamedTuple):
    output: str
    names: tuple[str, ...]
    form: str  # see `form_of`


def heads_of(config: SegmentConfig, found: Inspected) -> dict[str, tuple[str, ...]]:
    """Output -> names of its classes. Raises ValueError."""
    there = [spec.name for spec in found.outputs]
    if config.heads:
        if config.names is not None or config.output:
            raise ValueError("heads: needs no names and output beside it, got both")
        for name, names in config.heads.items():
            if name not in there:
                raise ValueError(f"heads: needs names of outputs ({', '.join(there)}), got {name}")
            if len(names) < 2:
                raise ValueError(f"heads: {name}: needs two names or more, got {list(names)}")
        return dict(config.heads)
    if config.output and config.output not in there:
        raise ValueError(f"output: needs one of {', '.join(there)}, got {config.output}")
    if not config.output and len(there) != 1:
        raise ValueError(f"output: needs one of {', '.join(there)}, or heads with the names of several, got neither")
    names = class_names(config.names, found.metadata)
    if not 2 <= len(names) <= VOID:
        raise ValueError(f"names: needs 2..{VOID} names, got {len(names)}")
    return {config.output or there[0]: names}


def form_of(name: str, shape: Shape, num: int) -> str:
    """chw | hwc: a score per class; one: a number per pixel. Raises ValueError: needed, got."""
    if len(shape) == 4 and shape[0] == 1 and shape[1] == num:
        return "chw"
    if len(shape) == 4 and shape[0] == 1 and shape[3] == num:
        return "hwc"
    if shape[0] == 1 and (len(shape) == 3 or (len(shape) == 4 and 1 in (shape[1], shape[3]))):
        return "one"
    sizes = f"(1, {num}, h, w), (1, h, w, {num}), (1, 1, h, w) or (1, h, w)"
    dims = ", ".join("free" if n is None else str(n) for n in shape)
    raise ValueError(f"output: needs {sizes} for {num} names, got {name} ({dims})")


def classes_of(output: np.ndarray, head: Head, scores: str, threshold: float | None) -> np.ndarray:
    """One output -> (h, w) uint8."""
    if head.form == "one":
        plane = output.reshape([n for n in output.shape[1:3] if n] if output.ndim == 3 else _plane(output.shape))
        if plane.dtype.kind in "iub":
            outside = (plane < 0) | (plane >= len(head.names))
            return np.where(outside, VOID, plane).astype(np.uint8)
        least = 0.5 if threshold is None else threshold
        if scores == "logits":
            least = -math.inf if least <= 0 else math.inf if least >= 1 else math.log(least / (1 - least))
        return (plane > least).astype(np.uint8)
    planes = output[0] if head.form == "chw" else output[0].transpose(2, 0, 1)
    planes = np.ascontiguousarray(planes, np.float32)
    best, classes = np.empty(planes.shape[1:], np.float32), np.empty(planes.shape[1:], np.uint8)
    best_class(planes, best, classes)
    if threshold:
        if scores == "logits":
            best = 1 / np.exp(planes - best).sum(axis=0)  # softmax of the best class
        classes[~(best >= threshold)] = VOID
    return classes


def _plane(shape: Sequence[int]) -> tuple[int, int]:
    """(1, 1, h, w) or (1, h, w, 1) -> h, w"""
    return (shape[2], shape[3]) if shape[1] == 1 else (shape[1], shape[2])


def joined(maps: Sequence[np.ndarray], counts: Sequence[int]) -> np.ndarray:
    """Class maps of several heads, of one size -> first + C1 * (second + ..); VOID where one of them is."""
    out = np.zeros(maps[0].shape, np.int64)
    for classes, count in zip(reversed(maps), reversed(counts), strict=True):
        out = out * count + classes
    void = np.any([classes == VOID for classes in maps], axis=0)
    return np.where(void, VOID, out).astype(np.uint8)


def joined_names(heads: Sequence[tuple[str, ...]]) -> list[str]:
    """The names of `joined` classes, in their order."""
    if len(heads) == 1:
        return list(heads[0])
    names = []
    for number in range(math.prod(len(head) for head in heads)):
        picked = []
        for head in heads:
            number, index = divmod(number, len(head))
            picked.append((index, head[index]))
        names.append(" + ".join(name for index, name in picked if index) or " + ".join(name for _, name in picked))
    return names


def of_picture(classes: np.ndarray, placed: Placed, net: tuple[int, int], picture: tuple[int, int]) -> np.ndarray:
    """A class map of the net's input (or of a fraction of it) -> of the picture, (width, height), by nearest neighbour."""
    height, width = classes.shape
    (left, top), inner = placed.offset, placed.inner
    x = [round(n * width / net[0]) for n in (left, left + inner[0])]
    y = [round(n * height / net[1]) for n in (top, top + inner[1])]
    inside = classes[y[0] : max(y[1], y[0] + 1), x[0] : max(x[1], x[0] + 1)]
    return inside if inside.shape[::-1] == picture else cv2.resize(inside, picture, interpolation=cv2.INTER_NEAREST)


class Segment(Operator):
    Config, outputs = SegmentConfig, {"class_map": CLASS_MAP}
    tunable = ("threshold",)
    inputs = {"image": optional(IMAGE), "grey": optional(GREY)}

    def open(self) -> None:
        heads = heads_of(self.config, inspect(self.config))
        self.net = OwnNet(self.config, self.name, self.threads)

        def fit(shapes: Mapping[str, tuple[int, ...]]) -> list[Head]:
            return [Head(output, names, form_of(output, shapes[output], len(names))) for output, names in heads.items()]

        self.heads = self.net.fit(fit)
        self.names = joined_names(list(heads.values()))

    def process(self, image: np.ndarray | None = None, grey: np.ndarray | None = None) -> np.ndarray:
        picture = one_picture(image, grey, self.name)
        outputs, (placed,) = self.net.run([picture])
        maps = [classes_of(outputs[head.output], head, self.config.scores, self.config.threshold) for head in self.heads]
        size = maps[0].shape[::-1]
        maps = [m if m.shape[::-1] == size else cv2.resize(m, size, interpolation=cv2.INTER_NEAREST) for m in maps]
        classes = maps[0] if len(maps) == 1 else joined(maps, [len(head.names) for head in self.heads])
        if self.config.size == "picture":
            classes = of_picture(classes, placed, self.net.input.size, picture.shape[1::-1])
        self.describe("class_map", **{CLASS_NAMES: self.names})
        return self.put("class_map", "class_map", classes)
