"""Ego-motion from the GPS/IMU: oxts lines -> pose of the velodyne.     Source: KITTI raw devkit, convertOxtsToPose.m

One line per frame, index = frame number, 30 numbers; used: lat lon [deg], alt [m], roll pitch yaw [rad].
World = velodyne at the sequence's first line, also where the scans start later.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from drivers.kitti.files import numbered, read_lines
from pipeline.errors import InputError

COLUMNS = 30
_EARTH_RADIUS_M = 6378137.0


def read_oxts(path: Path) -> np.ndarray:
    """A file of the tracking layout: (K, 30) float64, row = frame number."""
    lines = read_lines(path)
    if not lines:
        raise InputError(f"{path}: needs a line of {COLUMNS} numbers per frame, got an empty file")
    return np.stack([_parse(path, number, line) for number, line in enumerate(lines, 1)])


def read_oxts_folder(folder: Path) -> dict[int, np.ndarray]:
    """`oxts/data` of the raw layout: frame number -> (30,) float64. A missing folder holds nothing."""
    rows = {}
    for number, path in numbered(folder, ".txt").items():
        lines = read_lines(path)
        if len(lines) != 1:
            raise InputError(f"{path}: needs one line of {COLUMNS} numbers, got {len(lines)} lines")
        rows[number] = _parse(path, 1, lines[0])
    return rows


def _parse(path: Path, number: int, line: str) -> np.ndarray:
    words = line.split()
    try:
        row = np.array(words, np.float64)
    except ValueError:
        raise InputError(f"{path}:{number}: needs {COLUMNS} numbers, got {line.strip()[:40]!r}") from None
    if len(row) != COLUMNS:
        raise InputError(f"{path}:{number}: needs {COLUMNS} numbers, got {len(row)}")
    if not np.isfinite(row).all():
        raise InputError(
            f"{path}:{number}: needs {COLUMNS} numbers, got NaN or infinity in column {int(np.argmin(np.isfinite(row))) + 1}"
        )
    return row


def count_lines(path: Path) -> int:
    """How many frames a file of the tracking layout covers."""
    return len(read_lines(path))


def check_covers(path: Path, num_lines: int, last_frame: int) -> None:
    if num_lines <= last_frame:
        raise InputError(
            f"{path}: needs {last_frame + 1} lines (line = frame number, the last frame is {last_frame:06d}), got {num_lines}"
        )


def imu_pose(row: np.ndarray, scale: float) -> np.ndarray:
    """(30,) -> (4, 4) T_mercator_imu. `scale` is the cosine of the first line's latitude."""
    lat_deg, lon_deg, alt_m, roll, pitch, yaw = row[:6]
    cr, sr, cp, sp, cy, sy = math.cos(roll), math.sin(roll), math.cos(pitch), math.sin(pitch), math.cos(yaw), math.sin(yaw)
    return np.array(
        [  # Rz(yaw) Ry(pitch) Rx(roll)
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr, scale * lon_deg * math.pi * _EARTH_RADIUS_M / 180],
            [
                sy * cp,
                sy * sp * sr + cy * cr,
                sy * sp * cr - cy * sr,
                scale * _EARTH_RADIUS_M * math.log(math.tan((90 + lat_deg) * math.pi / 360)),
            ],
            [-sp, cp * sr, cp * cr, alt_m],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def enu_pose(row: np.ndarray) -> np.ndarray:
    """(30,) -> (4, 4) T_enu_imu of a sequence's first line: axes east, north, up, origin where the IMU is."""
    T = imu_pose(row, 1.0)
    T[:3, 3] = 0.0
    return T


def poses(rows: np.ndarray, T_velo_imu: np.ndarray) -> np.ndarray:
    """(K, 30) -> (K, 4, 4) float64 T_world_velo; row 0 is the identity."""
    scale = math.cos(rows[0, 0] * math.pi / 180)
    T_imu_velo = np.linalg.inv(T_velo_imu)
    T_mercator_velo = np.stack([imu_pose(row, scale) for row in rows]) @ T_imu_velo
    out = np.linalg.inv(T_mercator_velo[0]) @ T_mercator_velo
    out[0] = np.eye(4)  # without the rounding of inv
    return out
