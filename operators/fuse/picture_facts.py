"""What a picture is like, in a few numbers: for operators/fuse/sensor_faults.py.

Noise: the mask of Immerkaer 1996, which edges hardly answer; sigma from a low quantile of its responses, so that texture in most
of the picture does not count. Fineness: squared second differences of neighbours over those of pixels 4 apart, both without
noise; 1/256 in a picture without detail at pixel scale, whatever its contrast and shading. Strong edges do not count: a black
border would outweigh all else.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import scipy.fft

from operators.kernels.orientation import orientation
from operators.kernels.survey import COARSE, FINE, IMPULSES, LAPLACE, LOOKED_AT, PAIRS, REACH, survey

SMALL = (160, 128)
"""Width and height of the picture in which glare and shift are sought."""
LEAST_SIDE = 16
"""A picture with fewer rows or columns is blank."""
WHITE = 252
SMOOTH = 1 / REACH**4
_SAMPLES = 10_240
_QUANTILE, _NORMAL_QUANTILE, _MASK_NORM = 0.3, 0.38532, 6.0
_FEW = 200
_GLARE, _CLIPPED = 245, 254
"""Grey levels of a white region of light; of heat, where gain control makes the warmest white and only clipped pixels dazzle."""
_NEAR, _FAR = 5, 25
_MARGIN = 2
_SEARCH = (30, 24)
"""Columns and rows of SMALL that a shift may have."""


class Facts(NamedTuple):
    """samples (h, w) uint8: pixels to compare with those of the next frame; small (128, 160) uint8: the picture, averaged.

    thermal bool: of one channel
    spread  grey levels between the 1st and the 99th percentile     dark, white  shares of pixels at 0, at WHITE or more
    noise   sigma [grey levels]                                     impulses     share of pixels
    detail  fineness above SMOOTH
    """

    samples: np.ndarray
    small: np.ndarray
    thermal: bool
    spread: float
    dark: float
    white: float
    noise: float
    impulses: float
    detail: float


def facts(picture: np.ndarray, impulse: int) -> Facts:
    """Of (H, W, 3) RGB, by its green channel, or (H, W) grey, uint8; H and W of LEAST_SIDE or more.

    impulse: grey levels between an impulse and all its neighbours
    """
    small = cv2.resize(picture, SMALL, interpolation=cv2.INTER_AREA)
    thermal = picture.ndim == 2
    if not thermal:
        picture, small = picture[:, :, 1], cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    rows, columns = picture.shape
    step = max(1, round((rows * columns / _SAMPLES) ** 0.5))
    samples = np.empty([(side - 1 - 2 * REACH) // step + 1 for side in picture.shape], np.uint8)
    levels, laplace, sums = np.zeros(256, np.int64), np.zeros(LAPLACE, np.int64), np.zeros(5)
    survey(picture, step, impulse, samples, levels, laplace, sums)
    num, below = sums[LOOKED_AT], np.cumsum(levels)
    spread = np.searchsorted(below, 0.99 * num) - np.searchsorted(below, 0.01 * num)
    noise, responses = 0.0, np.cumsum(laplace)
    if responses[-1] >= _FEW:
        noise = float(np.searchsorted(responses, _QUANTILE * responses[-1])) / (_NORMAL_QUANTILE * _MASK_NORM)
    of_noise = 6 * noise**2  # of a second difference
    fine, coarse = (max(sums[k] / max(sums[PAIRS], 1) - of_noise, 0.0) for k in (FINE, COARSE))
    detail = fine / coarse - SMOOTH if coarse > 0 else 0.0
    return Facts(
        samples,
        small,
        thermal,
        float(spread),
        float(levels[0] / num),
        float(levels[WHITE:].sum() / num),
        noise,
        float(sums[IMPULSES] / num),
        max(float(detail), 0.0),
    )


def glare(small: np.ndarray, thermal: bool) -> tuple[float, float]:
    """Share of the picture in its largest white region, and how bright the surroundings are: 0 as the rest, 1 white.

    A source that blinds the camera is bright all around (lower quartile); a white sky ends at roofs and trees.
    """
    white = (small >= (_CLIPPED if thermal else _GLARE)).astype(np.uint8)
    if not white.any():
        return 0.0, 0.0
    _, regions, stats, _ = cv2.connectedComponentsWithStats(white)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    core = (regions == largest).astype(np.uint8)
    near, far = (cv2.dilate(core, np.ones((side, side), np.uint8)) for side in (_NEAR, _FAR))
    around, rest = small[(far > 0) & (near == 0)], small[far == 0]
    share = float(core.mean())
    if not len(around) or not len(rest):
        return share, 1.0
    level = float(rest.mean())
    return share, max(float(np.percentile(around, 25)) - level, 0.0) / max(_GLARE - level, 1.0)


def edges(small: np.ndarray) -> np.ndarray:
    """Spectrum (128, 160) complex64 of the orientations of the edges, for `shift`."""
    smooth = cv2.GaussianBlur(small, (0, 0), 1.0)
    field = np.empty(small.shape, np.complex64)
    orientation(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1), _MARGIN, field)
    return scipy.fft.fft2(field, overwrite_x=True)


class Shift(NamedTuple):
    """Of the first picture against the second, in pixels of SMALL: x to the right, y down.

    clear    height of the best correlation over all others, in standard deviations
    as_here  the same of the correlation within a pixel of `expected`
    """

    x: int
    y: int
    clear: float
    as_here: float


def shift(first: np.ndarray, second: np.ndarray, expected: tuple[float, float] = (0.0, 0.0)) -> Shift:
    """first, second: of `edges`; expected: x, y in pixels of SMALL."""
    by_shift = scipy.fft.ifft2(first * np.conj(second)).real
    right, down = _SEARCH
    window = by_shift[np.arange(-down, down + 1)[:, None], np.arange(-right, right + 1)]
    mean, deviation = float(window.mean()), float(window.std())
    row, column = divmod(int(window.argmax()), window.shape[1])
    if deviation <= 1e-9 * max(abs(mean), 1e-9):
        return Shift(0, 0, 0.0, 0.0)
    x, y = (round(min(max(value, -limit), limit)) + limit for value, limit in zip(expected, _SEARCH, strict=True))
    here = window[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max()
    return Shift(column - right, row - down, float((window[row, column] - mean) / deviation), float((here - mean) / deviation))
