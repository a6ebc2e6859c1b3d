import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.geometry.boxes3d import EDGES, alpha, camera_to_velo, corners, upright, velo_to_camera, wrap_angle
from operators.kernels.iou import iou_3d

HALF_TURN = np.pi / 2
STRAIGHT = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def kitti_boxes():
    number = st.floats(-100, 100, width=32)
    size = st.floats(0.125, 20, width=32)
    angle = st.floats(-3.1415, 3.1415)
    return st.lists(st.tuples(size, size, size, number, number, number, angle), max_size=5).map(
        lambda rows: np.array(rows, np.float64).reshape(-1, 7)
    )


@pytest.fixture(scope="module")
def tilted():
    a, b = 0.02, -0.015
    tilt = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]) @ np.array(
        [[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]]
    )
    T = STRAIGHT.copy()
    T[:3, :3] = tilt @ STRAIGHT[:3, :3]
    T[:3, 3] = 0.02, -0.08, -0.27
    return T


@pytest.mark.parametrize("convert", [camera_to_velo, velo_to_camera])
def test_no_boxes(convert):
    assert convert(np.empty((0, 7)), STRAIGHT).shape == (0, 7)
    assert corners(np.empty((0, 7))).shape == (0, 8, 3)
    assert alpha(np.empty((0, 7))).shape == (0,)


@pytest.mark.parametrize(
    ("ry", "yaw", "faces"),
    [(-HALF_TURN, 0.0, "away"), (0.0, -HALF_TURN, "right"), (HALF_TURN, -np.pi, "us"), (-np.pi, HALF_TURN, "left")],
)
def test_one_box_by_hand(ry, yaw, faces):
    """1.5 high, 2 wide, 4 long, standing 10 m ahead, 3 m to the right, on a floor 1.7 m below the camera"""
    (box,) = camera_to_velo(np.array([[1.5, 2.0, 4.0, 3.0, 1.7, 10.0, ry]]), STRAIGHT)
    np.testing.assert_allclose(box[:6], [10.0, -3.0, -1.7 + 0.75, 4.0, 2.0, 1.5], atol=1e-6, err_msg=faces)
    assert abs(wrap_angle(box[6:] - yaw)) < 1e-6, faces
    assert box.dtype == np.float32


@given(kitti_boxes())
def test_camera_and_back(tilted, boxes_cam):
    """float32 in between: error 4e-6 m within 100 m in each coordinate; the rotation adds a few of them"""
    back = velo_to_camera(camera_to_velo(boxes_cam, tilted), tilted)
    np.testing.assert_allclose(back[:, :3], boxes_cam[:, :3], atol=1e-6, rtol=1e-7)
    np.testing.assert_allclose(back[:, 3:6], boxes_cam[:, 3:6], atol=2e-5)
    np.testing.assert_allclose(wrap_angle(back[:, 6] - boxes_cam[:, 6]), 0, atol=1e-6)


def test_many_boxes_and_back_within_the_promised_4_micrometres(tilted):
    rng = np.random.default_rng(0)
    boxes_cam = rng.uniform([1, 1, 1, -57, -57, -57, -np.pi], [3, 3, 9, 57, 57, 57, np.pi], (2000, 7))
    error = velo_to_camera(camera_to_velo(boxes_cam, tilted), tilted) - boxes_cam
    assert np.abs(error[:, :6]).max() < 4e-6
    assert np.abs(wrap_angle(error[:, 6])).max() < 4e-7


def test_yaw_is_the_heading_of_the_box_in_space_not_a_formula(tilted):
    """Front minus back of the KITTI box, turned into the velodyne frame, points where yaw says."""
    ry = np.linspace(-3, 3, 13)
    boxes_cam = np.column_stack([np.tile([1.5, 2.0, 4.0, 3.0, 1.7, 10.0], (13, 1)), ry])
    ahead = np.stack([np.cos(ry), np.zeros(13), -np.sin(ry)], 1) @ tilted[:3, :3]
    np.testing.assert_allclose(camera_to_velo(boxes_cam, tilted)[:, 6], np.arctan2(ahead[:, 1], ahead[:, 0]), atol=1e-6)


@pytest.mark.parametrize(
    ("angle", "wrapped"),
    [(0.0, 0.0), (1.5, 1.5), (np.pi, -np.pi), (-np.pi, -np.pi), (3 * np.pi, -np.pi), (4.0, 4.0 - 2 * np.pi), (-1e-20, -1e-20)],
)
def test_wrap(angle, wrapped):
    assert wrap_angle(np.array([angle]))[0] == pytest.approx(wrapped, abs=1e-15)


@given(arrays(np.float32, 4, elements=st.floats(-50, 50, width=32)) | arrays(np.float64, 4, elements=st.floats(-50, 50)))
def test_wrapped_angles_lie_in_the_half_open_interval_and_point_the_same_way(angle):
    wrapped = wrap_angle(angle)
    assert wrapped.dtype == angle.dtype
    wide = wrapped.astype(np.float64)
    assert ((wide >= -np.pi) & (wide < np.pi)).all()
    tolerance = 1e-5 if angle.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(np.exp(1j * wide), np.exp(1j * angle.astype(np.float64)), atol=tolerance)


def test_corners_by_hand():
    """4 long, 2 wide, 1 high, turned to the left: the front is at +y"""
    (eight,) = corners(np.array([[10, 5, 1, 4, 2, 1, HALF_TURN]]))
    bottom = [[9, 7], [9, 3], [11, 3], [11, 7]]
    np.testing.assert_allclose(eight[:4], np.c_[bottom, np.full(4, 0.5)], atol=1e-12)
    np.testing.assert_allclose(eight[4:], np.c_[bottom, np.full(4, 1.5)], atol=1e-12)


def test_edges_are_the_twelve_of_a_box():
    lengths = np.linalg.norm(np.diff(corners(np.array([[0, 0, 0, 4.0, 2, 1, 0.3]]))[0][EDGES], axis=1)[:, 0], axis=1)
    np.testing.assert_allclose(sorted(lengths), [1] * 4 + [2] * 4 + [4] * 4)


def test_alpha_is_ry_seen_along_the_line_of_sight():
    rows = np.zeros((3, 7))
    rows[:, 5] = 10.0
    rows[:, 3] = [0.0, 10.0, -10.0]
    rows[:, 6] = [-HALF_TURN, -HALF_TURN, 3.0]
    np.testing.assert_allclose(alpha(rows), [-HALF_TURN, -HALF_TURN - np.pi / 4, 3.0 + np.pi / 4 - 2 * np.pi])


def test_upright_overlaps_as_through_a_camera_without_tilt():
    rng = np.random.default_rng(4)
    rows = np.column_stack([rng.uniform(1, 3, (40, 3)), rng.uniform([-4, -1, 4], [4, 1, 9], (40, 3)), rng.uniform(-3, 3, 40)])
    straight = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    through_velo, here = np.empty((20, 20)), np.empty((20, 20))
    velo = camera_to_velo(rows, straight).astype(np.float64)
    iou_3d(velo[:20], velo[20:], through_velo)
    iou_3d(upright(rows[:20]), upright(rows[20:]), here)
    assert (here > 0.1).sum() > 5 and upright(np.empty((0, 7))).shape == (0, 7)
    np.testing.assert_allclose(here, through_velo, atol=1e-5)
