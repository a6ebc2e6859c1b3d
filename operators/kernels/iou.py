"""Overlap of upright, turned 3D boxes, every one of one list with every one of another.

boxes (M, 7) float64 [x, y, z, l, w, h, yaw], geometric centre [m, rad], sizes > 0. The functions `iou_3d`, `giou_3d` and
`iou_bev` fill out (D, T) float64 and know no empty case: D or T = 0 leaves nothing to fill.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def footprints(boxes: np.ndarray) -> np.ndarray:
    """(M, 4, 2) corners seen from above, counter-clockwise."""
    out = np.empty((boxes.shape[0], 4, 2))
    for i in range(boxes.shape[0]):
        c, s = np.cos(boxes[i, 6]), np.sin(boxes[i, 6])
        a, b = boxes[i, 3] / 2, boxes[i, 4] / 2
        for k in range(4):
            u = a if k == 0 or k == 3 else -a
            v = b if k < 2 else -b
            out[i, k, 0] = boxes[i, 0] + c * u - s * v
            out[i, k, 1] = boxes[i, 1] + s * u + c * v
    return out


@njit(nogil=True, cache=True)
def _area(polygon: np.ndarray, n: int) -> float:
    """Of the first n corners, counter-clockwise, relative to the first: far from the origin nothing cancels."""
    total = 0.0
    x0, y0 = polygon[0, 0], polygon[0, 1]
    for k in range(1, n - 1):
        total += (polygon[k, 0] - x0) * (polygon[k + 1, 1] - y0) - (polygon[k + 1, 0] - x0) * (polygon[k, 1] - y0)
    return total / 2


@njit(nogil=True, cache=True)
def clipped_area(subject: np.ndarray, clip: np.ndarray, one: np.ndarray, two: np.ndarray) -> float:
    """Intersection of two convex quadrilaterals (Sutherland-Hodgman); one, two (16, 2) are scratch."""
    n = 4
    for k in range(4):
        one[k, 0], one[k, 1] = subject[k, 0], subject[k, 1]
    source, target = one, two
    for k in range(4):
        ax, ay = clip[k, 0], clip[k, 1]
        ex, ey = clip[(k + 1) % 4, 0] - ax, clip[(k + 1) % 4, 1] - ay
        m = 0
        px, py = source[n - 1, 0], source[n - 1, 1]
        side_p = ex * (py - ay) - ey * (px - ax)
        for i in range(n):
            qx, qy = source[i, 0], source[i, 1]
            side_q = ex * (qy - ay) - ey * (qx - ax)
            if (side_p < 0) != (side_q < 0):
                step = side_p / (side_p - side_q)
                target[m, 0], target[m, 1] = px + step * (qx - px), py + step * (qy - py)
                m += 1
            if side_q >= 0:
                target[m, 0], target[m, 1] = qx, qy
                m += 1
            px, py, side_p = qx, qy, side_q
        if m < 3:
            return 0.0
        n = m
        source, target = target, source
    return max(_area(source, n), 0.0)


@njit(nogil=True, cache=True)
def _hull_area(a: np.ndarray, b: np.ndarray, points: np.ndarray, hull: np.ndarray) -> float:
    """Convex hull of both quadrilaterals (Andrew's monotone chain); points (8, 2), hull (16, 2) are scratch."""
    for k in range(4):
        points[k, 0], points[k, 1] = a[k, 0], a[k, 1]
        points[4 + k, 0], points[4 + k, 1] = b[k, 0], b[k, 1]
    for i in range(1, 8):  # insertion sort by x, then y
        x, y = points[i, 0], points[i, 1]
        k = i
        while k > 0 and (points[k - 1, 0] > x or (points[k - 1, 0] == x and points[k - 1, 1] > y)):
            points[k, 0], points[k, 1] = points[k - 1, 0], points[k - 1, 1]
            k -= 1
        points[k, 0], points[k, 1] = x, y
    n = 0
    for half in range(2):
        start = n
        for j in range(8):
            i = j if half == 0 else 7 - j
            x, y = points[i, 0], points[i, 1]
            while n >= start + 2:
                ux, uy = hull[n - 1, 0] - hull[n - 2, 0], hull[n - 1, 1] - hull[n - 2, 1]
                if ux * (y - hull[n - 2, 1]) - uy * (x - hull[n - 2, 0]) > 0:
                    break
                n -= 1
            hull[n, 0], hull[n, 1] = x, y
            n += 1
        n -= 1  # the last corner of one half is the first of the other
    return _area(hull, n)


@njit(nogil=True, cache=True)
def _overlap(boxes_a: np.ndarray, boxes_b: np.ndarray, out: np.ndarray, generalized: bool) -> None:
    feet_a, feet_b = footprints(boxes_a), footprints(boxes_b)
    one, two, points = np.empty((16, 2)), np.empty((16, 2)), np.empty((8, 2))
    for i in range(boxes_a.shape[0]):
        low_a, high_a = boxes_a[i, 2] - boxes_a[i, 5] / 2, boxes_a[i, 2] + boxes_a[i, 5] / 2
        volume_a = boxes_a[i, 3] * boxes_a[i, 4] * boxes_a[i, 5]
        reach_a = np.hypot(boxes_a[i, 3], boxes_a[i, 4]) / 2
        for j in range(boxes_b.shape[0]):
            low_b, high_b = boxes_b[j, 2] - boxes_b[j, 5] / 2, boxes_b[j, 2] + boxes_b[j, 5] / 2
            shared_height = min(high_a, high_b) - max(low_a, low_b)
            shared = 0.0
            reach = reach_a + np.hypot(boxes_b[j, 3], boxes_b[j, 4]) / 2
            dx, dy = boxes_a[i, 0] - boxes_b[j, 0], boxes_a[i, 1] - boxes_b[j, 1]
            if shared_height > 0 and dx * dx + dy * dy < reach * reach:
                shared = clipped_area(feet_a[i], feet_b[j], one, two) * shared_height
            union = volume_a + boxes_b[j, 3] * boxes_b[j, 4] * boxes_b[j, 5] - shared
            value = shared / union
            if generalized:
                hull = _hull_area(feet_a[i], feet_b[j], points, one) * (max(high_a, high_b) - min(low_a, low_b))
                value -= (hull - union) / hull
            out[i, j] = value


@njit(nogil=True, cache=True)
def iou_3d(boxes_a: np.ndarray, boxes_b: np.ndarray, out: np.ndarray) -> None:
    """out (D, T): shared volume / united volume, 0..1."""
    _overlap(boxes_a, boxes_b, out, False)


@njit(nogil=True, cache=True)
def giou_3d(boxes_a: np.ndarray, boxes_b: np.ndarray, out: np.ndarray) -> None:
    """out (D, T): IoU - (hull - union) / hull, -1..1 (Rezatofighi et al. 2019). Hull: the convex hull of both footprints
    times the height from the lower bottom to the higher top (AB3DMOT)."""
    _overlap(boxes_a, boxes_b, out, True)


@njit(nogil=True, cache=True)
def iou_bev(boxes_a: np.ndarray, boxes_b: np.ndarray, out: np.ndarray) -> None:
    """out (D, T): shared area / united area as seen from above, 0..1."""
    feet_a, feet_b = footprints(boxes_a), footprints(boxes_b)
    one, two = np.empty((16, 2)), np.empty((16, 2))
    for i in range(boxes_a.shape[0]):
        for j in range(boxes_b.shape[0]):
            out[i, j] = pair_iou_bev(boxes_a[i], boxes_b[j], feet_a[i], feet_b[j], one, two)


@njit(nogil=True, cache=True)
def pair_iou_bev(
    box_a: np.ndarray, box_b: np.ndarray, feet_a: np.ndarray, feet_b: np.ndarray, one: np.ndarray, two: np.ndarray
) -> float:
    """Of one box (7,) and another with their footprints (4, 2); one, two (16, 2) are scratch."""
    reach = (np.hypot(box_a[3], box_a[4]) + np.hypot(box_b[3], box_b[4])) / 2
    dx, dy = box_a[0] - box_b[0], box_a[1] - box_b[1]
    if dx * dx + dy * dy >= reach * reach:
        return 0.0
    shared = clipped_area(feet_a, feet_b, one, two)
    return shared / (box_a[3] * box_a[4] + box_b[3] * box_b[4] - shared)
