"""Lenses beside OpenCV's own functions, which share no line with ours."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.geometry import lens as lenses
from operators.streams import Lens

K = np.array([[200.0, 0, 161.5], [0, 210, 118.0], [0, 0, 1]])
RADTAN = lenses.padded((-0.31, 0.11, 0.0004, -0.0002, -0.01))
RATIONAL = lenses.padded((0.1, -0.05, 0.001, 0.002, 0.01, 0.2, 0.03, 0.001))
FISHEYE = lenses.padded((0.02, -0.01, 0.002, -0.0005))


def lens(distortion, fisheye=False, R=None, K_rect=None, size=(320, 240), rect_size=None):
    R = np.eye(3) if R is None else R
    sizes = [np.array(s, np.int32) for s in (size, rect_size or size)]
    return Lens(K, distortion, np.array([fisheye]), sizes[0], R, K if K_rect is None else K_rect, sizes[1])


def test_no_points():
    assert lenses.distort(np.empty((0, 2)), RADTAN, False).shape == (0, 2)
    assert lenses.project(np.empty((0, 3)), lens(FISHEYE, True)).shape == (0, 2)


coefficients = st.tuples(*[st.floats(-0.1, 0.1)] * 2, *[st.floats(-0.01, 0.01)] * 2, *[st.floats(-0.05, 0.05)] * 4)
rays = st.lists(st.tuples(st.floats(-0.8, 0.8), st.floats(-0.8, 0.8)), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(coefficients, rays)
def test_radtan_is_opencvs(numbers, xy):
    xy = np.array(xy)
    want, _ = cv2.projectPoints(np.c_[xy, np.ones(len(xy))], np.zeros(3), np.zeros(3), np.eye(3), np.array(numbers))
    np.testing.assert_allclose(lenses.distort(xy, np.array(numbers), False), want[:, 0], atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(-0.05, 0.05)] * 4), rays)
def test_fisheye_is_opencvs(numbers, xy):
    xy = np.array(xy)
    want = cv2.fisheye.distortPoints(xy[:, None], np.eye(3), np.array(numbers))
    np.testing.assert_allclose(lenses.distort(xy, lenses.padded(numbers), True), want[:, 0], atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(rays, st.booleans())
def test_undistorting_a_distorted_ray_gives_the_ray(xy, fisheye):
    xy = np.array(xy)
    distorted = lenses.distort(xy, FISHEYE if fisheye else RADTAN, fisheye)[:, None]
    if fisheye:
        back = cv2.fisheye.undistortPoints(distorted, np.eye(3), FISHEYE[:4])
    else:
        done = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 200, 1e-12)
        back = cv2.undistortPoints(distorted, np.eye(3), RADTAN, criteria=done)
    np.testing.assert_allclose(back[:, 0], xy, atol=1e-5)


@pytest.mark.parametrize(("distortion", "fisheye"), [(RADTAN, False), (RATIONAL, False), (FISHEYE, True)])
def test_maps_are_opencvs(distortion, fisheye):
    R, _ = cv2.Rodrigues(np.array([0.02, -0.05, 0.03]))
    K_rect = np.array([[180.0, 0, 150], [0, 180, 110], [0, 0, 1]])
    at, between = lenses.maps(lens(distortion, fisheye, R, K_rect, rect_size=(300, 220)), (320, 240))
    if fisheye:
        want = cv2.fisheye.initUndistortRectifyMap(K, distortion[:4], R, K_rect, (300, 220), cv2.CV_16SC2)
    else:
        want = cv2.initUndistortRectifyMap(K, distortion, R, K_rect, (300, 220), cv2.CV_16SC2)
    assert at.shape == (220, 300, 2)
    fine = [32 * a.astype(int) + np.stack([b.astype(int) & 31, b.astype(int) >> 5], -1) for a, b in ((at, between), want)]
    assert np.abs(fine[0] - fine[1]).max() <= 1  # of 32 steps between two pixels


def test_a_pixel_of_the_map_is_where_the_ray_of_that_pixel_is_projected():
    one = lens(RADTAN, K_rect=np.array([[180.0, 0, 150], [0, 180, 110], [0, 0, 1]]))
    at, between = lenses.maps(one, (640, 480))  # of pictures of twice the size
    ray = np.linalg.inv(one.K_rect) @ [40.0, 60.0, 1.0]
    uv = 2 * (lenses.project(3 * ray[None], one)[0] + 0.5) - 0.5
    got = at[60, 40] + np.array([between[60, 40] & 31, between[60, 40] >> 5]) / 32
    np.testing.assert_allclose(got, uv, atol=1 / 32)


def test_beyond_the_turning_point_nothing_is_shown_twice():
    """r (1 - r^2 / 3) rises up to r = 1."""
    barrel = lenses.padded((-1 / 3,))
    assert lenses.reach(barrel, False) == pytest.approx(1.0, abs=1e-3)
    uv = lenses.project(np.array([[0.99, 0, 1], [1.5, 0, 1], [0, 0, -1.0]]), lens(barrel))
    assert np.isnan(uv[1:]).all() and uv[0, 0] == pytest.approx(200 * 0.99 * (1 - 0.99**2 / 3) + 161.5)
    assert lenses.reach(np.zeros(8), False) == lenses.reach(lenses.padded((0.1,)), False) == 20
    assert lenses.reach(np.zeros(8), True) == pytest.approx(20)


@pytest.mark.parametrize(("distortion", "fisheye"), [(RADTAN, False), (FISHEYE, True)])
def test_inside_leaves_no_pixel_without_picture_and_whole_leaves_some(distortion, fisheye):
    white = np.full((240, 320), 255, np.uint8)

    def black(fit):
        K_rect = lenses.fitted(K, distortion, fisheye, (320, 240), fit)
        maps = lenses.maps(lens(distortion, fisheye, K_rect=K_rect), (320, 240))
        return (cv2.remap(white, *maps, cv2.INTER_LINEAR) < 128).mean()

    assert black("inside") < 0.005 < black("whole")
    assert np.array_equal(lenses.fitted(K, distortion, fisheye, (320, 240), "same"), K)
