"""Warp the camera's picture into the frame of the thermal picture.

in   image    IMAGE  the camera's picture
     thermal  GREY   optional: only its size counts; the output gets it
out  image    IMAGE  the same scene, pixel for pixel that of the thermal picture; 0 where the camera does not see
The output's size is, in this order: `size` of the config, the size of the latest thermal picture (a thermal stream that stops
changes nothing), the size in the calibration file, the image's own.
A homography comes from `file`, which `pipe calibrate homography` writes, or from `homography`; without one the picture is
resized. Pictures of another size than the calibrated ones are taken for resized ones if width : height is as calibrated within
1 %; others are refused. Interpolation is bilinear, after averaging blocks of pixels where the picture shrinks to half or less.
State: tables of the warp, made for the first frame and again where a size changes.   Empty picture: FrameError.

    align:
      op: fuse.align
      inputs: {image: camera.image, thermal: flir.thermal}
      sync: {policy: nearest, trigger: image, tolerance_ms: 100, optional: [thermal]}   # the output keeps the image's stamp
      config: {file: pair.yaml}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from operators.fuse import homography_file
from operators.geometry import homography
from operators.geometry.homography import Size
from operators.streams import GREY, IMAGE, MAX_PICTURE
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional

_OUTSIDE = -(2.0**14)
"""Column and row, far outside every picture, of pixels behind the horizon."""
_SAME_SHAPE = 0.01


@dataclass(frozen=True, slots=True)
class AlignConfig:
    file: str = ""  # of pipe calibrate homography
    homography: tuple[tuple[float, ...], ...] | None = None  # 3 x 3: pixel of thermal ~ homography @ pixel of image
    size: tuple[int, int] | None = None  # width, height of the output; None: as thermal has them

    def __post_init__(self) -> None:
        if self.size is not None and not (0 < self.size[0] <= MAX_PICTURE["W"] and 0 < self.size[1] <= MAX_PICTURE["H"]):
            raise ValueError(f"size: needs width, height of 1..{MAX_PICTURE['W']}, got {list(self.size)}")
        if self.homography is not None:
            if self.file:
                raise ValueError("homography: needs no file beside it, got both; leave one out")
            if len(self.homography) != 3 or any(len(row) != 3 for row in self.homography):
                raise ValueError(f"homography: needs 3 rows of 3 numbers, got rows of {[len(row) for row in self.homography]}")
            if wrong := homography.problem(np.array(self.homography)):
                raise ValueError(f"homography: {wrong}")
        if self.file:
            homography_file.read(self.file)


class Warp(NamedTuple):
    """Tables for one pair of sizes. at, between: OpenCV's fixed-point maps; block: side of the blocks that are averaged first."""

    at: np.ndarray
    between: np.ndarray
    block: int


def tables(H: np.ndarray, source: Size, dest: Size) -> Warp:
    """H: destination ~ H @ source; sizes (width, height)."""
    back = np.linalg.inv(H)
    centre = np.array([(dest[0] - 1) / 2, (dest[1] - 1) / 2, 1.0])
    back = back * np.sign(back[2] @ centre)  # w > 0: in front of the horizon, on the side of the centre
    block = max(1, min(int(_shrinks(back, centre) + 1e-6), *source))
    columns, rows = np.meshgrid(np.arange(dest[0], dtype=np.float64), np.arange(dest[1], dtype=np.float64))
    u, v, w = (back[i, 0] * columns + back[i, 1] * rows + back[i, 2] for i in range(3))
    there = w > 1e-9
    w = np.where(there, w, 1.0)
    half = (block - 1) / 2
    maps = [np.clip(np.where(there, (a / w - half) / block, _OUTSIDE), _OUTSIDE, -_OUTSIDE) for a in (u, v)]
    at, between = cv2.convertMaps(maps[0].astype(np.float32), maps[1].astype(np.float32), cv2.CV_16SC2)
    return Warp(at, between, block)


def _shrinks(back: np.ndarray, centre: np.ndarray) -> float:
    """Source pixels per destination pixel at the centre, along the direction in which they are fewest."""
    u, v, w = back @ centre
    jacobian = (back[:2, :2] * w - np.outer([u, v], back[2, :2])) / w**2
    return float(np.linalg.svd(jacobian, compute_uv=False)[1])


def warp(image: np.ndarray, by: Warp, out: np.ndarray) -> np.ndarray:
    """image (H, W, 3) -> out (h, w, 3), which is filled; 0 where `image` does not reach."""
    if by.block > 1:
        columns, rows = image.shape[1] // by.block, image.shape[0] // by.block
        image = cv2.resize(image[: rows * by.block, : columns * by.block], (columns, rows), interpolation=cv2.INTER_AREA)
    return cv2.remap(image, by.at, by.between, cv2.INTER_LINEAR, dst=out, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


class Align(Operator):
    Config = AlignConfig
    inputs, outputs = {"image": IMAGE, "thermal": optional(GREY)}, {"image": IMAGE}

    @classmethod
    def slot_bytes(cls, config: AlignConfig) -> dict[str, int]:
        return {} if config.size is None else {"image": -(-3 * config.size[0] * config.size[1] // 64) * 64}

    def open(self) -> None:
        config = self.config
        self.pair = homography_file.read(config.file) if config.file else None
        self.H = np.array(config.homography) if config.homography is not None else None
        self.size: Size | None = config.size
        self.sizes: tuple[Size, Size] | None = None
        self.warp: Warp | None = None

    def process(self, image: np.ndarray, thermal: np.ndarray | None = None) -> np.ndarray:
        source, dest = (image.shape[1], image.shape[0]), self._size(image, thermal)
        if 0 in source or 0 in dest:
            raise FrameError(f"{self.name} at {self.header}: needs a picture with pixels, got {source} into {dest}")
        if self.sizes != (source, dest):
            self.warp, self.sizes = self._warp(source, dest), (source, dest)
        if self.warp is None and source == dest:
            return image
        out = self.alloc("image", "image", (dest[1], dest[0], 3), np.uint8)
        if self.warp is not None:
            return warp(image, self.warp, out)
        smaller = dest[0] * dest[1] < source[0] * source[1]
        return cv2.resize(image, dest, dst=out, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)

    def _size(self, image: np.ndarray, thermal: np.ndarray | None) -> Size:
        """Width, height of the output."""
        if self.config.size is None and thermal is not None:
            self.size = (thermal.shape[1], thermal.shape[0])
        if self.size is not None:
            return self.size
        return self.pair.size if self.pair is not None else (image.shape[1], image.shape[0])

    def _warp(self, source: Size, dest: Size) -> Warp | None:
        """None: a plain change of size."""
        if self.pair is None:
            return None if self.H is None else tables(self.H, source, dest)
        for port, got, calibrated in (("image", source, self.pair.image_size), ("thermal", dest, self.pair.size)):
            if abs(got[0] * calibrated[1] / (got[1] * calibrated[0]) - 1) > _SAME_SHAPE:
                raise FrameError(
                    f"{self.name}.{port} at {self.header}: needs {calibrated[0]} x {calibrated[1]} pixels as {self.config.file} "
                    f"was made with, or these resized, got {got[0]} x {got[1]}; calibrate again?"
                )
        H = homography.resizing(self.pair.size, dest) @ self.pair.H_thermal_image
        return tables(H @ homography.resizing(source, self.pair.image_size), source, dest)
