import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.geometry.boxes3d import corners, wrap_angle
from operators.geometry.transforms import invert, rigid, rotation_z, transform_boxes, transform_points, turn_of_axes

number = st.floats(-100, 100)


@pytest.mark.parametrize("T", [np.eye(4), rigid(rotation_z(1.0), (1, 2, 3))])
def test_nothing_to_move(T):
    assert transform_points(np.empty((0, 3)), T).shape == (0, 3)
    assert transform_boxes(np.empty((0, 7), np.float32), T).shape == (0, 7)


def test_one_point_by_hand():
    """a quarter turn to the left, then 10 m up"""
    moved = transform_points(np.array([[1.0, 0, 0]]), rigid(rotation_z(np.pi / 2), (0, 0, 10)))
    np.testing.assert_allclose(moved, [[0, 1, 10]], atol=1e-15)


@given(st.floats(-4, 4), number, number, number, number, number, number)
def test_there_and_back(angle, x, y, z, px, py, pz):
    T = rigid(rotation_z(angle), (x, y, z))
    np.testing.assert_allclose(invert(T) @ T, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(
        transform_points(transform_points(np.array([[px, py, pz]]), T), invert(T)), [[px, py, pz]], atol=1e-10
    )


@given(st.floats(-4, 4), number, number, st.floats(-3, 3))
def test_boxes_move_as_their_corners(angle, x, y, yaw):
    T = rigid(rotation_z(angle), (x, y, 0.5))
    boxes = np.array([[3.0, -2.0, 1.0, 4.0, 2.0, 1.5, yaw]])
    moved = transform_boxes(boxes, T)
    np.testing.assert_allclose(corners(moved)[0], transform_points(corners(boxes)[0], T), atol=1e-9)
    assert -np.pi <= moved[0, 6] < np.pi
    back = transform_boxes(moved, invert(T))
    np.testing.assert_allclose(back[:, :6], boxes[:, :6], atol=1e-9)
    assert abs(wrap_angle(back[:, 6] - boxes[:, 6])[0]) < 1e-9


def test_boxes_keep_their_dtype_and_the_caller_his_array():
    boxes = np.array([[3, -2, 1, 4, 2, 1.5, 3.0]], np.float32)
    before = boxes.copy()
    assert transform_boxes(boxes, rigid(rotation_z(1.0), (1, 2, 3))).dtype == np.float32
    np.testing.assert_array_equal(boxes, before)


@pytest.mark.parametrize("tilt", [0.02, 0.1])
def test_a_tilt_costs_the_yaw_no_more_than_the_docstring_says(tilt):
    c, s = np.cos(tilt), np.sin(tilt)
    T = rigid(np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]))
    yaw = np.linspace(-3.1, 3.1, 101)
    boxes = np.column_stack([np.tile([0, 0, 0, 4, 2, 1.5], (101, 1)), yaw])
    assert np.abs(wrap_angle(transform_boxes(boxes, T)[:, 6] - yaw)).max() <= tilt**2 / 4 * 1.01


def test_a_camera_s_axes():
    """right, down, ahead -> forward, left, up"""
    right, down, ahead = np.eye(3)
    R = turn_of_axes(("z", "-x", "-y"))
    assert (R @ ahead).tolist() == [1, 0, 0] and (R @ right).tolist() == [0, -1, 0] and (R @ down).tolist() == [0, 0, -1]
    assert turn_of_axes(("x", "y", "z")).tolist() == np.eye(3).tolist()


@pytest.mark.parametrize(
    "axes", [("x", "y", "y"), ("x", "z", "y"), ("-x", "y", "z"), ("x", "y", "w"), ("x", "y", ""), ("x", "y", "--z")]
)
def test_axes_that_are_no_turn(axes):
    with pytest.raises(ValueError, match="axes: needs x y z in any order, each with - or without, and right-handed, got"):
        turn_of_axes(axes)
