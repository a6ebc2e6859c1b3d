import numpy as np
import pytest

from drivers.kitti.calibration import KittiCalibration, RawCalibration, find_calibration
from operators.geometry.project import project_points
from pipeline.errors import InputError

RAW_CAMERAS = {
    "calib_time": "09-Jan-2012 13:57:47",
    "corner_dist": "9.95e-02",
    "S_rect_02": "1240 370",
    "R_rect_00": "1 0 0 0 1 0 0 0 1",
    "P_rect_00": "700 0 600 0 0 700 180 0 0 0 1 0",
    "P_rect_01": "700 0 600 -350 0 700 180 0 0 0 1 0",
    "P_rect_02": "700 0 600 35 0 700 180 0 0 0 1 0",
    "P_rect_03": "700 0 600 -315 0 700 180 0 0 0 1 0",
}


def write_raw(kitti, cameras=RAW_CAMERAS, imu=True):
    text = "".join(f"{key}: {value}\n" for key, value in cameras.items())
    kitti.write(kitti.root / "calib_cam_to_cam.txt", text)
    kitti.write(kitti.root / "calib_velo_to_cam.txt", "calib_time: x\nR: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 0\ndelta_f: 0 0\n")
    if imu:
        kitti.write(kitti.root / "calib_imu_to_velo.txt", "R: 1 0 0 0 1 0 0 0 1\nT: -1 0 0\n")


def test_numbers_and_frames(kitti):
    calibration = KittiCalibration(kitti.calib("c.txt"))
    assert [calibration.P(camera)[0, 3] for camera in range(4)] == [0, -350, 35, -315]
    assert calibration.P(2).tolist() == [[700, 0, 600, 35], [0, 700, 180, 0], [0, 0, 1, 0]]
    assert calibration.T_cam_velo @ [10, 1, 2, 1] == pytest.approx([-1, -2, 10, 1])  # ahead, left, up -> x left, y up, z ahead
    assert calibration.T_velo_imu @ [0, 0, 0, 1] == pytest.approx([-1, 0, 0, 1])


def test_rectification_comes_after_the_velodyne_transform(kitti):
    calibration = KittiCalibration(kitti.calib("c.txt", R0_rect="0 -1 0 1 0 0 0 0 1"))  # a quarter turn about z
    assert calibration.T_cam0_velo @ [10, 1, 2, 1] == pytest.approx([-1, -2, 10, 1])
    assert calibration.T_cam_velo @ [10, 1, 2, 1] == pytest.approx([2, -1, 10, 1])


@pytest.mark.parametrize(
    "rename",
    [
        lambda text: (
            text.replace("R0_rect:", "R_rect").replace("Tr_velo_to_cam:", "Tr_velo_cam").replace("Tr_imu_to_velo:", "Tr_imu_velo")
        ),
        lambda text: text.replace(": ", " "),
        lambda text: text.replace(": ", ":"),
        lambda text: text.replace(": ", ":\t") + "\n\n",
        lambda text: "\n".join(reversed(text.splitlines())),
    ],
    ids=["tracking names", "no colons", "no blank", "tab", "other order"],
)
def test_spellings_of_the_same_calibration(kitti, rename):
    path = kitti.calib("c.txt")
    expected = KittiCalibration(path)
    path.write_text(rename(path.read_text()))
    got = KittiCalibration(path)
    for a, b in (
        (got.T_cam_velo, expected.T_cam_velo),
        (got.T_velo_imu, expected.T_velo_imu),
        *((got.P(i), expected.P(i)) for i in range(4)),
    ):
        assert np.array_equal(a, b)


def test_the_raw_layout_gives_the_same(kitti):
    write_raw(kitti)
    got, expected = RawCalibration(kitti.root), KittiCalibration(kitti.calib("c.txt"))
    for a, b in (
        (got.T_cam_velo, expected.T_cam_velo),
        (got.T_velo_imu, expected.T_velo_imu),
        *((got.P(i), expected.P(i)) for i in range(4)),
    ):
        assert np.array_equal(a, b)
    assert got.image_size(2) == (1240, 370)


EVERY = {"R_rect", "T_cam0_velo", "T_cam_velo", "T_velo_imu"}


@pytest.mark.parametrize(
    "key, text, spoilt",
    [
        ("R0_rect", "R_rect or R0_rect with 9 numbers", {"R_rect", "T_cam_velo"}),
        ("Tr_velo_to_cam", "Tr_velo_cam or Tr_velo_to_cam or Tr with 12 numbers", {"T_cam0_velo", "T_cam_velo"}),
        ("Tr_imu_to_velo", "Tr_imu_velo or Tr_imu_to_velo with 12 numbers", {"T_velo_imu"}),
    ],
)
def test_a_missing_line_is_missed_by_those_who_need_it(kitti, key, text, spoilt):
    path = kitti.calib("c.txt", **{key: None})
    for name in EVERY - spoilt:
        assert getattr(KittiCalibration(path), name).shape == (4, 4)
    for name in spoilt:
        with pytest.raises(InputError) as e:
            getattr(KittiCalibration(path), name)
        assert str(e.value) == f"{path}: needs a line {text}, got none"


@pytest.mark.parametrize("camera", range(4))
def test_a_camera_needs_its_own_line_only(kitti, camera):
    others = {f"P{other}": None for other in range(4) if other != camera}
    assert KittiCalibration(kitti.calib("c.txt", **others, Tr_imu_to_velo=None)).stream(camera).P_cam.shape == (3, 4)
    path = kitti.calib("c.txt", **{f"P{camera}": None})
    with pytest.raises(InputError, match=f"^{path}: needs a line P{camera} with 12 numbers, got none$"):
        KittiCalibration(path).stream(camera)


def test_the_odometry_layout_has_one_transform(kitti):
    path = kitti.calib("c.txt", R0_rect=None, Tr_velo_to_cam=None, Tr_imu_to_velo=None, Tr="0 -1 0 1 0 0 -1 2 1 0 0 3")
    assert KittiCalibration(path).T_cam_velo[:3].tolist() == [[0, -1, 0, 1], [0, 0, -1, 2], [1, 0, 0, 3]]


@pytest.mark.parametrize(
    "numbers, got",
    [
        ("", "9 numbers after R0_rect, got 0"),
        ("1 0 0 0 1 0 0 0", "9 numbers after R0_rect, got 8"),
        ("1 0 0 0 1 0 0 0 one", "9 numbers after R0_rect, got '1 0 0 0 1 0 0 0 one'"),
        ("1 0 0 0 1 0 0 0 1_0", "9 numbers after R0_rect, got '1 0 0 0 1 0 0 0 1_0'"),
        ("1 0 0 0 nan 0 0 0 1", "9 numbers after R0_rect, finite, got '1 0 0 0 nan 0 0 0 1'"),
        ("1 0 0 0 1e300 0 0 0 1", "9 numbers after R0_rect, finite, got '1 0 0 0 1e300 0 0 0 1'"),
        ("1 0 0 0 1 0 0 0 0", "a rotation in R0_rect, got '1 0 0 0 1 0 0 0 0'"),
    ],
)
def test_a_wrong_line(kitti, numbers, got):
    path = kitti.calib("c.txt", R0_rect=numbers)
    with pytest.raises(InputError) as e:
        KittiCalibration(path).stream(2)
    assert str(e.value) == f"{path}:5: needs {got}"


def test_raw_without_its_second_file(kitti):
    write_raw(kitti)
    (kitti.root / "calib_velo_to_cam.txt").unlink()
    with pytest.raises(InputError) as e:
        RawCalibration(kitti.root).stream(2)
    assert str(e.value) == f"{kitti.root / 'calib_velo_to_cam.txt'}: needs to be readable, got No such file or directory"


def test_raw_without_imu_is_a_calibration_without_imu(kitti):
    write_raw(kitti, imu=False)
    calibration = RawCalibration(kitti.root)
    assert calibration.lacks_imu == f"{kitti.root / 'calib_imu_to_velo.txt'} is not there"
    assert calibration.stream(2).P_cam.shape == (3, 4)


@pytest.mark.parametrize("size", ["0 370", "1240 1e9", "-3 4"])
def test_raw_with_a_size_that_no_picture_has(kitti, size):
    write_raw(kitti, {**RAW_CAMERAS, "S_rect_02": size})
    with pytest.raises(InputError, match=r"calib_cam_to_cam.txt: needs S_rect_02 of 1 to 65535 pixels, got "):
        RawCalibration(kitti.root).stream(2)


def test_find_takes_the_first_folder_that_has_one(kitti):
    empty, full = kitti.root / "empty", kitti.root / "full"
    empty.mkdir(parents=True)
    assert find_calibration([empty]) is None
    path = kitti.calib("full/calib_tracking_format.txt")
    assert find_calibration([empty, full]).path == path


@pytest.mark.parametrize(
    "fx, size",
    [(721.5377, (1242, 375)), (707.0493, (1224, 370)), (718.3351, (1238, 374)), (718.8560, (1241, 376)), (700.0, (1242, 375))],
)
def test_size_of_the_picture_by_focal_length(kitti, fx, size):
    calibration = KittiCalibration(kitti.calib("c.txt", P2=f"{fx} 0 600 35 0 {fx} 180 0 0 0 1 0"))
    assert calibration.image_size(2) == size
    assert calibration.image_size(2, on_disk=(640, 480)) == (640, 480)


def test_the_stream_value_has_the_ports_types(kitti):
    value = KittiCalibration(kitti.calib("c.txt")).stream(3)
    assert value.P_cam[0, 3] == -315
    assert [(a.dtype.name, a.shape) for a in value] == [("float64", (3, 4)), ("float64", (4, 4)), ("int32", (2,))]


@pytest.mark.data
@pytest.mark.parametrize("frame, inside", [(0, 20285), (1, 18630), (2, 20210)])
def test_cropping_real_scans_to_the_picture(shared_data, frame, inside):
    folder = shared_data / "kitti_object" / "training"
    calibration = KittiCalibration(folder / "calib" / f"{frame:06d}.txt").stream(2)
    points = np.fromfile(folder / "velodyne" / f"{frame:06d}.bin", np.float32).reshape(-1, 4)
    uv, depth = project_points(points[:, :3], calibration.P_cam, calibration.T_cam_velo)
    width, height = calibration.image_size
    with np.errstate(invalid="ignore"):
        keep = (depth >= 0) & (uv[:, 0] >= 0) & (uv[:, 0] < width) & (uv[:, 1] >= 0) & (uv[:, 1] < height)
    assert keep.sum() == inside
    assert np.array_equal(points[keep], np.fromfile(folder / "velodyne_reduced" / f"{frame:06d}.bin", np.float32).reshape(-1, 4))
