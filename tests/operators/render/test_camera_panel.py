import numpy as np
import pytest

from operators.geometry.project import boxes_to_image
from operators.render import camera, colors

RED = (255, 0, 0)


def picture(calibration):
    width, height = calibration.image_size
    return np.zeros((height, width, 3), np.uint8)


def draw(calibration, *boxes, names=None):
    canvas = picture(calibration)
    boxes3d = np.array(boxes, np.float32).reshape(-1, 7)
    names = [""] * len(boxes3d) if names is None else names
    camera.draw_boxes(canvas, boxes3d, [RED] * len(boxes3d), names, calibration.P_cam, calibration.T_cam_velo)
    return canvas


def test_nothing(straight):
    canvas = draw(straight)
    camera.paint_points(canvas, np.empty((0, 4), np.float32), straight.P_cam, straight.T_cam_velo)
    assert not canvas.any()


@pytest.mark.parametrize("box", [(-10, 0, 0, 4, 2, 2, 0), (10, 60, 0, 4, 2, 2, 0)])
def test_out_of_the_picture(straight, box):
    assert not draw(straight, box, names=["17"]).any()


def test_a_box_is_drawn_within_its_rectangle(straight):
    box = (10, 1, 0, 4, 2, 2, 0.4)
    at = np.argwhere(draw(straight, box).any(2))
    ((x1, y1, x2, y2),), _ = boxes_to_image(np.array([box], np.float32), *straight)
    np.testing.assert_allclose([*at.min(0)[::-1], *at.max(0)[::-1]], [x1, y1, x2, y2], atol=3)  # lines are 2 px wide, and soft


def test_a_box_around_the_camera_is_cut_not_mirrored(straight):
    """Its front face is drawn, and the backward edges leave the image outwards."""
    canvas = draw(straight, (0, 0, 0, 40, 20, 10, 0))
    at = np.argwhere(canvas.any(2))
    centre = at[(abs(at[:, 0] - 50) < 20) & (abs(at[:, 1] - 100) < 40)]
    assert len(at) and len(centre) == 0


def test_names(straight):
    assert draw(straight, (10, 0, 0, 4, 2, 2, 0), names=["17"]).sum() > draw(straight, (10, 0, 0, 4, 2, 2, 0)).sum()


@pytest.mark.parametrize(("at", "corner"), [((-50, -50), "upper left"), ((500, 500), "lower right"), ((90, 60), "inside")])
def test_a_label_stays_in_the_picture(straight, at, corner):
    canvas = picture(straight)
    camera.label(canvas, "Car 7", *at, RED)
    rows, columns = np.nonzero((canvas == RED).all(2))
    height, width = np.ptp(rows), np.ptp(columns)
    assert 7 <= height <= 14 and 20 <= width <= 45
    assert ((canvas[rows.min() : rows.max(), columns.min() : columns.max()] < 60).all(2)).any(), "dark letters"


def test_boxes_smaller_than_their_names_have_none(straight):
    far = (40, 0, 0, 4, 2, 2, 0)
    np.testing.assert_array_equal(draw(straight, far, names=["17"]), draw(straight, far))


def test_near_boxes_lie_on_far_ones(straight):
    canvas = picture(straight)
    boxes3d = np.array([(10, 0, 0, 2, 2, 2, 0), (30, 0, 0, 2, 6, 6, 0)], np.float32)
    camera.draw_boxes(canvas, boxes3d, [RED, (0, 255, 0)], ["", ""], straight.P_cam, straight.T_cam_velo)
    np.testing.assert_array_equal(canvas[40, 91:109, 0] > 200, True, "the near box's edge crosses the far one's")


def test_points_by_depth_near_over_far(straight):
    canvas = picture(straight)
    points = np.array([[5, 0, 0, 0], [40, 0, 0, 0], [40, 20, 0, 0], [-5, 0, 0, 0], [5, 50, 0, 0], [np.nan, 0, 0, 0]], np.float32)
    camera.paint_points(canvas, points, straight.P_cam, straight.T_cam_velo)
    assert np.argwhere(canvas.any(2)).tolist() == [[50, 50], [50, 100]]
    np.testing.assert_array_equal(canvas[50, [100, 50]], colors.ramp(np.array([-5.0, -40.0]), -50, 0))


def test_a_scaled_picture_shows_the_same_place(straight):
    """Half the size: a pixel centre (100, 50) maps to (49.75, 24.75), as averaging 2 x 2 pixels does."""
    image = np.zeros((100, 200, 3), np.uint8)
    P = camera.scaled(straight, image, 100, 50)
    u, v, d = P @ [0, 0, 7, 1]
    assert (u / d, v / d) == (pytest.approx(49.75), pytest.approx(24.75))
    assert camera.panel(image, 100, 50).shape == (50, 100, 3)


def test_the_panel_is_a_copy_of_a_read_only_frame():
    image = np.full((4, 6, 3), 7, np.uint8)
    image.flags.writeable = False
    panel = camera.panel(image, 6, 4)
    panel[:] = 0
    assert (image == 7).all()
