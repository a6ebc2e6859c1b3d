"""Conventions of other programs' heads and first layers, as changes of the weights.

Boxes of SECOND (also of mmdetection3d before 1.0, zhulf0804, TANet): x y z w l h r, r the angle of KITTI's camera, so
yaw = -r - pi/2, and a residual of r is the negative of one of yaw. Anchors at r = 0 and 1.57 are at yaw -pi/2 and -pi/2 - 1.57.
The height is coded against centres there as well: z of the bottom plus h/2, for box and anchor.
"""

from __future__ import annotations

import math

import numpy as np

SECOND_YAWS_RAD = (-math.pi / 2, -math.pi / 2 - 1.57)
SECOND_DIRECTION_OFFSET_RAD = math.pi / 2
"""r in [0, pi) is yaw in (pi/2, 3 pi/2]: the first of the two directions of mmdetection3d and zhulf0804, the second of TANet."""

_FROM_SECOND = np.array([0, 1, 2, 4, 3, 5, 6])  # x y z w l h r -> x y z l w h yaw
_SIGNS = np.array([1, 1, 1, 1, 1, 1, -1], np.float32)


def second_boxes(rows: np.ndarray) -> np.ndarray:
    """Weight (A * 7, C, 1, 1) or bias (A * 7,) of a box head of SECOND -> of ours."""
    grouped = rows.reshape(-1, 7, *rows.shape[1:])[:, _FROM_SECOND]
    return (grouped * _SIGNS.reshape(1, 7, *[1] * (rows.ndim - 1))).reshape(rows.shape)


def swapped_directions(rows: np.ndarray) -> np.ndarray:
    """Weight (A * 2, C, 1, 1) or bias (A * 2,) of a direction head, its two bins exchanged."""
    return np.ascontiguousarray(rows.reshape(-1, 2, *rows.shape[1:])[:, ::-1]).reshape(rows.shape)


def without_overwriting(weight: np.ndarray) -> np.ndarray:
    """First layer (C, 9 or 10) of a net that overwrites x, y (and z) of a point with the offsets to the pillar's centre.

    It reads the offsets twice; ours reads each once: the weights add up, and those of the coordinates become 0.
    https://github.com/open-mmlab/mmdetection3d/issues/1150
    """
    out, last = weight.copy(), weight.shape[1] - 7  # 2 or 3 coordinates
    out[:, 7:] += weight[:, :last]
    out[:, :last] = 0
    return out
