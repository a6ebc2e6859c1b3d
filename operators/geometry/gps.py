"""GPS/IMU readings <-> poses of the velodyne.     Source: KITTI raw devkit, convertOxtsToPose.m

readings  (K, 6) float64  lat lon [deg], alt [m], roll pitch yaw [rad]: the first columns of KITTI's oxts
poses     (K, 4, 4)       T_world_velo; world = velodyne at row 0

Ground positions use the Mercator projection with the scale of row 0's latitude. Readings are exact to about 2 nm.
"""

from __future__ import annotations

import math

import numpy as np

_EARTH_RADIUS_M = 6378137.0


def poses(readings: np.ndarray, T_velo_imu: np.ndarray) -> np.ndarray:
    """(K, 6 or more) -> (K, 4, 4) float64; row 0 is the identity. K >= 1."""
    scale = _scale(readings[0, 0])
    T_imu_velo = np.linalg.inv(T_velo_imu)
    T_mercator_velo = np.stack([_imu_pose(row, scale) for row in readings]) @ T_imu_velo
    out = np.linalg.inv(T_mercator_velo[0]) @ T_mercator_velo
    out[0] = np.eye(4)  # without the rounding of inv
    return out


def enu_pose(reading: np.ndarray) -> np.ndarray:
    """(6 or more,) -> (4, 4) T_enu_imu of a sequence's first reading: axes east, north, up, origin at the IMU."""
    T = _imu_pose(reading, 1.0)
    T[:3, 3] = 0.0
    return T


def readings(
    T_world_velo: np.ndarray, T_velo_imu: np.ndarray, origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> np.ndarray:
    """(K, 4, 4) -> (K, 6), the inverse of `poses`. At the identity the IMU is at `origin` (lat lon [deg], alt [m]), level,
    facing east."""
    scale = _scale(origin[0])
    T_mercator_imu = _imu_pose(np.array([*origin, 0.0, 0.0, 0.0]), scale) @ np.linalg.inv(T_velo_imu) @ T_world_velo @ T_velo_imu
    return np.stack([_reading(T, scale) for T in T_mercator_imu]) if len(T_mercator_imu) else np.empty((0, 6))


def _scale(lat_deg: float) -> float:
    return math.cos(lat_deg * math.pi / 180)


def _imu_pose(reading: np.ndarray, scale: float) -> np.ndarray:
    """(6,) -> (4, 4) T_mercator_imu."""
    lat_deg, lon_deg, alt_m, roll, pitch, yaw = reading[:6]
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


def _reading(T_mercator_imu: np.ndarray, scale: float) -> list[float]:
    R, (x, y, alt_m) = T_mercator_imu[:3, :3], T_mercator_imu[:3, 3]
    return [
        math.atan(math.exp(y / (scale * _EARTH_RADIUS_M))) * 360 / math.pi - 90,
        x * 180 / (scale * math.pi * _EARTH_RADIUS_M),
        alt_m,
        math.atan2(R[2, 1], R[2, 2]),
        math.atan2(-R[2, 0], math.hypot(R[0, 0], R[1, 0])),
        math.atan2(R[1, 0], R[0, 0]),
    ]
