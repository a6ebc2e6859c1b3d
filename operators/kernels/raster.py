"""Triangles onto a grid of pixels, the one with the greatest value wins: a z-buffer, for a camera as for the sun.

A view is (4, 4) float64 with rows U, V, D, N: of a point p, [U V D N] = view @ [x y z 1], its pixel is (U/D, V/D) (pixel
centres at whole numbers) and its value N/D. For a camera D is the depth and N is 1, so the value is 1/depth and the nearest
wins; for light from afar D is 1 and N the way towards it. Edges and values are planes over the picture, computed from the
homogeneous corners (Olano and Greer 1997, "Triangle scan conversion using 2D homogeneous coordinates"): a triangle that
reaches behind the camera needs no clipping, only one more edge, where D = near.

Watertight: two triangles that share an edge compute it from the same two corners, hence the same bits with opposite signs,
and a pixel centre on the edge belongs to exactly one of them. Of equal values the first triangle keeps the pixel.
"""

from __future__ import annotations

import numpy as np
from numba import njit

NOTHING = -1
CLOSED = 1 << 8
"""Added to a material: part of a closed mesh with corners counter-clockwise from outside, so its back need not be drawn."""
MATERIAL = CLOSED - 1
"""Mask of the material proper."""
PLANES, BOX = 5, 5
"""Rows of a triangle's planes: three edges, the near edge, the value. Columns of its box: u0 v0 u1 v1, edges that count."""
_FAR_M = 1e9  # corners beyond it, or NaN, are taken for a mistake; squares of anything nearer fit float64 easily
_HAIR = 1e-6  # [px] rounding of corners must not cost a pixel whose centre lies on an edge


@njit(nogil=True, cache=True)
def set_up(
    triangles: np.ndarray,
    materials: np.ndarray,
    view: np.ndarray,
    near: float,
    cull: int,
    rows: int,
    columns: int,
    planes: np.ndarray,
    limits: np.ndarray,
    boxes: np.ndarray,
) -> None:
    """Once per view, before fill.

    in   triangles (T, 3, 3) float64 [m]; materials (T,) int32, only CLOSED matters; view (4, 4) float64; near > 0, in units
         of D; cull: leave out the backs of CLOSED, 1 in a view whose rows grow downwards, -1 upwards; 0: leave out none
    out  planes (T, PLANES, 3) float64: a u + b v + c, edges >= 0 inside; limits (T, 2) float64: lowest, highest value;
         boxes (T, BOX) int32: first and last column and row, inclusive; empty (u1 < u0) for what cannot be seen: triangles
         without area, with NaN, behind near, outside the picture, between pixel centres, and backs
    """
    uvdn = np.empty((3, 4))
    for t in range(triangles.shape[0]):
        boxes[t, 0], boxes[t, 2] = 0, -1
        front, usable = 0, True
        for k in range(3):
            x, y, z = triangles[t, k, 0], triangles[t, k, 1], triangles[t, k, 2]
            usable = usable and abs(x) + abs(y) + abs(z) < _FAR_M
            for row in range(4):
                uvdn[k, row] = view[row, 0] * x + view[row, 1] * y + view[row, 2] * z + view[row, 3]
            if uvdn[k, 2] >= near:
                front += 1
        if front == 0 or not usable:
            continue

        u0, v0, u1, v1 = np.inf, np.inf, -np.inf, -np.inf
        low, high = np.inf, -np.inf
        for k in range(3):
            j = (k + 1) % 3
            d, d_next = uvdn[k, 2], uvdn[j, 2]
            if d >= near:
                u, v, value = uvdn[k, 0] / d, uvdn[k, 1] / d, uvdn[k, 3] / d
                u0, v0, u1, v1 = min(u0, u), min(v0, v), max(u1, u), max(v1, v)
                low, high = min(low, value), max(high, value)
            if (d >= near) != (d_next >= near):
                step = (near - d) / (d_next - d)
                u = (uvdn[k, 0] + step * (uvdn[j, 0] - uvdn[k, 0])) / near
                v = (uvdn[k, 1] + step * (uvdn[j, 1] - uvdn[k, 1])) / near
                value = (uvdn[k, 3] + step * (uvdn[j, 3] - uvdn[k, 3])) / near
                u0, v0, u1, v1 = min(u0, u), min(v0, v), max(u1, u), max(v1, v)
                low, high = min(low, value), max(high, value)
        u0, v0 = max(np.ceil(u0 - _HAIR), 0.0), max(np.ceil(v0 - _HAIR), 0.0)
        u1, v1 = min(np.floor(u1 + _HAIR), columns - 1.0), min(np.floor(v1 + _HAIR), rows - 1.0)
        if u0 > u1 or v0 > v1:
            continue

        for k in range(3):
            i, j = (k + 1) % 3, (k + 2) % 3
            for axis in range(3):
                p, q = (axis + 1) % 3, (axis + 2) % 3
                planes[t, k, axis] = uvdn[i, p] * uvdn[j, q] - uvdn[i, q] * uvdn[j, p]
        det = uvdn[0, 0] * planes[t, 0, 0] + uvdn[0, 1] * planes[t, 0, 1] + uvdn[0, 2] * planes[t, 0, 2]
        if det == 0 or (cull * det > 0 and materials[t] & CLOSED):  # counter-clockwise is negative where v goes down
            continue
        sign = 1.0 if det > 0 else -1.0
        for axis in range(3):
            value, inverse = 0.0, 0.0
            for k in range(3):
                value += planes[t, k, axis] * uvdn[k, 3]
                inverse += planes[t, k, axis]
                planes[t, k, axis] *= sign
            planes[t, 4, axis] = value / det
            planes[t, 3, axis] = -inverse / det
        planes[t, 3, 2] += 1 / near  # 1/D <= 1/near
        limits[t, 0], limits[t, 1] = low, high
        boxes[t, 0], boxes[t, 1], boxes[t, 2], boxes[t, 3] = int(u0), int(v0), int(u1), int(v1)
        boxes[t, 4] = 3 if front == 3 else 4


@njit(nogil=True, cache=True)
def fill(
    planes: np.ndarray,
    limits: np.ndarray,
    boxes: np.ndarray,
    first_row: int,
    end_row: int,
    values: np.ndarray,
    index: np.ndarray,
) -> None:
    """Rows first_row .. end_row - 1 of values (H, W) float32, index (H, W) int32: set to the greatest value of all triangles
    and its triangle. Pixels without a greater triangle are unchanged; an index of (0, 0) is not filled.
    Rows are independent of each other: threads may share the picture in any way."""
    keep_index = index.shape[0] > 0
    for t in range(planes.shape[0]):
        if boxes[t, 2] < boxes[t, 0]:
            continue
        low, high = limits[t, 0], limits[t, 1]
        slope = planes[t, 4, 0]
        for v in range(max(boxes[t, 1], first_row), min(boxes[t, 3] + 1, end_row)):
            start, stop = boxes[t, 0], boxes[t, 2] + 1
            for k in range(boxes[t, 4]):
                a, b = planes[t, k, 0], planes[t, k, 1]
                base = b * v + planes[t, k, 2]
                if a == 0:
                    if not (base > 0 or (base == 0 and b > 0)):
                        stop = start
                elif a > 0:  # inside from some column on; the division only estimates which
                    guess = min(max(np.ceil(-base / a), start), stop)
                    u = int(guess)
                    while u > start and a * (u - 1) + base >= 0:
                        u -= 1
                    while u < stop and a * u + base < 0:
                        u += 1
                    start = u
                else:
                    guess = min(max(np.ceil(-base / a), start), stop)
                    u = int(guess)
                    while u < stop and a * u + base > 0:
                        u += 1
                    while u > start and a * (u - 1) + base <= 0:
                        u -= 1
                    stop = u
            base = planes[t, 4, 1] * v + planes[t, 4, 2]
            # no branches, so that the compiler handles eight pixels at a time
            row = values[v, start:stop]
            if keep_index:
                owner = index[v, start:stop]
                for i in range(row.shape[0]):
                    value = np.float32(min(max(slope * (start + i) + base, low), high))
                    wins = value > row[i]
                    row[i] = value if wins else row[i]
                    owner[i] = t if wins else owner[i]
            else:
                for i in range(row.shape[0]):
                    value = np.float32(min(max(slope * (start + i) + base, low), high))
                    row[i] = value if value > row[i] else row[i]
