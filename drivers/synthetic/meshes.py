"""A spinning LiDAR moving through meshes from files: PLY, OBJ, STL, OFF, GLB, glTF. Needs the extra `open3d`.

out  points       (N, 4) float32     x y z [m, velodyne frame], intensity [0..1]
     point_ids    (N,) int64         number of the mesh that each point lies on: its index in `files`, from 0
     depth        (H, W) float32     depth image of a camera like KITTI's [m along its axis], inf = nothing
     pixel_ids    (H, W) int64       number of the mesh that each pixel shows, -1 = none
     pose         (4, 4) float64     T_world_velo, world = velodyne at frame 0
     calibration  static, of that camera

The sensor follows `waypoints` through the meshes, upright, facing along its path. Beams, sweep, noise and losses are those of
`synthetic.world`; Open3D's RaycastingScene (Embree) casts the rays, in time logarithmic in the number of triangles.
All output is a function of (config, frame). Nothing within range: N = 0. Materials, axes, limits: README.md beside this file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from drivers.extra import load_open3d, need_open3d
from drivers.listing import listed
from drivers.synthetic import mesh_files
from drivers.synthetic.camera import NEAR_M, in_picture, kitti_like_calibration
from drivers.synthetic.mesh_files import Pose
from drivers.synthetic.spinning import LidarConfig, SpinningLidar, Surfaces
from drivers.synthetic.waypoints import Way
from drivers.synthetic.world import CameraConfig
from operators.geometry.transforms import invert, rigid, rotation_z, turn_of_axes
from operators.kernels.raycast import NOTHING
from operators.streams import CALIBRATION, DEPTH, PIXEL_IDS, POINT_IDS, POINTS, POSE
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.operator import Found, Source
from pipeline.schema import static

_WHO = "synthetic.meshes"


@dataclass(frozen=True, slots=True)
class PlaceConfig:
    """Placement of a mesh: scale, then rotation about +z, then shift."""

    x_m: float = 0.0
    y_m: float = 0.0
    z_m: float = 0.0
    yaw_rad: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        _finite(self, "x_m", "y_m", "z_m", "yaw_rad", "scale")
        if self.scale <= 0:
            raise ValueError(f"scale: needs a number above 0, got {self.scale}")


@dataclass(frozen=True, slots=True)
class MeshesConfig:
    files: str | list[str] = ""  # a file, a folder of .ply .obj .stl .off .glb .gltf, or a list of them; a file may appear twice
    unit_m: float = 1.0  # of the files' coordinates: 0.001 for millimetres
    axes: tuple[str, str, str] = ("x", "y", "z")  # which of the files' axes point forward, left, up; glTF's: [z, x, y]
    places: tuple[PlaceConfig, ...] = ()  # one for each mesh; (): coordinates are used unchanged
    reflectance: tuple[float, ...] = (0.3,)  # one for each mesh, or one for all
    waypoints: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 1.73),)  # of the sensor [m]; one: the sensor stands there
    speed_mps: float = 5.0
    yaw_rad: float = 0.0  # angle of the sensor to the left of its path
    frames: int | None = None  # None: until the last waypoint
    rate_hz: float = 10.0
    seed: int = 7
    lidar: LidarConfig = field(default_factory=LidarConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)

    def __post_init__(self) -> None:
        _finite(self, "unit_m", "speed_mps", "yaw_rad", "rate_hz")
        turn_of_axes(self.axes)
        for key in ("unit_m", "rate_hz"):
            if getattr(self, key) <= 0:
                raise ValueError(f"{key}: needs a number above 0, got {getattr(self, key)}")
        if not self.waypoints or not np.isfinite(self.waypoints).all():
            raise ValueError(f"waypoints: needs at least one, of finite numbers, got {[list(p) for p in self.waypoints]}")
        if self.speed_mps < 0 or (self.speed_mps == 0 and self.frames is None and way(self).length_m):
            raise ValueError(f"speed_mps: needs a number above 0 to reach the last waypoint, got {self.speed_mps}; set frames?")
        if self.frames is not None and self.frames < 0:
            raise ValueError(f"frames: needs 0 or more, got {self.frames}")
        if not all(0 <= value <= 1 for value in self.reflectance):
            raise ValueError(f"reflectance: needs numbers 0..1, got {list(self.reflectance)}")
        if self.seed < 0:
            raise ValueError(f"seed: needs 0 or more, got {self.seed}")
        if self.lidar.crop == "mixed":
            raise ValueError("lidar: crop: needs none or camera here, got mixed")


class SyntheticMeshes(Source):
    Config = MeshesConfig
    outputs = {
        "points": POINTS,
        "point_ids": POINT_IDS,
        "depth": DEPTH,
        "pixel_ids": PIXEL_IDS,
        "pose": POSE,
        "calibration": static(CALIBRATION),
    }

    @classmethod
    def find(cls, config: MeshesConfig) -> Found:
        survey(config)
        need_open3d(_WHO)
        count = num_frames(config)
        return Found(count, config.rate_hz, np.rint(np.arange(count) * (1e9 / config.rate_hz)).astype(np.int64))

    @classmethod
    def slot_bytes(cls, config: MeshesConfig) -> dict[str, int]:
        pixels = config.camera.width * config.camera.height
        return {port: -(-size * pixels // 64) * 64 for port, size in (("depth", 4), ("pixel_ids", 8))}

    def open(self, start: int = 0) -> None:
        config = self.config
        open3d = load_open3d(_WHO)
        files, poses = survey(config)
        self.number, self.count = start, num_frames(config)
        self.calibration = kitti_like_calibration(config.camera.width, config.camera.height)
        self.lidar = SpinningLidar(config.lidar, config.rate_hz, self.threads)
        self.way = way(config)
        self.start = self.way.positions(np.zeros(1))[0]
        meshes = mesh_files.load(files, poses, turn_of_axes(config.axes) * config.unit_m)
        # around the start, so that single precision suffices for country-wide coordinates (UTM)
        self.corners = (meshes.corners - self.start).astype(np.float32)
        self.triangles, self.owners = meshes.triangles, meshes.owners
        self.reflectance = np.resize(np.array(config.reflectance, np.float32), len(files))
        self.tensor = open3d.core.Tensor.from_numpy
        self.scene = open3d.t.geometry.RaycastingScene()
        self.scene.add_triangles(self.tensor(self.corners), self.tensor(self.triangles.astype(np.uint32)))
        self.rays = np.empty((*self.lidar.ranges.shape, 6), np.float32)
        self.pixels = _pixels(self.calibration.P_cam, config.camera) if self.wanted & {"depth", "pixel_ids"} else None

    def statics(self) -> Iterable[Static]:
        yield Static("calibration", self.calibration)

    def read(self) -> Reading | None:
        if self.number >= self.count:
            return None
        number, t_s = self.number, self.number / self.config.rate_hz
        self.number += 1
        reading = Reading({}, f"{number:06d}", round(number * 1e9 / self.config.rate_hz))
        if self.wanted & {"points", "point_ids"}:
            points, ids = self.scan(t_s, number)
            if self.config.lidar.crop == "camera":
                kept = in_picture(points, self.calibration)
                points, ids = points[kept], ids[kept]
            for port, array in (("points", points), ("point_ids", ids)):
                if port in self.wanted:
                    reading.values[port] = self.put(port, port, array)
        if self.pixels is not None:
            depth_m, ids = self.picture(t_s)
            for port, name, array in (("depth", "depth_m", depth_m), ("pixel_ids", "pixel_ids", ids)):
                if port in self.wanted:
                    reading.values[port] = self.put(port, name, array)
        if "pose" in self.wanted:
            reading.values["pose"] = invert(self.pose(0.0)) @ self.pose(t_s)
        return reading

    def pose(self, t_s: float) -> np.ndarray:
        """(4, 4) from the velodyne frame into the world of the meshes, shifted to the start."""
        at = np.array([t_s])
        return rigid(rotation_z(float(self.way.yaws(at)[0])), self.way.positions(at)[0] - self.start)

    def scan(self, t_s: float, number: int) -> tuple[np.ndarray, np.ndarray]:
        """points (N, 4), ids (N,); the next scan overwrites them."""
        lidar = self.lidar
        times = t_s + lidar.times
        azimuths = lidar.azimuths + self.way.yaws(times)
        self.rays[..., :3] = (self.way.positions(times) - self.start)[:, None]
        self.rays[..., 2] += lidar.heights.astype(np.float32)
        level = np.cos(lidar.elevations)
        self.rays[..., 3] = np.cos(azimuths)[:, None] * level
        self.rays[..., 4] = np.sin(azimuths)[:, None] * level
        self.rays[..., 5] = np.sin(lidar.elevations)
        hit, distance = self.cast(self.rays)
        # the kernel takes only the triangles that are hit, in the sensor frame
        used, of = np.unique(hit, return_inverse=True)
        of, used = of.reshape(hit.shape) - int(used[0] == NOTHING), used[used != NOTHING]
        lidar.hits[...], lidar.ranges[...] = of, distance
        triangles = self.corners[self.triangles[used]] @ self.pose(t_s)[:3, :3]
        owners = self.owners[used]
        nothing = np.zeros(len(used), np.float32)
        surfaces = Surfaces(self.reflectance[owners], nothing, nothing, np.zeros(len(used), np.bool_), nothing, owners)
        seed = int(np.random.SeedSequence([self.config.seed, number]).generate_state(1, np.uint64)[0] >> np.uint64(2))
        num = lidar.report(triangles, surfaces, seed)
        return lidar.points[:num], lidar.ids[:num]

    def picture(self, t_s: float) -> tuple[np.ndarray, np.ndarray]:
        """depth (H, W) float32, ids (H, W) int64."""
        assert self.pixels is not None
        T_world_cam = self.pose(t_s) @ invert(self.calibration.T_cam_velo)
        rays = np.empty((*self.pixels.shape[:2], 6), np.float32)
        rays[..., 3:] = self.pixels @ T_world_cam[:3, :3].T
        rays[..., :3] = T_world_cam[:3, 3] + NEAR_M * rays[..., 3:]
        hit, distance = self.cast(rays)  # a ray of length 1 goes 1 m along the axis
        return distance + np.float32(NEAR_M), np.append(self.owners, -1)[hit]

    def cast(self, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(..., 6) -> first triangle that each ray hits, int32, NOTHING = none; distance in lengths of the ray's direction."""
        hits = self.scene.cast_rays(self.tensor(rays), nthreads=0 if self.threads > 1 else 1)
        return hits["primitive_ids"].numpy().view(np.int32), hits["t_hit"].numpy()


def _finite(config: object, *keys: str) -> None:
    for key in keys:
        if not math.isfinite(getattr(config, key)):
            raise ValueError(f"{key}: needs a finite number, got {getattr(config, key)}")


def _pixels(P_cam: np.ndarray, size: CameraConfig) -> np.ndarray:
    """(H, W, 3) float64: rays through the pixel centres, camera frame, 1 m along the axis."""
    uv1 = np.stack([*np.meshgrid(np.arange(size.width), np.arange(size.height)), np.ones((size.height, size.width))], -1)
    return uv1 @ np.linalg.inv(P_cam[:, :3]).T


def way(config: MeshesConfig) -> Way:
    return Way(config.waypoints, config.speed_mps, config.yaw_rad)


def num_frames(config: MeshesConfig) -> int:
    if config.frames is not None:
        return config.frames
    length_m = way(config).length_m
    return math.floor(length_m / config.speed_mps * config.rate_hz + 1e-9) + 1 if length_m else 1


def survey(config: MeshesConfig) -> tuple[list[Path], list[Pose]]:
    """The files and the pose of each. Raises InputError naming the key."""
    files = listed(_WHO, config.files, mesh_files.SUFFIXES)
    for key, given in (("places", len(config.places)), ("reflectance", len(config.reflectance))):
        some = (0, len(files)) if key == "places" else (1, len(files))
        if given not in some:
            raise InputError(f"{_WHO}: config.{key}: needs {some[0]} or one for each of the {len(files)} meshes, got {given}")
    poses = [Pose(p.x_m, p.y_m, p.z_m, p.yaw_rad, p.scale) for p in config.places] or [Pose()] * len(files)
    return files, poses
