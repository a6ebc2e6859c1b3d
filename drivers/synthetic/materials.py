"""Materials: their appearance to the camera and to a LiDAR at 905 nm.

A material is a row of MATERIALS; the names below are row indices. Reflectances are diffuse, at normal incidence,
rounded from published spectra (ASTER and USGS libraries; asphalt 0.1..0.2, vegetation 0.4..0.6 beyond the red edge, glass
transmits nearly everything). Car paint and cloth differ most between objects, so they have a spread.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from operators.kernels.shade import BLOCKS, GLASS, GLOSS, GRAIN, LEAVES, PANE, PLAIN, PLASTER, SLABS, TURF


class Materials(NamedTuple):
    """Columns, all of length K."""

    names: tuple[str, ...]
    albedo: np.ndarray
    """(K, 3) float32 linear RGB 0..1, the colour of a triangle that brings none of its own."""
    lidar_reflectance: np.ndarray
    """(K,) float32 0..1 at normal incidence."""
    lidar_spread: np.ndarray
    """(K,) float32: the reflectance of one object lies evenly within reflectance - spread .. + spread."""
    retro: np.ndarray
    """(K,) bool: sends light back to where it came from, whatever the incidence."""
    drop: np.ndarray
    """(K,) float32 0..1: probability that a beam that hits it gives no return, beyond what range and incidence do."""
    pattern: np.ndarray
    """(K,) int32: how the camera sees it in detail, one of operators/kernels/shade.py."""


_ROWS: tuple[tuple[str, tuple[float, float, float], float, float, bool, float, int], ...] = (
    # name            albedo, linear RGB  reflectance, spread  retro  drop  pattern
    ("ASPHALT", (0.105, 0.105, 0.110), 0.16, 0.03, False, 0.02, GRAIN),
    ("SIDEWALK", (0.330, 0.315, 0.290), 0.32, 0.05, False, 0.01, SLABS),
    ("KERB", (0.420, 0.410, 0.390), 0.36, 0.05, False, 0.01, PLAIN),
    ("GRASS", (0.110, 0.190, 0.045), 0.48, 0.08, False, 0.02, TURF),
    ("SOIL", (0.200, 0.140, 0.090), 0.28, 0.06, False, 0.01, TURF),
    ("LANE_MARK", (0.720, 0.720, 0.700), 0.65, 0.10, False, 0.00, GRAIN),
    ("BUILDING", (0.450, 0.360, 0.270), 0.40, 0.10, False, 0.01, PLASTER),
    ("WINDOW", (0.050, 0.065, 0.085), 0.03, 0.02, False, 0.70, PANE),
    ("ROOF", (0.260, 0.110, 0.075), 0.25, 0.08, False, 0.01, PLAIN),
    ("WALL", (0.400, 0.380, 0.350), 0.38, 0.10, False, 0.01, BLOCKS),
    ("FENCE", (0.210, 0.140, 0.085), 0.35, 0.10, False, 0.05, PLAIN),
    ("FOLIAGE", (0.070, 0.150, 0.030), 0.50, 0.10, False, 0.10, LEAVES),
    ("TRUNK", (0.120, 0.085, 0.060), 0.35, 0.08, False, 0.02, PLAIN),
    ("POLE", (0.320, 0.330, 0.340), 0.40, 0.15, False, 0.01, PLAIN),
    ("SIGN", (0.600, 0.600, 0.600), 1.00, 0.00, True, 0.00, PLAIN),
    ("METAL", (0.250, 0.260, 0.270), 0.30, 0.15, False, 0.05, PLAIN),
    ("CAR_PAINT", (0.350, 0.350, 0.360), 0.38, 0.32, False, 0.06, GLOSS),
    ("CAR_GLASS", (0.030, 0.038, 0.045), 0.02, 0.01, False, 0.85, GLASS),
    ("CAR_PLASTIC", (0.030, 0.030, 0.032), 0.07, 0.03, False, 0.05, PLAIN),
    ("HEADLIGHT", (0.800, 0.800, 0.780), 0.50, 0.20, False, 0.20, GLOSS),
    ("TAIL_LIGHT", (0.500, 0.025, 0.020), 0.80, 0.15, True, 0.05, GLOSS),
    ("PLATE", (0.750, 0.740, 0.650), 1.00, 0.00, True, 0.00, PLAIN),
    ("TYRE", (0.022, 0.022, 0.024), 0.05, 0.02, False, 0.05, PLAIN),
    ("SKIN", (0.460, 0.270, 0.190), 0.50, 0.08, False, 0.01, PLAIN),
    ("HAIR", (0.060, 0.040, 0.028), 0.22, 0.12, False, 0.03, PLAIN),
    ("CLOTH", (0.180, 0.200, 0.280), 0.40, 0.20, False, 0.01, PLAIN),
    ("SHOE", (0.050, 0.045, 0.045), 0.20, 0.10, False, 0.01, PLAIN),
)

MATERIALS = Materials(
    tuple(row[0] for row in _ROWS),
    *(
        np.array([row[column] for row in _ROWS], dtype)
        for column, dtype in enumerate((np.float32, np.float32, np.float32, np.bool_, np.float32, np.int32), 1)
    ),
)
"""Read-only."""
for _column in MATERIALS[1:]:
    _column.flags.writeable = False

(
    ASPHALT,
    SIDEWALK,
    KERB,
    GRASS,
    SOIL,
    LANE_MARK,
    BUILDING,
    WINDOW,
    ROOF,
    WALL,
    FENCE,
    FOLIAGE,
    TRUNK,
    POLE,
    SIGN,
    METAL,
    CAR_PAINT,
    CAR_GLASS,
    CAR_PLASTIC,
    HEADLIGHT,
    TAIL_LIGHT,
    PLATE,
    TYRE,
    SKIN,
    HAIR,
    CLOTH,
    SHOE,
) = range(len(_ROWS))
CLOSED = np.ones(len(_ROWS), np.bool_)
"""(K,) bool: only on closed meshes with corners counter-clockwise from outside. Ground is open, as windows are on walls."""
CLOSED[[ASPHALT, SIDEWALK, KERB, GRASS, SOIL, LANE_MARK, WINDOW]] = False
CLOSED.flags.writeable = False
