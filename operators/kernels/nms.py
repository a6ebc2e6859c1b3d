"""Non-maximum suppression of turned boxes as seen from above: of boxes that overlap, the best stays."""

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
