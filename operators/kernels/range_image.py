"""Points on a range image and labels back to points. One turn of the LiDAR: columns close into a circle, rows do not.

Column = floor((1 - azimuth / pi) / 2 * columns), azimuth = atan2(y, x): forward is the middle, backward the edge.
points (N, 4) float32 x y z [m], intensity; pixels (N, 2) int32 row, column; -1 -1: no pixel.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def rings_of_file_order(points: np.ndarray, rings: np.ndarray) -> int:
    """-> number of rings; rings (N,) int32: ring of each point, from 0.

    A new ring begins where the azimuth, 0..2 pi from forward over left, falls by more than half a turn: KITTI's files hold one
    ring after another, from the highest down, each from forward over left. NaN points continue the ring.
    """
    ring, before = 0, -1.0
    for n in range(points.shape[0]):
        azimuth = np.arctan2(np.float64(points[n, 1]), np.float64(points[n, 0]))
        if azimuth < 0:
            azimuth += 2 * np.pi
        if azimuth == azimuth:
            if before - azimuth > np.pi:
                ring += 1
            before = azimuth
        rings[n] = ring
    return ring + 1 if points.shape[0] else 0


@njit(nogil=True, cache=True)
def place(
    points: np.ndarray,
    rings: np.ndarray,
    high: float,
    low: float,
    clip: bool,
    rows: int,
    columns: int,
    pixels: np.ndarray,
    ranges: np.ndarray,
) -> int:
    """Fills pixels and ranges (N,) float32 [m]; -> number of points without a pixel.

    rings (N,) int32 is the row of each point, outside 0..rows - 1: no pixel; rings (0,): row = floor((high - elevation) /
    (high - low) * rows), angles in radians; clip: points beyond the field of view get the first or last row, else no pixel.
    Points that are not finite, or at the origin, have no pixel.
    """
    outside = 0
    by_ring = rings.shape[0] > 0
    for n in range(points.shape[0]):
        x, y, z = np.float64(points[n, 0]), np.float64(points[n, 1]), np.float64(points[n, 2])
        away = np.sqrt(x * x + y * y + z * z)
        pixels[n, 0] = pixels[n, 1] = -1
        ranges[n] = 0.0
        if not (0.0 < away < np.inf and abs(points[n, 3]) < np.inf):
            outside += 1
            continue
        if by_ring:
            row = rings[n]
        else:
            row = int(np.floor((high - np.arcsin(z / away)) / (high - low) * rows))
            if clip:
                row = min(max(row, 0), rows - 1)
        if row < 0 or row >= rows:
            outside += 1
            continue
        column = int(np.floor(0.5 * (1 - np.arctan2(y, x) / np.pi) * columns))
        pixels[n, 0], pixels[n, 1] = row, min(max(column, 0), columns - 1)
        ranges[n] = away
    return outside


@njit(nogil=True, cache=True)
def fill(points: np.ndarray, pixels: np.ndarray, ranges: np.ndarray, owners: np.ndarray, image: np.ndarray) -> None:
    """owners (H, W) int32: the nearest point of each pixel, of equal ones the first; -1: none.
    image (5, H, W) float32: x y z range intensity of that point, else 0."""
    owners[:] = -1
    image[:] = 0
    for n in range(points.shape[0]):
        row, column = pixels[n, 0], pixels[n, 1]
        if row >= 0:
            other = owners[row, column]
            if other < 0 or ranges[n] < ranges[other]:
                owners[row, column] = n
    for row in range(owners.shape[0]):
        for column in range(owners.shape[1]):
            n = owners[row, column]
            if n >= 0:
                image[0, row, column], image[1, row, column], image[2, row, column] = points[n, 0], points[n, 1], points[n, 2]
                image[3, row, column], image[4, row, column] = ranges[n], points[n, 3]


@njit(nogil=True, cache=True)
def _alike(ranges: np.ndarray, labels: np.ndarray, row: int, column: int, half: int) -> bool:
    """All pixels of the window that are not empty have the label of its middle. half: less than the number of columns."""
    rows, columns = ranges.shape
    label = labels[row, column]
    for r in range(max(row - half, 0), min(row + half + 1, rows)):
        for j in range(column - half, column + half + 1):
            c = j + columns * (j < 0) - columns * (j >= columns)
            if labels[r, c] != label and ranges[r, c] > 0:
                return False
    return True


@njit(nogil=True, cache=True)
def vote(
    points: np.ndarray,
    pixels: np.ndarray,
    ranges: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    most: int,
    cutoff_m: float,
    out: np.ndarray,
) -> None:
    """out (N,) int32: the label of each point, by its nearest neighbours on the range image; -1: no pixel, or no label.

    Source: Milioto et al. 2019 (RangeNet++), alg. 1. ranges (H, W) float32 [m], 0: empty; labels (H, W) int32, below 0: casts
    no vote; weights (S, S) float32, S odd and at most W: of the range differences in the window around a point's pixel. The
    window's middle has the difference 0. The `most` smallest differences vote if they are at most cutoff_m; of equal votes the
    lowest label wins. Without a vote the pixel's label stays.
    """
    rows, columns = ranges.shape
    half = weights.shape[0] // 2
    apart, found = np.empty(most, np.float32), np.empty(most, np.int32)
    for n in range(points.shape[0]):
        row, column = pixels[n, 0], pixels[n, 1]
        if row < 0:
            out[n] = -1
            continue
        if _alike(ranges, labels, row, column, half):
            out[n] = labels[row, column]  # the middle votes for it, and all others do or are silent
            continue
        x, y, z = np.float64(points[n, 0]), np.float64(points[n, 1]), np.float64(points[n, 2])
        away = np.float32(np.sqrt(x * x + y * y + z * z))
        count = 0
        for i in range(weights.shape[0]):
            r = row + i - half
            if r < 0 or r >= rows:
                continue
            for j in range(weights.shape[1]):
                c = column + j - half
                c += columns * (c < 0) - columns * (c >= columns)
                difference = np.float32(0)
                if i != half or j != half:
                    if not ranges[r, c] > 0:
                        continue
                    difference = abs(ranges[r, c] - away) * weights[i, j]
                if difference > cutoff_m or (count == most and difference >= apart[most - 1]):
                    continue
                at = min(count, most - 1)
                while at > 0 and apart[at - 1] > difference:
                    apart[at], found[at] = apart[at - 1], found[at - 1]
                    at -= 1
                apart[at], found[at] = difference, labels[r, c]
                count = min(count + 1, most)
        best, votes = labels[row, column], 0
        for a in range(count):
            if found[a] < 0:
                continue
            same = 0
            for b in range(count):
                same += found[b] == found[a]
            if same > votes or (same == votes and found[a] < best):
                best, votes = found[a], same
        out[n] = best
