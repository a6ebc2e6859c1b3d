"""Orientation of edges, whatever their contrast.      Source: Haber, Modersitzki 2006 (normalised gradient fields), as complex
numbers of double angle, so that correlation by FFT compares all shifts at once (Fitch et al. 2002, orientation correlation)"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def orientation(gx: np.ndarray, gy: np.ndarray, margin: int, out: np.ndarray) -> None:
    """Gradients (H, W) float32 -> out (H, W) complex64: angle twice that of the edge, length |g|^2 / (|g|^2 + e^2).

    e is the mean |g|. Dark to bright and bright to dark give the same number. 0 within `margin` pixels of the border.
    """
    rows, columns = gx.shape
    total = 0.0
    for r in range(rows):
        for c in range(columns):
            total += np.sqrt(gx[r, c] * gx[r, c] + gy[r, c] * gy[r, c])
    mean = total / max(rows * columns, 1)
    floor = mean * mean + 1e-6
    for r in range(rows):
        for c in range(columns):
            if r < margin or c < margin or r >= rows - margin or c >= columns - margin:
                out[r, c] = 0.0
                continue
            x, y = gx[r, c], gy[r, c]
            weight = 1.0 / (x * x + y * y + floor)
            out[r, c] = complex((x * x - y * y) * weight, 2.0 * x * y * weight)
