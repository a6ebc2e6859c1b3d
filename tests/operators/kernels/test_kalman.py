import numpy as np
from filterpy.kalman import KalmanFilter

from operators.kernels import ab3dmot, kalman


def box_filter(z):
    """AB3DMOT's filter in filterpy, with its matrices written out"""
    one = KalmanFilter(dim_x=10, dim_z=7)
    one.F[0, 7] = one.F[1, 8] = one.F[2, 9] = 1
    one.H[:] = np.eye(7, 10)
    one.P = np.diag([10.0] * 7 + [10_000.0] * 3)
    one.Q = np.diag([1.0] * 7 + [0.01] * 3)
    one.x[:7, 0] = z
    return one


def whole(P):
    """The (10, 10) covariance from its four numbers"""
    out = np.diag([P[0]] * 3 + [P[3]] * 4 + [P[2]] * 3)
    for k in range(3):
        out[k, 7 + k] = out[7 + k, k] = P[1]
    return out


def test_many_tracks_equal_filterpys_filters():
    """60 steps of 6 tracks, each detected in some steps; state and covariance to 1e-9 in all steps."""
    rng = np.random.default_rng(0)
    z = rng.uniform([-50, -50, -2, -1, 3, 1, 1], [50, 50, 2, 1, 6, 3, 2], (6, 7))
    x, P = np.zeros((6, 10)), np.tile(ab3dmot.P0, (6, 1))
    x[:, :7] = z
    theirs = [box_filter(row) for row in z]
    velocity = rng.uniform(-2, 2, (6, 3))
    for step in range(1, 61):
        noisy = z + rng.normal(0, 0.1, z.shape)
        noisy[:, :3] += step * velocity
        seen = rng.random(6) < 0.7
        for t, one in enumerate(theirs):
            kalman.predict(x[t], P[t], ab3dmot.Q)
            one.predict()
            if seen[t]:
                kalman.update(x[t], P[t], noisy[t], ab3dmot.R)
                one.update(noisy[t])
            np.testing.assert_allclose(x[t], one.x[:, 0], rtol=0, atol=1e-9)
            np.testing.assert_allclose(whole(P[t]), one.P, rtol=0, atol=1e-9)


def test_an_exact_measurement_of_a_certain_track_changes_nothing():
    x, P = np.arange(10.0), np.array([0.0, 0.0, 0.0, 0.0])
    kalman.update(x, P, np.arange(7.0), np.array([1.0, 1.0]))
    np.testing.assert_array_equal(x, np.arange(10.0))
    np.testing.assert_array_equal(P, np.zeros(4))
