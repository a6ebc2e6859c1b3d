"""Where the lasers of a unit point: the manual's table of its model, or the unit's own file in the layout of the ROS driver.

The YAML has `lasers`, each with laser_id, rot_correction, vert_correction [rad] and, where the unit has them, dist_correction,
dist_correction_x, dist_correction_y, vert_offset_correction, horiz_offset_correction, focal_distance [m], focal_slope,
min_intensity, max_intensity, two_pt_correction_available (absent: true where x or y is not 0); newer files have
distance_resolution [m]. The formulas are those of velodyne-decoder 3.1; those of the ROS driver differ by up to 5 cm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drivers.velodyne.models import TURN, Model
from operators import folders, textfile
from operators.kernels import velodyne as kernel
from pipeline.errors import GraphError, InputError
from pipeline.graph import yamlfile

_NUMBERS = {
    "dist_correction": kernel.FAR, "dist_correction_x": kernel.FAR_X, "dist_correction_y": kernel.FAR_Y,
    "vert_offset_correction": kernel.UP, "horiz_offset_correction": kernel.SIDE, "min_intensity": kernel.LEAST,
    "max_intensity": kernel.MOST, "focal_slope": kernel.SLOPE,
}  # fmt: skip
_ANGLES = ("rot_correction", "vert_correction")
_DEFAULTS = {"max_intensity": 255.0}
_FOCAL_M = 131.0
MAX_VALUE = 1e4


@dataclass(frozen=True, slots=True)
class Calibration:
    """lasers (L, 14) float64: see kernel.ROT ... RING; distance_m: of one count; exact: more than the angles are known."""

    lasers: np.ndarray
    distance_m: float
    exact: bool


def turns() -> np.ndarray:
    """(36000, 2) float64: cosine and sine of each azimuth."""
    angles = np.arange(TURN) * (2 * np.pi / TURN)
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def calibration_of(model: Model, file: str = "") -> Calibration:
    """The unit's own file, or else the manual's table. Raises InputError; an HDL-64E has no table."""
    if file:
        return read(folders.at(file), model)
    if not model.vertical_deg:
        raise InputError(
            f"config.lasers: needs the file of this {model.name}, got none: its lasers differ from unit to unit; "
            "gen_calibration.py of the ROS driver makes one of the db.xml that comes with the sensor"
        )
    rows = [
        {"rot_correction": -math.radians(azimuth), "vert_correction": math.radians(vertical)}
        for azimuth, vertical in zip(model.azimuth_deg, model.vertical_deg, strict=True)
    ]
    return _made(rows, model.distance_m)


def read(path: Path, model: Model) -> Calibration:
    """Raises InputError naming file and key."""
    try:
        data, _ = yamlfile.read("\n".join(textfile.lines(path)), str(path))
    except GraphError as error:
        raise InputError(str(error)) from None
    rows = data.get("lasers") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: lasers: needs a list of lasers with {', '.join(_ANGLES)}; made by the ROS driver?")
    if len(rows) != model.lasers:
        raise InputError(f"{path}: lasers: needs {model.lasers} of a {model.name}, got {len(rows)}")
    by_id: list[dict[str, float]] = [{}] * model.lasers
    for n, row in enumerate(rows):
        at = _number(path, row, "laser_id", n)
        if at != int(at) or not 0 <= at < model.lasers or by_id[int(at)]:
            raise InputError(f"{path}: lasers: laser_id: needs each of 0..{model.lasers - 1} once, got {at:g}")
        by_id[int(at)] = _row(path, row)
    return _made(by_id, _number(path, data, "distance_resolution", model.distance_m))


def _row(path: Path, row: dict[str, Any]) -> dict[str, float]:
    for key in _ANGLES:
        if key not in row:
            raise InputError(f"{path}: lasers: {key}: needs an angle [rad] of each laser, got none in {str(row)[:60]}")
    values = {key: _number(path, row, key, _DEFAULTS.get(key, 0.0)) for key in (*_ANGLES, *_NUMBERS, "focal_distance")}
    near = bool(values["dist_correction_x"] or values["dist_correction_y"])
    return {**values, "two_pt_correction_available": _number(path, row, "two_pt_correction_available", near)}


def _number(path: Path, row: dict[str, Any], key: str, default: float) -> float:
    value = row.get(key, default)
    if not isinstance(value, (int, float)) or not abs(value) <= MAX_VALUE:  # also NaN
        raise InputError(f"{path}: {key}: needs a number, got {str(value)[:60]}")
    return float(value)


def _made(rows: Sequence[Mapping[str, float]], distance_m: float) -> Calibration:
    lasers = np.zeros((len(rows), kernel.RING + 1))
    lasers[:, kernel.MOST] = 255
    for n, row in enumerate(rows):
        lasers[n, kernel.ROT] = row["rot_correction"]
        lasers[n, kernel.COS], lasers[n, kernel.SIN] = math.cos(row["vert_correction"]), math.sin(row["vert_correction"])
        for key, column in _NUMBERS.items():
            lasers[n, column] = row.get(key, _DEFAULTS.get(key, 0.0))
        lasers[n, kernel.FOCAL] = (1 - row.get("focal_distance", 0.0) / _FOCAL_M) ** 2
        lasers[n, kernel.TWO_POINT] = row.get("two_pt_correction_available", 0.0)
    for column in (kernel.LEAST, kernel.MOST):
        lasers[:, column] = np.floor(lasers[:, column])
    corrected = (kernel.FAR, kernel.FAR_X, kernel.FAR_Y, kernel.UP, kernel.SIDE, kernel.LEAST, kernel.SLOPE)
    exact = bool(lasers[:, corrected].any() or (lasers[:, kernel.MOST] != 255).any())
    order = np.argsort([-row["vert_correction"] for row in rows], kind="stable")
    lasers[order, kernel.RING] = np.arange(len(rows))
    return Calibration(lasers, distance_m, exact)
