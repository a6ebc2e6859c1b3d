"""Areas and boxes of the segments of a map, all at once."""

from __future__ import annotations

import numpy as np


def extents(ids: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """ids (H, W) of 0 .. count - 1 -> areas (count,) int64 [px], boxes (count, 4) int64 x y w h; 0 of those without a pixel."""
    height, width = ids.shape
    areas = np.bincount(ids.ravel(), minlength=count)
    rows, columns = np.zeros((count, height), np.bool_), np.zeros((count, width), np.bool_)
    rows[ids, np.arange(height)[:, None]] = True
    columns[ids, np.arange(width)[None]] = True
    boxes = np.zeros((count, 4), np.int64)
    for k, there in ((0, columns), (1, rows)):
        if there.shape[1]:
            boxes[:, k] = there.argmax(1)
            boxes[:, k + 2] = there.shape[1] - there[:, ::-1].argmax(1) - boxes[:, k]
    boxes[areas == 0] = 0
    return areas, boxes
