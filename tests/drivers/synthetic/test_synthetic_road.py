import math

import numpy as np
import pytest

from drivers.synthetic.road import CAR, CYCLIST, PEDESTRIAN, make_road
from operators.geometry.boxes3d import corners


def road(**changed):
    return make_road(**{"seed": 7, "ego_speed_mps": 5.0, "range_m": 50.0, "cars": 8, "pedestrians": 5, "cyclists": 3, **changed})


def at(which, t_s):
    return {thing.track_id: thing for thing in which.things(t_s)}


def test_nobody():
    assert list(road(cars=0, pedestrians=0, cyclists=0).things(3.0)) == []


def test_about_as_many_as_asked_for():
    seen = [[thing.label for thing in road().things(t)] for t in range(0, 300, 7)]
    assert np.mean([labels.count(CAR) for labels in seen]) == pytest.approx(8, abs=2)
    assert np.mean([labels.count(PEDESTRIAN) for labels in seen]) == pytest.approx(5, abs=1)
    assert np.mean([labels.count(CYCLIST) for labels in seen]) == pytest.approx(3, abs=1)
    assert 10 <= min(map(len, seen)) and max(map(len, seen)) <= 25


def test_ids_are_unique_and_come_and_go():
    before, after = at(road(), 0.0), at(road(), 15.0)
    assert len(set(before) - set(after)) >= 5 and len(set(after) - set(before)) >= 5 and set(before) & set(after)
    for t in range(0, 60, 5):
        ids = [thing.track_id for thing in road().things(float(t))]
        assert len(ids) == len(set(ids)) and min(ids) >= 0


def test_everybody_moves_steadily_along_his_heading():
    """Over 10 ms every object moves along its heading without jumps and turns little; sizes and classes do not change."""
    moving, dt = 0, 0.01
    for t in np.arange(0, 40, 0.7):
        now, soon = at(road(), t), at(road(), t + dt)
        for track_id in set(now) & set(soon):
            a, b = now[track_id], soon[track_id]
            dx, dy = b.x - a.x, b.y - a.y
            speed = math.hypot(dx, dy) / dt
            assert (a.size, a.label) == (b.size, b.label) and speed < 14
            assert abs(math.remainder(b.yaw - a.yaw, 2 * math.pi)) / dt < 1.5
            if speed > 0.5:
                moving += 1
                assert abs(math.remainder(math.atan2(dy, dx) - a.yaw, 2 * math.pi)) < 0.03
    assert moving > 500


def test_some_turn_a_corner():
    yaws = {}
    for t in np.arange(0, 40, 0.1):
        for track_id, thing in at(road(), t).items():
            yaws.setdefault(track_id, []).append(thing.yaw)
    swept = [np.ptp(np.unwrap(turn)) for turn in yaws.values()]
    assert max(swept) > math.radians(75)


def test_nobody_stands_in_anybody():
    for t in np.arange(0, 60, 1.0):
        boxes = np.array([(thing.x, thing.y, 0, *thing.size, thing.yaw) for thing in road().things(t)])
        outlines = corners(boxes)[:, :4, :2]
        for i, one in enumerate(outlines):
            for other in outlines[i + 1 :]:
                assert separated(one, other)


def separated(one, other):
    """Two rectangles (4, 2): whether an edge of one separates it from the other."""
    for a, b in ((one, other), (other, one)):
        for k in range(4):
            normal = a[k] - a[(k + 1) % 4]
            if (b @ normal).min() > (a @ normal).max():
                return True
    return False


def test_another_seed_is_another_road():
    assert {t.x for t in road(seed=1).things(0.0)} != {t.x for t in road(seed=2).things(0.0)}
