import numpy as np
import pytest

from operators.kernels import splat

RAMP = np.stack([np.arange(256), np.arange(256)[::-1], np.full(256, 7)], 1).astype(np.uint8)
PROJECTION = np.array([[50.0, 0, 20, 1], [0, 50, 15, 2], [0, 0, 1, 0.5]])  # of x right, y down, z ahead
SIZE = 30, 40


def many(n=5000, seed=0):
    points = np.random.default_rng(seed).uniform([-9, -9, -2, 0], [9, 9, 20, 1], (n, 4)).astype(np.float32)
    points[:50, 2] = np.nan
    points[50:90] = points[90:130]
    points[50:90, 3] = 0
    return points


def above(points, **plain):
    canvas = np.zeros((*SIZE, 3), np.uint8)
    run = splat.above.py_func if plain and hasattr(splat.above, "py_func") else splat.above
    run(points, 4.0, 6.0, 5.0, 3, 0.1, 0.8, RAMP, canvas)
    return canvas


def through(points, column=splat.DEPTH, **plain):
    canvas, nearest = np.zeros((*SIZE, 3), np.uint8), np.empty(SIZE, np.float32)
    run = splat.through.py_func if plain and hasattr(splat.through, "py_func") else splat.through
    run(points, PROJECTION, 0.4, column, -15.0 if column < 0 else 0.1, 0.0 if column < 0 else 0.8, RAMP, nearest, canvas)
    return canvas


def level(value, low, high):
    return RAMP[int(np.clip((value - low) * (255 / (high - low)), 0, 255))]


@pytest.mark.parametrize("paint", [above, through])
def test_no_points(paint):
    assert not paint(np.zeros((0, 4), np.float32)).any()


def test_above_one_by_one():
    expected = np.zeros((*SIZE, 3), np.uint8)
    for x, y, _, value in many().astype(float):
        column, row = np.floor((4 - y) * 5), np.floor((6 - x) * 5)
        if 0 <= column < SIZE[1] and 0 <= row < SIZE[0]:
            expected[int(row), int(column)] = level(value, 0.1, 0.8)
    np.testing.assert_array_equal(above(many()), expected)
    assert expected.any(2).mean() > 0.3


@pytest.mark.parametrize("column", [splat.DEPTH, 3])
def test_through_far_ones_first(column):
    points = many().astype(float)
    uvd = points[:, :3] @ PROJECTION[:, :3].T + PROJECTION[:, 3]
    expected = np.zeros((*SIZE, 3), np.uint8)
    for n in np.argsort(-uvd[:, 2], kind="stable"):
        u, v, depth = uvd[n]
        if not depth >= 0.4:
            continue
        u, v = int(np.floor(u / depth + 0.5)), int(np.floor(v / depth + 0.5))
        if 0 <= u < SIZE[1] and 0 <= v < SIZE[0]:
            expected[v, u] = level(-depth, -15, 0) if column < 0 else level(points[n, 3], 0.1, 0.8)
    np.testing.assert_array_equal(through(many(), column), expected)
    assert expected.any(2).mean() > 0.5


@pytest.mark.parametrize("paint", [above, through])
def test_what_is_read_only_is_painted_too(paint):
    points = many()
    expected = paint(points)
    points.flags.writeable = False
    np.testing.assert_array_equal(paint(points), expected)


@pytest.mark.parametrize("paint", [above, through])
def test_nan(paint):
    points = np.array([[1, 1, 5, 0.5]] * 4, np.float32)
    points[np.arange(4), np.arange(4)] = np.nan
    assert paint(points[:3] if paint is through else points[[0, 1, 3]]).any() == False  # noqa: E712


@pytest.mark.parametrize("paint", [above, through])
def test_plain_python_computes_the_same(paint):
    """What numba compiles, run by the interpreter; under NUMBA_DISABLE_JIT=1 both are the interpreter."""
    np.testing.assert_array_equal(paint(many(800), plain=True), paint(many(800)))
