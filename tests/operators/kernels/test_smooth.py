import numpy as np
from filterpy.kalman import KalmanFilter

from operators.kernels.best import state as kernel
from operators.kernels.best.life import give_birth
from operators.kernels.best.measure import measure
from operators.kernels.best.predict import predict
from operators.kernels.best.state import Detections, Tracks
from operators.kernels.best.update import update
from operators.kernels.smooth import look_back
from operators.streams import CLASSES
from operators.track import models

PARAMS = np.stack([models.row(models.of_label(label)) for label in range(len(CLASSES))])


def filtered(places, steps):
    """A car seen at these places, steps apart -> its rows, and filterpy's states, covariances, Fs, Qs of the same"""
    model, rows = models.CAR, []
    shapes = (4,), (4, 4), (2,), (2,), (6,), (3,)
    tracks = Tracks(*(np.zeros((1, *shape)) for shape in shapes), np.zeros((1, 7), np.int64))
    one, states = KalmanFilter(dim_x=4, dim_z=2), []
    one.H = np.eye(2, 4)
    for k, (place, gap) in enumerate(zip(places, steps, strict=True)):
        boxes, evidence = np.array([[*place, -1, 4, 1.7, 1.5, 0.3]]), np.array([1.0])
        dets = Detections(boxes, np.zeros(1, np.int64), evidence, evidence, np.empty((1, 8)))
        measure(dets, np.eye(4), PARAMS)
        Fs, Qs = np.eye(4), np.zeros((4, 4))
        if k == 0:
            give_birth(dets, tracks, 0, PARAMS, np.array([-1]), 1)
            one.x[:2, 0], one.P = place, tracks.motion_cov[0].copy()
        else:
            F = np.eye(4)
            F[0, 2] = F[1, 3] = 1
            for _ in range(gap):
                c, s = np.cos(tracks.yaw[0, 0]), np.sin(tracks.yaw[0, 0])
                R = np.array([[c, -s], [s, c]])
                white = R @ np.diag([model.acceleration**2, (model.acceleration * model.across) ** 2]) @ R.T
                Q = np.block([[white / 4, white / 2], [white / 2, white]])
                Fs, Qs = F @ Fs, F @ Qs @ F.T + Q
                predict(tracks, 1, PARAMS)
                one.predict(F=F, Q=Q)
            update(dets, tracks, 1, PARAMS, np.array([0]))
            one.update(np.array(place), R=np.diag([dets.world[0, kernel.COV_XX]] * 2))
        rows.append([a[0].copy() for a in tracks])
        states.append((one.x.copy(), one.P.copy(), Fs, Qs))
    return Tracks(*(np.stack(column) for column in zip(*rows, strict=True))), [
        np.stack(column) for column in zip(*states, strict=True)
    ]


def test_one_row_stays_as_it_is():
    rows, _ = filtered([(10.0, 2.0)], [0])
    before = [a.copy() for a in rows]
    look_back(rows, np.array([0]), PARAMS)
    for a, b in zip(rows, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_places_and_speeds_equal_filterpys_smoother():
    """30 rows of a noisy path, with gaps of up to 4 steps, to 1e-8."""
    rng = np.random.default_rng(4)
    steps = rng.integers(1, 5, 30)
    ahead = np.cumsum(steps) * 0.8
    places = np.stack([10 + ahead + rng.normal(0, 0.1, 30), np.sin(ahead / 5) + rng.normal(0, 0.1, 30)], 1)
    rows, (xs, Ps, Fs, Qs) = filtered(places, steps)
    smoothed = KalmanFilter(dim_x=4, dim_z=2).rts_smoother(xs, Ps, Fs, Qs)[0][:, :, 0]
    look_back(rows, steps, PARAMS)
    np.testing.assert_allclose(rows.motion, smoothed, atol=1e-8)


def test_the_smoothed_path_is_nearer_to_the_truth():
    rng = np.random.default_rng(5)
    true = np.stack([10 + 0.5 * np.arange(40), np.zeros(40)], 1)
    rows, _ = filtered(true + rng.normal(0, 0.15, true.shape), np.ones(40, np.int64))
    error = np.linalg.norm(rows.motion[:, :2] - true, axis=1)[:20].mean()
    look_back(rows, np.ones(40, np.int64), PARAMS)
    assert np.linalg.norm(rows.motion[:, :2] - true, axis=1)[:20].mean() < 0.6 * error
