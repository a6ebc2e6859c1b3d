import numpy as np
import pytest
from scipy.spatial import cKDTree

from drivers.kitti.calibration import KittiCalibration
from drivers.kitti.oxts import check_covers, read_oxts, read_oxts_folder
from operators.geometry.gps import poses
from pipeline.errors import InputError


def test_a_file_is_one_row_per_frame(kitti):
    assert read_oxts(kitti.oxts(3)).shape == (3, 30)


@pytest.mark.parametrize(
    "line, got",
    [
        ("1 2 3", "30 columns, got 3"),
        (" ".join(["1"] * 31), "30 columns, got 31"),
        ("", "30 columns, got an empty line"),
        ("1 2 x" + " 0" * 27, "a number in column 3, got 'x'"),
        ("1 nan" + " 0" * 28, "finite numbers, got nan in column 2"),
        ("90" + " 0" * 29, "a latitude between -90 and 90 degrees in column 1, got 90"),
        ("-123" + " 0" * 29, "a latitude between -90 and 90 degrees in column 1, got -123"),
    ],
)
def test_a_malformed_line(kitti, line, got):
    good = " ".join(["0"] * 30)
    path = kitti.write(kitti.root / "o.txt", f"{good}\n{line}\n{good}\n")
    with pytest.raises(InputError) as e:
        read_oxts(path)
    assert str(e.value) == f"{path}:2: needs {got}"


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
    return root, oxts, poses(oxts, KittiCalibration(root / "calib" / "0000.txt").T_velo_imu)


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
