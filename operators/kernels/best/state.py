"""The arrays that all steps of preset `best` work on, and the names of their columns.

Tracks are rows in order of birth; the first `num` rows are in use. Lengths are in metres, angles in radians, speeds in metres per
step of one frame period. "World" is the velodyne frame of the first frame of the recording, with x and y level.
Evidence is the logarithm of the odds that a detection, or a track, is true.

The steps unpack a tuple before they loop: numba counts references of an array that is taken from a tuple inside a loop (5 %).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit


class Tracks(NamedTuple):
    motion: np.ndarray
    """(T, 4) float64 [x, y, vx, vy], world."""
    motion_cov: np.ndarray
    """(T, 4, 4) float64, covariance of `motion`."""
    height: np.ndarray
    """(T, 2) float64 [z of the centre, its variance]."""
    yaw: np.ndarray
    """(T, 2) float64 [yaw, its variance], world."""
    size: np.ndarray
    """(T, 6) float64 [l, w, h, their variances]."""
    belief: np.ndarray
    """(T, 3) float64: EVIDENCE and SCORE are running means over the matches, LATEST is the evidence of the last match."""
    info: np.ndarray
    """(T, 7) int64: ID, LABEL, HITS (matches), TIME_SINCE_UPDATE (steps since the last match), WAS_SHOWN, STATE, VOTES (how many
    more detections and motions said that the front is where yaw points than said the opposite)."""


class Detections(NamedTuple):
    boxes: np.ndarray
    """(D, 7) float64 as BOXES3D."""
    labels: np.ndarray
    """(D,) int32."""
    evidence: np.ndarray
    """(D,) float64."""
    scores: np.ndarray
    """(D,) float64."""
    world: np.ndarray
    """(D, 8) float64: pose and covariance in the world, columns X .. LOOSENESS. `measure` fills it."""


class Matches(NamedTuple):
    track_of: np.ndarray
    """(D,) int64: track of each detection, -1 = none."""
    det_of: np.ndarray
    """(T,) int64: detection of each track, -1 = none."""


class Ego(NamedTuple):
    T: np.ndarray
    """(4, 4) float64 T_world_velo of the last frame; `step` overwrites it with that of this frame."""
    T_before_now: np.ndarray
    """(4, 4) float64 ego-motion since the last frame. Ignored unless `is_known`."""
    is_known: bool
    drive: np.ndarray
    """(4,) float64: ahead, left [m] and turn [rad] of the last step in the car's axes, number of frames they were observed in."""
    sigmas: np.ndarray
    """(2,) float64: standard deviation of the change of `drive` from step to step [m, rad]."""


ID, LABEL, HITS, TIME_SINCE_UPDATE, WAS_SHOWN, STATE, VOTES = range(7)
HIDDEN, COASTING, SHOWN = range(3)
"""Values of STATE. COASTING: shown without a detection in this frame."""
EVIDENCE, SCORE, LATEST = range(3)
X, Y, Z, WORLD_YAW, COV_XX, COV_XY, COV_YY, LOOSENESS = range(8)
DISTANCE, MAHALANOBIS = range(2)
"""Values of METRIC."""

# params (L, NUM_PARAMETERS) float64, a row per label; track/models.py defines each column
(
    SIGMA_XY, SIGMA_GROWTH, SIGMA_SLOPE, SIGMA_FLOOR, ACCELERATION, ACROSS, SPEED_0,
    SIGMA_Z, DRIFT_Z, DRIFT_Z_MOVING, SIGMA_YAW, DRIFT_YAW, DRIFT_YAW_MOVING,
    SIGMA_L, SIGMA_W, SIGMA_H, DRIFT_SIZE, MEAN_L, MEAN_W, MEAN_H, SPREAD_L, SPREAD_W, SPREAD_H,
    METRIC, GATE, GATE_LOW, HIGH, LOW, TENTATIVE, BIRTH, CROWDED,
    MEMORY, MISS, SHOW, AT_ONCE, MIN_HITS, ODD_SIZE, FAR, MAX_COAST, COAST, MAX_AGE, MAX_AGE_YOUNG,
) = range(42)  # fmt: skip
NUM_PARAMETERS = 42


@njit(nogil=True, cache=True)
def wrap(angle: float) -> float:
    """The same angle in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


@njit(nogil=True, cache=True)
def half_turn(angle: float) -> float:
    """The same line in [-pi/2, pi/2): front and back are not distinguished."""
    return (angle + np.pi / 2) % np.pi - np.pi / 2
