"""survey and orientation against naive twins."""

import numpy as np
import pytest

from operators.kernels.orientation import orientation
from operators.kernels.survey import COARSE, FINE, IMPULSES, LAPLACE, LOOKED_AT, PAIRS, REACH, STRONG, survey


def surveyed(grey, step, impulse):
    samples = np.empty([(side - 1 - 2 * REACH) // step + 1 for side in grey.shape], np.uint8)
    levels, laplace, sums = np.zeros(256, np.int64), np.zeros(LAPLACE, np.int64), np.zeros(5)
    survey(grey, step, impulse, samples, levels, laplace, sums)
    return samples, levels, laplace, sums


def naive(grey, step, impulse):
    grey = grey.astype(int)
    inside = tuple(slice(REACH, side - REACH, step) for side in grey.shape)
    here = grey[inside]

    def at(down, right):
        return np.roll(grey, (-down, -right), axis=(0, 1))[inside]

    around = np.stack([at(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j])
    corners = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)
    sides = at(-1, 0) + at(1, 0) + at(0, -1) + at(0, 1)
    response = np.abs(corners - 2 * sides + 4 * here)[(here > 0) & (here < 255)]
    sums = np.zeros(5)
    for i, j in ((0, 1), (1, 0)):
        fine = at(i, j) + at(-i, -j) - 2 * here
        coarse = at(REACH * i, REACH * j) + at(-REACH * i, -REACH * j) - 2 * here
        weak = np.abs(coarse) <= STRONG
        sums[[FINE, COARSE, PAIRS]] += (fine[weak] ** 2).sum(), (coarse[weak] ** 2).sum(), weak.sum()
    sums[IMPULSES] = ((here >= around.max(0) + impulse) | (here <= around.min(0) - impulse)).sum()
    sums[LOOKED_AT] = here.size
    return here, np.bincount(here.ravel(), minlength=256), np.bincount(response, minlength=LAPLACE), sums


@pytest.mark.parametrize(("shape", "step"), [((9, 9), 1), ((16, 33), 1), ((40, 31), 3), ((64, 80), 4)])
@pytest.mark.parametrize("levels", [(0, 256), (90, 130)])
def test_survey(shape, step, levels):
    rng = np.random.default_rng(shape[0])
    picture = rng.integers(*levels, (*shape, 3), np.uint8)
    for grey in (picture[:, :, 1], np.ascontiguousarray(picture[:, :, 2])):
        for got, want in zip(surveyed(grey, step, 20), naive(grey, step, 20), strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("shape", "margin"), [((5, 7), 0), ((12, 9), 2), ((3, 3), 2)])
def test_orientation(shape, margin):
    rng = np.random.default_rng(1)
    gx, gy = rng.normal(0, 30, (2, *shape)).astype(np.float32)
    out, inverted = np.empty(shape, np.complex64), np.empty(shape, np.complex64)
    orientation(gx, gy, margin, out)
    orientation(-gx, -gy, margin, inverted)
    length = np.hypot(gx, gy)
    want = (gx + 1j * gy) ** 2 / (length**2 + length.mean() ** 2)
    inside = np.zeros(shape, bool)
    inside[margin : shape[0] - margin, margin : shape[1] - margin] = True
    np.testing.assert_allclose(out, np.where(inside, want, 0), atol=1e-5)
    np.testing.assert_array_equal(out, inverted)
