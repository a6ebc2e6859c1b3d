"""Assign the anchors of a regular grid to truth boxes: SECOND's rule, visiting only the anchors near a box.

The anchors stand upright at the centres of a grid of (rows, columns) places, n of them at each; seen from above, anchors and
boxes count as axis-aligned rectangles (turned to the nearer axis).
"""

from __future__ import annotations

import numpy as np
from numba import njit

NEGATIVE, IGNORED = 0, -1
FORCED = 1e-6  # anchors this close to a box's best overlap are all its best


@njit(nogil=True, cache=True)
def _span(centre: float, reach: float, origin: float, step: float, count: int) -> tuple[int, int]:
    """First and one past the last grid place within `reach` of `centre`."""
    first = int(np.ceil((centre - reach - origin) / step))
    last = int(np.floor((centre + reach - origin) / step)) + 1
    return min(max(first, 0), count), min(max(last, 0), count)


@njit(nogil=True, cache=True)
def _iou(x: float, y: float, half: np.ndarray, box: np.ndarray) -> float:
    width = min(x + half[0], box[0] + box[2]) - max(x - half[0], box[0] - box[2])
    depth = min(y + half[1], box[1] + box[3]) - max(y - half[1], box[1] - box[3])
    if width <= 0 or depth <= 0:
        return 0.0
    shared = width * depth
    return shared / (4 * half[0] * half[1] + 4 * box[2] * box[3] - shared)


@njit(nogil=True, cache=True)
def assign(
    origin: np.ndarray,
    step: np.ndarray,
    halves: np.ndarray,
    classes: np.ndarray,
    matched: np.ndarray,
    unmatched: np.ndarray,
    boxes: np.ndarray,
    box_classes: np.ndarray,
    labels: np.ndarray,
    owner: np.ndarray,
    best: np.ndarray,
) -> None:
    """in      origin, step (2,) x y of the grid [m]; of the n anchors of a place: halves (n, 2) x y [m], classes (n,) int,
            matched, unmatched (n,); boxes (M, 4) x y half-x half-y [m], box_classes (M,)
    out     labels (rows, columns, n) int8: class + 1, NEGATIVE, IGNORED; owner (rows, columns, n) int32: box of a positive
    scratch best (rows, columns, n) float64
    An anchor is positive if its best overlap with a box of its class is at least `matched`, or is the best of all anchors
    with that box; ignored from `unmatched` up; negative below.
    """
    rows, columns, n = labels.shape
    labels[:] = NEGATIVE
    owner[:] = -1
    best[:] = 0.0
    tops = np.zeros(boxes.shape[0])
    for turn in range(2):  # first the overlaps, then each box's best anchors
        for m in range(boxes.shape[0]):
            box = boxes[m]
            for k in range(n):
                if classes[k] != box_classes[m]:
                    continue
                c0, c1 = _span(box[0], box[2] + halves[k, 0], origin[0], step[0], columns)
                r0, r1 = _span(box[1], box[3] + halves[k, 1], origin[1], step[1], rows)
                for r in range(r0, r1):
                    y = origin[1] + r * step[1]
                    for c in range(c0, c1):
                        iou = _iou(origin[0] + c * step[0], y, halves[k], box)
                        if turn == 0:
                            tops[m] = max(tops[m], iou)
                            if iou > best[r, c, k]:
                                best[r, c, k] = iou
                                owner[r, c, k] = m
                                labels[r, c, k] = (
                                    classes[k] + 1 if iou >= matched[k] else IGNORED if iou >= unmatched[k] else NEGATIVE
                                )
                        elif iou > 0 and iou >= tops[m] - FORCED:
                            owner[r, c, k] = m
                            labels[r, c, k] = classes[k] + 1


@njit(nogil=True, cache=True)
def ignore(origin: np.ndarray, step: np.ndarray, regions: np.ndarray, labels: np.ndarray) -> None:
    """Negatives whose centre lies in one of regions (K, 5) [x, y, half length, half width, yaw] become IGNORED."""
    rows, columns, n = labels.shape
    for m in range(regions.shape[0]):
        x, y, length, width, yaw = regions[m]
        cos, sin = np.cos(yaw), np.sin(yaw)
        reach = np.hypot(length, width)
        c0, c1 = _span(x, reach, origin[0], step[0], columns)
        r0, r1 = _span(y, reach, origin[1], step[1], rows)
        for r in range(r0, r1):
            dy = origin[1] + r * step[1] - y
            for c in range(c0, c1):
                dx = origin[0] + c * step[0] - x
                if abs(cos * dx + sin * dy) <= length and abs(cos * dy - sin * dx) <= width:
                    for k in range(n):
                        if labels[r, c, k] == NEGATIVE:
                            labels[r, c, k] = IGNORED
