"""The rig file: what is read, what is written, what is refused, and on which line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rig_files import RIG

from drivers.calibration import rig_file
from drivers.calibration.rig import Rig, make_lens
from operators.geometry.transforms import rigid
from pipeline.errors import InputError


@pytest.fixture
def path(tmp_path):
    (tmp_path / "rig.yaml").write_text(RIG)
    return tmp_path / "rig.yaml"


def motion(seed):
    """A rotation about any axis, and a shift."""
    q = np.random.default_rng(seed).normal(size=4)
    w, x, y, z = q / np.linalg.norm(q)
    R = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return rigid(np.array(R), np.random.default_rng(seed + 1).uniform(-5, 5, 3))


def test_a_rig_is_read(path):
    rig = rig_file.read(str(path))
    assert rig.frames == ("front", "rear_left", "velodyne", "imu")
    front, rear = rig.cameras["front"], rig.cameras["rear_left"]
    assert front.image_size.tolist() == [160, 90] and front.K_rect.tolist() == front.K_cam.tolist()
    assert front.distortion.tolist() == [-0.31, 0.11, 0.0004, -0.0002, 0, 0, 0, 0] and not front.fisheye[0]
    assert rear.fisheye[0] and rear.K_rect[0, 0] != 40


def test_paths_are_composed_of_transforms_and_their_inverses(path):
    rig = rig_file.read(str(path))
    T = rig.T("front", "velodyne")  # front <- imu, and the inverse of velodyne <- imu
    assert (T @ [0, 0, 0, 1]).tolist() == [0.25 + 0.25, -0.5 + 1, -1 + 0.75, 1]
    assert np.allclose(T @ rig.T("velodyne", "front"), np.eye(4))
    assert np.array_equal(rig.T("imu", "imu"), np.eye(4))
    P, T_cam_velo, size = rig.calibration("front")
    assert np.array_equal(T_cam_velo, T) and size.tolist() == [160, 90] and P.shape == (3, 4) and not P[:, 3].any()


def test_a_missing_path_names_file_line_and_what_is_there(path):
    rig = rig_file.read(str(path))
    message = r"rig.yaml:12: transforms: needs a path rear_left <- velodyne, got none: rear_left is connected to nothing, "
    with pytest.raises(InputError, match=message + r"velodyne to front imu; add T_rear_left_velodyne"):
        rig.calibration("rear_left")
    with pytest.raises(InputError, match=r"rig.yaml: needs a frame radar, got front, rear_left, velodyne, imu"):
        rig.T("front", "radar")


@pytest.mark.parametrize(
    ("name", "message"),
    [("", "needs one camera, or its name, got front, rear_left"), ("side", "needs a camera side, got front, rear_left")],
)
def test_the_camera_is_named(path, name, message):
    with pytest.raises(InputError, match=message):
        rig_file.read(str(path)).camera(name)


def test_what_is_written_is_read_again(path, tmp_path):
    rig = rig_file.read(str(path))
    rig_file.write(tmp_path / "a" / "again.yaml", rig, "two\nlines")
    again = rig_file.read(str(tmp_path / "a" / "again.yaml"))
    assert (again.frames, list(again.transforms)) == (rig.frames, list(rig.transforms))
    for name, lens in rig.cameras.items():
        assert all(np.allclose(a, b, rtol=1e-11) for a, b in zip(lens, again.cameras[name], strict=True))
    assert all(np.allclose(T, again.transforms[pair], atol=1e-11) for pair, T in rig.transforms.items())


def test_a_rectified_frame_turns_the_transform(path, tmp_path):
    rig = rig_file.read(str(path))
    R = motion(3)[:3, :3]
    lens = make_lens((8, 6), np.diag([5.0, 5, 1]), (0.1, 0, 0, 0, 0, 0.2), False, R, np.diag([6.0, 6, 1]), (10, 7))
    turned = Rig("x", {"front": lens}, ("front", "velodyne", "imu"), rig.transforms)
    rig_file.write(tmp_path / "turned.yaml", turned, "")
    again = rig_file.read(str(tmp_path / "turned.yaml"))
    assert all(np.allclose(a, b) for a, b in zip(lens, again.cameras["front"], strict=True))
    P, T, size = again.calibration("")
    assert np.allclose(T, rigid(R) @ rig.T("front", "velodyne")) and size.tolist() == [10, 7] and P[0, 0] == 6


WRONG = [
    ("size: [160, 90]", "size: [0, 90]", "4: cameras.front.size: needs width, height of 1..2048 pixels"),
    ("K: [[126.6,", "K: [[-126.6,", "5: cameras.front.K: needs positive focal lengths K[0][0] and K[1][1], got -126.6"),
    ("44.2], [0, 0, 1]", "44.2], [0, 0, 2]", "5: cameras.front.K: needs [[fx, s, cx], "),
    ("K: [[126.6, 0, 81.6]", "K: [[126.6, 0, .inf]", "5: cameras.front.K: needs finite numbers"),
    ("K: [[126.6, 0, 81.6], ", "K: [", "5: cameras.front.K: needs "),
    ("model: plumb_bob", "model: pinhole", "6: cameras.front.distortion.model: needs none | radtan"),
    (
        "0.0004, -0.0002, 0.0",
        "0.0004",
        "6: cameras.front.distortion.coefficients: needs 4 or 5 or 8 numbers for plumb_bob, got 3",
    ),
    ("fit: inside", "fit: inside, size: [8, 8]", "11: cameras.rear_left.rectified.fit: needs no R and no size"),
    ("fit: inside", "fit: most", "11: cameras.rear_left.rectified.fit: needs same | inside | whole, got 'most'"),
    ("frames: [velodyne, imu]", "frames: [velodyne, imu, front]", "1: frames[2]: needs every frame once, got front again"),
    ("frames: [velodyne, imu]", "frames: [velodyne, imu, 4x]", "1: frames[2]: needs a name of letters"),
    (
        "T_front_imu",
        "T_front_gps",
        "13: transforms.T_front_gps: needs T_DEST_ORIGIN of two of the frames front, rear_left, velodyne, imu",
    ),
    ("T_front_imu", "front", "13: transforms.front: needs T_DEST_ORIGIN"),
    ("[[0, -1, 0, 0.25]", "[[0, -1, 0.1, 0.25]", "13: transforms.T_front_imu: needs a rotation, R R^T = 1 within 0.001"),
    (
        "[[0, -1, 0, 0.25]",
        "[[0, 1, 0, 0.25]",
        "13: transforms.T_front_imu: needs a rotation with determinant +1, got -1: a mirror",
    ),
    ("-1], [0, 0, 0, 1]]", "-1], [0, 0, 1, 1]]", "13: transforms.T_front_imu: needs 0 0 0 1 in the last row, got 0 0 1 1"),
    ("transforms:", "transform:", "12: transform: unknown key; did you mean transforms"),
    (RIG, "", "needs the keys frames, cameras, transforms, got none"),
    (RIG, "frames: []", "needs cameras or frames, got none"),
    (RIG, "frames: [velodyne", "not valid YAML"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG)
def test_what_is_wrong_is_named_with_its_line(path, old, new, message):
    assert RIG.count(old) == 1
    path.write_text(RIG.replace(old, new))
    with pytest.raises(InputError) as caught:
        rig_file.read(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path))


def test_a_second_path_between_two_frames_is_refused(path):
    again = "  T_velodyne_front: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]\n"
    path.write_text(RIG + again)
    with pytest.raises(InputError, match=r"15: transforms.T_velodyne_front: .*: velodyne - imu - front is there already"):
        rig_file.read(str(path))


def test_every_error_has_a_line(path):
    path.write_text(RIG.replace("velodyne, imu]", "velodyne, imu, imu]").replace("-0.5]", "-0.5, 7]").replace("[160,", "[-160,"))
    with pytest.raises(InputError) as caught:
        rig_file.read(str(path))
    lines = str(caught.value).splitlines()
    assert len(lines) >= 2 and all(line.startswith(f"{path}:") for line in lines)


def test_a_name_with_an_underscore_that_can_be_read_in_two_ways_is_refused(path):
    text = "frames: [a, a_b, b_c, c]\ntransforms:\n  T_a_b_c: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]\n"
    path.write_text(text)
    with pytest.raises(InputError, match=r"3: transforms.T_a_b_c: needs T_DEST_ORIGIN"):
        rig_file.read(str(path))


@settings(max_examples=30, deadline=None)
@given(arrays(np.int64, st.integers(1, 8), elements=st.integers(0, 2**31)), st.integers(0, 2**31), st.data())
def test_any_tree_composes_as_its_frames_lie_in_the_world(seeds, seed, data):
    """Each frame has a place in the world, each transform joins a frame to an earlier one, either way round."""
    T_world = [motion(int(s)) for s in [seed, *seeds]]
    transforms = {}
    for i in range(1, len(T_world)):
        j = data.draw(st.integers(0, i - 1))
        dest, origin = (i, j) if data.draw(st.booleans()) else (j, i)
        transforms[f"f{dest}", f"f{origin}"] = np.linalg.inv(T_world[dest]) @ T_world[origin]
    rig = Rig("x", {}, tuple(f"f{i}" for i in range(len(T_world))), transforms)
    a, b = data.draw(st.integers(0, len(seeds))), data.draw(st.integers(0, len(seeds)))
    assert np.allclose(rig.T(f"f{a}", f"f{b}"), np.linalg.inv(T_world[a]) @ T_world[b], atol=1e-9)
