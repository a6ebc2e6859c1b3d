import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.geometry.gps import poses, readings
from operators.geometry.transforms import rigid, rotation_z


def rows(*lat_lon_alt_rpy):
    out = np.zeros((len(lat_lon_alt_rpy), 30))
    out[:, :6] = lat_lon_alt_rpy
    return out


def imu_at(x, y, z):
    """T_velo_imu of an imu without rotation at this place in the velodyne frame."""
    T = np.eye(4)
    T[:3, 3] = x, y, z
    return T


@pytest.mark.parametrize(
    "first, second, expected",
    [
        ((0, 0, 0, 0, 0, 0), (0, 1e-5, 0, 0, 0, 0), (1.11319, 0, 0)),  # yaw 0 looks east: ahead
        ((0, 0, 0, 0, 0, math.pi / 2), (0, 1e-5, 0, 0, 0, math.pi / 2), (0, -1.11319, 0)),  # looking north, east is right
        ((60, 0, 0, 0, 0, 0), (60, 1e-5, 0, 0, 0, 0), (1.11319 / 2, 0, 0)),  # a degree of longitude is half as long at 60 deg
        ((60, 0, 0, 0, 0, 0), (60 + 1e-5, 0, 0, 0, 0, 0), (0, 1.11319, 0)),  # one of latitude is not
        ((0, 0, 100, 0, 0, 0), (0, 0, 103, 0, 0, 0), (0, 0, 3)),
        ((0, 0, 100, 0, 0, math.pi), (0, 0, 103, 0, 0, math.pi), (0, 0, 3)),
    ],
)
def test_straight_moves(first, second, expected):
    T = poses(rows(first, second), imu_at(-0.8, 0.3, -0.8))
    assert np.array_equal(T[0], np.eye(4))
    assert T[1][:3, 3] == pytest.approx(expected, abs=1e-4)
    assert T[1][:3, :3] == pytest.approx(np.eye(3), abs=1e-12)


def test_turning_on_the_spot_swings_the_velodyne_round_the_imu():
    T = poses(rows((49, 8, 110, 0, 0, 0), (49, 8, 110, 0, 0, math.pi / 2)), imu_at(-2, 0, 0))
    # the velodyne sits 2 m before the imu; after a quarter turn to the left it is 2 m back and 2 m to the left of where it was
    assert T[1][:3, 3] == pytest.approx((-2, 2, 0), abs=1e-6)
    assert T[1] @ [1, 0, 0, 1] == pytest.approx((-2, 3, 0, 1), abs=1e-6)


@pytest.mark.parametrize(
    "rpy, ahead, left",
    [
        ((0.3, 0, 0), (1, 0, 0), (0, math.cos(0.3), math.sin(0.3))),  # roll: left side up
        ((0, 0.3, 0), (math.cos(0.3), 0, -math.sin(0.3)), (0, 1, 0)),  # pitch: nose down
        ((0, 0, 0.3), (math.cos(0.3), math.sin(0.3), 0), (-math.sin(0.3), math.cos(0.3), 0)),
    ],
)
def test_senses_of_the_angles(rpy, ahead, left):
    T = poses(rows((49, 8, 110, 0, 0, 0), (49, 8, 110, *rpy)), np.eye(4))
    assert T[1][:3, 0] == pytest.approx(ahead, abs=1e-9)
    assert T[1][:3, 1] == pytest.approx(left, abs=1e-9)


def test_no_poses_no_readings():
    assert readings(np.empty((0, 4, 4)), np.eye(4)).shape == (0, 6)


def test_at_the_origin_the_imu_is_level_and_looks_east():
    assert readings(np.eye(4)[None], imu_at(-0.8, 0.3, -0.8), (49, 8.4, 116))[0] == pytest.approx(
        (49, 8.4, 116, 0, 0, 0), abs=1e-13
    )


angles = st.floats(-3.14, 3.14)
metres = st.floats(-2000, 2000)


@given(
    st.lists(st.tuples(metres, metres, st.floats(-50, 50), angles, st.floats(-1.5, 1.5), angles), max_size=3), st.floats(-70, 70)
)
def test_readings_and_back(moves, lat_deg):
    """The poses to 1e-7 m: float64 degrees resolve 2 nm, and the sums are of size 6e6 m."""
    imu = rigid(rotation_z(0.3), (-0.8, 0.3, -0.9))
    T = np.stack([np.eye(4), *(rigid(rotation(roll, pitch, yaw), xyz) for *xyz, roll, pitch, yaw in moves)])
    back = poses(readings(T, imu, (lat_deg, 8.4, 116.0)), imu)
    np.testing.assert_allclose(back, T, atol=1e-7)


def rotation(roll, pitch, yaw):
    """Rotates about one axis after another, not by the formula of the code."""
    x = np.array([[1, 0, 0], [0, math.cos(roll), -math.sin(roll)], [0, math.sin(roll), math.cos(roll)]])
    y = np.array([[math.cos(pitch), 0, math.sin(pitch)], [0, 1, 0], [-math.sin(pitch), 0, math.cos(pitch)]])
    return rotation_z(yaw) @ y @ x
