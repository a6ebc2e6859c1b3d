"""Recordings that Rerun opens (--record F.rrd): our streams as its archetypes.

POINTS                     Points3D, grey by intensity
BOXES3D, TRUTH, TRACKS     Boxes3D with names; tracks are named and coloured by id. DontCare is not drawn
pictures (uint8, uint16, float32; frame "image")
                           Image; float32: DepthImage, its unit is that of the contract, metres for DEPTH; or, on request,
                           EncodedImage: png or jpeg for uint8 (png for uint16, too)
Other streams are not drawn. Rerun's space is ours: metres, x forward, y left, z up; each port is an entity /NODE/PORT.
Empty frame: a cloud without points, no boxes, which replace those of the frame before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from operators.record.scene import color_of_class, color_of_id
from operators.streams import BOXES3D, CLASSES, POINTS, TRACKS, TRUTH
from pipeline.frame import Header
from pipeline.options import Images
from pipeline.recording.rerun import Draw, Drawings, library
from pipeline.schema import Port, Schema

_JPEG_QUALITY, _PNG_LEVEL = 90, 1
_POINT_M = 0.03


class Rerun(Drawings):
    def drawing(self, port: Port, images: Images) -> Draw | None:
        contract = port.schema
        if port.static:
            return None
        if contract.frame == "image" and len(contract.arrays) == 1:
            return _picture(contract, images)
        for known, draw in _DRAWS:
            if contract.name == known.name and not contract.any and contract.mismatch(known) is None:
                return draw
        return None


def _picture(contract: Schema, images: Images) -> Draw | None:
    ((name, spec),) = contract.arrays.items()
    if spec.dtype not in ("uint8", "uint16", "float32") or len(spec.shape) not in (2, 3):
        return None
    if len(spec.shape) == 3 and (spec.shape[2] != 3 or spec.dtype != "uint8"):
        return None
    lossless = spec.unit == "class" or spec.dtype == "uint16"  # JPEG changes numbers, and has 8 bits
    codec = "" if images == "raw" or spec.dtype == "float32" else "png" if images == "png" or lossless else "jpeg"

    def draw(header: Header, arrays: Mapping[str, np.ndarray]) -> Any:
        rr, image = library(), arrays[name]
        if not image.size:
            return rr.Clear(recursive=False)
        if codec:
            bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
            quality = [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL] if codec == "png" else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            return rr.EncodedImage(contents=cv2.imencode(f".{codec}", bgr, quality)[1].tobytes(), media_type=f"image/{codec}")
        if image.dtype == np.float32:
            return rr.DepthImage(image, meter=1.0)
        return rr.Image(image, "RGB" if image.ndim == 3 else "L")

    return draw


def _points(header: Header, arrays: Mapping[str, np.ndarray]) -> Any:
    points = arrays["points"]
    grey = np.rint(80 + 175 * np.clip(np.nan_to_num(points[:, 3]), 0, 1)).astype(np.uint8)
    return library().Points3D(points[:, :3], colors=np.repeat(grey[:, None], 3, axis=1), radii=_POINT_M)


def _boxes(header: Header, arrays: Mapping[str, np.ndarray]) -> Any:
    boxes3d, labels = arrays["boxes3d"], arrays["labels"]
    shown = np.flatnonzero(np.isfinite(boxes3d).all(axis=1))
    boxes = boxes3d[shown].astype(np.float64)
    names = [CLASSES[n] if 0 <= n < len(CLASSES) else "object" for n in labels[shown].tolist()]
    colors: list[tuple[float, ...]] = [color_of_class(n) for n in labels[shown].tolist()]
    if "scores" in arrays and "track_ids" in arrays:  # truth has ids too, but those of the data set
        ids = arrays["track_ids"][shown].tolist()
        names, colors = [f"{name} {i}" for name, i in zip(names, ids, strict=True)], [color_of_id(i) for i in ids]
    half = boxes[:, 6] / 2
    turned = np.stack([np.zeros(len(boxes)), np.zeros(len(boxes)), np.sin(half), np.cos(half)], 1)
    return library().Boxes3D(
        centers=boxes[:, :3],
        half_sizes=boxes[:, 3:6] / 2,
        quaternions=turned,
        colors=np.array(colors, np.uint8).reshape(-1, 3),
        labels=names,
    )


_DRAWS: tuple[tuple[Schema, Draw], ...] = ((POINTS, _points), (BOXES3D, _boxes), (TRACKS, _boxes), (TRUTH, _boxes))
