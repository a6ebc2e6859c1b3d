"""A range image in, a class per pixel out: a LiDAR segmentation net of your own, in an ONNX file.     docs/lidar.md

in   range_image  RANGE_IMAGE  of the net's size
out  class_map    CLASS_MAP    (H, W) uint8; 255 = no point there; facts class_names, and things where the config says them
State: none.   An empty picture: 255 everywhere.
The net's inputs: one float32 (1, C, H, W) with the planes `channels`, C of 2 or more, and if it wants, one (1, 1, H, W) that is 1
where a point is and 0 elsewhere. Planes are raw values, 0 where no point is; (value - mean) / std where the config has these.
Its output is as that of segment.onnx: a score per class, or finished classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from operators.nets import runtimes
from operators.nets.device import Device
from operators.nets.own_net import Names, class_names
from operators.nets.runtimes import Precision, Runtime
from operators.nets.runtimes.onnxfile import OnnxFile, TensorSpec, read
from operators.segment.onnx import Head, classes_of, form_of
from operators.streams import CLASS_MAP, CLASS_NAMES, MAX_PICTURE, RANGE_IMAGE, THINGS, VOID, RangeImage
from pipeline.errors import FrameError, InputError, RunError
from pipeline.operator import Operator

_PLANES = ("x", "y", "z", "range", "intensity")
"""Of RANGE_IMAGE, in its order."""


@dataclass(frozen=True, slots=True)
class SegmentRangeConfig:
    model: str = ""  # path of an .onnx file
    names: Names | None = None  # of the classes: a list, a file, or their number; None: those in the model file
    things: tuple[str, ...] = ()  # those of the names that can be counted
    channels: tuple[Literal["x", "y", "z", "range", "intensity"], ...] = ("range", "x", "y", "z", "intensity")
    mean: tuple[float, ...] = ()  # of each channel, with std; (): the net wants raw values
    std: tuple[float, ...] = ()
    output: str = ""  # the output that has the classes; "": the only one
    runtime: Runtime = "auto"
    precision: Precision = "fp32"
    device: Device = "cpu"

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("model: needs the path of a range-image net's .onnx file, got nothing; --set NODE.config.model=FILE")
        if self.runtime == "tensorrt":
            raise ValueError("runtime: needs auto, onnxruntime or openvino for your own net, got tensorrt")
        runtimes.check(self.runtime, self.precision, self.device)
        if len(self.mean) != len(self.std):
            raise ValueError(f"std: needs as many numbers as mean, {len(self.mean)}, got {len(self.std)}")
        if self.mean and len(self.mean) != len(self.channels):
            raise ValueError(f"mean: needs a number per channel, {len(self.channels)}, got {len(self.mean)}")
        if not all(0 < std < np.inf for std in self.std) or not np.isfinite(self.mean).all():
            raise ValueError(f"std: needs finite means and numbers above 0, got {list(self.mean)} and {list(self.std)}")
        fit(self)


class Fitted(NamedTuple):
    """A config that fits its file. size: rows, columns of the range image; None where the file leaves them free."""

    image: str
    mask: str
    output: str
    names: tuple[str, ...]
    size: tuple[int | None, int | None]


def fit(config: SegmentRangeConfig) -> Fitted:
    """Raises ValueError that begins with the key."""
    try:
        file = read(config.model)
    except InputError as error:
        raise ValueError(f"model: {error}") from None
    image, mask = _inputs(file, len(config.channels))
    there = [spec.name for spec in file.outputs]
    if (config.output and config.output not in there) or (not config.output and len(there) != 1):
        raise ValueError(f"output: needs one of {', '.join(there)}, got {config.output or 'none'}")
    names = class_names(config.names, file.metadata)
    if not 2 <= len(names) <= VOID:
        raise ValueError(f"names: needs 2..{VOID} names, got {len(names)}")
    if unknown := [name for name in config.things if name not in names]:
        raise ValueError(f"things: needs names of {', '.join(names)}, got {', '.join(unknown)}")
    output = next(spec for spec in file.outputs if spec.name == (config.output or there[0]))
    if None not in output.shape:
        form_of(output.name, output.shape, len(names))
    rows, columns = image.shape[2:]
    if (columns or 0) > MAX_PICTURE["W"]:
        raise ValueError(f"model: needs at most {MAX_PICTURE['W']} columns, as a CLASS_MAP has, got input {image}")
    return Fitted(image.name, mask, output.name, names, (rows, columns))


def _inputs(file: OnnxFile, channels: int) -> tuple[TensorSpec, str]:
    """The input with the planes, and the name of the mask, "" if there is none. Raises ValueError."""
    images = [spec for spec in file.inputs if _has(spec, channels)]
    masks = [spec for spec in file.inputs if spec not in images and _has(spec, 1)]
    if channels < 2 or len(images) != 1 or len(masks) > 1 or len(images) + len(masks) != len(file.inputs):
        got = ", ".join(map(str, file.inputs))
        raise ValueError(
            f"channels: needs an input (1, {channels}, H, W) float32 of {channels} channels, 2 or more, and at most one "
            f"mask (1, 1, H, W), got {got}"
        )
    return images[0], masks[0].name if masks else ""


def _has(spec: TensorSpec, channels: int) -> bool:
    return len(spec.shape) == 4 and spec.dtype == "float32" and spec.shape[0] in (None, 1) and spec.shape[1] == channels


class SegmentRange(Operator):
    Config = SegmentRangeConfig
    inputs, outputs = {"range_image": RANGE_IMAGE}, {"class_map": CLASS_MAP}

    def open(self) -> None:
        config = self.config
        self.fitted = fit(config)
        self.planes = [_PLANES.index(channel) for channel in config.channels]
        self.mean, self.std = (np.array(values, np.float32).reshape(-1, 1, 1) for values in (config.mean, config.std))
        self.net = runtimes.open_onnx(
            config.model, runtime=config.runtime, threads=self.threads, node=self.name, precision=config.precision,
            device=config.device,
        )  # fmt: skip
        rows, columns = self.fitted.size
        if rows is not None and columns is not None:  # the first run of a net takes longer
            self._classes(np.zeros((5, rows, columns), np.float32))

    def close(self) -> None:
        self.net.close()

    def process(self, range_image: RangeImage) -> np.ndarray:
        image = range_image.range_image
        if any(need not in (None, got) for need, got in zip(self.fitted.size, image.shape[1:], strict=True)):
            needs = " x ".join("any" if n is None else str(n) for n in self.fitted.size)
            raise FrameError(
                f"{self.name} at {self.header}: needs a range image of {needs}, as {self.config.model} has it, got "
                f"{image.shape[1]} x {image.shape[2]}; set beams and columns of lidar.range_image"
            )
        classes = self._classes(image)
        classes[image[3] == 0] = VOID
        things = {THINGS: self.config.things} if self.config.things else {}
        self.describe("class_map", **{CLASS_NAMES: self.fitted.names}, **things)
        return self.put("class_map", "class_map", classes)

    def _classes(self, image: np.ndarray) -> np.ndarray:
        """(5, H, W) -> (H, W) uint8, also where no point is"""
        planes, there = image[self.planes], image[3] > 0
        if len(self.mean):
            planes = (planes - self.mean) / self.std * there
        arrays = {self.fitted.image: np.ascontiguousarray(planes[None], np.float32)}
        if self.fitted.mask:
            arrays[self.fitted.mask] = there[None, None].astype(np.float32)
        output = self.net.run(arrays)[self.fitted.output]
        try:
            head = Head(self.fitted.output, self.fitted.names, form_of(self.fitted.output, output.shape, len(self.fitted.names)))
        except ValueError as error:
            raise RunError(f"{self.name}: {error}") from None
        classes = classes_of(output, head, "logits", None)
        if classes.shape != image.shape[1:]:
            raise RunError(f"{self.name}: needs classes of {image.shape[1:]}, as its input, got {classes.shape}")
        return classes
