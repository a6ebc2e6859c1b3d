"""Ego motion from the scans alone: ICP against a map of the last scans.       Source: Vizzo et al. 2023 (KISS-ICP), sec. III

in   points       (N, 4) float32  x y z [m, velodyne frame], intensity; points that are not finite do not count
     point_times  (N,) float32    seconds from the frame's stamp_ns on; optional: they deskew the scan by the predicted motion
out  pose         POSE            T_world_velo at the frame's stamp, for every scan; world = velodyne at a sequence's first scan
     facts        odometry        first; tracked; predicted: constant velocity; restarted: the map begins anew at this pose
                  matched         share of the scan's thinned points that found the map, 0..1
                  sigma_m         the adaptive threshold [m] of this scan
The port takes the place of a driver's pose: track.tracker, lidar.accumulate, lidar.deskew, render.scene change one edge.
State: the map, at most max_voxels cells (full: further cells are lost and counted), the last pose and velocity. It empties at a
new sequence and a stamp that goes back: the pose is the identity again. After a gap above `max_gap` periods the map begins anew
at the last pose; so it does at the first usable scan after `max_lost` scans that could not be placed. A crash loses the map:
the last pose and velocity are in DIR/<node>/.pose.json while the run lasts, and the first scan after it is `restarted` there.
A scan cannot be placed if it is empty, has fewer than 10 matched points, if less than `min_matched` of it finds the map, or if it
is further than `max_jump_m` a period from the prediction: its pose is the prediction, and it stays out of the map.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from operators.geometry.transforms import exp_rigid, invert, log_rigid
from operators.kernels import deskew, odometry
from operators.lidar import last_pose
from operators.lidar.deskew import motion
from operators.streams import MAX_POINTS, POINT_TIMES, POINTS, POSE
from operators.track.clock import NEW_RECORDING, FrameClock
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional

LEAST = 10
"""Matched points without which a scan has no pose."""
MAX_STEPS, EPSILON = 200, 1e-4
FIRST, TRACKED, PREDICTED, RESTARTED = "first", "tracked", "predicted", "restarted"


@dataclass(frozen=True, slots=True)
class OdometryConfig:
    range_m: tuple[float, float] = (1.0, 100.0)  # nearest, farthest point used; the map ends at the farthest
    voxel_m: float = 1.0  # edge of a cell of the map
    max_points: int = 20  # of a cell
    max_voxels: int = 50_000  # of the map: 13 bytes * max_points each
    sigma_m: float = 2.0  # the threshold before there is any experience
    min_motion_m: float = 0.1  # deviations from the prediction below it do not count as experience
    min_matched: float = 0.5
    max_jump_m: float = 5.0
    max_lost: int = 5
    rate_hz: float | None = None  # of the scans; None: learned from the stamps
    max_gap: int = 10  # scan periods without a scan

    def __post_init__(self) -> None:
        if not 0 <= self.range_m[0] < self.range_m[1] <= 1000:
            raise ValueError(f"range_m: needs 0 <= nearest < farthest <= 1000, got {list(self.range_m)}")
        for key in ("voxel_m", "sigma_m", "min_motion_m", "max_jump_m"):
            if not 0.01 <= getattr(self, key) <= 1000:
                raise ValueError(f"{key}: needs 0.01 to 1000, got {getattr(self, key):g}")
        for key, most in (("max_points", 1000), ("max_voxels", 2**24), ("max_lost", 2**31), ("max_gap", 2**31)):
            if not 1 <= getattr(self, key) <= most:
                raise ValueError(f"{key}: needs 1 to {most}, got {getattr(self, key)}")
        if not 0 <= self.min_matched <= 1:
            raise ValueError(f"min_matched: needs 0 to 1, got {self.min_matched:g}")
        if self.rate_hz is not None and not self.rate_hz > 0:
            raise ValueError(f"rate_hz: needs more than 0, got {self.rate_hz:g}")


class Placed(NamedTuple):
    """A scan's T_world_velo (4, 4), how it was found, and the facts of the frame."""

    pose: np.ndarray
    how: str
    matched: float
    sigma_m: float


class ScanOdometry:
    """The algorithm without the engine: `step` for each scan, `restart` before another recording."""

    def __init__(self, config: OdometryConfig) -> None:
        self.config = config
        self.voxels = odometry.make_map(config.max_voxels, config.max_points)
        self.table = odometry.make_table(MAX_POINTS)
        self.points, self.source = np.empty((MAX_POINTS, 3), np.float32), np.empty((MAX_POINTS, 3), np.float32)
        self.num_lost_points = 0
        self.restart(np.eye(4))

    def restart(self, pose: np.ndarray) -> None:
        """The next scan has this pose, and begins a new map."""
        self.pose, self.velocity = pose, np.zeros(6)  # velocity: twist per period
        self.num_scans, self.num_unplaced = 0, 0
        self.total, self.count = self.config.sigma_m**2, 1  # eq. (8): mean square of the deviations

    def step(self, points: np.ndarray, periods: int = 1, times_s: np.ndarray | None = None, since_s: float = 0.0) -> Placed:
        """points (N, 4) of a scan `periods` after the one before; to deskew: times_s (N,), and since_s, the time since then."""
        config = self.config
        if since_s <= 0:
            times_s = None
        predicted = self.pose @ exp_rigid(periods * self.velocity)  # eq. (1)
        num = self._thinned(points if times_s is None else self._deskewed(points, times_s, predicted, since_s))
        size = odometry.thin(self.points[:num], config.voxel_m * 1.5, self.table, self.source)
        sigma_m = math.sqrt(self.total / self.count)
        if not self.num_scans:
            if size < LEAST:
                return Placed(self.pose, PREDICTED, 0.0, sigma_m)
            return self._begin(self.pose, num, FIRST, sigma_m)
        if self.num_scans == 1:
            found, matched = self._first_motion(self.source[:size], predicted, sigma_m, periods)
        else:
            found, matched = self._aligned(self.source[:size], predicted, sigma_m)
        share = matched / max(size, 1)
        off = invert(predicted) @ found
        if matched < LEAST or share < config.min_matched or np.linalg.norm(off[:3, 3]) > config.max_jump_m * periods:
            self.num_unplaced += 1
            if self.num_unplaced > config.max_lost:
                self.velocity = np.zeros(6)  # a prediction is good for a moment only
                if size >= LEAST:
                    return self._begin(self.pose, num, RESTARTED, sigma_m)
                return Placed(self.pose, PREDICTED, share, sigma_m)
            self.pose = predicted
            return Placed(predicted, PREDICTED, share, sigma_m)
        self._learn(off)
        self.velocity = log_rigid(invert(self.pose) @ found) / periods
        if times_s is not None and self.num_scans == 1:  # the first two were placed as they came: their motion was not known
            self._clear()
            num = self._thinned(self._deskewed(points, times_s, found, since_s))
        self.pose, self.num_unplaced = found, 0
        self._add(num)
        return Placed(found, TRACKED, share, sigma_m)

    def _aligned(self, source: np.ndarray, start: np.ndarray, scale_m: float) -> tuple[np.ndarray, int]:
        """-> the pose, and how many points of the thinned scan found the map; 0: none"""
        found, voxel_m = start.copy(), self.config.voxel_m
        _, matched, _ = odometry.align(source, found, self.voxels, voxel_m, 3 * scale_m, scale_m, MAX_STEPS, LEAST, EPSILON)
        return found, matched

    def _first_motion(self, source: np.ndarray, start: np.ndarray, sigma_m: float, periods: int) -> tuple[np.ndarray, int]:
        """The second scan of a map, whose motion has no prediction: from rest, forwards, backwards; the best one then finer.

        From rest, a scan at 33 m/s ends at rest. At the threshold of the start the rings of the ground, which move with the
        sensor, hold every pose back.
        """
        best, most = start, 0
        for speed in (0.0, sigma_m, -sigma_m):  # m a period, along the sensor's x
            moved = start.copy()
            moved[:3, 3] += periods * speed * start[:3, 0]
            found, _ = self._aligned(source, moved, sigma_m)
            found, matched = self._aligned(source, found, sigma_m / 2)
            if matched > most:
                best, most = found, matched
        scale_m = sigma_m / 4
        while most and scale_m > self.config.min_motion_m:
            best, _ = self._aligned(source, best, scale_m)
            scale_m /= 2
        return best, most

    def _begin(self, pose: np.ndarray, num: int, how: str, sigma_m: float) -> Placed:
        self.restart(pose)
        self._clear()
        self._add(num)
        return Placed(pose, how, 0.0, sigma_m)

    def _clear(self) -> None:
        odometry.prune(self.voxels, 0.0, 0.0, 0.0, -1.0, self.config.voxel_m)

    def _thinned(self, points: np.ndarray) -> int:
        """self.points: those for the map. -> their number"""
        num = odometry.crop(points, *self.config.range_m, self.points)
        return odometry.thin(self.points[:num], self.config.voxel_m / 2, self.table, self.points)

    def _add(self, num: int) -> None:
        """The thinned scan into the map, and what is far away out of it."""
        config, T = self.config, self.pose
        odometry.prune(self.voxels, T[0, 3], T[1, 3], T[2, 3], config.range_m[1], config.voxel_m)
        apart_m = config.voxel_m / math.sqrt(config.max_points)
        self.num_lost_points += odometry.insert(self.points[:num], T, config.voxel_m, apart_m, self.voxels)
        self.num_scans += 1

    def _learn(self, off: np.ndarray) -> None:
        """eqs. (5) to (8): how far the farthest point was off the prediction."""
        if self.num_scans == 1:  # not off a prediction: there was none
            self.total, self.count = (3 * self.config.min_motion_m) ** 2, 1
            return
        angle = float(np.linalg.norm(log_rigid(off)[3:]))
        deviation = 2 * self.config.range_m[1] * math.sin(angle / 2) + float(np.linalg.norm(off[:3, 3]))
        if deviation > self.config.min_motion_m:
            self.total, self.count = self.total + deviation**2, self.count + 1

    def _deskewed(self, points: np.ndarray, times_s: np.ndarray, pose: np.ndarray, since_s: float) -> np.ndarray:
        """The scan at its stamp, if the sensor moved from self.pose to `pose` in the since_s before it."""
        out = np.empty(points.shape, np.float32)
        moved = motion(np.array([-since_s, 0.0]), np.stack([self.pose, pose]), 0.0)
        deskew.deskew(points, times_s, *moved, out)
        return out


class Odometry(Operator):
    Config, outputs = OdometryConfig, {"pose": POSE}
    inputs = {"points": POINTS, "point_times": optional(POINT_TIMES)}

    @classmethod
    def memory_bytes(cls, config: OdometryConfig) -> int:
        return (180 << 20) + config.max_voxels * (12 * config.max_points + 24)

    def open(self) -> None:
        self.clock = FrameClock(self.config.rate_hz, self.config.max_gap)
        self.scans = ScanOdometry(self.config)
        self.counts = dict.fromkeys((FIRST, TRACKED, PREDICTED, RESTARTED), 0)
        self.driven_m, self.period_ns = 0.0, 0.0
        self.kept = self.out_dir / ".pose.json"
        self.crashed = last_pose.load(self.kept) if self.resume is not None else None
        if self.resume is not None:
            begins = "goes on from the last one" if self.crashed else "begins at the identity"
            self.log.warning("restarted: the map is lost, the pose %s", begins)
        self._compile()

    def process(self, points: np.ndarray, point_times: np.ndarray | None = None) -> np.ndarray:
        if point_times is not None and len(point_times) != len(points):
            raise FrameError(f"{self.name}: needs a time for each of {len(points)} points, got {len(point_times)}")
        header, sequence, stamp_ns = self.header, self.clock.sequence, self.clock.stamp_ns
        periods = self.clock.tick(header.sequence, header.stamp_ns)
        gap = periods == NEW_RECORDING and sequence == header.sequence and header.stamp_ns >= stamp_ns
        before = self.scans.pose
        if self.crashed is not None and self.crashed.sequence == header.sequence and header.stamp_ns >= self.crashed.stamp_ns:
            gap, before = True, self.crashed.at(header.stamp_ns, self.config.max_gap)
        self.crashed = None
        if periods == NEW_RECORDING:
            self.scans.restart(before if gap else np.eye(4))
        times_s = None if point_times is None else np.ascontiguousarray(point_times)
        since_s = (header.stamp_ns - stamp_ns) * 1e-9 if periods != NEW_RECORDING else 0.0
        placed = self.scans.step(np.ascontiguousarray(points), max(periods, 1), times_s, since_s)
        how = RESTARTED if gap and placed.how == FIRST else placed.how
        if periods != NEW_RECORDING:
            self.driven_m += float(np.linalg.norm(placed.pose[:3, 3] - before[:3, 3]))
        self.counts[how] += 1
        self.describe("pose", odometry=how, matched=round(placed.matched, 4), sigma_m=round(placed.sigma_m, 4))
        self.status(self._told())
        if since_s > 0:
            self.period_ns = since_s * 1e9 / periods
        pose, velocity = placed.pose.tolist(), self.scans.velocity.tolist()
        last = last_pose.LastPose(header.sequence, header.stamp_ns, self.period_ns, pose, velocity)
        last_pose.save(self.name, self.kept, last)
        return self.put("pose", "T_world_velo", placed.pose)

    def close(self) -> None:
        self.kept.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not there, or not empty
            self.out_dir.rmdir()
        if self.scans.num_lost_points:
            self.log.info("map full: %d points lost; raise max_voxels or voxel_m", self.scans.num_lost_points)

    def _told(self) -> str:
        odd = [f"{self.counts[how]} {how}" for how in (PREDICTED, RESTARTED) if self.counts[how]]
        full = [f"map full, {self.scans.num_lost_points} points lost"] if self.scans.num_lost_points else []
        return ", ".join([f"{self.driven_m:.1f} m", f"{sum(self.counts.values())} scans", *odd, *full])

    def _compile(self) -> None:
        """Before the first frame: numba compiles per read-only flag of the points."""
        grid = np.mgrid[2:6, 2:6, 2:6].reshape(3, -1).T
        points, times_s = np.zeros((len(grid), 4), np.float32), np.zeros(len(grid), np.float32)
        points[:, :3] = 3 * grid
        for writeable in (True, False):
            points.flags.writeable = times_s.flags.writeable = writeable
            for _ in range(3):
                self.scans.velocity = np.full(6, 1e-3)
                self.scans.step(points, 1, times_s, 0.1)
        self.scans.num_lost_points = 0
        self.scans.restart(np.eye(4))
