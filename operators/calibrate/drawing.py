"""A picture of how well a pair is aligned: the thermal picture in red over the image in cyan, beside a checkerboard of both.

Lines show the residual, ten times its length: yellow where it counts, grey where it does not.
"""

from __future__ import annotations

import cv2
import numpy as np

from operators.calibrate.pairs import Pair
from operators.calibrate.residual import Residual
from operators.fuse.align import tables, warp

_LONGER, _FIELDS = 10, 8
_COUNTS, _LEFT_OUT = (255, 230, 0), (150, 150, 150)


def drawn(pair: Pair, H: np.ndarray, residual: Residual, text: str) -> np.ndarray:
    """(h, 2 w, 3) uint8 RGB of the thermal picture's size."""
    thermal, (source, dest) = pair.thermal, pair.sizes
    image = warp(pair.image, tables(H, source, dest), np.empty((*thermal.shape, 3), np.uint8))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    overlay = np.stack([cv2.equalizeHist(thermal), cv2.equalizeHist(grey), cv2.equalizeHist(grey)], axis=2)
    for (u, v), (x, y), used in zip(residual.at, residual.off, residual.used, strict=True):
        start, end = (round(u), round(v)), (round(u + _LONGER * x), round(v + _LONGER * y))
        color = _COUNTS if used else _LEFT_OUT
        cv2.circle(overlay, start, 2, color, cv2.FILLED, cv2.LINE_AA)
        if used:
            cv2.line(overlay, start, end, color, 1, cv2.LINE_AA)
    rows, columns = np.indices(thermal.shape)
    field = max(thermal.shape[1] // _FIELDS, 1)
    is_thermal = (rows // field + columns // field) % 2 == 0
    board = np.where(is_thermal[:, :, None], thermal[:, :, None], image)
    canvas = np.hstack([overlay, board])
    cv2.putText(canvas, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(canvas, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return canvas
