"""A spinning LiDAR over flat ground and boxes: one ray per ring and column, nearest hit.

So density falls with distance, only faces towards the sensor get points, and objects cast shadows.
"""

from __future__ import annotations

import math

import numpy as np

from drivers.synthetic.road import SENSOR_HEIGHT_M

RINGS, COLUMNS = 48, 480
GROUND, NOTHING = -1, -2
_LOWEST_RAD, _HIGHEST_RAD = math.radians(-24.8), math.radians(2.0)  # as the HDL-64E of KITTI


def directions() -> np.ndarray:
    """(RINGS, COLUMNS, 3) float64 unit vectors, velodyne frame. math, not numpy: numpy's sine differs between CPUs."""
    elevations = [_LOWEST_RAD + (_HIGHEST_RAD - _LOWEST_RAD) * ring / (RINGS - 1) for ring in range(RINGS)]
    azimuths = [-math.pi + (column + 0.5) * 2 * math.pi / COLUMNS for column in range(COLUMNS)]
    out = np.empty((RINGS, COLUMNS, 3))
    out[:, :, 0] = np.outer([math.cos(e) for e in elevations], [math.cos(a) for a in azimuths])
    out[:, :, 1] = np.outer([math.cos(e) for e in elevations], [math.sin(a) for a in azimuths])
    out[:, :, 2] = np.array([math.sin(e) for e in elevations])[:, None]
    return out


def cast(rays: np.ndarray, boxes3d: np.ndarray, max_range_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Rays from the origin -> range (RINGS, COLUMNS) [m], hit: index of the box, GROUND or NOTHING (range inf).

    boxes3d (M, 7) float64, velodyne frame; M = 0 leaves the ground.
    """
    with np.errstate(divide="ignore"):
        ranges = np.where(rays[:, :, 2] < 0, -SENSOR_HEIGHT_M / rays[:, :, 2], np.inf)
    hit = np.where(ranges <= max_range_m, GROUND, NOTHING)
    ranges[hit == NOTHING] = np.inf
    for index, box in enumerate(boxes3d):
        columns = _columns(box)
        near = _enter_box(rays[:, columns], box)
        closer = near < ranges[:, columns]
        ranges[:, columns] = np.where(closer, near, ranges[:, columns])
        hit[:, columns] = np.where(closer, index, hit[:, columns])
    return ranges, hit


def _columns(box: np.ndarray) -> np.ndarray:
    """The columns that may hit the box: those towards its circumscribed circle."""
    distance, radius = math.hypot(box[0], box[1]), math.hypot(box[3], box[4]) / 2
    if distance <= radius:
        return np.arange(COLUMNS)
    middle, half = math.atan2(box[1], box[0]), math.asin(radius / distance)
    first, last = (math.floor((middle + side * half + math.pi) / (2 * math.pi) * COLUMNS) for side in (-1, 1))
    return np.arange(first, last + 1) % COLUMNS


def _enter_box(rays: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Distance at which each ray enters the box, inf for a miss: the slab test, in the box's own axes."""
    x, y, z, length, width, height, yaw = box
    c, s = math.cos(yaw), math.sin(yaw)
    own = (
        (c * rays[..., 0] + s * rays[..., 1], c * x + s * y, length),
        (c * rays[..., 1] - s * rays[..., 0], c * y - s * x, width),
    )
    enter, leave = np.zeros(rays.shape[:2]), np.full(rays.shape[:2], np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        for ray, centre, extent in (*own, (rays[..., 2], z, height)):
            a, b = (centre - extent / 2) / ray, (centre + extent / 2) / ray
            enter, leave = np.maximum(enter, np.minimum(a, b)), np.minimum(leave, np.maximum(a, b))
    return np.where((enter < leave) & (enter > 0), enter, np.inf)
