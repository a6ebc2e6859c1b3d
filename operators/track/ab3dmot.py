"""Preset `ab3dmot`: the paper's tracker, with the behaviour of its published code.      Source: Weng et al. 2020 (AB3DMOT)

State in the rectified camera frame, bottom centre (details: kernels/ab3dmot.py). A track is shown from `min_hits` matches
on, and in the first `min_hits` frames of a recording; it dies `max_age` frames after its last match and is shown until then,
with the score and the 2D box of that match.
Ego-motion moves x, y, z of the prediction; yaw and velocity stay. With `imu` connected, the motion is the IMU's as in the
original code, which multiplies rotations in the order previous * inverse(current). Without `imu`, the motion is correct. Without
calibration, the camera is assumed at the LiDAR, looking along x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.geometry.boxes3d import camera_to_velo, velo_to_camera
from operators.geometry.transforms import invert
from operators.kernels import ab3dmot as kernel
from operators.streams import CLASSES, Imu
from operators.track.frame import Seen, Shown, longer

_METRICS = {"giou_3d": kernel.GIOU_3D, "iou_3d": kernel.IOU_3D, "distance_3d": kernel.DISTANCE_3D}
_STATE_OF_CAM = np.array([3, 4, 5, 6, 2, 1, 0])  # h w l x y z ry -> x y z yaw l w h
_CAM_OF_STATE = np.argsort(_STATE_OF_CAM)
_STRAIGHT = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


@dataclass(frozen=True, slots=True)
class ClassConfig:
    """The settings of a class, by default AB3DMOT's for cars."""

    metric: Literal["giou_3d", "iou_3d", "distance_3d"] = "giou_3d"
    threshold: float = -0.2  # least overlap, or largest distance [m], of a match; inclusive
    matching: Literal["hungarian", "greedy"] = "hungarian"
    min_hits: int = 3  # detections before a track is shown
    max_age: int = 2  # frame periods without a detection until it dies
    min_score: float | None = None  # detections below are ignored; None: no limit

    def __post_init__(self) -> None:
        for key in ("min_hits", "max_age"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: needs 1 frame or more, got {getattr(self, key)}")


@dataclass(frozen=True, slots=True)
class PedestrianConfig(ClassConfig):
    threshold: float = -0.4
    matching: Literal["hungarian", "greedy"] = "greedy"
    min_hits: int = 1
    max_age: int = 4


@dataclass(frozen=True, slots=True)
class CyclistConfig(ClassConfig):
    metric: Literal["giou_3d", "iou_3d", "distance_3d"] = "distance_3d"
    threshold: float = 2.0
    max_age: int = 4


@dataclass(frozen=True, slots=True)
class Ab3dmotConfig:
    car: ClassConfig = ClassConfig()
    pedestrian: PedestrianConfig = PedestrianConfig()
    cyclist: CyclistConfig = CyclistConfig()
    other: ClassConfig = ClassConfig()


def of_labels(config: Ab3dmotConfig) -> list[ClassConfig]:
    known = {"Car": config.car, "Pedestrian": config.pedestrian, "Cyclist": config.cyclist}
    return [known.get(name, config.other) for name in CLASSES]


class Ab3dmot:
    def __init__(self, config: Ab3dmotConfig, first_id: int) -> None:
        self.next_id = first_id
        self.configure(config)
        self.tracks = kernel.Tracks(
            np.zeros((0, 10)),
            np.zeros((0, 4)),
            np.zeros((0, 4), np.int64),
            np.zeros(0, np.float32),
            np.zeros((0, 4), np.float32),
        )
        self.shown = np.zeros(0, np.bool_)
        self.restart()

    def configure(self, config: Ab3dmotConfig) -> None:
        """The rules of the next frame; the tracks stay."""
        classes = of_labels(config)
        self.min_score = np.array([-np.inf if c.min_score is None else c.min_score for c in classes])
        self.rules = np.array(
            [
                (
                    _METRICS[c.metric],
                    c.threshold if c.metric == "distance_3d" else -c.threshold,
                    c.matching == "greedy",
                    c.min_hits,
                    c.max_age,
                )
                for c in classes
            ],
            np.float64,
        )

    def restart(self) -> None:
        self.num, self.frame = 0, 0
        self.T_world_velo: np.ndarray | None = None

    def step(self, seen: Seen) -> Shown:
        enough = seen.scores >= self.min_score[seen.labels]
        z_velo, scores, labels, boxes2d = (a[enough] for a in seen[:4])
        if self.num + len(labels) > len(self.shown):
            room = 2 * (self.num + len(labels))
            self.tracks, self.shown = kernel.Tracks(*(longer(array, room) for array in self.tracks)), longer(self.shown, room)
        T_cam_velo = _STRAIGHT if seen.calibration is None else seen.calibration.T_cam_velo
        motion = self._motion(seen, T_cam_velo)
        self.frame += 1
        z = velo_to_camera(z_velo, T_cam_velo)[:, _STATE_OF_CAM]
        dets = kernel.Detections(z, labels, scores, boxes2d)
        self.num, self.next_id = kernel.step(
            tuple(dets), tuple(self.tracks), self.num, seen.steps, motion, self.rules, self.frame, self.next_id, self.shown
        )
        rows = np.flatnonzero(self.shown[: self.num])
        info = self.tracks.info[rows]
        return Shown(
            camera_to_velo(self.tracks.x[rows][:, _CAM_OF_STATE], T_cam_velo),
            self.tracks.scores[rows],
            info[:, kernel.LABEL].astype(np.int32),
            info[:, kernel.ID].copy(),
            self.tracks.boxes2d[rows],
        )

    def _motion(self, seen: Seen, T_cam_velo: np.ndarray) -> np.ndarray:
        """(3, 4): motion of a static point from the last frame's camera to this one's; identity if a pose is missing."""
        before = self.T_world_velo
        self.T_world_velo = None if seen.T_world_velo is None else seen.T_world_velo.copy()
        if before is None or self.T_world_velo is None:
            return np.eye(3, 4)
        if seen.imu is None:
            T = invert(self.T_world_velo) @ before
            return (T_cam_velo @ T @ invert(T_cam_velo))[:3]
        return original_motion(before, self.T_world_velo, T_cam_velo, seen.imu)[:3]


def original_motion(before: np.ndarray, now: np.ndarray, T_cam_velo: np.ndarray, imu: Imu) -> np.ndarray:
    """(4, 4) as AB3DMOT computes it from two T_world_velo. Its rotation is R_before R_now^-1, in map axes; R_now^-1 R_before,
    in car axes, would be correct."""
    T_before, T_now = (imu.T_enu_world @ T_world_velo @ imu.T_velo_imu for T_world_velo in (before, now))
    T = invert(T_now) @ T_before
    T[:3, :3] = T_before[:3, :3] @ invert(T_now[:3, :3])
    T_cam_imu = T_cam_velo @ imu.T_velo_imu
    return T_cam_imu @ T @ invert(T_cam_imu)
