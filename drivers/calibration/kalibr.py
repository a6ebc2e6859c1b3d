"""Kalibr's camchain YAML as a rig: frames cam0, cam1, .. and, where the file has T_cam_imu, imu.

Source: Kalibr's wiki, "yaml formats". T_cam_imu takes points of the IMU to the camera, T_cn_cnm1 those of the previous camera to
this one. Where a camera has both, T_cam_imu counts: Kalibr computes one from the other. The camera model must be pinhole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from drivers.calibration.rig import Pair, Rig, make_lens
from drivers.calibration.rig_file import Matrix4
from pipeline import settings
from pipeline.errors import GraphError, Where


@dataclass(frozen=True, slots=True)
class Cam:
    resolution: tuple[int, int]
    intrinsics: tuple[float, float, float, float]
    camera_model: Literal["pinhole"] = "pinhole"
    distortion_model: Literal["radtan", "equidistant", "none"] = "none"
    distortion_coeffs: tuple[float, ...] = ()
    T_cam_imu: Matrix4 | None = None
    T_cn_cnm1: Matrix4 | None = None

    def __post_init__(self) -> None:
        needs = 0 if self.distortion_model == "none" else 4
        if len(self.distortion_coeffs) != needs:
            raise ValueError(
                f"distortion_coeffs: needs {needs} numbers for {self.distortion_model}, got {len(self.distortion_coeffs)}"
            )


def is_kalibr(data: Mapping[str, Any]) -> bool:
    return "cam0" in data


def read(path: Path, data: Mapping[str, Any], where: Where) -> Rig:
    """Raises GraphError with line and key."""
    cameras, transforms = {}, dict[Pair, np.ndarray]()
    names = [name for name in data if name.startswith("cam") and name[3:].isdecimal()]
    for before, name in zip(["", *names], names, strict=False):
        at = where.child(name)
        given = data[name]
        if not isinstance(given, Mapping):
            raise GraphError(f"{at}: needs a mapping, got {settings.show(given)}")
        cam: Cam = settings.build(Cam, {key: value for key, value in given.items() if key in Cam.__dataclass_fields__}, at)
        fx, fy, cx, cy = cam.intrinsics
        K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        cameras[name] = make_lens(cam.resolution, K, cam.distortion_coeffs, cam.distortion_model == "equidistant")
        if cam.T_cam_imu is not None:
            transforms[name, "imu"] = np.array(cam.T_cam_imu)
        elif cam.T_cn_cnm1 is not None:
            if not before:
                raise GraphError(f"{at.child('T_cn_cnm1')}: needs a camera before {name}, got none")
            transforms[name, before] = np.array(cam.T_cn_cnm1)
    imu = ["imu"] if any(origin == "imu" for _, origin in transforms) else []
    return Rig(str(path), cameras, (*cameras, *imu), transforms)
