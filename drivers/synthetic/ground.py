"""The ground of a street as triangles: the strips of its cross-section, and the marks between the lanes. Street frame [m]."""

from __future__ import annotations

import math

import numpy as np

from drivers.synthetic import materials
from drivers.synthetic.mesh import Mesh
from drivers.synthetic.street import SEGMENT_M, Street

_MARK_M, _GAP_M, _MARK_WIDTH_M = 3.0, 6.0, 0.13


def surface(street: Street, ego_x: float, range_m: float) -> Mesh:
    """The strips of the cross-section in segments of SEGMENT_M."""
    first, last = math.floor((ego_x - range_m) / SEGMENT_M), math.ceil((ego_x + range_m) / SEGMENT_M)
    x = np.arange(first, last + 1) * SEGMENT_M
    y, z = np.array(street.ground.y), np.array(street.ground.z)
    corners = np.empty((len(x), len(y), 3))
    corners[..., 0] = x[:, None]
    corners[..., 1] = y + np.array([street.bend(float(v)) for v in x])[:, None]
    corners[..., 2] = z + np.array([street.hill(float(v)) for v in x])[:, None]
    a, b = corners[:-1, :-1], corners[1:, :-1]
    c, d = corners[1:, 1:], corners[:-1, 1:]
    triangles = np.stack([np.stack([a, b, c], 2), np.stack([a, c, d], 2)], 2)  # (segments, strips, 2, 3, 3)
    strip = np.array([getattr(materials, name) for name in street.ground.materials], np.int32)
    of = np.broadcast_to(strip[None, :, None], triangles.shape[:3]).reshape(-1)
    return Mesh(triangles.reshape(-1, 3, 3), of.copy(), materials.MATERIALS.albedo[of])


def marks(street: Street, ego_x: float) -> Mesh:
    """Narrow dashes between the lanes, just above the road."""
    period = _MARK_M + _GAP_M
    starts = (np.arange(-6, 8) + math.floor(ego_x / period)) * period
    ends = [(x, street.bend(x), street.rise(x)) for x in (starts[:, None] + [0.0, _MARK_M]).ravel().tolist()]
    quads, h = [], _MARK_WIDTH_M / 2
    for y in street.lane_marks:
        level = street.level(y)
        for (x0, b0, rise0), (x1, b1, rise1) in zip(ends[::2], ends[1::2], strict=True):
            z0, z1 = rise0 + level + 0.012, rise1 + level + 0.012
            quads.append([[x0, y + b0 - h, z0], [x1, y + b1 - h, z1], [x1, y + b1 + h, z1], [x0, y + b0 + h, z0]])
    corners = np.array(quads, np.float64).reshape(-1, 4, 3)
    triangles = np.stack([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]], 1).reshape(-1, 3, 3)
    of = np.full(len(triangles), materials.LANE_MARK, np.int32)
    return Mesh(triangles, of, materials.MATERIALS.albedo[of])
