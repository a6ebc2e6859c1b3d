import numpy as np
import pytest

import naive
from operators.kernels import raster

T_CAM_VELO = np.array([[0.0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1]])
P_CAM = np.array([[60.0, 0, 47.3, 4], [0, 60, 30.1, 0.2], [0, 0, 1, 0.003]])
SIZE = 64, 96
NEAR_M = 0.3
STRAIGHT = np.array([[50.0, 0, 0, 0], [0, 50, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
"""u v depth 1 of points already in the camera's frame: at depth 50 a metre is a pixel, exactly."""


def fill(triangles, view=None, size=SIZE, near=NEAR_M, materials=None, cull=0, bands=1, plain=False):
    """-> index, values"""
    set_up, run = (raster.set_up.py_func, raster.fill.py_func) if plain else (raster.set_up, raster.fill)
    triangles = np.array(triangles, np.float64).reshape(-1, 3, 3)
    count = len(triangles)
    materials = np.zeros(count, np.int32) if materials is None else np.array(materials, np.int32)
    view = np.vstack([P_CAM @ T_CAM_VELO, [0, 0, 0, 1]]) if view is None else view
    planes, limits = np.full((count, raster.PLANES, 3), np.nan), np.full((count, 2), np.nan)
    boxes = np.full((count, raster.BOX), 77, np.int32)
    values, index = np.zeros(size, np.float32), np.full(size, raster.NOTHING, np.int32)
    set_up(triangles, materials, view, near, cull, *size, planes, limits, boxes)
    for band in range(bands):
        run(planes, limits, boxes, size[0] * band // bands, size[0] * (band + 1) // bands, values, index)
    return index, values


def many(seed, count=60):
    """Triangles of all sizes, everywhere in front and a few around the camera; some edge-on."""
    rng = np.random.default_rng(seed)
    middles = rng.uniform([-3, -20, -6], [50, 20, 6], (count, 1, 3))
    triangles = middles + rng.normal(0, rng.uniform(0.2, 6, (count, 1, 1)), (count, 3, 3))
    triangles[:3, :, 2] = -1.7
    return triangles


def test_none():
    index, values = fill([])
    assert (index == -1).all() and (values == 0).all()


@pytest.mark.quick(3)
@pytest.mark.parametrize("seed", range(6))
def test_many_equal_the_naive_rays(seed):
    triangles = many(seed)
    index, values = fill(triangles)
    expected, depth = naive.see(triangles, P_CAM, T_CAM_VELO, SIZE, NEAR_M)
    same = index == expected
    assert same.mean() >= 0.999
    assert 0.2 < (expected >= 0).mean() < 1, "the scene is neither empty nor full"
    seen = same & (index >= 0)
    np.testing.assert_allclose(1 / values[seen], depth[seen], rtol=2e-6)
    assert (values[index < 0] == 0).all()


@pytest.mark.parametrize(
    ("corners", "why"),
    [
        ([(-5, -1, -1), (-5, 1, -1), (-5, 0, 1)], "behind"),
        ([(0.4, -1, -1), (0.4, 1, -1), (0.4, 0, 1)], "nearer than near"),
        ([(5, 0, 0), (5, 0, 0), (5, 0, 0)], "a point"),
        ([(5, -1, 0), (5, 0, 0), (5, 1, 0)], "a line"),
        ([(5, -1, -1), (5, 1, -1), (5, 0, np.nan)], "nowhere"),
        ([(5, -1, -1), (5, 1, -1), (5, 0, np.inf)], "without end"),
        ([(5, -1, -1), (5, 1, -1), (5, 1e12, 1)], "out of this world"),
        ([(5, 90, -1), (5, 91, -1), (5, 90, 1)], "left of the picture"),
        ([(50, 0.01, 0.01), (50, 0.011, 0.01), (50, 0.01, 0.011)], "between pixel centres"),
    ],
)
def test_not_seen(corners, why):
    index, _ = fill([corners])
    assert (index == -1).all(), why


def test_through_the_near_plane():
    """A road from 20 m behind the camera to 40 m ahead: all below the horizon that is farther than near is road."""
    index, values = fill(
        [[(-20, 30, -1.7), (-20, -30, -1.7), (40, 30, -1.7)], [(-20, -30, -1.7), (40, -30, -1.7), (40, 30, -1.7)]]
    )
    expected, depth = naive.see(
        np.array([[(-20, 30, -1.7), (-20, -30, -1.7), (40, 30, -1.7)], [(-20, -30, -1.7), (40, -30, -1.7), (40, 30, -1.7)]]),
        P_CAM, T_CAM_VELO, SIZE, NEAR_M,
    )  # fmt: skip
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(1 / values[index >= 0], depth[index >= 0], rtol=2e-6)
    assert (index[-1] >= 0).all() and 1 / values[-1].max() < 4


def test_nothing_is_nearer_than_near():
    """A plane through the camera."""
    index, values = fill([[(-5, 0.5, -5), (-5, 0.5, 5), (60, -0.5, 0)]], near=0.5)
    assert (index >= 0).any() and 0.4 < 1 / values.max() and values.max() <= 2


def test_watertight():
    """Corners on pixel centres, edges through them: every pixel belongs to exactly one triangle for every seam."""
    rng = np.random.default_rng(3)
    inner = rng.integers(2, 22, (12, 2))
    for middle in inner:
        ring = [(0, 0), (12, 0), (24, 0), (24, 12), (24, 24), (12, 24), (0, 24), (0, 12)]
        flat = [[(*middle, 50), (*a, 50), (*b, 50)] for a, b in zip(ring, ring[1:] + ring[:1], strict=True)]
        for turn in (1, -1):
            covered = sum((fill([[t[0], *t[1:][::turn]]], STRAIGHT, (25, 25))[0] >= 0).astype(int) for t in flat)
            np.testing.assert_array_equal(covered[:24, :24], 1)
            assert covered[24].sum() + covered[:, 24].sum() == 0, "right and lower borders belong to the neighbour"


def test_watertight_askew():
    """A crumpled sheet in perspective has neither holes nor double pixels, even along edges that pass through no pixel centre."""
    rng = np.random.default_rng(5)
    y, z = np.meshgrid(np.linspace(-15, 15, 9), np.linspace(-9, 9, 7), indexing="ij")
    sheet = np.stack([12 + rng.uniform(-0.5, 0.5, y.shape), y + rng.normal(0, 0.4, y.shape), z + rng.normal(0, 0.4, z.shape)], -1)
    triangles = []
    for i in range(8):
        for j in range(6):
            a, b, c, d = sheet[i, j], sheet[i + 1, j], sheet[i + 1, j + 1], sheet[i, j + 1]
            triangles += [(a, b, c), (a, c, d)]
    covered = sum((fill([t])[0] >= 0).astype(int) for t in triangles)
    assert (covered == 1).all()


def test_of_two_equal_ones_the_first_keeps_the_pixel():
    triangle = [(5, -1, -1), (5, 1, -1), (5, 0, 1)]
    index, _ = fill([triangle, triangle])
    assert set(np.unique(index)) == {-1, 0}


def box(x, size, inside_out=False):
    """Twelve triangles, counter-clockwise from outside."""
    a = size / 2
    corners = np.array([(sx, sy, sz) for sx in (-a, a) for sy in (-a, a) for sz in (-a, a)]) + np.array([x, 0.3, 0.2])
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [[corners[f[0]], corners[f[k]], corners[f[k + 1]]] for f in faces for k in (1, 2)]
    return [t[::-1] for t in triangles] if inside_out else triangles


@pytest.mark.parametrize(
    ("x", "size", "inside_out", "seen"),
    [(8, 3, False, True), (8, 3, True, True), (0, 30, False, False), (0, 30, True, True)],
)
def test_backs_of_closed_meshes_are_left_out(x, size, inside_out, seen):
    """From outside the image is unchanged; from inside, the box is invisible. Inside out, only the far side is visible."""
    mesh = box(x, size, inside_out)
    index, values = fill(mesh, materials=[raster.CLOSED] * 12, cull=1)
    assert (index >= 0).any() == seen
    _, whole = fill(mesh)
    assert np.array_equal(values, whole) == (inside_out == (x == 0))
    _, kept = fill(mesh, materials=[raster.CLOSED] * 12, cull=0)
    np.testing.assert_array_equal(kept, whole)


def test_a_view_along_parallel_rays():
    """From above: pixels are metres, the value is the height, the highest wins."""
    view = np.array([[1.0, 0, 0, 10], [0, 1, 0, 10], [0, 0, 0, 1], [0, 0, 1, 0]])
    low = [(-8, -8, 1), (8, -8, 1), (0, 9, 1)]
    high = [(-2, -2, 3), (2.5, -2, 3), (0, 3, 5)]
    index, values = fill([high, low], view, (21, 21), near=0.5)
    assert index[10, 10] == 0 and index[3, 5] == 1 and index[0, 0] == -1
    assert values[3, 5] == 1 and values[10, 10] == pytest.approx(3 + 2 * 2 / 5)


def test_backs_where_rows_grow_upwards():
    """Seen from above: the top of a box remains, or, inside out, its bottom."""
    view = np.array([[1.0, 0, 0, 10], [0, 1, 0, 10], [0, 0, 0, 1], [0, 0, 1, 10]])
    for inside_out, height in ((False, 12.2), (True, 8.2)):
        mesh = box(0, 4, inside_out)
        _, whole = fill(mesh, view, (21, 21), near=0.5)
        index, values = fill(mesh, view, (21, 21), near=0.5, materials=[raster.CLOSED] * 12, cull=-1)
        assert index[10, 10] >= 0 and values[10, 10] == pytest.approx(height)
        assert np.array_equal(values, whole) != inside_out


def test_bands_give_the_same_bytes():
    expected = fill(many(1))
    for bands in (2, 7, 64):
        for got, want in zip(fill(many(1), bands=bands), expected, strict=True):
            assert got.tobytes() == want.tobytes()


def test_without_index_the_values_are_the_same():
    triangles = many(2)
    planes, limits = np.empty((len(triangles), raster.PLANES, 3)), np.empty((len(triangles), 2))
    boxes, values = np.empty((len(triangles), raster.BOX), np.int32), np.zeros(SIZE, np.float32)
    view = np.vstack([P_CAM @ T_CAM_VELO, [0, 0, 0, 1]])
    raster.set_up(triangles, np.zeros(len(triangles), np.int32), view, NEAR_M, 0, *SIZE, planes, limits, boxes)
    raster.fill(planes, limits, boxes, 0, SIZE[0], values, np.empty((0, 0), np.int32))
    np.testing.assert_array_equal(values, fill(triangles)[1])


def test_plain_python_computes_the_same():
    """What numba compiles, run by the interpreter; under NUMBA_DISABLE_JIT=1 both are the interpreter."""
    triangles = many(4, count=25)
    plain = fill(triangles, plain=True) if hasattr(raster.fill, "py_func") else fill(triangles)
    for got, want in zip(plain, fill(triangles), strict=True):
        np.testing.assert_array_equal(got, want)
