"""A spinning LiDAR and the triangles around it, for the tests of raycast and returns."""

from typing import NamedTuple

import numpy as np

from operators.kernels import raycast

FAR_M = 60.0
FACES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


class Lidar(NamedTuple):
    tangents: np.ndarray
    groups: np.ndarray
    heights: np.ndarray
    azimuths: np.ndarray
    times: np.ndarray

    @property
    def shape(self):
        return len(self.azimuths), len(self.tangents)


def lidar(columns=36, blocks=((0.5, -0.6, 12, 0.0),), turn=2 * np.pi, ahead=0.0, seconds=0.0):
    """blocks: highest, lowest tangent, beams, height; columns evenly over `turn` (negative: clockwise) around `ahead`."""
    azimuths = ahead + ((np.arange(columns) + 0.5) / columns - 0.5) * turn + 0.01
    return Lidar(
        np.concatenate([np.linspace(high, low, count) for high, low, count, _ in blocks]),
        np.cumsum([0, *(count for _, _, count, _ in blocks)]),
        np.concatenate([np.full(count, height) for *_, count, height in blocks]),
        azimuths,
        np.linspace(-seconds / 2, seconds / 2, columns),
    )


class Cast(NamedTuple):
    ranges: np.ndarray
    hits: np.ndarray
    covered: np.ndarray


def cast(triangles, sensor, drift=None, porosity=0.0, owners=None, far=FAR_M, seed=1, bands=1, keys=None, solid=False):
    triangles = np.array(triangles, np.float64).reshape(-1, 3, 3)
    count = len(triangles)
    owners = np.full(count, -1) if owners is None else np.array(owners, np.int64)
    drift = np.zeros((count, 3)) if drift is None else np.broadcast_to(np.asarray(drift, np.float64), (count, 3)).copy()
    porosity = np.broadcast_to(np.asarray(porosity, np.float64), count).copy()
    keys = np.arange(count) if keys is None else np.array(keys, np.int64)
    ranges, hits = np.full(sensor.shape, np.inf), np.full(sensor.shape, raycast.NOTHING, np.int32)
    covered = np.zeros((bands, int(owners.max(initial=-1)) + 1), np.int64)
    solid = np.broadcast_to(np.asarray(solid, np.bool_), count).copy()
    mesh, beams = raycast.Mesh(triangles, drift, porosity, keys, owners, solid), raycast.Beams(*sensor)
    raycast.cast(mesh, beams, far, seed, raycast.Hits(ranges, hits, covered))
    return Cast(ranges, hits, covered.sum(0))


def box(x, y, z, length, width, height, yaw=0.0):
    """Twelve triangles, counter-clockwise from outside; a pair makes a face."""
    c, s = np.cos(yaw), np.sin(yaw)
    signs = np.array([(a, b, h) for a in (-0.5, 0.5) for b in (-0.5, 0.5) for h in (-0.5, 0.5)]) * (length, width, height)
    corners = signs @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + (x, y, z)
    return np.array([[corners[f[0]], corners[f[k]], corners[f[k + 1]]] for f in FACES for k in (1, 2)])


def many(seed, count=40):
    """Tilted triangles of all sizes on all sides, some above and below the sensor; a road; boxes."""
    rng = np.random.default_rng(seed)
    middles = rng.uniform([-25, -25, -5], [25, 25, 5], (count, 1, 3))
    tilted = middles + rng.normal(0, rng.uniform(0.3, 7, (count, 1, 1)), (count, 3, 3))
    lid = np.array([[(-3, -2, 2.5), (4, -3, 2.0), (0, 5, 3)], [(-9, -9, -1.2), (9, -9, -1.4), (0, 9, -1)]])
    road = np.array([[(-90, -80, -1.7), (90, -80, -1.7), (90, 80, -1.7)], [(-90, -80, -1.7), (90, 80, -1.7), (-90, 80, -1.7)]])
    boxes = [box(*rng.uniform([-20, -20, -1.2], [20, 20, -0.5]), *rng.uniform(0.5, 4.5, 3), rng.uniform(-3, 3)) for _ in range(4)]
    return np.concatenate([tilted, lid, road, *boxes])


WALLS = np.concatenate([box(6, 0, 0, 0.5, 200, 100), box(12, 0, 0, 0.5, 400, 200)])
LEAFY = np.repeat([1.0, 0.0], 12)
