"""A spinning LiDAR in a scene: beams, returns, and the reported points.

The beams of the HDL-64E are fitted to KITTI's scans (one line per ring): two blocks of 32, the upper block 0.20 m and the
lower block 0.12 m above the origin of the velodyne frame. A sweep starts behind the sensor, turns counter-clockwise and
points ahead at its stamp. Each point is reported relative to the sensor's position when it was measured, so motion distorts
the scan as in a real sensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from drivers.synthetic import materials
from drivers.synthetic.scene import Scene
from operators.kernels import raycast
from operators.kernels.returns import Directions, Surfaces, returns

Beams = Literal["hdl64e", "hdl32e", "vlp16", "os1_64", "os0_128"]
BEAMS: dict[str, tuple[tuple[float, float, int, float], ...]] = {  # blocks: highest, lowest elevation [deg], beams, height [m]
    "hdl64e": ((1.94, -8.71, 32, 0.20), (-9.03, -25.0, 32, 0.12)),
    "hdl32e": ((10.67, -30.67, 32, 0.0),),
    "vlp16": ((15.0, -15.0, 16, 0.0),),
    "os1_64": ((22.5, -22.5, 64, 0.0),),
    "os0_128": ((45.0, -45.0, 128, 0.0),),
}
_GLOSSY = {
    materials.CAR_PAINT: 0.8, materials.CAR_GLASS: 0.95, materials.CAR_PLASTIC: 0.6, materials.WINDOW: 0.95,
    materials.HEADLIGHT: 0.5, materials.FOLIAGE: 0.3, materials.BUILDING: 0.1, materials.METAL: 0.3,
}  # fmt: skip
_ROUGH_M = {materials.FOLIAGE: 0.12, materials.GRASS: 0.03, materials.FENCE: 0.02, materials.SOIL: 0.01}


@dataclass(frozen=True, slots=True)
class LidarConfig:
    beams: Beams = "hdl64e"
    columns: int = 2155  # per full turn
    view_deg: float = 360.0  # field of view, centred ahead
    crop: Literal["none", "camera", "mixed"] = (
        "none"  # camera: only points in the image, as KITTI labels; mixed: every other drive
    )
    range_m: float = 80.0
    nearest_m: float = 1.5
    noise_m: float = 0.02  # standard deviation of a range
    beam_mrad: float = 0.0  # width of a beam, across the columns; 0: rays without width
    weakest: float = 0.0002  # reflectance x cosine of incidence at 10 m for which 63 % return; 0: all return
    lost: float = 0.002  # share of returns lost at random
    leaves: float = 0.25  # share of rays that pass through a leaf
    sweep: bool = True  # the sensor moves while it turns; false: the whole turn at once
    clockwise: bool = False  # seen from above, as Velodyne's sensors turn

    def __post_init__(self) -> None:
        limits = {
            "columns": (8, 4096), "view_deg": (1, 360), "range_m": (5, 250), "nearest_m": (0, 10), "noise_m": (0, 1),
            "beam_mrad": (0, 20), "weakest": (0, 1), "lost": (0, 1), "leaves": (0, 1),
        }  # fmt: skip
        for key, (low, high) in limits.items():
            if not low <= getattr(self, key) <= high:
                raise ValueError(f"{key}: needs {low}..{high}, got {getattr(self, key)}")


class Scan(NamedTuple):
    """points (N, 4) float32, on (N,) int64: triangle of the scene that each point lies on; hidden (M,) float64: share of the
    rays towards each object that something else blocks, 1 if there are no such rays."""

    points: np.ndarray
    on: np.ndarray
    hidden: np.ndarray


class SpinningLidar:
    def __init__(self, config: LidarConfig, rate_hz: float, threads: int) -> None:
        self.config, self.threads = config, max(threads, 1)
        blocks = BEAMS[config.beams]
        self.elevations = np.radians(np.concatenate([np.linspace(high, low, count) for high, low, count, _ in blocks]))
        self.heights = np.concatenate([np.full(count, height) for *_, count, height in blocks])
        self.groups = np.cumsum([0, *(count for *_, count, _ in blocks)])
        columns = max(1, round(config.columns * config.view_deg / 360))
        step = 2 * math.pi / config.columns
        self.azimuths = (np.arange(columns) - (columns - 1) / 2) * step
        turning = -1.0 if config.clockwise else 1.0
        self.times = turning * self.azimuths / (2 * math.pi * rate_hz) if config.sweep else np.zeros(columns)
        self.ranges = np.empty((columns, len(self.elevations)))
        self.hits = np.empty((columns, len(self.elevations)), np.int32)
        self.points = np.empty((columns * len(self.elevations), 4), np.float32)
        self.ids = np.empty(columns * len(self.elevations), np.int64)

    @property
    def half_view_rad(self) -> float:
        return math.pi if self.config.view_deg >= 360 else math.radians(self.config.view_deg / 2)

    def scan(self, scene: Scene, seed: int) -> Scan:
        """The next scan overwrites the arrays."""
        table, of = materials.MATERIALS, scene.materials
        covered = self.cast(scene, seed)
        surfaces = Surfaces(scene.reflectance, table.drop[of], _GLOSS[of], table.retro[of], _ROUGH[of], np.arange(len(of)))
        num = self.report(scene.triangles, surfaces, seed)
        objects = scene.objects
        hit = scene.owners[self.hits[self.hits != raycast.NOTHING]]
        met = np.bincount(hit[hit >= 0], minlength=len(objects.labels))
        hidden = 1 - met / np.maximum(covered.sum(0), 1)
        return Scan(self.points[:num], self.ids[:num], hidden)

    def rings_of(self, points: np.ndarray) -> np.ndarray:
        """(N, 4) of a scan -> (N,) uint8: the beam of each point, 0 = the highest. Rounded to millimetres, points are nearer to
        their own beam than to any other: seen from the height of the other block, they lie outside that block."""
        best, rings = np.full(len(points), np.inf), np.zeros(len(points), np.uint8)
        away = np.hypot(points[:, 0], points[:, 1], dtype=np.float64)
        for start, end in zip(self.groups, self.groups[1:], strict=False):
            rising = self.elevations[start:end][::-1]
            seen = np.arctan2(points[:, 2] - self.heights[start], away)
            beam = np.searchsorted((rising[1:] + rising[:-1]) / 2, seen)
            error = np.abs(rising[beam] - seen)
            nearer = error < best
            best[nearer], rings[nearer] = error[nearer], end - 1 - beam[nearer]
        return rings

    def cast(self, scene: Scene, seed: int) -> np.ndarray:
        """Fills `ranges` and `hits`; returns `covered` of the kernel."""
        config, objects = self.config, scene.objects
        moving = np.concatenate([objects.velocities, np.zeros((1, 3))])[scene.owners]
        covered = np.zeros((self.threads, len(objects.labels)), np.int64)
        self.ranges.fill(np.inf)
        self.hits.fill(raycast.NOTHING)
        porosity = np.where(scene.materials == materials.FOLIAGE, config.leaves, 0.0)
        solid = _SOLID[scene.materials]
        mesh = raycast.Mesh(scene.triangles, scene.ego_velocity - moving, porosity, scene.keys, scene.owners, solid)
        azimuths = self.azimuths * (1 + self._turn(scene))
        beams = raycast.Beams(np.tan(self.elevations), self.groups, self.heights, azimuths, self.times)
        raycast.cast(mesh, beams, config.range_m, seed, raycast.Hits(self.ranges, self.hits, covered))
        return covered

    def report(self, triangles: np.ndarray, surfaces: Surfaces, seed: int) -> int:
        """`ranges` and `hits` -> `points` and `ids` (owners); returns their number. triangles (T, 3, 3) float64, sensor frame."""
        config = self.config
        width = min(config.beam_mrad / 2000 / (2 * math.pi / config.columns), 1.0)
        limits = np.array([config.nearest_m, config.range_m, config.noise_m, config.weakest, config.lost, width])
        directions = Directions(self.elevations, self.heights, self.azimuths)
        return returns(self.ranges, self.hits, triangles, surfaces, directions, limits, seed, self.points, self.ids)

    def _turn(self, scene: Scene) -> float:
        """Additional rotation of the sensor during a sweep due to the ego's rotation."""
        if not self.config.sweep or len(self.times) < 2:
            return 0.0
        return scene.ego_yaw_rate * (self.times[-1] - self.times[0]) / (self.azimuths[-1] - self.azimuths[0])


_GLOSS = np.array([_GLOSSY.get(m, 0.0) for m in range(len(materials.MATERIALS.names))], np.float32)
_SOLID = materials.CLOSED & (np.arange(len(materials.CLOSED)) != materials.FOLIAGE)
_ROUGH = np.array([_ROUGH_M.get(m, 0.0) for m in range(len(materials.MATERIALS.names))], np.float32)
