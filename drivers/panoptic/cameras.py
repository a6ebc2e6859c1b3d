"""Calibrations of sets that have no LiDAR: the velodyne frame is the camera's own, its axes turned."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from operators import textfile
from operators.geometry.transforms import invert, rigid, turn_of_axes
from operators.streams import Calibration
from pipeline.errors import InputError
from pipeline.outside import parse_json

T_CAM_VELO = invert(rigid(turn_of_axes(("z", "-x", "-y"))))
"""(4, 4): camera (x right, y down, z forward) <- velodyne (x forward, y left, z up), one origin."""


def pinhole(fx: float, fy: float, cx: float, cy: float, size: tuple[int, int]) -> Calibration:
    """size: (width, height)."""
    P_cam = np.array([[fx, 0.0, cx, 0.0], [0.0, fy, cy, 0.0], [0.0, 0.0, 1.0, 0.0]])
    return Calibration(P_cam, T_CAM_VELO, np.array(size, np.int32))


def calibration_of_json(path: Path, size: tuple[int, int]) -> Calibration:
    """Of Cityscapes' *_camera.json: {"intrinsic": {"fx", "fy", "u0", "v0"}}. Raises InputError."""
    try:
        found = parse_json(textfile.read(path))
        fx, fy, u0, v0 = (float(found["intrinsic"][key]) for key in ("fx", "fy", "u0", "v0"))
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path}: needs JSON with intrinsic: fx, fy, u0, v0, got {type(error).__name__}: {error}") from None
    if not all(map(math.isfinite, (fx, fy, u0, v0))) or min(fx, fy) <= 0:
        raise InputError(f"{path}: needs intrinsic: fx, fy above 0, u0, v0, got {[fx, fy, u0, v0]}")
    return pinhole(fx, fy, u0, v0, size)


def same(a: Calibration, b: Calibration) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(a, b, strict=True))
