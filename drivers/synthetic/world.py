"""Drives through a generated city with a LiDAR and a camera. Needs no data; deterministic by seed.

out  points       (N, 4) float32      x y z [m, velodyne frame], intensity [0..1]
     point_ids    (N,) int64          track id of the object that each point lies on, -1 = no object
     point_rings  (N,) uint8          beam of each point, 0 = the highest
     point_classes_truth  (N,) uint8  class of each point; facts class_names and things: operators/panoptic_classes.py
     image        (H, W, 3) uint8     RGB, at the stamp of the scan
     depth        (H, W) float32      of the image's pixels [m], inf = sky
     pixel_ids    (H, W) int64        track id of the object that each pixel shows, -1 = no object
     panoptic_truth  of the image's pixels, with the same facts and the track ids of the things (PANOPTIC)
     truth        all objects within range, 360 degrees; boxes2d is 0 for objects outside the image; occluded 0..2 from the
                  share of LiDAR rays that other things block; truncated 0..1 share of the projected box outside the image
     thermal      (H, W) uint8       of a thermal camera, after its gain control (GREY); registered with the RGB camera by default
     thermal_raw  (H, W) uint16      the same before gain control: 100 counts per kelvin
     thermal_truth  as truth, with boxes2d and truncated of the thermal camera
     pose         (4, 4) float64      T_world_velo, world = velodyne at frame 0 of a drive
     calibration  static, a camera mounted like KITTI's
     thermal_calibration  static, of the thermal camera
     homography   static, pixels of the image -> pixels of the thermal picture

Each drive is a sequence ("0000/000000" = drive/frame) on its own street; `drives: 500, frames: 1` gives 500 unrelated
scenes. All output is a function of (config, drive, frame): reading may start at any frame, and no port depends on the
other ports read. Units, shapes and models: README.md beside this file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from drivers.synthetic import camera, panoptic
from drivers.synthetic.lighting import Light, lighting, shine
from drivers.synthetic.scene import NUM_BODIES, Objects, Placed, Scene, Stage, body_of, pose
from drivers.synthetic.shapes import Family
from drivers.synthetic.spinning import LidarConfig, Scan, SpinningLidar
from drivers.synthetic.street import Street, Style
from drivers.synthetic.street_layout import make_street
from drivers.synthetic.thermal import ThermalCamera, ThermalConfig, gain_control, mount
from operators.geometry.boxes3d import wrap_angle
from operators.geometry.project import boxes_to_image
from operators.geometry.transforms import invert
from operators.streams import (
    CALIBRATION,
    CLASSES,
    DEPTH,
    GREY,
    HOMOGRAPHY,
    IMAGE,
    PANOPTIC,
    PIXEL_IDS,
    POINT_CLASSES,
    POINT_IDS,
    POINT_RINGS,
    POINTS,
    POSE,
    THERMAL_RAW,
    TRUTH,
    Truth,
)
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.operator import Found, Source
from pipeline.schema import static

_WHO = "synthetic.world"
_EGO_M = (-3.2, 1.7, 1.2)  # the ego vehicle's rear bumper, front bumper and half width, relative to the sensor
_OCCLUDED_AT = (0.35, 0.70)  # shares of blocked rays from which `occluded` is 1 and 2
_MAX_READINGS = 100_000_000  # `find` lists their stamps
_SCAN, _IMAGE, _THERMAL = 2, 3, 4  # keys of the random numbers of a frame
_PICTURES = frozenset({"image", "depth", "pixel_ids"})
_HEAT = frozenset({"thermal", "thermal_raw"})
_POINTS = frozenset({"points", "point_ids", "point_rings", "point_classes_truth"})
_SCANNED = _POINTS | {"truth", "thermal_truth"}
_LOOKED = _PICTURES | {"panoptic_truth"}
_SEEN = _LOOKED | _HEAT | _SCANNED
_CLASSED = frozenset({"panoptic_truth", "point_classes_truth"})
_MAX_SEGMENTS = PANOPTIC.limits["S"]
_PICTURE_VIEW_RAD = 1.3  # to both sides: the camera's view, and things that cast shadows into it


Label = Literal["Car", "Van", "Truck", "Pedestrian", "Cyclist"]


@dataclass(frozen=True, slots=True)
class CameraConfig:
    width: int = 640
    height: int = 192

    def __post_init__(self) -> None:
        for key, most in (("width", 2048), ("height", 2048)):
            if not 16 <= getattr(self, key) <= most:
                raise ValueError(f"{key}: needs 16..{most}, got {getattr(self, key)}")


@dataclass(frozen=True, slots=True)
class ObjectConfig:
    """A static object at a chosen place, at any distance, even if others stand there; the ego drives on."""

    label: Label = "Car"
    x_m: float = 15.0  # along the street, from the ego's position at frame 0
    y_m: float = 0.0  # to the left of the ego's lane, which winds
    yaw_rad: float = 0.0  # relative to the street's x axis, not to its winding
    body: int = 0  # number of the body within its class


@dataclass(frozen=True, slots=True)
class WorldConfig:
    seed: int = 7
    drives: int = 1
    first_drive: int = 0
    frames: int = 200  # of each drive
    rate_hz: float = 10.0
    shapes: Family = "train"  # family of bodies: "train" and "test" share none
    style: Style | None = None  # None: every drive has its own
    ego_speed_mps: float | None = None  # None: every drive has its own
    density: float = 1.0  # of all things on and beside the road; 0: bare ground
    range_m: float = 80.0  # objects further away are neither seen nor in the truth
    start_s: float = 0.0  # time of frame 0 within its drive
    objects: tuple[ObjectConfig, ...] = ()  # additional static objects
    unlabelled: tuple[Label, ...] = ()  # classes that are there, but not in the truth
    lidar: LidarConfig = field(default_factory=LidarConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    light: Light = "day"  # mixed: day, dusk or night, each drive its own
    glare: float = 0.0  # share of the drives that dazzle: by day a low sun ahead, else the headlights of others
    thermal: ThermalConfig = field(default_factory=ThermalConfig)


class SyntheticWorld(Source):
    Config = WorldConfig
    outputs = {
        "points": POINTS,
        "point_ids": POINT_IDS,
        "point_rings": POINT_RINGS,
        "point_classes_truth": POINT_CLASSES,
        "image": IMAGE,
        "depth": DEPTH,
        "pixel_ids": PIXEL_IDS,
        "panoptic_truth": PANOPTIC,
        "thermal": GREY,
        "thermal_raw": THERMAL_RAW,
        "truth": TRUTH,
        "thermal_truth": TRUTH,
        "pose": POSE,
        "calibration": static(CALIBRATION),
        "thermal_calibration": static(CALIBRATION),
        "homography": static(HOMOGRAPHY),
    }

    @classmethod
    def find(cls, config: WorldConfig) -> Found:
        check(config)
        count = config.drives * config.frames
        stamps = np.rint(np.arange(count) * 1e9 / config.rate_hz).astype(np.int64)  # rounded as in `read`
        return Found(count, config.rate_hz, stamps)

    @classmethod
    def slot_bytes(cls, config: WorldConfig) -> dict[str, int]:
        pixels = config.camera.width * config.camera.height
        heat = (config.thermal.width or config.camera.width) * (config.thermal.height or config.camera.height)
        sizes = {"image": 3 * pixels, "depth": 4 * pixels, "pixel_ids": 8 * pixels, "thermal": heat, "thermal_raw": 2 * heat}
        sizes["panoptic_truth"] = 4 * pixels + _MAX_SEGMENTS * 20 + 4 * 64  # four tables of 4 + 4 + 4 + 8 bytes a row
        return {port: -(-size // 64) * 64 for port, size in sizes.items()}

    def open(self, start: int = 0) -> None:
        config = self.config
        self.number = start
        self.stage = Stage(config.shapes)
        self.lidar = SpinningLidar(config.lidar, config.rate_hz, self.threads)
        self.calibration = camera.kitti_like_calibration(config.camera.width, config.camera.height)
        self.mounted = mount(config.thermal, self.calibration)
        self.camera: camera.Camera | None = None
        self.thermal: ThermalCamera | None = None
        self.street: Street | None = None
        if self.wanted & _LOOKED:
            self.camera = camera.Camera(self.calibration, self.threads)
        if self.wanted & _HEAT:
            shared = self.camera.eye if self.camera is not None and self.mounted.registered else None
            eye = shared or camera.Eye(self.mounted.calibration, self.threads)
            self.thermal = ThermalCamera(config.thermal, config.seed, eye)
        if self.wanted & _SEEN:  # compile now, before any frame waits
            bare = make_street(config.seed, config.first_drive, density=0)
            scene = self.stage.build(bare, 0.0, config.range_m)
            if self.wanted & _SCANNED:
                self.lidar.scan(scene, 0)
            if self.camera is not None and self.wanted & _PICTURES and (config.light != "day" or config.glare):
                light = lighting("night", config.glare, bare)  # lamps and the sensor's noise; the camera has compiled the day
                self.camera.eye.look(scene.triangles, scene.materials)
                self.camera.paint(
                    scene.triangles, scene.colors, scene.owners, scene.closed, light, scene.T_street_velo, shine(light, scene)
                )
            if self.thermal is not None:
                self.thermal.eye.look(scene.triangles, scene.materials)
                self.thermal.measure(scene, bare, "day", np.array([0.0, 0.0, 1.0]), 0, np.empty(self.thermal.eye.size, np.uint16))

    def statics(self) -> Iterable[Static]:
        yield Static("calibration", self.calibration)
        yield Static("thermal_calibration", self.mounted.calibration)
        yield Static("homography", self.mounted.homography)

    def read(self) -> Reading | None:
        config, number = self.config, self.number
        if number >= config.drives * config.frames:
            return None
        self.number += 1
        drive, frame = config.first_drive + number // config.frames, number % config.frames
        if self.street is None or self.street.drive != drive:
            self.street = make_street(config.seed, drive, config.style, config.ego_speed_mps, config.density)
        street, t_s = self.street, config.start_s + frame / config.rate_hz
        values: dict[str, Any] = {}
        meta: dict[str, dict[str, Any]] = dict.fromkeys(_CLASSED & self.wanted, panoptic.FACTS)
        if self.wanted & _SEEN:
            scene = self.stage.build(street, t_s, config.range_m, self._placed(street), self._half_view())
            if self.wanted & _SCANNED:
                self._scan(values, scene, drive, frame)
            if self.camera is not None:
                self.camera.eye.look(scene.triangles, scene.materials)
                if self.wanted & _PICTURES:
                    self._picture(values, scene, street, frame)
                if "panoptic_truth" in self.wanted:
                    self._segments(values, scene)
            if self.thermal is not None:
                if self.camera is None or self.thermal.eye is not self.camera.eye:  # else the triangles are drawn already
                    self.thermal.eye.look(scene.triangles, scene.materials)
                self._heat(values, scene, street, frame)
        if "pose" in self.wanted:
            values["pose"] = invert(pose(street, config.start_s)) @ pose(street, t_s)
        stamp_ns = round(number * 1e9 / config.rate_hz)
        return Reading(values, f"{drive:04d}/{frame:06d}", stamp_ns, meta=meta)

    def close(self) -> None:
        if self.camera is not None:
            self.camera.close()
        if self.thermal is not None:
            self.thermal.eye.close()

    def _half_view(self) -> float:
        """Angle to both sides of ahead within which the scene is built. Equal for all ports: shadows may come from behind."""
        cameras = self.camera is not None or self.thermal is not None
        return max(self.lidar.half_view_rad, _PICTURE_VIEW_RAD) if cameras else self.lidar.half_view_rad

    def _placed(self, street: Street) -> tuple[Placed, ...]:
        start_m = street.ego(self.config.start_s)[0]
        return tuple(
            Placed(CLASSES.index(o.label), start_m + o.x_m, o.y_m + street.bend(start_m + o.x_m), o.yaw_rad, o.body)
            for o in self.config.objects
        )

    def _seed(self, drive: int, frame: int, key: int) -> int:
        """Of the random numbers of a frame."""
        state = np.random.SeedSequence([self.config.seed, drive, frame, key]).generate_state(1, np.uint64)
        return int(state[0] >> np.uint64(2))

    def _scan(self, values: dict[str, Any], scene: Scene, drive: int, frame: int) -> None:
        config = self.config
        seed = self._seed(drive, frame, _SCAN)
        scan = self.lidar.scan(scene, seed)
        track_ids = np.append(scene.objects.track_ids, -1)
        if self.wanted & _POINTS:
            points, on = scan.points, scan.on
            if config.lidar.crop == "camera" or (config.lidar.crop == "mixed" and drive % 2):
                kept = camera.in_picture(points, self.calibration)
                points, on = points[kept], on[kept]
            if "points" in self.wanted:
                values["points"] = self.put("points", "points", points)
            if "point_ids" in self.wanted:
                values["point_ids"] = self.put("point_ids", "point_ids", track_ids[scene.owners[on]])
            if "point_rings" in self.wanted:
                values["point_rings"] = self.put("point_rings", "point_rings", self.lidar.rings_of(points))
            if "point_classes_truth" in self.wanted:
                classes = panoptic.classes_of(scene, config.unlabelled)
                values["point_classes_truth"] = self.put("point_classes_truth", "point_classes", classes[on])
        for port, calibration in (("truth", self.calibration), ("thermal_truth", self.mounted.calibration)):
            if port in self.wanted:
                truth = truth_of(scene.objects, scan, calibration, self.lidar.half_view_rad)
                known = ~np.isin(truth.labels, [CLASSES.index(label) for label in config.unlabelled])
                values[port] = truth if known.all() else Truth(*(column[known] for column in truth))

    def _picture(self, values: dict[str, Any], scene: Scene, street: Street, frame: int) -> None:
        assert self.camera is not None
        size = self.config.camera.height, self.config.camera.width
        arrays = {}
        for port, name, shape, dtype in (
            ("image", "image", (*size, 3), "uint8"),
            ("depth", "depth_m", size, "float32"),
            ("pixel_ids", "pixel_ids", size, "int64"),
        ):
            arrays[port] = self.alloc(port, name, shape, dtype) if port in self.wanted else np.empty(shape, dtype)
        track_ids = np.append(scene.objects.track_ids, -1)
        light = lighting(self.config.light, self.config.glare, street)
        seed = self._seed(street.drive, frame, _IMAGE)
        self.camera.paint(
            scene.triangles, scene.colors, track_ids[scene.owners], scene.closed, light, scene.T_street_velo,
            shine(light, scene), seed, out=camera.Picture(arrays["image"], arrays["depth"], arrays["pixel_ids"]),
        )  # fmt: skip
        values |= {port: array for port, array in arrays.items() if port in self.wanted}

    def _segments(self, values: dict[str, Any], scene: Scene) -> None:
        assert self.camera is not None
        classes = panoptic.classes_of(scene, self.config.unlabelled)
        size = self.camera.size
        drawn = self.alloc("panoptic_truth", "panoptic", size, "int32")
        values["panoptic_truth"] = panoptic.segments(self.camera.eye.grid.index, scene, classes, drawn)

    def _heat(self, values: dict[str, Any], scene: Scene, street: Street, frame: int) -> None:
        assert self.thermal is not None
        config, size = self.config, self.thermal.eye.size
        light = lighting(config.light, config.glare, street)
        wanted = "thermal_raw" in self.wanted
        counts = self.alloc("thermal_raw", "thermal_raw", size, "uint16") if wanted else np.empty(size, np.uint16)
        seed = self._seed(street.drive, frame, _THERMAL)
        self.thermal.measure(scene, street, light.hour, light.sun, seed, counts)
        if wanted:
            values["thermal_raw"] = counts
        if "thermal" in self.wanted:
            values["thermal"] = self.alloc("thermal", "image", size, "uint8")
            gain_control(counts, config.thermal, values["thermal"])


def truth_of(objects: Objects, scan: Scan, calibration: Any, half_view_rad: float) -> Truth:
    """All objects whose centre lies in the LiDAR's view."""
    boxes = objects.boxes3d
    occluded = np.digitize(scan.hidden, _OCCLUDED_AT).astype(np.int32)
    boxes2d, visible = boxes_to_image(boxes, *calibration)
    whole, _ = boxes_to_image(boxes, *_widened(calibration))
    area, of = _area(boxes2d), _area(whole)
    outside = np.where(visible, 1 - area / np.maximum(of, 1e-9), 0.0)
    truncated = np.where(outside < 0.005, 0.0, outside).astype(np.float32)  # pixel rounding is not truncation
    inside = np.abs(np.arctan2(boxes[:, 1], boxes[:, 0])) <= half_view_rad
    boxes3d = boxes.astype(np.float32)
    boxes3d[:, 6] = wrap_angle(wrap_angle(boxes[:, 6]).astype(np.float32))
    columns = (boxes3d, boxes2d, objects.labels, objects.track_ids, occluded, np.clip(truncated, 0, 1))
    return Truth(*(column[inside] for column in columns))


def _widened(calibration: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same camera with an image ten times as large around its own, for the untruncated box."""
    P_cam, T_cam_velo, (width, height) = calibration
    shift = np.eye(3)
    shift[0, 2], shift[1, 2] = 4.5 * width, 4.5 * height
    return shift @ P_cam, T_cam_velo, np.array([10 * width, 10 * height])


def _area(boxes2d: np.ndarray) -> np.ndarray:
    return (boxes2d[:, 2] - boxes2d[:, 0]) * (boxes2d[:, 3] - boxes2d[:, 1])


def check(config: WorldConfig) -> None:
    """Raises InputError naming the key."""
    limits: dict[str, tuple[float, float]] = {
        "seed": (0, 2**63),
        "drives": (0, 2**31),
        "first_drive": (0, 2**31),
        "frames": (0, 2**31),
        "rate_hz": (0.1, 1000),
        "density": (0, 10),
        "range_m": (5, 250),
        "start_s": (0, 1e6),
        "glare": (0, 1),
        **({"ego_speed_mps": (0.0, 60.0)} if config.ego_speed_mps is not None else {}),
    }
    for key, (low, high) in limits.items():
        value = getattr(config, key)
        if not low <= value <= high:
            raise InputError(f"{_WHO}: config.{key}: needs {low}..{high}, got {value}")
    if config.drives * config.frames > _MAX_READINGS:
        raise InputError(
            f"{_WHO}: config.drives x config.frames: needs at most {_MAX_READINGS} in all, got {config.drives} x {config.frames}"
        )
    for k, o in enumerate(config.objects):
        if not (math.isfinite(o.x_m) and math.isfinite(o.y_m) and math.isfinite(o.yaw_rad)):
            raise InputError(
                f"{_WHO}: config.objects[{k}]: needs finite numbers, got x_m {o.x_m}, y_m {o.y_m}, yaw_rad {o.yaw_rad}"
            )
        bodies = NUM_BODIES[CLASSES.index(o.label)]
        if not 0 <= o.body < bodies:
            raise InputError(f"{_WHO}: config.objects[{k}].body: needs 0..{bodies - 1} for a {o.label}, got {o.body}")
        if _in_ego(config, o):
            rear, front, side = _EGO_M
            raise InputError(
                f"{_WHO}: config.objects[{k}]: needs a place outside the ego vehicle (x {rear}..{front} m, y within {side} m), "
                f"got a {o.label} at x {o.x_m}, y {o.y_m}; move it ahead?"
            )


def _in_ego(config: WorldConfig, o: ObjectConfig) -> bool:
    """Whether its footprint overlaps the ego vehicle at the start of the drive: the separating axis test of two rectangles."""
    length, width, _ = body_of(config.shapes, CLASSES.index(o.label), o.body, 0).size
    rear, front, side = _EGO_M
    c, s = math.cos(o.yaw_rad), math.sin(o.yaw_rad)
    dx, dy = o.x_m - (rear + front) / 2, o.y_m
    a, b = (front - rear) / 2, side
    for ux, uy in ((1.0, 0.0), (0.0, 1.0), (c, s), (-s, c)):
        reach = abs(ux) * a + abs(uy) * b + abs(ux * c + uy * s) * length / 2 + abs(-ux * s + uy * c) * width / 2
        if abs(ux * dx + uy * dy) > reach:
            return False
    return True
