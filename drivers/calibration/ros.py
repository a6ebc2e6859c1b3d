"""ROS `camera_info` as a rig of one camera: the YAML of camera_calibration_parsers, or a message printed by `ros2 topic echo`.

Source: sensor_msgs/CameraInfo. R turns the camera into the rectified camera, P[:, :3] are intrinsics of the rectified picture.
The last column of P, the baseline of a stereo pair, is no property of this lens and is left out: such a pair needs a transform.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from drivers.calibration.rig import Rig, make_lens
from pipeline import settings
from pipeline.errors import GraphError, Where

_MODELS = {
    "plumb_bob": (0, 4, 5),
    "radtan": (0, 4, 5),
    "rational_polynomial": (0, 8),
    "equidistant": (0, 4),
    "fisheye": (0, 4),
    "none": (0,),
    "": (0, 4, 5),
}
_FISHEYE = ("equidistant", "fisheye")
_OF_MESSAGE = {"k": "camera_matrix", "d": "distortion_coefficients", "r": "rectification_matrix", "p": "projection_matrix"}
_SIZES = {"width": "image_width", "height": "image_height"}


@dataclass(frozen=True, slots=True)
class Matrix:
    data: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class CameraInfo:
    image_width: int
    image_height: int
    camera_matrix: Matrix
    camera_name: str = "camera"
    distortion_model: str = "plumb_bob"
    distortion_coefficients: Matrix = field(default_factory=Matrix)
    rectification_matrix: Matrix = field(default_factory=Matrix)
    projection_matrix: Matrix = field(default_factory=Matrix)

    def __post_init__(self) -> None:
        if self.distortion_model not in _MODELS:
            known = ", ".join(filter(None, _MODELS))
            raise ValueError(f"distortion_model: needs one of {known}, got {self.distortion_model!r}")
        for key, counts in (
            ("camera_matrix", (9,)),
            ("distortion_coefficients", _MODELS[self.distortion_model]),
            ("rectification_matrix", (0, 9)),
            ("projection_matrix", (0, 12)),
        ):
            if (got := len(getattr(self, key).data)) not in counts:
                raise ValueError(f"{key}: needs {' or '.join(str(n) for n in counts if n)} numbers, got {got}")


def is_ros(data: Mapping[str, Any]) -> bool:
    return "camera_matrix" in data or {"k", "width"} <= {key.lower() for key in data}


def read(path: Path, data: Mapping[str, Any], where: Where) -> Rig:
    """Raises GraphError with line and key."""
    info: CameraInfo = settings.build(CameraInfo, _named(data, where), where)
    K = np.reshape(info.camera_matrix.data, (3, 3))
    R = np.reshape(info.rectification_matrix.data or np.eye(3), (3, 3))
    P = np.reshape(info.projection_matrix.data or np.c_[K, np.zeros(3)], (3, 4))
    name = re.sub(r"\W", "_", info.camera_name.strip("/"), flags=re.ASCII) or "camera"
    fisheye = info.distortion_model in _FISHEYE
    lens = make_lens((info.image_width, info.image_height), K, info.distortion_coefficients.data, fisheye, R, P[:, :3])
    return Rig(str(path), {name: lens}, (name,), {})


def _named(data: Mapping[str, Any], where: Where) -> dict[str, Any]:
    """The keys of the file's form that count; those of a message, in upper or lower case, get its names."""
    out: dict[str, Any] = {}
    for key, value in data.items():
        plain = key.lower()
        if plain in _OF_MESSAGE:
            out[_OF_MESSAGE[plain]] = {"data": value}
        elif plain in _SIZES:
            out[_SIZES[plain]] = value
        elif key in CameraInfo.__dataclass_fields__:
            if isinstance(value, Mapping):
                if "data" not in value:
                    raise GraphError(f"{where.child(key)}: needs rows, cols, data, got {', '.join(value) or 'nothing'}")
                value = {"data": value["data"]}
            out[key] = value
    return out
