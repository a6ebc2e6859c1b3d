"""Add the sweeps before to each LiDAR sweep, moved to where the car is now.

in   points  (N, 4) float32  x y z [m, velodyne frame], intensity [0..1]
     pose    POSE            of the same instant; optional for a sensor that stands (config `standing`)
out  points  (M, 4) float32  in the frame of the newest sweep: its points as they came, then those of the sweep before, ...
     facts   sweeps          number of sweeps in this output
State: the last sweeps and their poses. It empties at a new sequence, a stamp that goes back, a gap above `max_gap` periods.
A crash loses it: the first frames after a restart have fewer sweeps.   Empty sweep: counts as one.
Full: at max_points the points of the oldest sweeps are dropped and counted; close() logs the total.
A set without a pose (sync: optional) cannot be placed: its sweep passes alone and is not kept. What moves leaves a trail.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from operators.geometry.transforms import invert
from operators.kernels.accumulate import move
from operators.streams import MAX_POINTS, POINTS, POSE
from operators.track.clock import NEW_RECORDING, FrameClock
from pipeline.errors import RunError
from pipeline.operator import Operator
from pipeline.schema import optional


@dataclass(frozen=True, slots=True)
class AccumulateConfig:
    sweeps: int = 5  # in each output, the newest included
    max_points: int = MAX_POINTS
    standing: bool = False  # the sensor does not move: no pose is needed, and none is used
    rate_hz: float | None = None  # of the sweeps; None: learned from the stamps
    max_gap: int = 10  # sweep periods without a sweep after which the state empties

    def __post_init__(self) -> None:
        for key, least in (("sweeps", 1), ("max_points", 1), ("max_gap", 1)):
            if getattr(self, key) < least:
                raise ValueError(f"{key}: needs {least} or more, got {getattr(self, key)}")
        if self.rate_hz is not None and not self.rate_hz > 0:
            raise ValueError(f"rate_hz: needs more than 0, got {self.rate_hz:g}")


class Accumulate(Operator):
    Config, inputs, outputs = AccumulateConfig, {"points": POINTS, "pose": optional(POSE)}, {"points": POINTS}

    @classmethod
    def slot_bytes(cls, config: AccumulateConfig) -> dict[str, int]:
        return {"points": 16 * config.max_points}

    def open(self) -> None:
        self.clock = FrameClock(self.config.rate_hz, self.config.max_gap)
        self.before: deque[tuple[np.ndarray, np.ndarray]] = deque(
            maxlen=self.config.sweeps - 1
        )  # points, T_world_velo; newest first
        self.num_dropped = 0
        if self.resume is not None:
            self.log.info("restarted: the sweeps before are lost, the next frames have fewer")
        nothing = np.zeros((0, 4), np.float32)
        move(nothing, np.eye(4), nothing)  # compiles

    def process(self, points: np.ndarray, pose: np.ndarray | None = None) -> np.ndarray:
        if self.clock.tick(self.header.sequence, self.header.stamp_ns) == NEW_RECORDING:
            self.before.clear()
        T_world_velo = self._placed(pose)
        before = list(self.before) if T_world_velo is not None else []
        room, sizes = self.config.max_points, []
        for sweep in (points, *(old for old, _ in before)):
            sizes.append(min(len(sweep), room))
            room -= sizes[-1]
            self.num_dropped += len(sweep) - sizes[-1]
        out = self.alloc("points", "points", (sum(sizes), 4), np.float32)
        out[: sizes[0]] = points[: sizes[0]]
        at = sizes[0]
        if T_world_velo is not None:
            T_velo_world = invert(T_world_velo)
            for (old, T_world_old), size in zip(before, sizes[1:], strict=True):
                move(old[:size], T_velo_world @ T_world_old, out[at : at + size])
                at += size
            self.before.appendleft((np.array(points), T_world_velo))  # a copy: the slot is the writer's
        self.describe("points", sweeps=1 + len(before))
        return out

    def close(self) -> None:
        if self.num_dropped:
            self.log.info("dropped %d points of the oldest sweeps, beyond max_points", self.num_dropped)

    def _placed(self, pose: np.ndarray | None) -> np.ndarray | None:
        """The pose to use; None: unknown at this instant."""
        if self.config.standing:
            return np.eye(4)
        if pose is None and "pose" not in self.missing:
            raise RunError(
                f"{self.name}: needs a pose of each sweep, got none connected; write inputs: {{pose: NODE.pose}}, "
                "or config standing: true for a sensor that does not move"
            )
        return None if pose is None else np.array(pose)
