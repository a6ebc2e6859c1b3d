"""Slow twins of operators/kernels/range_image.py: a point and a pixel at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def rings(points: np.ndarray) -> list[int]:
    out: list[int] = []
    ring, before = 0, None
    for x, y, *_ in points.astype(np.float64).tolist():
        azimuth = math.atan2(y, x) % (2 * math.pi)
        if not math.isnan(azimuth):
            if before is not None and before - azimuth > math.pi:
                ring += 1
            before = azimuth
        out.append(ring)
    return out


def project(
    points: np.ndarray, rows: int, columns: int, fov_deg: tuple[float, float], clip: bool, of_ring: Any = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> image (5, H, W), pixels (N, 2), owners (H, W)"""
    image, owners = np.zeros((5, rows, columns), np.float32), np.full((rows, columns), -1)
    pixels = np.full((len(points), 2), -1)
    low, high = (math.radians(angle) for angle in fov_deg)
    for n, (x, y, z, intensity) in enumerate(points.astype(np.float64).tolist()):
        away = math.sqrt(x * x + y * y + z * z)
        if not (math.isfinite(away) and math.isfinite(intensity) and away > 0):
            continue
        row = math.floor((high - math.asin(z / away)) / (high - low) * rows) if of_ring is None else of_ring[n]
        if clip and of_ring is None:
            row = min(max(row, 0), rows - 1)
        if not 0 <= row < rows:
            continue
        column = min(max(math.floor((1 - math.atan2(y, x) / math.pi) / 2 * columns), 0), columns - 1)
        pixels[n] = row, column
        other = owners[row, column]
        if other < 0 or np.float32(away) < image[3, row, column]:
            owners[row, column] = n
            image[:, row, column] = x, y, z, away, intensity
    return image, pixels, owners


def vote(
    points: np.ndarray,
    pixels: np.ndarray,
    ranges: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    most: int,
    cutoff_m: float,
) -> list[int]:
    rows, columns = ranges.shape
    half = len(weights) // 2
    out = []
    for (x, y, z, _), (row, column) in zip(points.astype(np.float64).tolist(), pixels.tolist(), strict=True):
        if row < 0:
            out.append(-1)
            continue
        away = np.float32(math.sqrt(x * x + y * y + z * z))
        near = []
        for i in range(-half, half + 1):
            for j in range(-half, half + 1):
                at = row + i, (column + j) % columns
                middle = i == j == 0
                if 0 <= at[0] < rows and (middle or ranges[at] > 0):
                    apart = 0.0 if middle else float(np.abs(ranges[at] - away) * weights[i + half, j + half])
                    near.append((apart, int(labels[at])))
        near.sort(key=lambda pair: pair[0])  # stable, as the kernel: of equal ones the first
        votes = [label for apart, label in near[:most] if apart <= cutoff_m and label >= 0]
        out.append(max(sorted(set(votes)), key=votes.count) if votes else int(labels[row, column]))
    return out
