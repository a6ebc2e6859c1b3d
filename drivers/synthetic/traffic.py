"""A drive along a road with cars, pedestrians and cyclists. Needs no data; deterministic by seed.

out  points       (N, 4) float32   x y z [m, velodyne frame], intensity [0..1]; of boxes and ground, about 20,000
     boxes3d      detections: noisy boxes, some missed, some false; scores are probabilities, best first
     truth        the true boxes and ids; boxes2d is 0 for objects outside the image
     pose         (4, 4) float64   T_world_velo, world = velodyne at frame 0
     calibration  static, a 1242 x 375 camera mounted like KITTI's

All output is a function of (config, frame number): reading may start at any frame, and no port depends on the other ports read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from drivers.synthetic.lidar import GROUND, NOTHING, cast, directions
from drivers.synthetic.road import CAR, CYCLIST, MIN_SPACING_M, PEDESTRIAN, SENSOR_HEIGHT_M, SIZES_M, Road, Thing, make_road
from operators.geometry.boxes3d import wrap_angle
from operators.geometry.project import boxes_to_image
from operators.streams import BOXES3D_PROBABILITY, CALIBRATION, POINTS, POSE, TRUTH, Boxes3D, Calibration, Truth
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.operator import Found, Source
from pipeline.schema import static

_WHO = "synthetic.traffic"
_SEQUENCE = "0000"
_DETECTIONS, _SCAN = 0, 1  # keys of the random numbers of a frame
_MAX_FALSE_ALARMS = 8
_INTENSITY = {CAR: 0.6, PEDESTRIAN: 0.35, CYCLIST: 0.45}
_GROUND_INTENSITY = 0.2
_CAMERA = Calibration(
    np.array([[720.0, 0, 621, 0], [0, 720, 172, 0], [0, 0, 1, 0]]),
    np.array([[0.0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1]]),  # x right, y down, z forward
    np.array([1242, 375], np.int32),
)


@dataclass(frozen=True, slots=True)
class TrafficConfig:
    seed: int = 7
    frames: int = 200
    rate_hz: float = 10.0
    ego_speed_mps: float = 5.0
    range_m: float = 50.0  # objects further away are neither detected nor in the truth
    cars: int = 8  # approximate number of each class in view
    pedestrians: int = 5
    cyclists: int = 3
    position_noise_m: float = 0.12  # standard deviation of detections in x, y; a third of it in z
    size_noise: float = 0.04  # relative
    yaw_noise_rad: float = 0.05
    miss_rate: float = 0.1  # 0.5 times this rate near the ego, 1.5 times at the end of the range
    false_alarms: float = 0.4  # per frame on average, at most 8
    range_noise_m: float = 0.02  # of the points


class SyntheticTraffic(Source):
    Config, outputs = (
        TrafficConfig,
        {
            "points": POINTS,
            "boxes3d": BOXES3D_PROBABILITY,
            "truth": TRUTH,
            "pose": POSE,
            "calibration": static(CALIBRATION),
        },
    )

    _road: Road
    _rays: np.ndarray
    _next: int

    @classmethod
    def find(cls, config: TrafficConfig) -> Found:
        check(config)
        stamps = np.array([_stamp_ns(config, frame) for frame in range(config.frames)], np.int64)
        return Found(config.frames, config.rate_hz, stamps)

    def open(self, start: int = 0) -> None:
        self._road = road_of(self.config)
        self._rays = directions()
        self._next = start

    def statics(self) -> Iterable[Static]:
        yield Static("calibration", _CAMERA)

    def read(self) -> Reading | None:
        config, frame = self.config, self._next
        if frame >= config.frames:
            return None
        self._next += 1
        t_s = frame / config.rate_hz
        things = list(self._road.things(t_s))
        boxes3d = boxes_in_view(self._road, things, t_s)
        labels = np.array([thing.label for thing in things], np.int32)
        values: dict[str, Any] = {}
        if "points" in self.wanted:
            values["points"] = self._scan(frame, boxes3d, labels)
        if "boxes3d" in self.wanted:
            values["boxes3d"] = detect(config, frame, boxes3d, labels)
        if "truth" in self.wanted:
            values["truth"] = truth_of(things, boxes3d, labels)
        if "pose" in self.wanted:
            values["pose"] = pose(self._road, t_s)
        return Reading(values, f"{_SEQUENCE}/{frame:06d}", _stamp_ns(config, frame))

    def _scan(self, frame: int, boxes3d: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(N, 4) float32 inside the slot, ring by ring."""
        random = _random(self.config, frame, _SCAN)
        ranges, hit = cast(self._rays, boxes3d, self.config.range_m)
        noise, lost, shine = random.standard_normal(hit.shape), random.random(hit.shape) < 0.03, random.random(hit.shape)
        seen = (hit != NOTHING) & ~lost
        points = self.alloc("points", "points", (int(seen.sum()), 4), "float32")
        measured = ranges[seen] + self.config.range_noise_m * noise[seen]
        points[:, :3] = np.rint(self._rays[seen] * measured[:, None] * 1000) / 1000  # whole mm: equal on all CPUs
        of_box = np.array([_GROUND_INTENSITY] + [_INTENSITY[int(label)] for label in labels])
        points[:, 3] = np.rint((of_box[hit[seen] - GROUND] + 0.2 * shine[seen]) * 100) / 100
        return points


def check(config: TrafficConfig) -> None:
    """Raises InputError naming the key."""
    lanes = Counter(lane.label for lane in make_road(0, 1.0, 1.0, 1, 1, 1).lanes)
    most = {label: int(2 * config.range_m * count / MIN_SPACING_M[label]) for label, count in lanes.items()}
    limits: dict[str, tuple[float, float]] = {
        "seed": (0, 2**63),
        "frames": (0, 2**40),
        "rate_hz": (0.001, 1e6),
        "ego_speed_mps": (0, 50),
        "range_m": (10, 200),
        "cars": (0, most[CAR]),
        "pedestrians": (0, most[PEDESTRIAN]),
        "cyclists": (0, most[CYCLIST]),
        "position_noise_m": (0, 10),
        "size_noise": (0, 0.2),
        "yaw_noise_rad": (0, math.pi),
        "miss_rate": (0, 1),
        "false_alarms": (0, _MAX_FALSE_ALARMS),
        "range_noise_m": (0, 1),
    }
    for key, (low, high) in limits.items():
        value = getattr(config, key)
        if not low <= value <= high:
            raise InputError(f"{_WHO}: config.{key}: needs {low}..{high}, got {value}")


def road_of(config: TrafficConfig) -> Road:
    return make_road(config.seed, config.ego_speed_mps, config.range_m, config.cars, config.pedestrians, config.cyclists)


def boxes_in_view(road: Road, things: list[Thing], t_s: float) -> np.ndarray:
    """Things -> (M, 7) float64 boxes3d in the velodyne frame at that time."""
    ego_x, ego_y, ego_yaw = road.ego(t_s)
    c, s = math.cos(ego_yaw), math.sin(ego_yaw)
    rows = []
    for thing in things:
        dx, dy = thing.x - ego_x, thing.y - ego_y
        length, width, height = thing.size
        rows.append((c * dx + s * dy, c * dy - s * dx, height / 2 - SENSOR_HEIGHT_M, length, width, height, thing.yaw - ego_yaw))
    return np.array(rows, np.float64).reshape(-1, 7)


def pose(road: Road, t_s: float) -> np.ndarray:
    """(4, 4) T_world_velo."""
    (x0, y0, yaw0), (x, y, yaw) = road.ego(0.0), road.ego(t_s)
    c0, s0, dx, dy = math.cos(yaw0), math.sin(yaw0), x - x0, y - y0
    c, s = math.cos(yaw - yaw0), math.sin(yaw - yaw0)
    return np.array([[c, -s, 0, c0 * dx + s0 * dy], [s, c, 0, c0 * dy - s0 * dx], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)


def truth_of(things: list[Thing], boxes3d: np.ndarray, labels: np.ndarray) -> Truth:
    boxes2d, _ = boxes_to_image(boxes3d, *_CAMERA)
    count = len(things)
    return Truth(
        boxes3d=_as_boxes3d(boxes3d),
        boxes2d=boxes2d,
        labels=labels,
        track_ids=np.array([thing.track_id for thing in things], np.int64),
        occluded=np.zeros(count, np.int32),
        truncated=np.zeros(count, np.float32),
    )


def detect(config: TrafficConfig, frame: int, boxes3d: np.ndarray, labels: np.ndarray) -> Boxes3D:
    """True boxes (M, 7) -> simulated detections, best first. Without objects there are still false alarms."""
    random = _random(config, frame, _DETECTIONS)
    noise, luck = random.standard_normal((len(boxes3d), 8)), random.random(len(boxes3d))
    far = np.hypot(boxes3d[:, 0], boxes3d[:, 1]) / config.range_m
    found = luck >= config.miss_rate * (0.5 + far)
    seen = boxes3d + noise[:, :7] * (
        [config.position_noise_m] * 2 + [config.position_noise_m / 3] + [0] * 3 + [config.yaw_noise_rad]
    )
    seen[:, 3:6] *= np.maximum(1 + config.size_noise * noise[:, 3:6], 0.2)
    scores = np.clip(0.95 - 0.35 * far**2 + 0.05 * noise[:, 7], 0.05, 0.99)

    false, false_labels, false_scores = _false_alarms(config, random)
    all_boxes = np.concatenate([seen[found], false])
    all_scores = np.concatenate([scores[found], false_scores]).astype(np.float32)
    all_labels = np.concatenate([labels[found], false_labels]).astype(np.int32)
    best = np.argsort(-all_scores, kind="stable")
    return Boxes3D(_as_boxes3d(all_boxes[best]), all_scores[best], all_labels[best])


def _false_alarms(config: TrafficConfig, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes of any class anywhere on the ground. Always draws 8 candidates and keeps a random subset."""
    u = random.random((_MAX_FALSE_ALARMS, 6))
    labels = np.array([CAR, PEDESTRIAN, CYCLIST])[(u[:, 0] * 3).astype(int)]
    sizes = np.array([SIZES_M[int(label)] for label in labels])
    boxes = np.empty((_MAX_FALSE_ALARMS, 7))
    boxes[:, :2] = (u[:, 1:3] * 2 - 1) * config.range_m * math.sqrt(0.5)  # the square inside the circle of the range
    boxes[:, 2] = sizes[:, 2] / 2 - SENSOR_HEIGHT_M
    boxes[:, 3:6] = sizes
    boxes[:, 6] = (u[:, 3] * 2 - 1) * math.pi
    raised = u[:, 4] < config.false_alarms / _MAX_FALSE_ALARMS
    return boxes[raised], labels[raised], 0.05 + 0.5 * u[raised, 5]


def _as_boxes3d(boxes: np.ndarray) -> np.ndarray:
    """float64 with any yaw -> float32 with yaw in [-pi, pi)."""
    out = boxes.astype(np.float32)
    out[:, 6] = wrap_angle(boxes[:, 6]).astype(np.float32)
    out[:, 6] = wrap_angle(out[:, 6])  # a float64 just below pi rounds up to the float32 above it
    return out


def _random(config: TrafficConfig, frame: int, key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([config.seed, frame, key]))


def _stamp_ns(config: TrafficConfig, frame: int) -> int:
    return round(frame * 1e9 / config.rate_hz)
