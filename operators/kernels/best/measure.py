"""Step 2 of preset `best`: the detections in the world, with their covariance."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.best.state import (
    COV_XX,
    COV_XY,
    COV_YY,
    LOOSENESS,
    SIGMA_GROWTH,
    SIGMA_SLOPE,
    SIGMA_XY,
    WORLD_YAW,
    Detections,
)


@njit(nogil=True, cache=True)
def measure(dets: Detections, T: np.ndarray, params: np.ndarray) -> None:
    """Fills `dets.world` by T_world_velo.

    The noise falls exponentially with the evidence (factor LOOSENESS, 1 at evidence 2) and grows linearly with the range.
    """
    boxes, labels, evidence, _, world = dets
    for d in range(len(boxes)):
        p, box, row = params[labels[d]], boxes[d], world[d]
        for k in range(3):
            row[k] = T[k, 0] * box[0] + T[k, 1] * box[1] + T[k, 2] * box[2] + T[k, 3]
        c, s = np.cos(box[6]), np.sin(box[6])
        row[WORLD_YAW] = np.arctan2(T[1, 0] * c + T[1, 1] * s, T[0, 0] * c + T[0, 1] * s)
        row[LOOSENESS] = np.exp(-p[SIGMA_SLOPE] * (min(max(evidence[d], -3.0), 8.0) - 2.0))
        sigma = p[SIGMA_XY] * row[LOOSENESS] * (1.0 + p[SIGMA_GROWTH] * np.hypot(box[0], box[1]))
        row[COV_XX] = row[COV_YY] = sigma * sigma
        row[COV_XY] = 0.0
