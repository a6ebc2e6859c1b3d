"""nuscenes: the real key frame, generated ones, and pickles that want more than to be read."""

import pickle

import numpy as np
import pytest
from nuscenes_files import CAMERAS, K, info, lidar2cam, sweep, write

from drivers.nuscenes import info as info_file
from drivers.nuscenes.reader import Nuscenes, NuscenesConfig
from operators.geometry.project import project_points
from pipeline.errors import InputError
from pipeline.testing import run_source, statics_of


def read(folder, **config):
    return run_source(Nuscenes, {"root": str(folder), **config})


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("nested", [False, True])
def test_a_key_frame(tmp_path, protocol, nested):
    (reading,) = read(write(tmp_path, protocol=protocol, nested=nested))
    assert reading.item == "n0/000000" and reading.stamp_ns == 1532402927_647951_000
    points, raw = reading.values["points"], sweep()
    assert points[0].tolist() == [10, 0, 0, 1] and points.shape == (300, 4)  # straight ahead
    assert np.array_equal(points[:, 0], raw[:, 1]) and np.array_equal(points[:, 1], -raw[:, 0])
    assert np.array_equal(reading.values["point_rings"], 31 - raw[:, 4]) and reading.values["image"].shape == (90, 160, 3)


@pytest.mark.parametrize("camera", CAMERAS)
def test_each_camera_has_its_calibration(tmp_path, camera):
    config = {"root": str(write(tmp_path)), "camera": camera}
    P, T, size = statics_of(Nuscenes, config)["calibration"]
    raw = sweep()[:, :3].astype(np.float64)
    points = np.c_[raw[:, 1], -raw[:, 0], raw[:, 2]]
    cam = np.c_[raw, np.ones(300)] @ lidar2cam(camera).T
    uv, depth = project_points(points, P, T)
    np.testing.assert_allclose(depth, cam[:, 2], atol=1e-9)
    front = depth > 0
    np.testing.assert_allclose(uv[front], (cam[:, :3] @ np.array(K).T)[front, :2] / cam[front, 2:3], atol=1e-6)
    assert size.tolist() == [160, 90]
    (reading,) = read(tmp_path, camera=camera)
    assert abs(int(reading.values["image"][0, 0, 0]) - 40 * CAMERAS.index(camera)) < 3


def test_boxes_in_our_frame(tmp_path):
    (reading,) = read(write(tmp_path))
    truth = reading.values["truth"]
    assert truth.boxes3d[0].tolist() == pytest.approx([10, 0, 0.5, 4, 2, 1.5, 0], abs=1e-6)  # ahead, heading ahead
    assert truth.boxes3d[1].tolist() == pytest.approx([-8, 5, 0.5, 0.6, 0.7, 1.7, -np.pi / 2], abs=1e-6)
    assert truth.labels.tolist() == [0, -1] and reading.meta["truth"] == {"class_names": ["car", "pedestrian"]}
    assert truth.boxes2d[0, 0] < 80 < truth.boxes2d[0, 2] and not truth.boxes2d[1].any()


def test_stamps_of_the_camera_and_several_frames(tmp_path):
    write(tmp_path, frames=3)
    readings = read(tmp_path, clock="camera")
    assert [r.item for r in readings] == ["n0/000000", "n0/000001", "n0/000002"]
    assert readings[1].stamp_ns - readings[0].stamp_ns == 500_000_000 and readings[0].stamp_ns == 1532402927_627951_000
    assert Nuscenes.find(NuscenesConfig(str(tmp_path))).frames == 3


def test_an_empty_sweep(tmp_path):
    write(tmp_path)
    (tmp_path / "n0__LIDAR_TOP__0.pcd.bin").write_bytes(b"")
    (reading,) = read(tmp_path)
    assert reading.values["points"].shape == (0, 4) and reading.values["point_rings"].shape == (0,)


def test_a_camera_without_pictures(tmp_path):
    write(tmp_path)
    (tmp_path / "n0__CAM_BACK__0.jpg").unlink()
    with pytest.raises(
        InputError, match=r"nuscenes: image is connected, but .* has no n0__CAM_BACK__0.jpg, nor has samples/CAM_BACK"
    ):
        read(tmp_path, camera="CAM_BACK")


def changed(change):
    data = info()
    change(data)
    return data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("data_list"), "needs data_list, got none; is it an info file"),
        (lambda d: d["data_list"][0].pop("timestamp"), "needs 0.timestamp, got none"),
        (lambda d: d["data_list"].clear(), "data_list: needs a key frame or more, got none"),
        (lambda d: d["metainfo"].update(categories={"car": 3}), "needs categories 0, 1, .. and a list data_list"),
        (
            lambda d: d["data_list"][0]["images"]["CAM_FRONT"].update(cam2img=[[1, 2], [3, 4]]),
            "cam2img: needs 3 x 3 finite numbers",
        ),
        (lambda d: d["data_list"][0]["images"]["CAM_FRONT"]["lidar2cam"][0].__setitem__(0, 3.0), "lidar2cam: needs a rotation"),
        (lambda d: d["data_list"][0]["instances"][0].update(bbox_3d=[1.0]), "instances.0.bbox_3d: needs 7 finite numbers"),
        (lambda d: d["data_list"][0]["instances"][0].update(bbox_label_3d=9), "bbox_label_3d: needs -1..1, got 9"),
        (lambda d: d["data_list"][0]["lidar_points"].update(lidar_path=5), "lidar_path: needs the name of a file, got 5"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, message):
    write(tmp_path, changed(change))
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"\0" * 21, "needs a multiple of 20 bytes"), (np.full(5, 99, np.float32).tobytes(), "rings 0..31, got")],
)
def test_a_wrong_sweep(tmp_path, data, message):
    write(tmp_path)
    (tmp_path / "n0__LIDAR_TOP__0.pcd.bin").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_no_info_file_and_two(tmp_path):
    with pytest.raises(InputError, match=r"config.info: needs the name of an info file .* got none"):
        read(tmp_path)
    write(tmp_path)
    (tmp_path / "other.pkl").write_bytes((tmp_path / "info.pkl").read_bytes())
    with pytest.raises(InputError, match=r"got info.pkl, other.pkl"):
        read(tmp_path)
    assert len(read(tmp_path, info="other.pkl")) == 1


class Evil:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (Evil(print, "called"), "builtins.print"),
        (Evil(eval, "1"), "builtins.eval"),
        (Evil(pickle.loads, b""), "_pickle.loads"),
        (Evil(np.load, "x"), "numpy.load"),
        (NuscenesConfig(), "drivers.nuscenes.reader.NuscenesConfig"),
    ],
)
def test_a_pickle_that_names_anything_else_is_refused_uncalled(tmp_path, capsys, evil, name):
    write(tmp_path, info() | {"more": evil}, protocol=4)
    with pytest.raises(
        InputError, match=rf"needs a pickle of plain data and NumPy arrays, got a pickle with {name}; nothing of it is"
    ):
        read(tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "data",
    [
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",  # another encoding
        b"cnumpy\ndtype\n(X\x01\x00\x00\x00OtR.",  # objects
        b"cnumpy\ndtype\n}X\x01\x00\x00\x00aI1\nsb.",  # changes what the name stands for
        b"cos\nsystem\n(X\x02\x00\x00\x00lstR.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"",
        b"hello",
        pickle.dumps([1, 2]),
    ],
)
def test_damaged_and_sly_pickles_end_in_a_line(tmp_path, data):
    (tmp_path / "info.pkl").write_bytes(data)
    with pytest.raises(InputError, match=r"info.pkl: needs ") as caught:
        info_file.read(tmp_path / "info.pkl")
    assert "\n" not in str(caught.value)


def test_a_cut_info_file(tmp_path):
    whole = pickle.dumps(info(), 2)
    for length in range(0, len(whole) - 1, len(whole) // 60):
        (tmp_path / "info.pkl").write_bytes(whole[:length])
        with pytest.raises(InputError, match="needs a pickle of plain data"):
            info_file.read(tmp_path / "info.pkl")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_numbers_and_arrays_of_numpy_come_through(tmp_path, protocol):
    arrays = [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array([], np.uint8),
        np.arange(3, dtype=">i4"),
    ]
    data = {"arrays": arrays, "numbers": [np.float32(1.5), np.int64(-3), np.bool_(True)]}
    (tmp_path / "info.pkl").write_bytes(pickle.dumps(data, protocol))
    got = info_file.read(tmp_path / "info.pkl")
    assert got["numbers"] == [1.5, -3, True]
    for i, array in enumerate(arrays):
        assert np.array_equal(info_file.value(tmp_path, got, "arrays", i), array)


@pytest.mark.data
def test_the_real_key_frame(shared_data):
    folder = shared_data / "nuscenes_sample"
    (reading,) = run_source(Nuscenes, {"root": str(folder)}, wanted=["points", "point_rings", "truth"])
    points, rings, truth = (reading.values[p] for p in ("points", "point_rings", "truth"))
    assert points.shape == (34_688, 4) and 0 <= points[:, 3].min() and points[:, 3].max() == 1
    assert np.bincount(rings).tolist() == [1084] * 32
    elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    assert np.median(elevation[rings == 1]) > np.median(elevation[rings == 7])
    assert reading.meta["truth"]["class_names"][0] == "car" and len(truth.labels) > 20
    # The sweep counts the points in each box itself: our frame, our boxes and our yaw give the same counts.
    given = info_file.read(next(folder.glob("*.pkl")))["data_list"][0]["instances"]
    inside = [_inside(points, box) for box in truth.boxes3d]
    close = [abs(a - b["num_lidar_pts"]) <= 1 + 0.1 * b["num_lidar_pts"] for a, b in zip(inside, given, strict=True)]
    assert np.mean(close) > 0.9


def _inside(points, box):
    c, s = np.cos(box[6]), np.sin(box[6])
    x, y, z = (points[:, k] - box[k] for k in range(3))
    return int(((np.abs(c * x + s * y) <= box[3] / 2) & (np.abs(c * y - s * x) <= box[4] / 2) & (np.abs(z) <= box[5] / 2)).sum())


@pytest.mark.data
@pytest.mark.parametrize("camera", CAMERAS)
def test_real_cameras_see_their_share_of_the_sweep(shared_data, camera):
    config = {"root": str(shared_data / "nuscenes_sample"), "camera": camera, "clock": "camera"}
    (reading,) = run_source(Nuscenes, config, wanted=["points", "image", "calibration"])
    calibration = statics_of(Nuscenes, config)["calibration"]
    assert reading.values["image"].shape == (900, 1600, 3) and calibration.image_size.tolist() == [1600, 900]
    uv, _ = project_points(reading.values["points"][:, :3], calibration.P_cam, calibration.T_cam_velo)
    seen = ((uv >= 0) & (uv < calibration.image_size)).all(1)
    assert 0.05 < seen.mean() < 0.3
    middle = reading.values["points"][seen, :2].mean(0)
    turns_deg = {"FRONT": 0, "FRONT_LEFT": 55, "FRONT_RIGHT": -55, "BACK": 180, "BACK_LEFT": 110, "BACK_RIGHT": -110}
    off = np.degrees(np.arctan2(middle[1], middle[0])) - turns_deg[camera.removeprefix("CAM_")]
    assert abs((off + 180) % 360 - 180) < 25
