"""Refine a homography until the pictures of all pairs agree best.

edges               sum of cos 2(angle between the edges) (Haber, Modersitzki 2006): where edges are, whatever their contrast
mutual-information  normalised, of grey levels (Studholme et al. 1999): for pictures with few edges in common
Both are maximised from coarse to fine by Powell's method over displacements of the picture's corners, in pixels. The first step
is the shift at which the edges correlate best, if one stands out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
import scipy.fft
import scipy.optimize

from operators.calibrate.pairs import Pair
from operators.geometry import homography
from operators.geometry.homography import Size
from operators.kernels.orientation import orientation

Measure = Literal["edges", "mutual-information"]
MODELS = {"shift": 2, "similarity": 4, "affine": 6, "homography": 8}
"""Name -> how many of the corner patterns are free."""
_X, _Y = np.array([-1.0, 1, 1, -1]), np.array([-1.0, -1, 1, 1])
_ONE, _NONE = np.ones(4), np.zeros(4)
_PATTERNS = np.array(
    [
        [_ONE, _NONE], [_NONE, _ONE],  # shift
        [_X, _Y], [-_Y, _X],  # scale, turn
        [_X, -_Y], [_Y, _X],  # stretch, shear
        [_X * _Y, _NONE], [_NONE, _X * _Y],  # perspective
    ]
).transpose(0, 2, 1)  # fmt: skip
"""(8, 4, 2): displacements of the corners."""
_LEVELS = (("similarity", 80), ("affine", 160), ("homography", 320))
_SHIFT_SIDE, _CLEAR = 160, 5.0
_BINS, _MIN_OVERLAP = 32, 0.3
_MARGIN = 3


class Level(NamedTuple):
    """One pair at one size. image, thermal uint8; H: thermal ~ H @ image; edges (h, w) complex64 of thermal."""

    image: np.ndarray
    thermal: np.ndarray
    H: np.ndarray
    edges: np.ndarray
    everywhere: np.ndarray


def refine(pairs: Sequence[Pair], H: np.ndarray, measure: Measure, model: str) -> np.ndarray:
    """pairs: of one size each; H: thermal ~ H @ image, to begin with. -> the refined one."""
    H = first_shift(pairs, H)
    for most, side in _LEVELS:
        num = min(MODELS[model], MODELS[most])
        levels = [level(pair, H, side) for pair in pairs]
        size = (levels[0].thermal.shape[1], levels[0].thermal.shape[0])
        best = scipy.optimize.minimize(
            _disagreement,
            np.zeros(num),
            args=(levels, measure),
            method="Powell",
            options={"xtol": 0.02, "ftol": 1e-6, "maxfev": 60 * num},
        )
        to_level = homography.resizing(pairs[0].sizes[1], size)
        H = np.linalg.inv(to_level) @ corner_warp(best.x, size) @ to_level @ H
    return H / H[2, 2]


def _disagreement(moved: np.ndarray, levels: Sequence[Level], measure: Measure) -> float:
    rows, columns = levels[0].thermal.shape
    return -agreement(levels, corner_warp(moved, (columns, rows)), measure)


def corner_warp(moved: np.ndarray, size: Size) -> np.ndarray:
    """The H that displaces the corners of a picture by a sum of the first patterns, in pixels."""
    ends = homography.corners(size)
    moved_ends = ends + np.tensordot(moved, _PATTERNS[: len(moved)], axes=1)
    return cv2.getPerspectiveTransform(ends.astype(np.float32), moved_ends.astype(np.float32))


def first_shift(pairs: Sequence[Pair], H: np.ndarray) -> np.ndarray:
    levels = [level(pair, H, _SHIFT_SIDE) for pair in pairs]
    rows, columns = levels[0].thermal.shape
    total = np.zeros((rows, columns))
    for one in levels:
        image, seen = warped(one, np.eye(3))
        total += scipy.fft.ifft2(scipy.fft.fft2(one.edges) * np.conj(scipy.fft.fft2(edges(image) * seen))).real
    down, right = rows // 4, columns // 4
    window = total[np.arange(-down, down + 1)[:, None], np.arange(-right, right + 1)]
    row, column = divmod(int(window.argmax()), window.shape[1])
    if window[row, column] < window.mean() + _CLEAR * window.std():
        return H
    to_level = homography.resizing(pairs[0].sizes[1], (columns, rows))
    shift = np.array([[1.0, 0, column - right], [0, 1.0, row - down], [0, 0, 1.0]])
    return np.linalg.inv(to_level) @ shift @ to_level @ H


def level(pair: Pair, H: np.ndarray, side: int) -> Level:
    """Both pictures, averaged to about `side` pixels of the thermal one's width."""
    (source, dest), scale = pair.sizes, min(side / pair.sizes[1][0], 1.0)
    small = (max(round(dest[0] * scale), 16), max(round(dest[1] * scale), 16))
    to_small = homography.resizing(dest, small)
    inner = homography.apply(to_small @ H, homography.corners(source) * 0.5 + np.array(source) * 0.25)
    span = np.ptp(inner, axis=0) / (np.array(source) * 0.5) if np.isfinite(inner).all() else np.ones(2)
    shrink = float(np.clip(span.max(), 16 / min(source), 1.0))
    from_size = (max(round(source[0] * shrink), 16), max(round(source[1] * shrink), 16))
    grey = cv2.cvtColor(pair.image, cv2.COLOR_RGB2GRAY)
    image = cv2.resize(grey, from_size, interpolation=cv2.INTER_AREA)
    thermal = cv2.resize(pair.thermal, small, interpolation=cv2.INTER_AREA)
    own = to_small @ H @ homography.resizing(from_size, source)
    return Level(image, thermal, own, edges(thermal), np.full(image.shape, 255, np.uint8))


def warped(one: Level, by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image in the thermal frame, and where it is, (h, w) bool; by: a further H."""
    H, size = by @ one.H, (one.thermal.shape[1], one.thermal.shape[0])
    image = cv2.warpPerspective(one.image, H, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.warpPerspective(one.everywhere, H, size, flags=cv2.INTER_NEAREST)
    return image, cv2.erode(seen, np.ones((2 * _MARGIN + 1, 2 * _MARGIN + 1), np.uint8), borderValue=0) > 0


def edges(grey: np.ndarray) -> np.ndarray:
    """(h, w) uint8 -> complex64, see kernels/orientation.py."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0).astype(np.float32)
    out = np.empty(grey.shape, np.complex64)
    orientation(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1), _MARGIN, out)
    return out


def agreement(levels: Sequence[Level], by: np.ndarray, measure: Measure) -> float:
    """Mean over the pairs; 0 where hardly anything overlaps."""
    total = 0.0
    for one in levels:
        image, seen = warped(one, by)
        if seen.mean() < _MIN_OVERLAP:
            continue
        if measure == "edges":
            mine, other = edges(image)[seen], one.edges[seen]
            energy = np.sqrt(np.vdot(mine, mine).real * np.vdot(other, other).real)
            total += float(np.vdot(mine, other).real / max(energy, 1e-9))
        else:
            total += mutual_information(image, one.thermal, seen)
    return total / len(levels)


def mutual_information(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> float:
    """(H(first) + H(second)) / H(both), 1..2, of uint8 pictures."""
    joint = cv2.calcHist([first, second], [0, 1], where.astype(np.uint8), [_BINS, _BINS], [0, 256, 0, 256])
    joint = joint / max(joint.sum(), 1.0)
    entropies = [-float((p[p > 0] * np.log(p[p > 0])).sum()) for p in (joint.sum(0), joint.sum(1), joint)]
    return (entropies[0] + entropies[1]) / entropies[2] if entropies[2] > 0 else 1.0
