"""What weather and failing parts do to a LiDAR sweep: functions of (points, level), some with a random generator.

points  (N, 4) float32 x y z [m, velodyne frame], intensity 0..1; the result has the points that are left, in the same order
No false returns are added. Points with a NaN coordinate are kept by all but `weather`.
"""

from __future__ import annotations

import math

import numpy as np

BEAM_RAD = math.radians(0.4)
"""Between two beams of a 64-beam LiDAR: rows of this height stand for beams, which a cloud does not name."""


def beam_loss(points: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Loses a share `level` of the beams: of all rows of elevation, each with this probability."""
    rows = round(math.pi / BEAM_RAD) + 1
    dead = rng.random(rows) < level
    elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])) + math.pi / 2
    row = np.nan_to_num(elevation / BEAM_RAD).astype(np.int64).clip(0, rows - 1)
    return points[~(dead[row] & np.isfinite(elevation))]


def sector_loss(points: np.ndarray, level_deg: float, rng: np.random.Generator) -> np.ndarray:
    """Loses the points of a sector of `level_deg` degrees in a random direction."""
    middle, half = rng.uniform(-math.pi, math.pi), math.radians(level_deg) / 2
    off = np.abs((np.arctan2(points[:, 1], points[:, 0]) - middle + math.pi) % (2 * math.pi) - math.pi)
    return points[~(off <= half)]


def weather(points: np.ndarray, extinction: float, rng: np.random.Generator) -> np.ndarray:
    """Beer-Lambert: at range r a point is kept with probability T = exp(-2 * extinction * r), its intensity times T.

    extinction  [1/m], see `rain_extinction` and `fog_extinction`
    """
    passed = np.exp(-2.0 * extinction * np.linalg.norm(points[:, :3], axis=1))
    kept = rng.random(len(points)) < passed
    left = points[kept]
    left[:, 3] *= passed[kept]
    return left


def rain_extinction(rate_mm_h: float) -> float:
    """[1/m] of rain: 1.076 R^0.67 dB/km (Carbonneau and Wisely 1998)."""
    return 1.076 * rate_mm_h**0.67 * math.log(10) / 10 / 1000


def fog_extinction(sight_m: float) -> float:
    """[1/m] of fog of this meteorological optical range: ln(20) / range (Hahner et al. 2021)."""
    return math.log(20) / sight_m
