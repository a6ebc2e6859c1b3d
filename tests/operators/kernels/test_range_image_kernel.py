import naive_range_image as naive
import numpy as np
import pytest

from operators.kernels import range_image as kernel
from operators.lidar.unproject import weights


def cloud(seed, num, size=20.0):
    rng = np.random.default_rng(seed)
    points = rng.normal(0, size, (num, 4)).astype(np.float32)
    points[:, 2] /= 8
    points[:, 3] = rng.random(num)
    return points


def project(points, rows, columns, rings=None, fov=(-25.0, 3.0), clip=True):
    image, owners = np.empty((5, rows, columns), np.float32), np.empty((rows, columns), np.int32)
    pixels, ranges = np.empty((len(points), 2), np.int32), np.empty(len(points), np.float32)
    rings = np.empty(0, np.int32) if rings is None else np.array(rings, np.int32)
    outside = kernel.place(points, rings, *np.radians(fov[::-1]), clip, rows, columns, pixels, ranges)
    kernel.fill(points, pixels, ranges, owners, image)
    assert outside == (pixels[:, 0] < 0).sum()
    return image, pixels, owners


@pytest.mark.parametrize("num", [0, 1, 2, 3000])
@pytest.mark.parametrize("clip", [True, False])
def test_the_picture_is_its_twins(num, clip):
    points = cloud(num, num)
    if num > 100:
        points[5, 0], points[6, 2], points[7, :3], points[8, 3] = np.nan, np.inf, 0, np.nan
        points[20:30] = points[10:20]  # equal ranges: the first wins
    image, pixels, owners = project(points, 16, 64, clip=clip)
    for got, expected in zip((image, pixels, owners), naive.project(points, 16, 64, (-25.0, 3.0), clip), strict=True):
        np.testing.assert_array_equal(got, expected)
    if num > 100:
        assert (pixels[5:9] == -1).all() and (owners >= 0).sum() > 300
        assert clip == ((pixels[:, 0] < 0).sum() == 4)


def test_rows_of_known_rings():
    points, rings = cloud(1, 500), np.arange(500) % 20 - 2
    got = project(points, 16, 64, rings=rings)
    for mine, expected in zip(got, naive.project(points, 16, 64, (-25.0, 3.0), True, rings), strict=True):
        np.testing.assert_array_equal(mine, expected)
    outside = (rings < 0) | (rings >= 16)
    assert (got[1][:, 0] == np.where(outside, -1, rings)).all()


@pytest.mark.parametrize(
    ("xyz", "pixel"),
    [
        ((10, 0, 0), (6, 32)),  # forward: the middle
        ((0, 10, 0), (6, 16)),  # left
        ((0, -10, 0), (6, 48)),  # right
        ((-10, 1e-6, 0), (6, 0)),
        ((-10, -1e-6, 0), (6, 63)),
        ((0, 0, 5), (0, 32)),  # straight up
        ((0, 0, -5), (55, 32)),
    ],
)
def test_where_a_point_lies(xyz, pixel):
    _, pixels, _ = project(np.array([(*xyz, 0.5)], np.float32), 56, 64)
    assert tuple(pixels[0]) == pixel


def test_rings_begin_where_the_azimuth_falls_by_more_than_half_a_turn():
    angles = np.radians([1, 90, 200, 359, 2, 100, 99, 250, 340, 0.5, 10])
    points = np.zeros((len(angles), 4), np.float32)
    points[:, 0], points[:, 1] = np.cos(angles), np.sin(angles)
    points[3, 0] = np.nan  # it continues the ring: from 200 to 2 degrees is a turn, too
    rings = np.empty(len(points), np.int32)
    assert kernel.rings_of_file_order(points, rings) == 3
    assert rings.tolist() == naive.rings(points) == [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2]
    assert kernel.rings_of_file_order(points[:0], rings[:0]) == 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("window", "most"), [(5, 5), (3, 9), (1, 1), (7, 3)])
def test_the_vote_is_its_twins(seed, window, most):
    points = cloud(seed, 2000, 6.0)
    image, pixels, _ = project(points, 16, 48, clip=seed % 2 == 0)
    labels = np.random.default_rng(seed).integers(-2, 4, (16, 48)).astype(np.int32)
    around, out = weights(window, 1.0), np.empty(len(points), np.int32)
    kernel.vote(points, pixels, image[3].copy(), labels, around, most, np.float32(1.0), out)
    assert out.tolist() == naive.vote(points, pixels, image[3], labels, around, most, np.float32(1.0))
    assert len(set(out.tolist())) >= 4


def published(ranges, points_range, labels, pixels, classes, window, most, cutoff):
    """KNN of lidar-bonnetal step by step on unfolded windows, zero-padded at all four edges."""
    half = window // 2
    wide, named = np.pad(ranges, half), np.pad(labels, half)
    wide = np.where(wide == 0, np.inf, wide)
    out = []
    for (row, column), away in zip(pixels.tolist(), points_range.tolist(), strict=True):
        near = wide[row : row + window, column : column + window].ravel().copy()
        near[window * window // 2] = away
        apart = np.abs(near - away) * weights(window, 1.0).ravel()
        chosen = np.argsort(apart, kind="stable")[:most]
        votes = np.where(apart[chosen] > cutoff, classes, named[row : row + window, column : column + window].ravel()[chosen])
        out.append(int(np.bincount(votes, minlength=classes + 1)[1:-1].argmax()) + 1)
    return out


def test_the_vote_is_the_published_one_inside_the_picture():
    """Class 0 casts no vote there, and a point without any vote gets class 1; here it keeps the class of its pixel."""
    points = cloud(3, 4000, 6.0)
    image, pixels, _ = project(points, 16, 48)
    labels = np.random.default_rng(3).integers(0, 5, (16, 48)).astype(np.int32)
    ranges, out = image[3].copy(), np.empty(len(points), np.int32)
    silent = np.where(labels == 0, -2, labels).astype(np.int32)
    kernel.vote(points, pixels, ranges, silent, weights(5, 1.0), 5, np.float32(1.0), out)
    away = np.linalg.norm(points[:, :3].astype(np.float64), axis=1).astype(np.float32)
    expected = np.array(published(ranges, away, labels, pixels, 5, 5, 5, 1.0))
    inside = (pixels[:, 1] >= 2) & (pixels[:, 1] < 46) & (out >= 0)
    assert inside.sum() > 3000
    np.testing.assert_array_equal(out[inside], expected[inside])
