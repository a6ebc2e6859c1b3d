"""Move the points of a sweep to where the sensor was at one instant: a turning LiDAR drives on while it measures.

in   points       (N, 4) float32  x y z [m, velodyne frame at the time of each point], intensity [0..1]
     point_times  (N,) float32    seconds from the frame's stamp_ns on
     pose         POSE            of about this instant: its own stamp counts; optional
out  points       (N, 4) float32  x y z in the velodyne frame at the frame's stamp_ns, or at the middle of the sweep
     facts        deskewed        false: the points are those that came, and `motion` says why
                  motion          pose, or the reason
                  at_s            the instant of the points, in seconds from stamp_ns on; only if deskewed
The pose between two poses: p = p_k + s (p_k+1 - p_k), R = R_k exp(s log(R_k^T R_k+1)), s = (t - t_k) / (t_k+1 - t_k): linear, and
slerp. Outside the known poses the nearest interval goes on: constant velocity.
State: the last poses. It empties at a new sequence and at a stamp that goes back; a crash loses it: one sweep is not deskewed.
Empty sweep: N = 0. A point whose time is not finite stays where it is.   Moving objects stay as they were measured.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from operators.geometry.transforms import invert
from operators.kernels import deskew as kernel
from operators.streams import POINT_TIMES, POINTS, POSE
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional

_KNOTS = 4
"""Poses kept: those around a sweep whose pose is late by one period, and one more."""


@dataclass(frozen=True, slots=True)
class DeskewConfig:
    at: Literal["stamp", "middle"] = "stamp"  # the instant: the frame's stamp_ns, or halfway from the first to the last point
    max_gap_s: float = 0.5  # longest time between two poses, and from a pose to a point; beyond it the motion is unknown

    def __post_init__(self) -> None:
        if not 0 < self.max_gap_s <= 60:
            raise ValueError(f"max_gap_s: needs above 0, up to 60, got {self.max_gap_s:g}")


class Motion(NamedTuple):
    """Poses of the sensor in the frame of the reference instant; see the kernel."""

    knots_s: np.ndarray
    rotations: np.ndarray
    translations: np.ndarray
    turns: np.ndarray


def motion(knots_s: np.ndarray, poses: np.ndarray, at_s: float) -> Motion:
    """knots_s (K,) rising, K >= 2; poses (K, 4, 4) T_world_velo at them -> the same in the velodyne frame at `at_s`."""
    near = invert(poses[-1]) @ poses  # near the origin: world coordinates of 1e6 m lose no digits
    turns = np.array([rotation_vector(a[:3, :3].T @ b[:3, :3]) for a, b in pairwise(near)])
    T_near_ref = np.eye(4)
    kernel.motion_at(at_s, knots_s, *_parts(near), turns, T_near_ref[:3])
    return Motion(knots_s, *_parts(invert(T_near_ref) @ near), turns)


def rotation_vector(R: np.ndarray) -> np.ndarray:
    """(3,) axis * angle [rad] of a (3, 3) rotation by less than half a turn."""
    sine = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    size = float(np.linalg.norm(sine))
    return sine * (np.arctan2(size, (np.trace(R) - 1) / 2) / size) if size > 0 else sine


def _parts(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(poses[:, :3, :3]), np.ascontiguousarray(poses[:, :3, 3])


class Deskew(Operator):
    Config, outputs = DeskewConfig, {"points": POINTS}
    inputs = {"points": POINTS, "point_times": POINT_TIMES, "pose": optional(POSE)}

    def open(self) -> None:
        self.sequence, self.stamp_ns = "", 0
        self.poses: deque[tuple[int, np.ndarray]] = deque(maxlen=_KNOTS)
        self.num_left = 0
        standing = motion(np.array([0.0, 1.0]), np.stack([np.eye(4)] * 2), 0.0)
        points, times_s = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        for writeable in (False, True):  # compiles: numba does so per read-only flag
            points.flags.writeable = times_s.flags.writeable = writeable
            kernel.deskew(points, times_s, *standing, np.zeros((0, 4), np.float32))

    def process(self, points: np.ndarray, point_times: np.ndarray, pose: np.ndarray | None = None) -> np.ndarray:
        if len(point_times) != len(points):
            raise FrameError(f"{self.name}: needs a time for each of {len(points)} points, got {len(point_times)}")
        self._remember(pose)
        out = self.alloc("points", "points", points.shape, np.float32)
        finite = point_times[np.isfinite(point_times)]
        first_s, last_s = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
        at_s = 0.0 if self.config.at == "stamp" else (first_s + last_s) / 2
        knots_s = np.array([stamp_ns - self.header.stamp_ns for stamp_ns, _ in self.poses]) * 1e-9
        reason = self._unknown(pose, knots_s, min(first_s, at_s), max(last_s, at_s))
        if reason:
            self.num_left += 1
            out[...] = points
            self.describe("points", deskewed=False, motion=reason)
            return out
        moved = motion(knots_s, np.stack([T for _, T in self.poses]), at_s)
        kernel.deskew(np.ascontiguousarray(points), np.ascontiguousarray(point_times), *moved, out)
        self.describe("points", deskewed=True, motion="pose", at_s=at_s)
        return out

    def close(self) -> None:
        if self.num_left:
            self.log.info("%d sweeps not deskewed: their motion was not known", self.num_left)

    def _remember(self, pose: np.ndarray | None) -> None:
        header = self.header
        if header.sequence != self.sequence or header.stamp_ns < self.stamp_ns:
            self.poses.clear()
        self.sequence, self.stamp_ns = header.sequence, header.stamp_ns
        if pose is None:
            return
        stamp_ns = self.headers["pose"].stamp_ns if "pose" in self.headers else header.stamp_ns
        if self.poses and stamp_ns - self.poses[-1][0] > self.config.max_gap_s * 1e9:
            self.poses.clear()
        if not self.poses or stamp_ns > self.poses[-1][0]:  # not the same pose again
            self.poses.append((stamp_ns, np.array(pose)))

    def _unknown(self, pose: np.ndarray | None, knots_s: np.ndarray, first_s: float, last_s: float) -> str:
        """Why the motion from first_s to last_s is not known; "" if it is."""
        if pose is None and not len(knots_s):
            return "no pose"
        if len(knots_s) < 2:
            return "one pose only"
        if first_s < knots_s[0] - self.config.max_gap_s or last_s > knots_s[-1] + self.config.max_gap_s:
            return "no pose near this sweep"
        return ""
