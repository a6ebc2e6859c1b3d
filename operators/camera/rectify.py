"""Undo the distortion of a lens: straight edges become straight, and P_cam of `calibration` holds for the picture.

in   image  IMAGE  optional: the camera's picture; or
     grey   GREY   optional: a grey or thermal one
     lens   LENS   static, of a driver with a rig file (docs/calibration.md)
out  image  IMAGE  the rectified picture, of rect_size and K_rect of the lens; 0 where the camera does not see
     grey   GREY   the same of a grey one
The rig file says what K_rect is (`rectified`); port `calibration` of the same driver has it as P_cam. Interpolation is bilinear.
Pictures of another size than the calibrated one are taken for resized ones if width : height is as calibrated within 1 %; others
are refused. A picture without distortion passes unchanged.
State: maps, made for the first frame and again where size or lens change.   Empty picture: FrameError.

    rectify: {op: camera.rectify, inputs: {image: camera.image, lens: camera.lens}}
    paint:   {op: fuse.paint, inputs: {points: velodyne.points, image: rectify.image, calibration: camera.calibration}}
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from operators.geometry import lens as lenses
from operators.geometry.homography import Size
from operators.streams import GREY, IMAGE, LENS, MAX_PICTURE, Lens, one_picture
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional, static

_SAME_SHAPE = 0.01
Maps = tuple[np.ndarray, np.ndarray]


def is_plain(lens: Lens, source: Size) -> bool:
    """Is the rectified picture the picture itself?"""
    same = np.array_equal(lens.K_rect, lens.K_cam) and np.array_equal(lens.R_rect, np.eye(3))
    return same and not lens.distortion.any() and list(source) == lens.image_size.tolist() == lens.rect_size.tolist()


def rectify(picture: np.ndarray, by: Maps, out: np.ndarray) -> np.ndarray:
    """picture (H, W, 3) or (H, W) -> out (h, w, 3) or (h, w), which is filled; 0 where `picture` does not reach."""
    return cv2.remap(picture, *by, cv2.INTER_LINEAR, dst=out, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


class Rectify(Operator):
    inputs = {"image": optional(IMAGE), "grey": optional(GREY), "lens": static(LENS)}
    outputs = {"image": IMAGE, "grey": GREY}

    def open(self) -> None:
        self.lens: Lens | None = None
        self.source: Size | None = None
        self.maps: Maps | None = None

    def process(self, lens: Lens, image: np.ndarray | None = None, grey: np.ndarray | None = None) -> dict[str, Any]:
        picture = one_picture(image, grey, self.name)
        port, array = ("image", "image") if picture is image else ("grey", "image")
        source = (picture.shape[1], picture.shape[0])
        if source != self.source or self.lens is None or not all(map(np.array_equal, lens, self.lens)):
            self._check(lens, source, port)
            self.maps, self.source = None if is_plain(lens, source) else lenses.maps(lens, source), source
            self.lens = Lens(*map(np.copy, lens))
        if self.maps is None:
            return {port: picture}
        width, height = lens.rect_size.tolist()
        return {port: rectify(picture, self.maps, self.alloc(port, array, (height, width, *picture.shape[2:]), np.uint8))}

    def _check(self, lens: Lens, source: Size, port: str) -> None:
        width, height = lens.image_size.tolist()
        if 0 in source or abs(source[0] * height / (source[1] * width) - 1) > _SAME_SHAPE:
            raise FrameError(
                f"{self.name}.{port} at {self.header}: needs {width} x {height} pixels as the rig file says, or these resized, "
                f"got {source[0]} x {source[1]}; is it the picture of another camera?"
            )
        limit = MAX_PICTURE["W"]
        if max(lens.rect_size.tolist()) > limit:
            raise FrameError(
                f"{self.name}: needs a rectified picture of at most {limit} pixels a side, got {lens.rect_size.tolist()}"
            )
