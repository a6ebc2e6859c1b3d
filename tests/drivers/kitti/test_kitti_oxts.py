import math

import numpy as np
import pytest
from scipy.spatial import cKDTree

from drivers.kitti.calibration import read_calibration
from drivers.kitti.oxts import check_covers, poses, read_oxts, read_oxts_folder
from pipeline.errors import InputError

METRES_PER_DEGREE = math.pi / 180 * 6378137


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


def test_a_file_is_one_row_per_frame(kitti):
    assert read_oxts(kitti.oxts(3)).shape == (3, 30)


@pytest.mark.parametrize(
    "line, got",
    [
        ("1 2 3", "3"),
        (" ".join(["1"] * 31), "31"),
        ("", "0"),
        ("1 2 x" + " 0" * 27, "'1 2 x 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 '"),
        ("1 nan" + " 0" * 28, "NaN or infinity in column 2"),
    ],
)
def test_a_malformed_line(kitti, line, got):
    good = " ".join(["0"] * 30)
    path = kitti.write(kitti.root / "o.txt", f"{good}\n{line}\n{good}\n")
    with pytest.raises(InputError) as e:
        read_oxts(path)
    assert str(e.value) == f"{path}:2: needs 30 numbers, got {got}"


def test_an_empty_file(kitti):
    path = kitti.write(kitti.root / "o.txt", "")
    with pytest.raises(InputError) as e:
        read_oxts(path)
    assert str(e.value) == f"{path}: needs a line of 30 numbers per frame, got an empty file"


def test_shorter_than_the_frames(kitti):
    path = kitti.oxts(100)
    check_covers(path, 100, 99)
    with pytest.raises(InputError) as e:
        check_covers(path, 100, 128)
    assert str(e.value) == f"{path}: needs 129 lines (line = frame number, the last frame is 000128), got 100"


def test_the_raw_folder(kitti):
    folder = kitti.root / "oxts" / "data"
    assert read_oxts_folder(folder) == {}
    for number in (4, 9):
        kitti.oxts(1, f"oxts/data/{number:010d}.txt")
    assert list(read_oxts_folder(folder)) == [4, 9]
    kitti.oxts(2, "oxts/data/0000000009.txt")
    with pytest.raises(InputError) as e:
        read_oxts_folder(folder)
    assert str(e.value) == f"{folder / '0000000009.txt'}: needs one line of 30 numbers, got 2 lines"


@pytest.fixture(scope="module")
def real(shared_data):
    root = shared_data / "kitti_tracking_0000"
    oxts = read_oxts(root / "oxts" / "0000.txt")
    return root, oxts, poses(oxts, read_calibration(root / "calib" / "0000.txt").T_velo_imu)


@pytest.mark.data
def test_real_steps_agree_with_the_measured_velocities(real):
    _, oxts, T = real
    moved_mps = np.linalg.norm(np.diff(T[:, :2, 3], axis=0), axis=1) * 10
    measured_mps = np.hypot(oxts[:, 6], oxts[:, 7])  # vn, ve
    between = (measured_mps[1:] + measured_mps[:-1]) / 2
    assert np.median(np.abs(moved_mps - between)) < 0.25  # positions jitter by 2 cm from line to line
    assert moved_mps.sum() == pytest.approx(between.sum(), rel=0.01)


@pytest.mark.data
@pytest.mark.parametrize("first, second", [(0, 5), (40, 45), (100, 110)])
def test_real_scans_lie_on_each_other_after_the_poses(real, first, second):
    root, _, T = real
    scans = [np.fromfile(root / "velodyne" / "0000" / f"{k:06d}.bin", np.float32).reshape(-1, 4)[:, :3] for k in (first, second)]
    here, there = (scan[scan[:, 2] > -1.2].astype(float) for scan in scans)  # walls and poles: ground looks the same everywhere
    relative = np.linalg.inv(T[first]) @ T[second]
    tree = cKDTree(here)
    with_pose = np.median(tree.query(there @ relative[:3, :3].T + relative[:3, 3])[0])
    without = np.median(tree.query(there)[0])
    assert with_pose < 0.15 and with_pose < 0.25 * without
