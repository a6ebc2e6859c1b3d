import numpy as np
import pytest
from filterpy.kalman import KalmanFilter

from operators.geometry.boxes3d import wrap_angle
from operators.geometry.transforms import rigid, rotation_z
from operators.track import kalman


@pytest.fixture(scope="module")
def model():
    return kalman.constant_velocity()


def test_no_tracks(model):
    x, P = kalman.newborn(np.empty((0, 7)), model)
    assert x.shape == (0, 10) and P.shape == (0, 10, 10)
    x, P = kalman.predict(x, P, model)
    x, P = kalman.update(x, P, np.empty((0, 7)), model)
    assert x.shape == (0, 10) and P.shape == (0, 10, 10)
    assert kalman.boxes(kalman.carry(x, np.eye(4))).shape == (0, 7)


def test_the_matrices_are_those_of_ab3dmot(model):
    F = np.eye(10)
    F[0, 7] = F[1, 8] = F[2, 9] = 1
    np.testing.assert_array_equal(model.F, F)
    np.testing.assert_array_equal(model.H, np.eye(7, 10))
    np.testing.assert_array_equal(model.Q, np.diag([1] * 7 + [0.01] * 3))
    np.testing.assert_array_equal(model.R, np.eye(7))
    np.testing.assert_array_equal(model.P0, np.diag([10] * 7 + [10_000] * 3))


def test_a_box_goes_through_the_state_unchanged(model):
    box = np.array([[1, 2, 3, 4, 5, 6, 0.7]], np.float32)
    z = kalman.measurements(box)
    np.testing.assert_allclose(z, [[1, 2, 3, 0.7, 4, 5, 6]], rtol=1e-7)
    np.testing.assert_array_equal(kalman.boxes(kalman.newborn(z, model)[0]), box)


def test_many_tracks_equal_filterpys_filters_one_by_one(model):
    """40 steps, each track seen in some of them"""
    rng = np.random.default_rng(0)
    z = rng.uniform([-50, -50, -2, -1, 3, 1, 1], [50, 50, 2, 1, 6, 3, 2], (6, 7))
    x, P = kalman.newborn(z, model)
    theirs = []
    for row in z:
        one = KalmanFilter(dim_x=10, dim_z=7)
        one.F, one.H, one.Q, one.R, one.P = (m.copy() for m in model)
        one.x[:7, 0] = row
        theirs.append(one)
    velocity = rng.uniform(-2, 2, (6, 3))
    for step in range(1, 41):
        x, P = kalman.predict(x, P, model)
        seen = rng.random(6) < 0.7
        noisy = z + rng.normal(0, 0.1, z.shape)
        noisy[:, :3] += step * velocity
        x[seen], P[seen] = kalman.update(x[seen], P[seen], noisy[seen], model)
        for one, measured, row in zip(theirs, seen, noisy, strict=True):
            one.predict()
            if measured:
                one.update(row)
        np.testing.assert_allclose(x, [one.x[:, 0] for one in theirs], rtol=0, atol=1e-9)
        np.testing.assert_allclose(P, [one.P for one in theirs], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("track", "measured", "turned", "why"),
    [
        (0.1, 0.3, 0.1, "near: as it is"),
        (0.1, 3.1, 0.1 + np.pi, "the detector sees the other end: the track turns round"),
        (-0.1, 3.1, -0.1 + np.pi, "in the shorter sense"),
        (3.1, -3.1, 3.1 - 2 * np.pi, "near across the seam: near as a number too"),
        (-3.1, 3.1, -3.1 + 2 * np.pi, "from the other side"),
        (0.0, np.pi / 2, 0.0, "exactly 90 deg stays"),
    ],
)
def test_the_track_faces_as_the_detection(track, measured, turned, why):
    x, z = np.zeros((1, 10)), np.zeros((1, 7))
    x[0, kalman.YAW], z[0, kalman.YAW] = track, measured
    assert kalman.face(x, z)[0, kalman.YAW] == pytest.approx(turned), why
    assert x[0, kalman.YAW] == track


def test_yaw_is_filtered_across_the_seam(model):
    """Detections wobble around -pi / +pi; the track must not swing through 0."""
    x, P = kalman.newborn(np.array([[0, 0, 0, 3.1, 4, 2, 1.5]]), model)
    for yaw in (-3.1, 3.12, -3.13, 0.02, 3.1):
        x, P = kalman.predict(x, P, model)
        x, P = kalman.update(x, P, np.array([[0, 0, 0, yaw, 4, 2, 1.5]]), model)
        assert -np.pi <= x[0, kalman.YAW] < np.pi
        away = abs(wrap_angle(x[0, kalman.YAW] - np.pi))
        assert min(away, np.pi - away) < 0.1


def test_ego_motion_moves_positions_only():
    """The car drove 2 m ahead and turned left by 90 deg: what was 5 m ahead is now 3 m to the right."""
    x = np.arange(10.0)[None] + [[5, -1, -2, 0, 0, 0, 0, 0, 0, 0]]
    T_prev_now = rigid(rotation_z(np.pi / 2), (2, 0, 0))
    moved = kalman.carry(x, np.linalg.inv(T_prev_now))
    np.testing.assert_allclose(moved[0, :3], [0, -3, 0], atol=1e-12)
    np.testing.assert_array_equal(moved[0, 3:], x[0, 3:])
