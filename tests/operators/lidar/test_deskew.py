import logging
import math

import naive_lidar
import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from operators.geometry.transforms import rigid, rotation_z, transform_points
from operators.kernels import deskew as kernel
from operators.lidar.deskew import Deskew, DeskewConfig, motion, rotation_vector
from operators.streams import POINTS
from pipeline.errors import FrameError
from pipeline.operator import attach
from pipeline.testing import header

SWEEP_S = 0.1
rng = np.random.default_rng(5)


def random_poses(num, seed, where_m=50.0):
    draw = np.random.default_rng(seed)
    poses = np.stack([np.eye(4)] * num)
    poses[:, :3, :3] = Rotation.from_rotvec(draw.uniform(-1, 1, (num, 3))).as_matrix()
    poses[:, :3, 3] = where_m + draw.uniform(-3, 3, (num, 3))
    return poses


def moved(points, times_s, knots_s, poses, at_s):
    out = np.empty_like(points)
    kernel.deskew(points, times_s, *motion(knots_s, poses, at_s), out)
    return out


@pytest.mark.parametrize("num", [0, 1, 200])
@pytest.mark.parametrize("knots", [2, 4])
def test_kernel_is_its_naive_twin(num, knots):
    """Within, before and after the known poses; equal times side by side; times that are not finite."""
    points = rng.uniform(-60, 60, (num, 4)).astype(np.float32)
    times_s = np.repeat(rng.uniform(-0.3, 0.2, (num + 3) // 4).astype(np.float32), 4)[:num]
    times_s[7::50], times_s[9::50] = np.nan, np.inf
    knots_s = np.sort(rng.uniform(-0.25, 0.1, knots))
    poses = random_poses(knots, num)
    for at_s in (0.0, -0.07):
        got = moved(points, times_s, knots_s, poses, at_s)
        np.testing.assert_allclose(got[:, :3], naive_lidar.deskew(points, times_s, knots_s, poses, at_s), rtol=0, atol=1e-4)
        np.testing.assert_array_equal(got[:, 3], points[:, 3])


def test_between_two_poses_the_rotation_is_slerp_and_the_translation_linear():
    knots_s, poses = np.array([-0.12, 0.03]), random_poses(2, 3)
    slerp = Slerp(knots_s, Rotation.from_matrix(poses[:, :3, :3]))
    for time in (-0.12, -0.1, -0.011, 0.03):
        T = rigid(slerp(time).as_matrix(), [np.interp(time, knots_s, poses[:, axis, 3]) for axis in range(3)])
        point = np.array([[3.0, -4.0, 1.5, 0.5]], np.float32)
        got = moved(point, np.array([time], np.float32), knots_s, poses, at_s=0.03)
        np.testing.assert_allclose(got[:, :3], transform_points(point[:, :3], np.linalg.inv(poses[1]) @ T), rtol=0, atol=2e-6)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.3, 2.0, 3.1])
def test_rotation_vector(angle):
    axis = np.array([2.0, -1.0, 2.0]) / 3
    np.testing.assert_allclose(rotation_vector(Rotation.from_rotvec(axis * angle).as_matrix()), axis * angle, atol=1e-12)


def test_coordinates_of_the_world_cost_no_digits():
    """UTM: the same sweep 5,000 km from the origin."""
    points, times_s = rng.uniform(-60, 60, (50, 4)).astype(np.float32), rng.uniform(-0.1, 0, 50).astype(np.float32)
    knots_s, poses = np.array([-0.1, 0.0]), random_poses(2, 1, 0.0)
    far = poses.copy()
    far[:, :3, 3] += [5e6, -3e6, 100]
    near = moved(points, times_s, knots_s, poses, 0.0)
    np.testing.assert_allclose(moved(points, times_s, knots_s, far, 0.0), near, rtol=0, atol=2e-5)


def room_sweep(pose_of, stamp_s, num=720):
    """One turn in a square room, walls at +-20 m of the world: each point as the sensor saw it at its own time."""
    times_s = np.linspace(-SWEEP_S, 0, num).astype(np.float32)
    points = np.zeros((num, 4), np.float32)
    for i, (time, azimuth) in enumerate(zip(times_s, np.linspace(-math.pi, math.pi, num), strict=True)):
        T_world_velo = pose_of(stamp_s + float(time))
        ray = T_world_velo[:3, :3] @ [math.cos(azimuth), math.sin(azimuth), 0.0]
        with np.errstate(divide="ignore"):
            away = np.min(np.maximum((20.0 - T_world_velo[:2, 3]) / ray[:2], (-20.0 - T_world_velo[:2, 3]) / ray[:2]))
        points[i, :2] = away * math.cos(azimuth), away * math.sin(azimuth)
    return points, times_s


def off_the_walls(points, pose):
    xy = transform_points(points[:, :3], pose)[:, :2]
    return np.abs(np.abs(xy).max(1) - 20.0).max()


def drive(time_s):
    """15 m/s along a circle, 0.3 rad/s"""
    return rigid(rotation_z(0.3 * time_s), (50 * math.sin(0.3 * time_s), 50 * (1 - math.cos(0.3 * time_s)), 0.0))


@pytest.mark.parametrize(("at", "at_s"), [("stamp", 0.0), ("middle", -0.05)])
def test_walls_of_a_drive_are_straight_again(make, at, at_s):
    op = make(Deskew, at=at)
    facts = []
    attach(op, describe=lambda port, meta: facts.append(meta))
    for k in range(3):
        points, times_s = room_sweep(drive, k * SWEEP_S)
        op.header = header(k)
        got = op.process(points=points, point_times=times_s, pose=drive(k * SWEEP_S))
        POINTS.check({"points": got}, "deskew")
    pose = drive(2 * SWEEP_S + at_s)
    assert off_the_walls(points, pose) > 0.7
    assert off_the_walls(got, pose) < 0.01  # a chord instead of the arc: v w T^2 / 8 = 6 mm
    assert facts[0] == {"deskewed": False, "motion": "one pose only"}
    assert facts[2] == {"deskewed": True, "motion": "pose", "at_s": pytest.approx(at_s)}


def played(op, frames):
    """[(points, pose or None, header), ...] -> x of the first point, reason; each point is 0.1 s older than its stamp"""
    out, facts = [], []
    attach(op, describe=lambda port, meta: facts.append(meta["motion"]))
    for points, pose, head in frames:
        op.header = head
        got = op.process(points=points, point_times=np.full(len(points), -0.1, np.float32), pose=pose)
        out.append(round(float(got[0, 0]), 4) if len(got) else None)
    return list(zip(out, facts, strict=True))


POST = np.array([[10.0, 0, 0, 0.5]], np.float32)


def forward(x_m):
    return rigid(t=(x_m, 0.0, 0.0))


def test_empty_sweeps_and_sweeps_without_a_pose(make, caplog):
    op = make(Deskew, name="deskew")
    frames = [
        (POST, None, header(0)),
        (POST[:0], forward(0), header(1)),
        (POST[:0], forward(2), header(2)),
        (POST, forward(4), header(3)),
        (POST, None, header(4)),  # the last motion goes on
    ]
    assert played(op, frames) == [
        (10, "no pose"), (None, "one pose only"), (None, "pose"), (8, "pose"), (8, "pose"),
    ]  # fmt: skip
    with caplog.at_level(logging.INFO, "deskew"):
        op.close()
    assert caplog.messages == ["2 sweeps not deskewed: their motion was not known"]


@pytest.mark.parametrize(
    ("third", "expected"),
    [
        (header(2), (8, "pose")),
        (header(2, "0001/000000"), (10, "one pose only")),  # a new sequence
        (header(2, stamp_ns=50_000_000), (10, "one pose only")),  # a stamp that goes back
        (header(2, stamp_ns=900_000_000), (10, "one pose only")),  # a gap above max_gap_s
    ],
)
def test_what_empties_the_state(make, third, expected):
    op = make(Deskew)
    frames = [(POST, forward(0), header(0)), (POST, forward(2), header(1)), (POST, forward(4), third)]
    assert played(op, frames)[2] == expected


def test_a_pose_that_stopped_long_ago_is_not_used(make):
    frames = [(POST, forward(2 * k), header(k)) for k in range(2)] + [(POST, None, header(k)) for k in (5, 7)]
    assert [reason for _, reason in played(make(Deskew), frames)] == ["one pose only", "pose", "pose", "no pose near this sweep"]


def test_the_stamp_of_a_pose_is_its_own(make):
    """Poses 50 ms before each sweep's stamp, and one of them twice: the motion is that of their stamps."""
    op = make(Deskew)
    for k, late_ns in ((0, 50_000_000), (1, 50_000_000), (2, 150_000_000)):
        op.header = header(k)
        op.headers = {"pose": header(k, stamp_ns=op.header.stamp_ns - late_ns)}
        got = op.process(points=POST, point_times=np.full(1, -0.1, np.float32), pose=forward(min(2 * k, 2)))
    assert got[0, 0] == 8


def test_wrong_config_and_wrong_sizes(make):
    with pytest.raises(ValueError, match=r"max_gap_s: needs above 0, up to 60, got 0"):
        DeskewConfig(max_gap_s=0)
    op = make(Deskew, name="deskew")
    op.header = header(0)
    with pytest.raises(FrameError, match=r"deskew: needs a time for each of 1 points, got 2"):
        op.process(points=POST, point_times=np.zeros(2, np.float32))
