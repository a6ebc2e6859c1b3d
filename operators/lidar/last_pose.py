"""The last pose of an odometry, in a file: a node that starts again after a crash goes on from there.

File: one line of JSON with the fields of `LastPose`; replaced as a whole at each scan, so it survives a kill.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from operators import files
from operators.geometry.transforms import exp_rigid


@dataclass(frozen=True, slots=True)
class LastPose:
    """pose (4, 4) T_world_velo as rows; velocity: its twist a period (6); period_ns 0: not known, then it stood."""

    sequence: str
    stamp_ns: int
    period_ns: float
    pose: list[list[float]]
    velocity: list[float]

    def at(self, stamp_ns: int, max_gap: int) -> np.ndarray:
        """(4, 4): the pose at a later stamp, at constant velocity; more than max_gap periods later the last pose itself."""
        periods = (stamp_ns - self.stamp_ns) / self.period_ns if self.period_ns else 0.0
        pose = np.array(self.pose)
        return pose @ exp_rigid(periods * np.array(self.velocity)) if 0 <= periods <= max_gap else pose


def save(who: str, path: Path, last: LastPose) -> None:
    """Raises RunError if the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, json.dumps(asdict(last)).encode())
    except OSError as error:
        raise files.failed(who, path, error, "the last pose") from error


def load(path: Path) -> LastPose | None:
    """None: the node ended before its first scan."""
    return LastPose(**json.loads(path.read_bytes())) if path.exists() else None
