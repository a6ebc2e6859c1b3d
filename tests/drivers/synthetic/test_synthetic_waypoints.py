import math

import numpy as np
import pytest

from drivers.synthetic.waypoints import Way

CORNER = [(0, 0, 2), (10, 0, 2), (10, 10, 2)]


def test_standing():
    way = Way([(1, 2, 3)], 5.0, 0.5)
    assert way.length_m == 0
    assert way.positions(np.array([-1.0, 0.0, 9.0])).tolist() == [[1, 2, 3]] * 3
    assert way.yaws(np.array([-1.0, 0.0, 9.0])).tolist() == [0.5] * 3


def test_at_one_speed_around_a_corner_and_no_further():
    way = Way(CORNER, 4.0, 0.0)
    assert way.length_m == 20
    at = way.positions(np.array([-1, 0, 1, 2.5, 4, 5, 99]))
    assert at == pytest.approx(np.array([[0, 0, 2], [0, 0, 2], [4, 0, 2], [10, 0, 2], [10, 6, 2], [10, 10, 2], [10, 10, 2]]))


def test_it_looks_ahead_and_turns_within_two_metres():
    way = Way(CORNER, 1.0, 0.0)
    yaws = way.yaws(np.array([-5, 0, 8.9, 9.5, 10, 10.5, 11.1, 20, 99]))
    assert yaws[[0, 1, 2]] == pytest.approx(0, abs=1e-9) and yaws[[6, 7, 8]] == pytest.approx(math.pi / 2)
    assert yaws[4] == pytest.approx(math.pi / 4)
    assert 0 < yaws[3] < yaws[4] < yaws[5] < math.pi / 2
    assert Way(CORNER, 1.0, -1.0).yaws(np.array([0.0])) == pytest.approx(-1.0)


def test_up_and_back():
    """A vertical path has no heading; a path that turns back faces back."""
    assert Way([(0, 0, 0), (0, 0, 10)], 1.0, 0.0).yaws(np.array([5.0])).tolist() == [0]
    back = Way([(0, 0, 0), (10, 0, 0), (0, 0, 0)], 1.0, 0.0).yaws(np.array([5.0, 10.0, 15.0]))
    assert np.abs(back) == pytest.approx([0, math.pi, math.pi])


def test_a_point_that_comes_twice_is_one():
    way = Way([(0, 0, 0), (0, 0, 0), (3, 4, 0), (3, 4, 0)], 1.0, 0.0)
    assert way.length_m == 5
    assert way.yaws(np.array([0.0, 5.0])) == pytest.approx(math.atan2(4, 3))
