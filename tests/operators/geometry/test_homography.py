"""Homographies: which are refused, sizes, the fit from points."""

import re

import numpy as np
import pytest

from operators.geometry.homography import apply, corners, from_points, problem, resizing

H = np.array([[0.9, 0.05, 12.0], [-0.04, 1.1, -7.0], [1e-5, -2e-5, 1.0]])


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (np.eye(2), r"needs 3 rows of 3 numbers, got shape \(2, 2\)"),
        (np.full((3, 3), np.nan), "needs finite numbers, got nan"),
        (np.diag([1, np.inf, 1]), "needs finite numbers, got inf"),
        (np.diag([1.0, 1.0, 0.0]), r"rank 2 \(singular values 1, 1, 0; determinant 0\)"),
        (np.array([[1, 2, 3], [2, 4, 6], [0, 0, 1.0]]), r"needs a matrix of rank 3, got rank 2 \(singular values"),
        (np.zeros((3, 3)), "got rank 0"),
    ],
)
def test_a_matrix_that_is_no_homography_is_named(bad, text):
    assert re.search(text, problem(np.asarray(bad, float)))


@pytest.mark.parametrize("scale", [1, -3, 1e-6])
def test_homographies_are_right_in_any_scale(scale):
    far = np.array([[2.8, 0.0, 900.0], [0.0, 2.8, -700.0], [1e-4, 1e-4, 1.0]])
    assert problem(H * scale) == problem(far * scale) == ""


def test_no_points_are_no_points():
    assert apply(H, np.empty((0, 2))).shape == (0, 2)


def test_resizing_keeps_the_corners_of_the_pictures():
    edges = np.array([[-0.5, -0.5], [639.5, 511.5]])
    np.testing.assert_allclose(apply(resizing((640, 512), (1800, 1600)), edges), [[-0.5, -0.5], [1799.5, 1599.5]])


def test_behind_the_horizon_is_nan():
    tilted = np.array([[1, 0, 0], [0, 1, 0], [0, 0.01, 1.0]])
    assert np.isnan(apply(tilted, np.array([[0.0, 50], [0, 100], [0, -200.0]]))).all(axis=1).tolist() == [False, False, True]


@pytest.mark.parametrize("num", [4, 12, 40])
def test_exact_points_give_the_homography(num):
    points = np.random.default_rng(num).uniform(0, 500, (num, 2))
    fit = from_points(points, apply(H, points), 2.0)
    np.testing.assert_allclose(apply(fit.H, points), apply(H, points), atol=1e-3)  # OpenCV takes points as float32
    np.testing.assert_allclose(apply(fit.H, corners((500, 500))), apply(H, corners((500, 500))), atol=2e-3)
    assert fit.inliers.all() and fit.residuals_px.max() < 1e-3


@pytest.mark.parametrize("seed", range(4))
def test_noisy_points_and_outliers(seed):
    """0.7 px of noise on 40 points, 8 of them wrong: the corners of the picture within 2 px."""
    rng = np.random.default_rng(seed)
    source = rng.uniform((0, 0), (640, 512), (40, 2))
    dest = apply(H, source) + rng.normal(0, 0.7, (40, 2))
    dest[:8] += rng.uniform(20, 90, (8, 2))
    fit = from_points(source, dest, 3.0)
    assert not fit.inliers[:8].any() and fit.inliers[8:].sum() >= 30
    ends = corners((640, 512))
    assert np.linalg.norm(apply(fit.H, ends) - apply(H, ends), axis=1).max() < 2.0
    assert 0.3 < np.median(fit.residuals_px[fit.inliers]) < 1.5


LINE = np.c_[np.arange(8.0), 3 * np.arange(8.0) + 5]
SPREAD = np.random.default_rng(1).uniform(0, 500, (8, 2))


@pytest.mark.parametrize(
    ("source", "dest", "text"),
    [
        (SPREAD[:0], SPREAD[:0], "needs 4 point pairs or more, got 0"),
        (SPREAD[:3], SPREAD[:3], "needs 4 point pairs or more, got 3"),
        (LINE, SPREAD, "got 8 on one line of the first picture"),
        (SPREAD, LINE, "got 8 on one line of the second picture"),
        (np.ones((5, 2)), SPREAD[:5], "got 5 on one line of the first picture"),
        (np.r_[LINE[:3], [[90.0, 7]]], np.r_[LINE[:3], [[80.0, 9]]], "of which no 3 lie on a line"),
        (np.r_[LINE[:7], [[90.0, 7]]], np.r_[LINE[:7], [[80.0, 9]]], "of which no 3 lie on a line"),
    ],
)
def test_points_that_leave_it_open(source, dest, text):
    with pytest.raises(ValueError, match=text):
        from_points(source, dest, 3.0)
