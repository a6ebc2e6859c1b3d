import numpy as np
import pytest

from operators.render import birdseye, colors
from operators.render.birdseye import View

VIEW = View((0.0, -10.0, 20.0, 10.0), 10.0)


def canvas():
    return np.zeros((*VIEW.size, 3), np.uint8)


def painted(picture):
    """(K, 2) row, column of everything that is not black"""
    return np.argwhere(picture.any(2))


@pytest.mark.parametrize(
    ("range_m", "px_per_m", "size"),
    [((0, -10, 20, 10), 10, (200, 200)), ((-10, -40, 70, 40), 10, (800, 800)), ((0, 0, 1.5, 2.5), 10, (16, 24))],
)
def test_size_is_even(range_m, px_per_m, size):
    assert View(range_m, px_per_m).size == size


def test_nothing_to_paint():
    picture = canvas()
    birdseye.paint_points(picture, VIEW, np.empty((0, 4), np.float32), 2, -1, 1)
    birdseye.draw_boxes(picture, VIEW, np.empty((0, 7), np.float32), [], [], 1)
    birdseye.draw_trails(picture, VIEW, [], [])
    birdseye.draw_trails(picture, VIEW, [np.array([[5.0, 0.0]])], [(255, 0, 0)])
    assert not picture.any()


@pytest.mark.parametrize(
    ("x", "y", "row", "column", "why"),
    [
        (19.95, 9.95, 0, 0, "far and left is the top left pixel"),
        (0.05, -9.95, 199, 199, "near and right is the bottom right one"),
        (10.0001, -0.0001, 99, 100, "the middle"),
        (20.05, 0, None, None, "beyond"),
        (5, 10.05, None, None, "further left"),
        (np.nan, 0, None, None, "nowhere"),
    ],
)
def test_one_point(x, y, row, column, why):
    picture = canvas()
    birdseye.paint_points(picture, VIEW, np.array([[x, y, 0, 0]], np.float32), 2, -1, 1)
    assert painted(picture).tolist() == ([] if row is None else [[row, column]]), why


def test_points_are_coloured_by_a_column_and_the_last_one_shows():
    picture = canvas()
    points = np.array([[5.05, 0.05, 9, 0], [5.05, 0.05, -9, 0], [6.05, 0.05, 0, 1], [7.05, 0.05, np.nan, 0]], np.float32)
    birdseye.paint_points(picture, VIEW, points, 2, -1, 1)
    low, middle = colors.RAMP[0], colors.RAMP[127]
    np.testing.assert_array_equal(picture[149, 99], low)
    np.testing.assert_array_equal(picture[139, 99], middle)
    assert len(painted(picture)) == 2


def test_pillars_are_spots_brighter_the_fuller():
    picture = canvas()
    pillars = np.zeros((3, 4, 4), np.float32)
    pillars[:, 0, :2] = [[5.05, 0.05], [10.05, 5.05], [50, 0]]
    birdseye.paint_pillars(picture, VIEW, pillars[:0], np.empty(0, np.int32))
    assert not picture.any()
    birdseye.paint_pillars(picture, VIEW, pillars, np.array([1, 4, 4], np.int32))
    assert len(painted(picture)) == 18
    assert (picture[148:151, 98:101] == 82).all() and (picture[98:101, 48:51] == 150).all()
    packed, same = np.zeros((9, 1, 4), np.float32), canvas()
    packed[[0, 1, 5], 0, :2] = pillars[:, 0, :2]
    birdseye.paint_pillars(same, VIEW, packed, np.array([1, 4, 4], np.int32))
    np.testing.assert_array_equal(same, picture)
    birdseye.paint_pillars(same, VIEW, packed[:0], np.empty(0, np.int32))


def test_one_box_and_its_heading():
    """10 m ahead, 4 long, 2 wide, facing left: the rectangle is wide, its line runs from the centre to the left"""
    picture = canvas()
    birdseye.draw_boxes(picture, VIEW, np.array([[10, 0, 0, 4, 2, 1, np.pi / 2]], np.float32), [(255, 0, 0)], [""], 1)
    at = painted(picture)
    np.testing.assert_allclose(at.min(0), [89, 79], atol=1)
    np.testing.assert_allclose(at.max(0), [110, 120], atol=1)
    inside = at[(at[:, 0] > 95) & (at[:, 0] < 105) & (at[:, 1] > 82) & (at[:, 1] < 117)]
    assert len(inside) and inside[:, 1].max() <= 101, "only the left half has the line"
    assert picture[..., 1:].max() == 0


@pytest.mark.parametrize(
    "box", [[1e9, 0, 0, 4, 2, 1, 0], [np.nan, 0, 0, 4, 2, 1, 0], [5, 0, 0, 4, 2, 1, np.inf], [-50, 3, 0, 4, 2, 1, 0]]
)
def test_boxes_out_of_sight_or_out_of_this_world_draw_nothing(box):
    picture = canvas()
    with np.errstate(invalid="ignore"):
        birdseye.draw_boxes(picture, VIEW, np.array([box], np.float32), [(255, 0, 0)], ["17"], 2)
    assert not picture.any()


def test_a_name_stands_beside_its_box():
    with_name, without = canvas(), canvas()
    box = np.array([[10, 0, 0, 4, 2, 1, 0]], np.float32)
    birdseye.draw_boxes(with_name, VIEW, box, [(255, 0, 0)], ["17"], 1)
    birdseye.draw_boxes(without, VIEW, box, [(255, 0, 0)], [""], 1)
    text = painted(with_name.astype(int) - without != 0)
    assert len(text) and text[:, 1].min() > 105


def test_trails_fade_with_age():
    picture = canvas()
    birdseye.draw_trails(picture, VIEW, [np.stack([np.linspace(2, 18, 9), np.zeros(9)], 1)], [(250, 0, 0)])
    red = picture[:, 99:101, 0].max(1)
    assert red[25:35].max() > red[165:175].max() > 60
    assert (red[25:175] > 0).all()


def test_background_has_the_car_that_looks_and_rings():
    picture = birdseye.background(VIEW)
    assert picture.shape == (200, 200, 3)
    assert (picture[190:200, 95:105] == colors.TEXT).all(2).any(), "the car"
    assert (picture[99, 98:102] != colors.BACKGROUND).any(), "10 m ahead"
    np.testing.assert_array_equal(picture, birdseye.background(VIEW))


def test_colours_of_labels():
    assert colors.of_labels(np.array([], np.int32)) == []
    assert colors.of_labels(np.array([0, -1, 99])) == [colors.OF_CLASS[0], colors.DETECTION, colors.DETECTION]
    assert len(set(colors.OF_CLASS)) == len(colors.OF_CLASS)
    np.testing.assert_array_equal(colors.ramp(np.array([-5.0, 5.0]), -1, 1), colors.RAMP[[0, 255]])
