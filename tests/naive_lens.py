"""Slow, obvious twins: a lens, pixel by pixel, and points painted one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def distorted_pixel(column: float, row: float, lens: Any) -> tuple[float, float]:
    """Where a pixel of the rectified picture lies in the distorted one; NaN behind the camera."""
    x, y, z = np.linalg.inv(lens.R_rect) @ np.linalg.inv(lens.K_rect) @ [column, row, 1.0]
    if z <= 0:
        return math.nan, math.nan
    x, y = x / z, y / z
    k = lens.distortion
    r = math.hypot(x, y)
    if lens.fisheye[0]:
        angle = math.atan(r)
        bent = angle * (1 + k[0] * angle**2 + k[1] * angle**4 + k[2] * angle**6 + k[3] * angle**8)
        x, y = (x * bent / r, y * bent / r) if r else (x, y)
    else:
        radial = (1 + k[0] * r**2 + k[1] * r**4 + k[4] * r**6) / (1 + k[5] * r**2 + k[6] * r**4 + k[7] * r**6)
        x, y = (
            x * radial + 2 * k[2] * x * y + k[3] * (r**2 + 2 * x**2),
            y * radial + k[2] * (r**2 + 2 * y**2) + 2 * k[3] * x * y,
        )
    u, v, _ = lens.K_cam @ [x, y, 1.0]
    return float(u), float(v)


def painted(points: Any, calibration: Any, image: Any) -> tuple[np.ndarray, np.ndarray]:
    """-> colours (N, 3), painted (N,): the pixel nearest to each projected point; an image of any size covers the picture."""
    colors, there = np.zeros((len(points), 3), np.uint8), np.zeros(len(points), bool)
    width, height = calibration.image_size
    for n, (x, y, z, _) in enumerate(points.astype(float)):
        u, v, depth = calibration.P_cam @ calibration.T_cam_velo @ [x, y, z, 1.0]
        if depth < 0.1:
            continue
        column = math.floor((u / depth + 0.5) * image.shape[1] / width)
        row = math.floor((v / depth + 0.5) * image.shape[0] / height)
        if 0 <= column < image.shape[1] and 0 <= row < image.shape[0]:
            colors[n], there[n] = image[row, column], True
    return colors, there
