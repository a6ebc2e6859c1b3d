"""Pictures of any size -> the input tensor of somebody's net, and places in the tensor -> places in the picture.

Steps: colour order, resize (stretched, or with the aspect kept and a border), (pixel / divide - mean) / std, layout. Config says
each of them, since files of nets do not. `fit` compares it with the file's input and raises ValueError: needed, got.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import cv2
import numpy as np

from operators.nets.runtimes.onnxfile import TensorSpec

_FILTERS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
_FLOATS = ("float32", "float16", "float64")
_DTYPES = (*_FLOATS, "uint8")
MAX_SIDE = 8192

Picture = Literal["picture_wh", "picture_hw", "input_wh", "input_hw", "scale_wh", "scale_hw", "ones"]
"""What another input of a net may ask for: sizes [px], the input's size divided by the picture's, or ones (a mask of pixels)."""


@dataclass(frozen=True, slots=True)
class PictureInputConfig:
    size: tuple[int, int] | None = None  # width, height; None: the file's
    resize: Literal["stretch", "letterbox"] = "stretch"  # letterbox: the aspect is kept, the rest is border
    place: Literal["centre", "corner"] = "centre"  # of the picture in a letterbox; corner: top left
    round: Literal["nearest", "down"] = "nearest"  # of the resized picture's shorter side in a letterbox
    border: tuple[float, ...] = (114.0,)  # pixel value around a letterbox: one, or one per channel
    filter: Literal["nearest", "linear", "cubic", "area", "lanczos"] = "linear"  # OpenCV's
    resize_in: Literal["uint8", "float32"] = "uint8"  # float32: no rounding between resize and normalisation
    colour: Literal["rgb", "bgr", "grey"] = "rgb"  # order of the net's channels; grey: one channel
    divide: float | None = None  # (pixel / divide - mean) / std; None: 255, or 1 for a net that takes uint8
    mean: tuple[float, ...] = (0.0,)  # one, or one per channel in the order of `colour`
    std: tuple[float, ...] = (1.0,)
    layout: Literal["auto", "nchw", "nhwc"] = "auto"  # auto: the file's shape says where the channels are
    name: str = ""  # of the input; "": the only one that can be a picture
    others: dict[str, Picture | tuple[float, ...]] = field(default_factory=dict)  # further inputs: name -> their value

    def __post_init__(self) -> None:
        channels = 1 if self.colour == "grey" else 3
        for key in ("border", "mean", "std"):
            if len(getattr(self, key)) not in (1, channels):
                raise ValueError(f"{key}: needs one number or {channels} (colour: {self.colour}), got {list(getattr(self, key))}")
        if 0 in self.std or self.divide == 0:
            raise ValueError(f"std: needs numbers that are not 0, as divide, got {list(self.std)} and {self.divide}")
        if self.size is not None and not all(1 <= n <= MAX_SIDE for n in self.size):
            raise ValueError(f"size: needs width and height of 1..{MAX_SIDE} px, got {list(self.size)}")


class Placed(NamedTuple):
    """Where a picture lies in the net's input: input px = picture px * scale + left, top; both axes x, y."""

    scale: tuple[float, float]
    offset: tuple[int, int]
    inner: tuple[int, int]  # width, height of the resized picture

    def to_picture(self, boxes2d: np.ndarray) -> np.ndarray:
        """(N, 4) px of the input -> (N, 4) float32 px of the picture."""
        return ((boxes2d - np.array(self.offset * 2, np.float32)) / np.array(self.scale * 2, np.float32)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class PictureInput:
    """The config, compared with a file. size: width, height; batch: pictures per run, None = any."""

    config: PictureInputConfig
    spec: TensorSpec
    others: tuple[TensorSpec, ...]
    size: tuple[int, int]
    channels: int
    nhwc: bool
    batch: int | None

    def place(self, height: int, width: int) -> Placed:
        """Of a picture of that size."""
        w, h = self.size
        if self.config.resize == "letterbox":
            wide = width * h >= height * w
            exact = (height * w / width) if wide else (width * h / height)
            floor = (height * w // width) if wide else (width * h // height)
            short = max(1, floor if self.config.round == "down" else round(exact))
            inner = (w, min(short, h)) if wide else (min(short, w), h)
        else:
            inner = w, h
        left = top = 0
        if self.config.place == "centre":
            left, top = (w - inner[0]) // 2, (h - inner[1]) // 2
        return Placed((inner[0] / width, inner[1] / height), (left, top), inner)

    def pixels(self, picture: np.ndarray, placed: Placed) -> np.ndarray:
        """(H, W, 3) RGB or (H, W) grey uint8 -> (h, w, 3) RGB or (h, w), resized, without border."""
        if self.channels == 1 and picture.ndim == 3:
            picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        if self.config.resize_in == "float32":
            picture = picture.astype(np.float32)
        if placed.inner == picture.shape[1::-1]:
            return picture
        return cv2.resize(picture, placed.inner, interpolation=_FILTERS[self.config.filter])

    def tensor(self, pictures: Sequence[np.ndarray]) -> tuple[np.ndarray, list[Placed]]:
        """Pictures (H, W, 3) RGB or (H, W) grey, uint8 -> the net's input, and where each of them lies in it.

        A grey picture gives three equal channels where the net wants colour.
        """
        w, h = self.size
        out = np.empty((len(pictures), self.channels, h, w), np.float32)
        placed = [self.place(*picture.shape[:2]) for picture in pictures]
        for image, picture, at in zip(out, pictures, placed, strict=True):
            pixels = self.pixels(picture, at)
            inside = np.s_[at.offset[1] : at.offset[1] + at.inner[1], at.offset[0] : at.offset[0] + at.inner[0]]
            bordered = at.inner != self.size
            for channel, plane in enumerate(image):
                column = channel if self.config.colour != "bgr" else 2 - channel
                source = pixels if pixels.ndim == 2 else pixels[:, :, column]
                if bordered:
                    plane[...] = self._normal(np.float32(_of(self.config.border, channel)), channel)
                if source.dtype == np.uint8:
                    plane[inside] = cv2.LUT(np.ascontiguousarray(source), self._table(channel))
                else:
                    plane[inside] = self._normal(source, channel)
        tensor = out.transpose(0, 2, 3, 1) if self.nhwc else out
        if self.spec.dtype == "uint8":
            tensor = np.clip(np.rint(tensor), 0, 255)
        made = np.ascontiguousarray(tensor, self.spec.dtype)
        return (made if len(self.spec.shape) == 4 else made[0]), placed

    def feed(self, pictures: Sequence[np.ndarray]) -> tuple[dict[str, np.ndarray], list[Placed]]:
        """All inputs of the net, by name; further inputs are those of the first picture."""
        tensor, placed = self.tensor(pictures)
        arrays = {self.spec.name: tensor}
        for spec in self.others:
            arrays[spec.name] = self._other(spec, self.config.others[spec.name], pictures[0].shape, placed[0])
        return arrays, placed

    def _other(self, spec: TensorSpec, value: str | tuple[float, ...], shape: tuple[int, ...], placed: Placed) -> np.ndarray:
        if value == "ones":
            free = iter((1, self.size[1], self.size[0]))
            return np.ones([next(free) if n is None else n for n in spec.shape], spec.dtype)
        numbers = (
            {
                "picture_wh": shape[1::-1],
                "picture_hw": shape[:2],
                "input_wh": self.size,
                "input_hw": self.size[::-1],
                "scale_wh": placed.scale,
                "scale_hw": placed.scale[::-1],
            }[value]
            if isinstance(value, str)
            else value
        )
        return np.array(numbers, spec.dtype).reshape([1 if n is None else n for n in spec.shape])

    def _normal(self, values: np.ndarray, channel: int) -> np.ndarray:
        divide = self.config.divide if self.config.divide is not None else 1.0 if self.spec.dtype == "uint8" else 255.0
        scaled = values / np.float32(divide) - np.float32(_of(self.config.mean, channel))
        return (scaled / np.float32(_of(self.config.std, channel))).astype(np.float32)

    def _table(self, channel: int) -> np.ndarray:
        """What each of the 256 pixel values becomes."""
        return self._normal(np.arange(256, dtype=np.float32), channel)


def fit(config: PictureInputConfig, inputs: Sequence[TensorSpec], path: str) -> PictureInput:
    """Raises ValueError, naming the key, where the file's inputs need something else than the config says."""
    spec = _picture_spec(config, inputs, path)
    channels = 1 if config.colour == "grey" else 3
    layout = _layout(config, spec, channels, path)
    batch, *rest = _with_batch(spec)
    found_channels, height, width = rest if layout == "nchw" else (rest[2], rest[0], rest[1])
    if found_channels not in (None, channels):
        hint = "; set colour: grey" if found_channels == 1 else "; set colour: rgb or bgr" if found_channels == 3 else ""
        raise ValueError(f"colour: {path}: input {spec} needs {found_channels} channels, got {config.colour}{hint}")
    size = config.size or (width, height)
    if None in size:
        raise ValueError(f"size: {path}: input {spec} leaves the size free, needs [width, height], got none")
    if any(n not in (None, m) for n, m in zip((width, height), size, strict=True)):
        raise ValueError(f"size: {path}: input {spec} needs [{_free(width)}, {_free(height)}], got {list(size)}")
    if spec.dtype == "uint8" and (config.divide not in (None, 1) or set(config.mean) != {0} or set(config.std) != {1}):
        raise ValueError(f"divide: {path}: input {spec} takes pixels as they are: needs no divide, mean, std")
    others = tuple(other for other in inputs if other is not spec)
    for name in config.others:
        if name not in {other.name for other in others}:
            known = ", ".join(other.name for other in others) or "none"
            raise ValueError(f"others: {path}: needs names of further inputs ({known}), got {name}")
    made = PictureInput(config, spec, others, (int(size[0] or 0), int(size[1] or 0)), channels, layout == "nhwc", batch)
    for other in others:
        if other.name not in config.others:
            words = "picture_wh, picture_hw, input_wh, input_hw, scale_wh, scale_hw, ones or numbers"
            raise ValueError(f"others: {path}: needs a value for input {other} ({words}), got none")
        try:
            made._other(other, config.others[other.name], (1, 1), made.place(1, 1))
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"others: {path}: input {other} cannot hold {config.others[other.name]}") from None
    return made


def _picture_spec(config: PictureInputConfig, inputs: Sequence[TensorSpec], path: str) -> TensorSpec:
    named = [spec for spec in inputs if config.name in ("", spec.name)]
    found = [spec for spec in named if len(spec.shape) == 4] or [spec for spec in named if len(spec.shape) == 3]
    if len(found) != 1:
        which = f"named {config.name} " if config.name else ""
        several = "; set input.name" if len(found) > 1 else ""
        got = ", ".join(map(str, inputs)) or "none"
        raise ValueError(f"name: {path}: needs one input {which}of 4 dimensions (or 3), the picture, got {got}{several}")
    if found[0].dtype not in _DTYPES:
        raise ValueError(f"name: {path}: needs an input of {', '.join(_DTYPES)}, got {found[0]}")
    return found[0]


def _with_batch(spec: TensorSpec) -> tuple[int | None, ...]:
    """The four dimensions; a net for one picture at a time may leave the first one out."""
    return spec.shape if len(spec.shape) == 4 else (1, *spec.shape)


def _layout(config: PictureInputConfig, spec: TensorSpec, channels: int, path: str) -> str:
    if config.layout != "auto":
        return config.layout
    shape = _with_batch(spec)
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first == last:
        if shape[1] == channels != shape[3]:
            return "nchw"
        raise ValueError(f"layout: {path}: input {spec} does not show where the channels are: needs nchw or nhwc, got auto")
    return "nchw" if first else "nhwc"


def _of(values: tuple[float, ...], channel: int) -> float:
    return values[channel if len(values) > 1 else 0]


def _free(side: int | None) -> str:
    return "any" if side is None else str(side)
