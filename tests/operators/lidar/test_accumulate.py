import logging
import re

import numpy as np
import pytest

from operators.geometry.transforms import invert, rigid, rotation_z, transform_points
from operators.kernels.accumulate import move
from operators.lidar.accumulate import Accumulate, AccumulateConfig
from operators.streams import POINTS
from pipeline.errors import RunError
from pipeline.operator import Resume
from pipeline.testing import header, run_operator


def sweep(*xs, intensity=0.5):
    points = np.zeros((len(xs), 4), np.float32)
    points[:, 0], points[:, 3] = xs, intensity
    return points


def forward(x):
    return rigid(t=(x, 0.0, 0.0))


def played(op, frames):
    """[(points, pose or None), ...] -> x of all points of each output"""
    out = []
    for k, (points, pose) in enumerate(frames):
        op.header, op.missing = header(k), () if pose is not None else ("pose",)
        got = op.process(points=points, pose=pose)
        POINTS.check({"points": got}, "accumulate")
        out.append(got[:, 0].tolist())
    return out


def test_an_empty_sweep_counts_as_one(make):
    op = make(Accumulate, sweeps=2)
    assert played(op, [(sweep(), forward(0)), (sweep(1), forward(0)), (sweep(), forward(0)), (sweep(), forward(0))]) == [
        [], [1], [1], [],
    ]  # fmt: skip


def test_what_stands_stays_where_it_is_while_the_car_drives(make):
    """A post at 10 m of the world; the car is at 0, 2, 4, 6 m."""
    op = make(Accumulate, sweeps=3)
    frames = [(sweep(10 - x), forward(x)) for x in (0, 2, 4, 6)]
    assert played(op, frames) == [[10], [8, 8], [6, 6, 6], [4, 4, 4]]


def test_newest_first_and_its_points_as_they_came(make):
    op = make(Accumulate)
    points = np.random.default_rng(0).uniform(-50, 50, (4, 30, 4)).astype(np.float32)
    poses = [rigid(rotation_z(0.1 * k), (3.0 * k + 1e6, -k, 0.1 * k)) for k in range(4)]
    for k in range(4):
        op.header = header(k)
        got = op.process(points=points[k], pose=poses[k])
    np.testing.assert_array_equal(got[:30], points[3])
    for age in (1, 2, 3):
        old, T = points[3 - age], invert(poses[3]) @ poses[3 - age]
        part = got[30 * age : 30 * age + 30]
        np.testing.assert_allclose(part[:, :3], transform_points(old[:, :3], T), rtol=0, atol=1e-5)
        np.testing.assert_array_equal(part[:, 3], old[:, 3])


def test_the_oldest_points_are_dropped_and_counted(make, caplog):
    op = make(Accumulate, name="acc", sweeps=3, max_points=4)
    frames = [(sweep(1, 2), forward(0)), (sweep(3), forward(0)), (sweep(4, 5), forward(0)), (sweep(6, 7, 8, 9, 10), forward(0))]
    assert played(op, frames) == [[1, 2], [3, 1, 2], [4, 5, 3, 1], [6, 7, 8, 9]]
    with caplog.at_level(logging.INFO, "acc"):
        op.close()
    assert caplog.messages == ["dropped 5 points of the oldest sweeps, beyond max_points"]
    assert Accumulate.slot_bytes(op.config) == {"points": 64}


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (header(1, "0001/000000"), "a new sequence"),
        (header(1, "0000/000001", 0), "a stamp that goes back"),
        (header(1, "0000/000001", 200_000_000_000), "a gap"),
    ],
)
def test_the_state_empties(second, why):
    first = header(0, "0000/000000", 100_000_000)
    between = header(0, "0000/000000", 200_000_000)  # the clock learns the period
    inputs = [{"points": sweep(x), "pose": np.eye(4)} for x in (1, 2, 3)]
    out = run_operator(Accumulate, inputs, headers=[first, between, second])
    assert [got[:, 0].tolist() for got in out] == [[1], [2, 1], [3]], why


def test_a_set_without_a_pose_passes_alone_and_is_not_kept(make):
    op = make(Accumulate)
    assert played(op, [(sweep(1), forward(0)), (sweep(2), None), (sweep(3), forward(0))]) == [[1], [2], [3, 1]]


def test_a_sensor_that_stands_needs_no_pose():
    out = run_operator(Accumulate, [sweep(1), sweep(2)], {"standing": True})
    assert [got[:, 0].tolist() for got in out] == [[1], [2, 1]]


def test_without_a_pose_it_refuses(make):
    message = (
        "node: needs a pose of each sweep, got none connected; write inputs: {pose: NODE.pose}, "
        "or config standing: true for a sensor that does not move"
    )
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        make(Accumulate).process(points=sweep(1))


def test_a_restart_says_what_is_lost(make, caplog):
    with caplog.at_level(logging.INFO, "acc"):
        make(Accumulate, name="acc", resume=Resume(restarts=1, frame_id=7, item="000007"))
    assert caplog.messages == ["restarted: the sweeps before are lost, the next frames have fewer"]


def test_a_frame_is_kept_as_a_copy(make):
    op, points = make(Accumulate), sweep(1)
    op.header = header(0)
    op.process(points=points, pose=np.eye(4))
    points[:] = 99  # its slot is written again
    op.header = header(1)
    assert op.process(points=sweep(2), pose=np.eye(4))[:, 0].tolist() == [2, 1]


def test_plain_python_computes_the_same():
    points = np.random.default_rng(1).uniform(-50, 50, (40, 4)).astype(np.float32)
    points[3] = np.nan
    out, plain = np.zeros((2, 40, 4), np.float32)
    T = rigid(rotation_z(0.3), (1.0, 2.0, 3.0))
    move(points, T, out)
    getattr(move, "py_func", move)(points, T, plain)
    np.testing.assert_allclose(plain, out, rtol=0, atol=1e-5)
    assert np.isnan(out[3]).all() and np.isfinite(np.delete(out, 3, 0)).all()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"sweeps": 0}, "sweeps: needs 1 or more, got 0"),
        ({"max_points": 0}, "max_points: needs 1 or more, got 0"),
        ({"rate_hz": 0}, "rate_hz: needs more than 0, got 0"),
    ],
)
def test_wrong_settings(config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        AccumulateConfig(**config)
