"""What a homography leaves: how far the edges of tiles of the picture are from where they should be.

Every tile's shift is the place of the best correlation of edge orientations, summed over all pairs; tiles without a clear one do
not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import scipy.fft

from operators.calibrate.pairs import Pair
from operators.calibrate.refine import edges, level, warped

_SIDE, _TILE, _REACH, _CLEAR = 320, 80, 8, 3.0


class Residual(NamedTuple):
    """at (N, 2): pixels of the thermal picture; off (N, 2): by how many of its pixels the image is off there; used (N,) bool."""

    at: np.ndarray
    off: np.ndarray
    used: np.ndarray

    @property
    def numbers(self) -> dict[str, float]:
        """mean, median, max of the used ones [px], how many are used, of how many; NaN without any."""
        px = np.linalg.norm(self.off[self.used], axis=1) if self.used.any() else np.array([np.nan])
        figures = {"mean": float(px.mean()), "median": float(np.median(px)), "max": float(px.max())}
        return figures | {"inliers": int(self.used.sum()), "points": len(self.used)}


def of_tiles(pairs: Sequence[Pair], H: np.ndarray) -> Residual:
    levels = [level(pair, H, _SIDE) for pair in pairs]
    rows, columns = levels[0].thermal.shape
    tile = min(_TILE, rows, columns)
    window = cv2.createHanningWindow((tile, tile), cv2.CV_32F)
    images = [warped(one, np.eye(3)) for one in levels]
    fields = [(edges(image) * seen, one.edges * seen) for one, (image, seen) in zip(levels, images, strict=True)]
    scale = pairs[0].sizes[1][0] / columns
    at, off, used = [], [], []
    for top in _starts(rows, tile):
        for left in _starts(columns, tile):
            total = np.zeros((tile, tile))
            for mine, other in fields:
                a, b = (scipy.fft.fft2(field[top : top + tile, left : left + tile] * window) for field in (mine, other))
                total += scipy.fft.ifft2(a * np.conj(b)).real
            reach = min(_REACH, tile // 2 - 1)
            span = np.arange(-reach, reach + 1)
            near = total[span[:, None], span]
            row, column = divmod(int(near.argmax()), len(span))
            clear = near[row, column] > near.mean() + _CLEAR * near.std() and near.std() > 0
            inside = 0 < row < len(span) - 1 and 0 < column < len(span) - 1
            at.append([left + (tile - 1) / 2, top + (tile - 1) / 2])
            off.append([_peak(near[row], column), _peak(near[:, column], row)] if inside else [0.0, 0.0])
            off[-1] = [off[-1][0] + column - reach, off[-1][1] + row - reach]
            used.append(bool(clear and inside))
    return Residual((np.array(at) + 0.5) * scale - 0.5, np.array(off) * scale, np.array(used))


def _starts(size: int, tile: int) -> list[int]:
    """Of tiles that overlap by a half, the last one at the end."""
    return sorted({*range(0, size - tile + 1, max(tile // 2, 1)), size - tile})


def _peak(values: np.ndarray, at: int) -> float:
    """Where the parabola through three values is highest, from the middle one."""
    before, here, after = values[at - 1 : at + 2]
    bend = before - 2 * here + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0
