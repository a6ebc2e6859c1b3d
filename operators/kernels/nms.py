"""Non-maximum suppression: of boxes that overlap, the best stays. Turned boxes as seen from above, boxes in a picture."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.iou import footprints, pair_iou_bev


@njit(nogil=True, cache=True)
def nms_bev(boxes: np.ndarray, max_iou: float, kept: np.ndarray) -> int:
    """-> how many stay; their rows are written to the front of kept (L,) int64, in order, at most L.

    boxes (M, 7) float64 [x, y, z, l, w, h, yaw] [m, rad], sizes > 0, the best first. A box goes when its IoU seen from above
    with one that stays is above max_iou. Worst case M * L overlaps; those out of each other's reach cost a distance.
    """
    feet = footprints(boxes)
    one, two = np.empty((16, 2)), np.empty((16, 2))
    num = 0
    for i in range(boxes.shape[0]):
        if num == kept.shape[0]:
            break
        free = True
        for k in range(num):
            j = kept[k]
            if pair_iou_bev(boxes[i], boxes[j], feet[i], feet[j], one, two) > max_iou:
                free = False
                break
        if free:
            kept[num] = i
            num += 1
    return num


@njit(nogil=True, cache=True)
def nms_2d(boxes: np.ndarray, groups: np.ndarray, max_iou: float, kept: np.ndarray) -> int:
    """-> how many stay; their rows are written to the front of kept (L,) int64, in order, at most L.

    boxes (M, 4) float64 x1 y1 x2 y2 [px], the best first; groups (M,) int64: only boxes of one group suppress each other. A box
    goes when its IoU with one that stays is above max_iou. Worst case M * L overlaps.
    """
    num = 0
    for i in range(boxes.shape[0]):
        if num == kept.shape[0]:
            break
        x1, y1, x2, y2 = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
        area = (x2 - x1) * (y2 - y1)
        free = True
        for k in range(num):
            j = kept[k]
            if groups[j] != groups[i]:
                continue
            across = min(x2, boxes[j, 2]) - max(x1, boxes[j, 0])
            down = min(y2, boxes[j, 3]) - max(y1, boxes[j, 1])
            if across <= 0.0 or down <= 0.0:
                continue
            both = across * down
            other = (boxes[j, 2] - boxes[j, 0]) * (boxes[j, 3] - boxes[j, 1])
            if both > max_iou * (area + other - both):
                free = False
                break
        if free:
            kept[num] = i
            num += 1
    return num
