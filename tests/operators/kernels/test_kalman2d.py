import numpy as np
import pytest
from filterpy.kalman import KalmanFilter

from operators.kernels import kalman2d

WEIGHTS = np.array([0.05, 0.0125])


def noise(box, weight):
    return (weight * np.array([box[2], box[3], box[2], box[3]])) ** 2


def box_filter(z):
    """The same filter in filterpy, with its matrices written out"""
    one = KalmanFilter(dim_x=8, dim_z=4)
    one.F[:4, 4:] = np.eye(4)
    one.H[:] = np.eye(4, 8)
    one.P = np.diag(np.concatenate([noise(z, 2 * 0.05), noise(z, 10 * 0.0125)]))
    one.x[:4, 0] = z
    return one


def whole(P):
    """(4, 3) -> the full (8, 8) covariance"""
    out = np.diag(np.concatenate([P[:, 0], P[:, 2]]))
    for k in range(4):
        out[k, 4 + k] = out[4 + k, k] = P[k, 1]
    return out


def test_many_tracks_equal_filterpys_filters():
    """60 steps of 6 tracks, each detected in some steps; state, covariance and Mahalanobis distance to 1e-9 in all steps."""
    rng = np.random.default_rng(0)
    z = rng.uniform([0, 0, 20, 20], [1000, 300, 200, 100], (6, 4))
    x, P = np.zeros((6, 8)), np.zeros((6, 4, 3))
    for t in range(6):
        kalman2d.begin(x[t], P[t], z[t], WEIGHTS)
    theirs = [box_filter(row) for row in z]
    for step in range(1, 61):
        seen = rng.random(6) < 0.7
        kalman2d.predict(x, P, 6, WEIGHTS)
        for t, one in enumerate(theirs):
            size = one.x[:4, 0]
            one.Q = np.diag(np.concatenate([noise(size, 0.05), noise(size, 0.0125)]))
            one.predict()
            now = z[t] + step * np.array([3, -1, 0.1, 0.2]) + rng.normal(0, 1, 4)
            one.R = np.diag(noise(one.x[:4, 0], 0.05))
            away = now - one.x[:4, 0]
            expected = away @ np.linalg.inv(one.P[:4, :4] + one.R) @ away
            assert kalman2d.distance(x[t], P[t], now, WEIGHTS) == pytest.approx(expected, rel=1e-9)
            if seen[t]:
                kalman2d.update(x[t], P[t], now, WEIGHTS)
                one.update(now)
            np.testing.assert_allclose(x[t], one.x[:, 0], rtol=0, atol=1e-9)
            np.testing.assert_allclose(whole(P[t]), one.P, rtol=0, atol=1e-8)


def test_rows_that_do_not_count_are_left_alone():
    x, P = np.ones((2, 8)), np.ones((2, 4, 3))
    kalman2d.predict(x, P, 1, WEIGHTS)
    assert not (x[0] == 1).all()
    assert (x[1] == 1).all() and (P[1] == 1).all()


def test_a_size_that_shrinks_to_nothing_keeps_its_noise():
    x, P = np.zeros(8), np.zeros((4, 3))
    kalman2d.begin(x, P, np.array([5.0, 5.0, 0.0, 0.0]), WEIGHTS)
    assert (P[:, 0] > 0).all()
    kalman2d.update(x, P, np.array([6.0, 5.0, 1.0, 1.0]), WEIGHTS)
    assert np.isfinite(x).all() and np.isfinite(P).all()
