import numpy as np

from operators.geometry.project import project_points
from operators.render import chase, colors

VIEW = chase.view(320, 104)


def place(x, y, z=-1.73):
    """column, row"""
    (uv,), _ = project_points(np.array([[x, y, z]], np.float64), VIEW.P_cam, VIEW.T_cam_velo)
    return uv.round().astype(int).tolist()


def test_the_view_is_from_behind_and_above():
    (left, _), (right, _), (near, low), (far, high) = place(10, 3), place(10, -3), place(10, 0), place(40, 0)
    assert left < near < right and high < low < 104 and near == far == 160
    assert 0 < place(0, 0)[1] < 104, "the car itself is in the picture"


def test_background_has_the_car_and_rings():
    picture = chase.background(VIEW)
    assert picture.shape == (104, 320, 3)
    column, row = place(0.8, 0)
    np.testing.assert_array_equal(picture[row, column], colors.TEXT)
    column, row = place(20, 0)
    assert (picture[row - 1 : row + 2, column] != colors.BACKGROUND).any()


def test_no_paths():
    canvas = np.zeros((104, 320, 3), np.uint8)
    chase.draw_paths(canvas, [], np.empty(0), [], VIEW)
    chase.draw_paths(canvas, [np.array([[5.0, 0.0]])], np.zeros(1), [(255, 0, 0)], VIEW)
    chase.draw_paths(canvas, [np.empty((0, 2)), np.empty((0, 2))], np.zeros(2), [(255, 0, 0)] * 2, VIEW)
    assert not canvas.any()


def test_paths_keep_apart():
    """Each in its colour, without a line from the end of one to the start of the next."""
    canvas = np.zeros((104, 320, 3), np.uint8)
    paths = [np.array([[5.0, 4], [15, 4]]), np.array([[5.0, -4], [15, -4], [25, -4]])]
    chase.draw_paths(canvas, paths, np.full(2, -1.73), [(255, 0, 0), (0, 255, 0)], VIEW)
    (u, v), (w, z) = place(10, 4), place(20, -4)
    assert canvas[v, u - 1 : u + 2, 0].max() > 100 and canvas[z, w - 1 : w + 2, 1].max() > 100
    assert not canvas[..., 0][:, 160:].any() and not canvas[..., 1][:, :160].any()


def test_a_path_past_the_looker_is_cut():
    canvas = np.zeros((104, 320, 3), np.uint8)
    chase.draw_paths(canvas, [np.array([[-40.0, 2], [-30, 2], [10, 2], [20, 2]])], np.full(1, -1.73), [(255, 0, 0)], VIEW)
    at = np.argwhere(canvas.any(2))
    (_, low), (_, high) = place(10, 2), place(20, 2)
    assert len(at) and at[:, 0].min() >= high - 2 and at[:, 0].max() <= low + 2


def test_points_by_height():
    canvas = np.zeros((104, 320, 3), np.uint8)
    points = np.array([[10, 2, 1.5, 0], [10, -2, -2.5, 0], [-30, 0, 0, 0]], np.float32)
    chase.paint_points(canvas, points, 2, -2.5, 1.5, VIEW)
    (u, v), (w, z) = place(10, 2, 1.5), place(10, -2, -2.5)
    np.testing.assert_array_equal(canvas[[v, z], [u, w]], colors.RAMP[[255, 0]])
    assert canvas.any(2).sum() == 2
