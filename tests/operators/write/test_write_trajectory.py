import numpy as np
import pytest

from operators.geometry.transforms import exp_rigid, invert
from operators.score.trajectory_files import read
from operators.write.trajectory import Trajectory
from pipeline.errors import RunError
from pipeline.operator import Resume
from pipeline.testing import header, run_operator

POSES = [exp_rigid(k * np.array([1.0, 0.2, -0.1, 0.1, -0.3, 0.4])) for k in range(4)]


def written(folder, poses, numbers, config=None, **more):
    headers = [header(k, f"0003/{k:06d}") for k in numbers]
    run_operator(Trajectory, poses, config, headers=headers, out_dir=folder, **more)
    return folder / "0003.txt"


def test_no_frame_no_file(tmp_path):
    run_operator(Trajectory, [], out_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_kitti_poses_are_read_back_bit_by_bit(tmp_path):
    got = read(written(tmp_path, POSES, range(4)))
    assert not got.timed and got.keys.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(got.poses, POSES)


def test_tum_has_times_and_quaternions(tmp_path):
    got = read(written(tmp_path, POSES, range(4), {"format": "tum"}))
    assert got.timed
    np.testing.assert_allclose(got.keys, [0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(got.poses, POSES, atol=1e-14)


def test_with_a_calibration_the_poses_are_the_cameras(tmp_path, calibration):
    got = read(written(tmp_path, POSES, range(4), statics={"calibration": calibration}))
    T = calibration.T_cam_velo
    np.testing.assert_allclose(got.poses, [T @ pose @ invert(T) for pose in POSES], atol=1e-12)


def test_missing_frames_repeat_the_pose_before_and_are_counted(tmp_path, caplog):
    got = read(written(tmp_path, POSES[1:3], [1, 4]))
    np.testing.assert_array_equal(got.poses, [np.eye(4), POSES[1], POSES[1], POSES[1], POSES[2]])
    assert caplog.messages == ["3 frames without a pose: their lines repeat the pose before"]


def test_a_number_that_was_there_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"0003.txt: needs frames in the order of their numbers.*got 1 \(0003/000001\) after 2"):
        written(tmp_path, POSES[:3], [1, 2, 1])


def test_a_restarted_sink_goes_on(tmp_path):
    written(tmp_path, POSES[:2], range(2))
    written(tmp_path, POSES[2:], [2, 3], resume=Resume(1, 1, "0003/000001"))
    np.testing.assert_array_equal(read(tmp_path / "0003.txt").poses, POSES)
