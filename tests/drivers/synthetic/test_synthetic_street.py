import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from drivers.synthetic import materials
from drivers.synthetic.street import SEGMENT_M, SENSOR_HEIGHT_M, Row, natural
from drivers.synthetic.street_layout import make_street

MOVING = ("vehicles", "pedestrians", "cyclists")
DRIVES = range(40)


@pytest.fixture(scope="module")
def streets():
    return [make_street(7, drive) for drive in DRIVES]


def test_all_within_range_and_no_id_twice(streets):
    for street in streets:
        for t_s in (0.0, 40.0):
            x, y, *_ = street.ego(t_s)
            things = list(street.things(t_s, 80.0))
            assert len({thing.track_id for thing in things}) == len(things) and min(thing.track_id for thing in things) >= 0
            assert max(math.hypot(thing.x - x, thing.y - y) for thing in things) <= 80
            assert all(0 <= u < 1 for thing in things for u in thing.u)


def test_who_is_seen_further_is_who_is_seen_nearer_and_more(streets):
    for street in streets[:20]:
        x, y, *_ = street.ego(3.0)
        wide = {t for t in street.things(3.0, 160.0) if math.hypot(t.x - x, t.y - y) <= 50 and t.kind in MOVING}
        assert wide == {t for t in street.things(3.0, 50.0) if t.kind in MOVING}


def test_everybody_keeps_his_numbers_and_moves_as_he_says(streets):
    dt, moved = 0.1, Counter()
    for street in streets[:20]:
        before = {thing.track_id: thing for thing in street.things(5.0, 60)}
        for after in street.things(5.0 + dt, 60):
            if (thing := before.get(after.track_id)) is None:
                continue
            row = street.rows[thing.track_id % len(street.rows)]
            assert (after.u, after.kind, after.speed_mps) == (thing.u, thing.kind, thing.speed_mps) and row.kind == thing.kind
            along = (after.x - thing.x, after.y - thing.y) if row.axis == "x" else (after.y - thing.y, after.x - thing.x)
            assert along[0] == pytest.approx(row.speed_mps * dt, abs=1e-6)
            assert after.velocity == pytest.approx(((after.x - thing.x) / dt, (after.y - thing.y) / dt), abs=0.1)
            assert abs(along[1]) <= 0.36 * abs(along[0]) + 1e-9, "the winding of the street, no more"
            assert after.travelled_m - thing.travelled_m == pytest.approx(abs(row.speed_mps) * dt)
            moved[thing.kind, row.speed_mps != 0] += 1
    assert all(moved[kind, True] > 20 for kind in MOVING) and moved["car_like", False] > 20 and not moved["houses", True]


def test_who_moves_looks_where_he_goes(streets):
    for street in streets[:20]:
        for thing in street.things(5.0, 60):
            if thing.speed_mps and thing.kind in MOVING:
                way = math.atan(street.slope(thing.x)) + (math.pi if thing.speed_mps < 0 else 0)
                off = abs(math.remainder(thing.yaw - way, 2 * math.pi))
                assert off <= (0.25 if thing.kind == "pedestrians" else 0.03) + 1e-9


def test_who_stands_in_a_lane_faces_the_way_of_its_traffic():
    """Also in the lanes on the left, where oncoming traffic waits."""
    waiting = 0
    for drive in range(400):
        street = make_street(7, drive)
        for row in street.rows:
            if row.kind == "vehicles" and row.speed_mps == 0 and row.offset_m > 1:
                assert abs(row.yaw) == math.pi
                waiting += 1
    assert waiting > 20


LENGTHS = {"vehicles": 5.8, "cyclists": 1.9, "pedestrians": 0.9, "houses": 14.5, "hedges": 8.0, "walls": 8.0, "fences": 8.2}


def test_places_of_a_row_are_as_far_apart_as_its_things_are_long(streets):
    for street in streets:
        for row in street.rows:
            assert 0 <= row.jitter <= 0.3
            if row.kind in LENGTHS:
                assert row.spacing_m * (1 - row.jitter) >= LENGTHS[row.kind] - 1e-9 or row.jitter == 0
            if row.kind in ("vehicles", "car_like") and row.room_m < math.inf:
                assert row.room_m == row.spacing_m * (1 - row.jitter)
    across = Row("car_like", 3.0, 0.0, 2.7, 0.5, yaw=math.pi / 2)
    assert across.spacing_m * (1 - across.jitter) == pytest.approx(2.4), "side by side, cars need their width"
    assert across.room_m == math.inf and Row("pedestrians", 1.0, 1.0, 6.0, 0.5, loose=0.05).jitter == 0.05


def test_some_rows_go_on_at_junctions(streets):
    """What closes the view at the end of a side street."""
    through = [row for street in streets for row in street.rows if row.through]
    assert {row.kind for row in through} == {"houses", "trees", "trams"}
    assert min(abs(row.offset_m) for row in through if row.kind != "trams") > 30


def test_nobody_parks_in_a_junction(streets):
    for street in streets:
        distance, half = street.junctions
        for thing in street.things(0.0, 80):
            row = street.rows[thing.track_id % len(street.rows)]
            if row.speed_mps == 0 and row.axis == "x" and not row.through:
                assert abs(thing.x - (math.floor(thing.x / distance) + 0.5) * distance) >= half


def test_the_ego_drives_on_the_road(streets):
    for street in streets:
        for t_s in (0.0, 7.7, 300.0):
            x, y, z, yaw, pitch = street.ego(t_s)
            x1, y1, *_ = street.ego(t_s + 1e-4)
            if street.ego_speed_mps:
                assert math.atan2(y1 - y, x1 - x) == pytest.approx(yaw, abs=1e-4)
            assert x == pytest.approx(street.ego_speed_mps * t_s) and y == street.bend(x)
            assert z - SENSOR_HEIGHT_M == pytest.approx(street.surface(x, 0.0), abs=0.05)
            rise = (street.surface(x + 4, 0) - street.surface(x - 4, 0)) / 8
            assert -math.tan(pitch) == pytest.approx(rise, abs=0.02), "uphill the nose is up"
    assert streets[0].ego(0.0)[:2] == (0.0, 0.0)


def test_the_ground_is_one_surface(streets):
    for street in streets:
        y, ground = street.ground.y, street.ground
        assert all(a < b for a, b in pairwise(y)) and y[0] < -20 and y[-1] > 20
        assert all(hasattr(materials, name) for name in ground.materials)
        assert street.surface(0.0, 0.0) == pytest.approx(0, abs=1e-9), "the road at the start"
        x = np.linspace(-40, 40, 801)
        heights = np.array([street.surface(float(v), 0.0) for v in x])
        assert np.abs(np.diff(heights)).max() < 0.02, "no step along it"
        flat = np.diff(heights.reshape(-1)[:-1].reshape(10, 80), 2, axis=1)
        assert np.abs(flat).max() < 1e-9, f"straight between multiples of {SEGMENT_M} m"
        kerbs = np.diff(ground.z)
        assert np.abs(kerbs[np.diff(y) < 0.1]).max(initial=0) <= 0.16


def test_every_whole_number_is_a_natural_one():
    assert sorted(natural(j) for j in range(-500, 500)) == list(range(1000))
