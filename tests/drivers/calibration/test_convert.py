"""`pipe calibrate import`: KITTI, ROS camera_info, Kalibr."""

import numpy as np
import pytest
from rig_files import KALIBR, KITTI, MESSAGE, ROS

from drivers.calibration import convert, rig_file
from drivers.kitti.calibration import KittiCalibration, find_calibration
from operators.geometry.project import project_points
from pipeline.__main__ import main
from pipeline.errors import InputError


def imported(tmp_path, text, name, form=None):
    (tmp_path / name).write_text(text)
    convert.import_file(tmp_path / name, form, tmp_path / "rig.yaml")
    return rig_file.read(str(tmp_path / "rig.yaml"))


def same_pixels(rig, kitti, camera, tolerance=1e-6):
    points = np.random.default_rng(0).uniform([4, -10, -2], [60, 10, 2], (50, 3))
    ours, theirs = rig.calibration(f"cam{camera}"), kitti.stream(camera)
    got, want = (project_points(points, c.P_cam, c.T_cam_velo)[0] for c in (ours, theirs))
    np.testing.assert_allclose(got, want, atol=tolerance)
    assert ours.image_size.tolist() == theirs.image_size.tolist()


def test_kitti_object(tmp_path):
    rig = imported(tmp_path, KITTI, "000000.txt")
    assert list(rig.cameras) == ["cam0", "cam2"] and rig.frames == ("cam0", "cam2", "velodyne", "imu")
    same_pixels(rig, KittiCalibration(tmp_path / "000000.txt"), 2)
    assert rig.T("imu", "velodyne")[0, 3] == pytest.approx(0.8)


def test_kitti_raw(tmp_path):
    (tmp_path / "calib_velo_to_cam.txt").write_text("R: 0 -1 0 0 0 -1 1 0 0\nT: 0.02 -0.07 -0.3\n")
    text = "S_rect_02: 1242 375\nP_rect_02: 700 0 600 45 0 700 180 0.2 0 0 1 0.003\nR_rect_00: 1 0 0 0 1 0 0 0 1\n"
    rig = imported(tmp_path, text, "calib_cam_to_cam.txt")
    assert rig.frames == ("cam2", "cam0", "velodyne")  # no imu file, no camera 0
    same_pixels(rig, find_calibration([tmp_path]), 2)
    assert convert.read(tmp_path)[0].frames == rig.frames


@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["kitti_object/training/calib/000134.txt", "kitti_tracking/calib/0020.txt", "kitti_raw/2011_09_26"]
)
def test_real_kitti(shared_data, tmp_path, name):
    path = shared_data / name
    convert.import_file(path, None, tmp_path / "rig.yaml")
    rig = rig_file.read(str(tmp_path / "rig.yaml"))
    kitti = find_calibration([path]) if path.is_dir() else KittiCalibration(path)
    for camera in kitti.cameras:
        same_pixels(rig, kitti, camera, 1e-5)
    assert list(rig.cameras) == ["cam0", "cam1", "cam2", "cam3"]


def test_ros(tmp_path):
    rig = imported(tmp_path, ROS, "left.yaml")
    lens = rig.cameras["narrow_stereo_left"]
    assert lens.image_size.tolist() == [640, 480] and lens.K_cam[1].tolist() == [0, 501.3, 240.4]
    assert lens.distortion[:5].tolist() == [-0.3, 0.1, 0.001, -0.002, 0] and not lens.fisheye[0]
    assert lens.K_rect[0].tolist() == [480, 0, 310] and lens.R_rect[0, 1] == pytest.approx(-0.02, abs=1e-5)


def test_a_printed_message(tmp_path):
    lens = imported(tmp_path, MESSAGE, "info.yaml").cameras["camera"]
    assert lens.fisheye[0] and lens.distortion[:4].tolist() == [0.01, 0.02, 0.03, 0.04] and lens.K_cam[0, 0] == 500


def test_kalibr(tmp_path):
    rig = imported(tmp_path, KALIBR, "camchain.yaml")
    assert rig.frames == ("cam0", "cam1", "imu") and rig.cameras["cam1"].fisheye[0] and not rig.cameras["cam0"].fisheye[0]
    assert rig.T("cam1", "imu")[:3, 3].tolist() == pytest.approx([0.1 - 0.11, 0.2, 0.3])
    assert rig.cameras["cam0"].K_cam.tolist() == [[458.6, 0, 367.2], [0, 457.2, 248.3], [0, 0, 1]]


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (ROS, "plumb_bob", "thin_prism", "8: distortion_model: needs one of plumb_bob, "),
        (ROS, "data: [-0.3, 0.1, ", "data: [", "9: distortion_coefficients: needs 4 or 5 numbers, got 3"),
        (ROS, "  data: [480., ", "  data: [", "17: projection_matrix: needs 12 numbers, got 11"),
        (ROS, "image_width: 640\n", "", "image_width: needs a value (int), got none"),
        (ROS, "[500.1", "[0", "narrow_stereo_left: K: needs positive focal lengths"),
        (ROS, "[0.9998000066665778", "[0.9", "narrow_stereo_left: R: needs a rotation"),
        (
            KALIBR,
            "camera_model: pinhole\n  distortion_coeffs: [-",
            "camera_model: omni\n  distortion_coeffs: [-",
            "8: cam0.camera_model: needs pinhole, got 'omni'",
        ),
        (KALIBR, "[0.0, -1.0, 0.0, 0.1]", "[0.0, 1.0, 0.0, 0.1]", "T_cam0_imu: needs a rotation with determinant +1"),
        (KALIBR, "[-0.3, 0.1, ", "[", "9: cam0.distortion_coeffs: needs 4 numbers for radtan, got 2"),
        (
            KALIBR,
            "cam0",
            "came0",
            "needs camera_matrix of a camera_info or cam0 of a camchain or KITTI's text files, got came0 cam1",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, old, new, message):
    assert old in text
    with pytest.raises(InputError) as caught:
        imported(tmp_path, text.replace(old, new, 1), "x.yaml")
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "rig.yaml").exists()


def test_a_wrong_kitti_file(tmp_path):
    with pytest.raises(InputError, match=r"x.txt: needs a line P0, P1, P2 or P3 .*, got none"):
        imported(tmp_path, "hello\n", "x.txt")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"needs calib_cam_to_cam.txt or another calib.*, got none"):
        convert.read(tmp_path / "none")


def test_the_command(tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(KALIBR)
    out = tmp_path / "rig.yaml"
    assert main(["calibrate", "import", str(tmp_path / "c.yaml"), "-o", str(out)]) == 0
    assert "kalibr: cameras cam0, cam1; transforms T_cam0_imu, T_cam1_cam0" in capsys.readouterr().out
    assert main(["calibrate", "import", str(tmp_path / "c.yaml"), "--from", "ros", "-o", str(out)]) == 2
    assert "c.yaml: needs camera_matrix of a camera_info, got cam0 cam1" in capsys.readouterr().err
