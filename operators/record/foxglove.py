"""Recordings that Foxglove opens: our streams as its well-known schemas.

POINTS                       PointCloud; its `data` is the array itself
pictures (uint8, uint16,     RawImage, its `data` the array itself; or, on request, CompressedImage: png (lossless) if the
float32; frame "image")      format can hold the numbers, jpeg (lossy) for uint8 that are no classes
BOXES3D, TRUTH, TRACKS       SceneUpdate: a cube per box; tracks are named and coloured by id. DontCare is not drawn
POSE                         FrameTransforms: velodyne in world
CALIBRATION                  CameraCalibration, and on TOPIC/tf FrameTransforms: camera in velodyne
drops                        Log

A stream is recognised by the name and arrays of its schema; other streams are stored unchanged (recording/message.py).
Empty frame: a cloud without points; a scene entity without cubes, which replaces the last entity of its id: Foxglove shows none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from operators.record import pictures, scene
from operators.record.schemas import well_known
from operators.streams import BOXES3D, CALIBRATION, POINTS, POSE, TRACKS, TRUTH
from pipeline.frame import Header
from pipeline.recording import protowire as wire
from pipeline.recording.message import RAW, Body, Encoder, Format, raw
from pipeline.schema import Port, Schema

CAMERA, VELODYNE, WORLD = "camera", "velodyne", "world"
_FLOAT32 = 7  # PackedElementField.NumericType
_WARNING = 3  # Log.Level
_ENCODINGS = {("uint8", 3): "rgb8", ("uint8", 2): "mono8", ("uint16", 2): "mono16", ("float32", 2): "32FC1"}
"""(dtype, dimensions) of a picture -> RawImage.encoding."""
_PNG, _JPEG = "png", "jpeg"
_PNG_LEVEL, _JPEG_QUALITY = 1, 90
_IDENTITY = wire.bytes_(1, b"") + wire.bytes_(2, wire.double(4, 1.0))  # Pose


class Foxglove(Format):
    log_schema = well_known("Log")

    def encoder(self, name: str, port: Port, images: str) -> Encoder | None:
        contract = port.schema
        picture = _encoding(contract)
        if picture is not None:
            classes = next(iter(contract.arrays.values())).unit == "class"  # JPEG changes numbers
            codec = _codec(picture, RAW if classes and images == _JPEG else images)
            return _RawImage(contract, picture) if codec == RAW else _CompressedImage(contract, codec)
        for known, make in _ENCODERS:
            if contract.name == known.name and not contract.any and contract.mismatch(known) is None:
                return make(name, contract)
        return None

    def log(self, stamp_ns: int, name: str, message: str) -> bytes:
        return wire.timestamp(1, stamp_ns) + wire.number_(2, _WARNING) + wire.text(3, message) + wire.text(4, name)

    def decode(self, codec: str, data: bytes, shape: tuple[int, ...]) -> np.ndarray:
        found = pictures.size(codec, data)
        if found != shape[:2]:
            raise ValueError(f"its {codec} needs {shape[:2]} pixels, got {found}")
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            image = None
        if image is None:
            raise ValueError(f"its {codec} cannot be read")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if image.ndim == 3 else image


def _encoding(contract: Schema) -> str | None:
    """RawImage.encoding of a stream of pictures."""
    if contract.frame != "image" or len(contract.arrays) != 1:
        return None
    (array,) = contract.arrays.values()
    if len(array.shape) == 3 and array.shape[2] != 3:
        return None
    return _ENCODINGS.get((array.dtype, len(array.shape)))


def _codec(encoding: str, images: str) -> str:
    if images == _PNG and encoding != "32FC1":
        return _PNG
    return _JPEG if images == _JPEG and encoding in ("rgb8", "mono8") else RAW


class _RawImage(Encoder):
    schema = well_known("RawImage")

    def __init__(self, contract: Schema, encoding: str) -> None:
        self._encoding = encoding
        (self._array,) = contract.arrays

    def encode(self, header: Header, arrays: Mapping[str, np.ndarray]) -> Body:
        image = arrays[self._array]
        height, width = image.shape[:2]
        data = raw(image)
        fields = wire.timestamp(1, header.stamp_ns) + wire.text(7, CAMERA) + wire.fixed32(2, width) + wire.fixed32(3, height)
        step = width * image.itemsize * (3 if image.ndim == 3 else 1)
        fields += wire.text(4, self._encoding) + wire.fixed32(5, step) + wire.head(6, len(data))
        return Body([fields, data], {self._array: (1, RAW)})


class _CompressedImage(Encoder):
    schema = well_known("CompressedImage")

    def __init__(self, contract: Schema, codec: str) -> None:
        self._codec = codec
        (self._array,) = contract.arrays
        quality = [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL] if codec == _PNG else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        self._settings = quality

    def encode(self, header: Header, arrays: Mapping[str, np.ndarray]) -> Body:
        image = arrays[self._array]
        if not image.size:
            return Body([wire.timestamp(1, header.stamp_ns) + wire.text(4, CAMERA)])  # PNG cannot hold an empty picture
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
        _, packed = cv2.imencode(f".{self._codec}", bgr, self._settings)
        data = packed.data
        fields = wire.timestamp(1, header.stamp_ns) + wire.text(4, CAMERA) + wire.text(3, self._codec) + wire.head(2, len(data))
        return Body([fields, data], {self._array: (1, self._codec)})


class _PointCloud(Encoder):
    schema = well_known("PointCloud")

    def __init__(self, name: str, contract: Schema) -> None:
        columns = ("x", "y", "z", "intensity")
        packed = [wire.text(1, c) + wire.fixed32(2, 4 * i) + wire.number_(3, _FLOAT32) for i, c in enumerate(columns)]
        self._fixed = wire.text(2, contract.frame) + wire.bytes_(3, _IDENTITY) + wire.fixed32(4, 4 * len(columns))
        self._fixed += b"".join(wire.bytes_(5, p) for p in packed)

    def encode(self, header: Header, arrays: Mapping[str, np.ndarray]) -> Body:
        data = raw(arrays["points"])
        return Body([wire.timestamp(1, header.stamp_ns) + self._fixed + wire.head(6, len(data)), data], {"points": (1, RAW)})


class _Scene(Encoder):
    schema = well_known("SceneUpdate")

    def __init__(self, name: str, contract: Schema) -> None:
        self._id, self._frame = name, contract.frame

    def encode(self, header: Header, arrays: Mapping[str, np.ndarray]) -> Body:
        boxes3d = arrays["boxes3d"]
        shown = np.flatnonzero(np.isfinite(boxes3d).all(axis=1))
        # truth has ids too, but those of the data set
        ids = arrays["track_ids"][shown] if "scores" in arrays and "track_ids" in arrays else None
        cubes = scene.boxes(boxes3d[shown], arrays["labels"][shown], ids)
        entity = wire.timestamp(1, header.stamp_ns) + wire.text(2, self._frame) + wire.text(3, self._id) + cubes
        return Body([wire.bytes_(2, entity)])


class _Pose(Encoder):
    schema = well_known("FrameTransforms")

    def __init__(self, name: str, contract: Schema) -> None:
        pass

    def encode(self, header: Header, arrays: Mapping[str, np.ndarray]) -> Body:
        return Body([scene.transform(header.stamp_ns, WORLD, VELODYNE, arrays["T_world_velo"])])


class _Calibration(Encoder):
    schema = well_known("CameraCalibration")
    extra = {"tf": well_known("FrameTransforms")}

    def __init__(self, name: str, contract: Schema) -> None:
        pass

    def encode(self, header: Header, arrays: Mapping[str, np.ndarray]) -> Body:
        P_cam, (width, height) = arrays["P_cam"], arrays["image_size"].tolist()
        fields = wire.timestamp(1, header.stamp_ns) + wire.text(9, CAMERA) + wire.fixed32(2, width) + wire.fixed32(3, height)
        fields += wire.doubles(6, P_cam[:, :3].ravel()) + wire.doubles(7, np.eye(3).ravel()) + wire.doubles(8, P_cam.ravel())
        T_velo_cam = np.linalg.inv(arrays["T_cam_velo"])
        return Body([fields], extra={"tf": scene.transform(header.stamp_ns, VELODYNE, CAMERA, T_velo_cam)})


_ENCODERS: tuple[tuple[Schema, Any], ...] = (
    (POINTS, _PointCloud),
    (BOXES3D, _Scene),
    (TRACKS, _Scene),
    (TRUTH, _Scene),
    (POSE, _Pose),
    (CALIBRATION, _Calibration),
)
