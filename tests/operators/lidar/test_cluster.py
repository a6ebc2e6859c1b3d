import logging
import re

import naive_lidar as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.kernels import cluster as kernel
from operators.lidar.cluster import Cluster, ClusterConfig, Clusters
from operators.streams import BOXES3D_PROBABILITY, CLASSES

GROUND = -1.73


def seen(x, y, length, width, height, yaw=0.0, step=0.1, sides=("near",)):
    """Points on the sides of a box that face the sensor at the origin, from 0.25 m over the ground; "end": one side"""
    along, across = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    centre, edges = np.array([x, y]), []
    for axis, other, half, reach in ((along, across, length / 2, width / 2), (across, along, width / 2, length / 2)):
        side = -np.sign(centre @ axis) if abs(centre @ axis) > half else 0
        if side and not (sides == ("end",) and half == width / 2):
            t = np.arange(-reach, reach + step / 2, step)
            edges.append(centre + side * half * axis + t[:, None] * other)
    xy = np.concatenate(edges)
    z = np.arange(GROUND + 0.26, GROUND + height + 0.01, step)
    points = np.full((len(xy) * len(z), 4), 0.5, np.float32)
    points[:, :2], points[:, 2] = np.repeat(xy, len(z), 0), np.tile(z, len(xy))
    return points


def boxes(op, *objects):
    got = op.process(points=np.concatenate([np.zeros((0, 4), np.float32), *objects]))
    BOXES3D_PROBABILITY.check(got._asdict(), "cluster")
    assert (np.diff(got.scores) <= 0).all() and ((got.scores >= 0) & (got.scores <= 1)).all()
    return got


def test_an_empty_scan(make):
    got = boxes(make(Cluster))
    assert [len(array) for array in got] == [0, 0, 0]


@pytest.mark.parametrize("count", [1, 9, 10])
def test_few_points_are_no_object(make, count):
    person = seen(10, 3, 0.5, 0.5, 1.7)[::20][:count]
    assert len(boxes(make(Cluster, min_points=10), person).scores) in ((0,) if count < 10 else (0, 1))


@pytest.mark.parametrize(
    ("label", "x", "y", "size", "yaw"),
    [
        ("Car", 15, 4, (4.0, 1.7, 1.5), 0.0),
        ("Car", 20, -6, (4.2, 1.8, 1.5), 0.6),
        ("Car", 12, 1, (3.9, 1.6, 1.5), 1.4),
        ("Car", 18, -5, (5.0, 2.0, 2.3), 0.3),
        ("Pedestrian", 8, -3, (0.6, 0.5, 1.7), 0.0),
        ("Cyclist", 14, 5, (1.8, 0.6, 1.7), 0.2),
    ],
)
def test_one_object(make, label, x, y, size, yaw):
    got = boxes(make(Cluster), seen(x, y, *size, yaw=yaw))
    assert [CLASSES[i] for i in got.labels] == [label]
    (box,) = got.boxes3d
    assert np.linalg.norm(box[:2] - (x, y)) < 0.15
    assert box[2:6] == pytest.approx([GROUND + size[2] / 2, *size], abs=0.2)
    assert abs((box[6] - yaw + np.pi / 2) % np.pi - np.pi / 2) < 0.07 or label == "Pedestrian", "up to half a turn"


def test_a_car_of_which_only_the_end_is_seen_gets_its_usual_length(make):
    """Straight ahead: without that its centre would be two metres too near."""
    window = seen(20.35, 0, 4.0, 1.7, 1.5, sides=("end",))
    (box,) = boxes(make(Cluster), seen(20, 0, 4.0, 1.7, 0.9, sides=("end",)), window[window[:, 2] > GROUND + 0.9]).boxes3d
    assert box[:6] == pytest.approx([18 + 3.9 / 2, 0, GROUND + 0.75, 3.9, 1.7, 1.5], abs=0.15)
    assert box[6] == pytest.approx(0, abs=0.04)


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ((0.3, 0.3, 2.5), "a post"),
        ((12.0, 0.4, 1.5), "a wall"),
        ((1.0, 0.6, 0.6), "a box on the road"),
        ((9.0, 2.5, 2.4), "too long"),
    ],
)
def test_what_has_no_known_size_is_left_out(make, size, why):
    assert len(boxes(make(Cluster), seen(15, 3, *size)).scores) == 0, why


def test_two_cars_beside_each_other_are_two(make):
    got = boxes(make(Cluster), seen(15, 3, 4, 1.7, 1.5), seen(15, 6, 4, 1.7, 1.5), seen(15, -4, 4, 1.7, 1.5))
    assert sorted(got.boxes3d[:, 1].round().tolist()) == [-4, 3, 6]


def test_far_points_of_one_object_may_be_farther_apart(make):
    near, far = (seen(x, 2, 4.2, 1.7, 1.5, step=0.8) for x in (8, 45))
    assert len(boxes(make(Cluster), near).scores) == 0
    assert len(boxes(make(Cluster, gap_per_m=0.02), far).scores) == 1


def test_points_out_of_range_and_nan_are_ignored(make):
    car = seen(15, 4, 4, 1.7, 1.5)
    odd = np.array([(np.nan, 1, 1, 1), (np.inf, 1, 1, 1), (15, 4, 5, 0), (-9, 0, 0, 0)] * 20, np.float32)
    alone, beside = boxes(make(Cluster), car), boxes(make(Cluster), odd, car)
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_worst_boxes_are_dropped_and_counted(make, caplog):
    people = [seen(x, y, 0.6, 0.5, 1.7) for x in (6, 9, 12) for y in (-4, 1, 4)]
    every = boxes(make(Cluster), *people)
    op = make(Cluster, name="cluster", max_boxes=4)
    best = boxes(op, *people)
    assert len(every.scores) == 9
    np.testing.assert_array_equal(best.boxes3d, every.boxes3d[:4])
    with caplog.at_level(logging.INFO, "cluster"):
        op.close()
    assert caplog.messages == ["dropped 5 boxes beyond max_boxes"]


@settings(deadline=None)  # the first example may compile
@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=40, unique=True),
    st.lists(st.floats(0.5, 3.5), min_size=40, max_size=40),
)
def test_components_equal_the_naive_twin(cells, reach):
    cells, reach = np.array(cells, np.int32).reshape(-1, 2), np.array(reach)[: len(cells)]
    lookup, label = np.full((12, 12), -1, np.int32), np.full(len(cells), -7, np.int32)
    count = kernel.components(cells, reach, lookup, label)
    assert label.tolist() == naive.components(cells, reach)
    assert count == len(set(label.tolist())) and (lookup == -1).all()


@settings(deadline=None)  # the first example may compile
@given(st.lists(st.tuples(*[st.floats(-9, 9, width=32)] * 4), min_size=1, max_size=30))
def test_the_rectangle_is_the_closest_of_all_angles(rows):
    points = np.array(rows, np.float32)
    angle, best = kernel.closest_rectangle(points, 30, 0.1, 1000)
    every = [naive.closeness(points, k * np.pi / 2 / 30, 0.1) for k in range(30)]
    assert best == pytest.approx(max(every))
    assert naive.closeness(points, angle, 0.1) == pytest.approx(max(every))


def test_plain_python_computes_the_same():
    points = np.concatenate([seen(15, 4, 4, 1.7, 1.5, 0.4), seen(9, -2, 0.6, 0.5, 1.7)])[::3]
    starts = np.array([0, 70, 71, len(points)], np.int32)
    cells = np.array([(0, 0), (1, 1), (4, 4), (4, 5), (9, 9)], np.int32)
    results = []
    for plain in (False, True):
        f = {n: getattr(kernel, n) for n in ("components", "rectangles")}
        if plain:
            f = {n: getattr(function, "py_func", function) for n, function in f.items()}
        lookup, label, out = np.full((10, 10), -1, np.int32), np.zeros(5, np.int32), np.zeros((3, 8))
        count = f["components"](cells, np.full(5, 1.5), lookup, label)
        f["rectangles"](points, starts, 20, 0.1, 50, out)
        results.append((count, label.tolist(), out))
    assert results[0][:2] == results[1][:2] == (3, [0, 0, 1, 1, 2])
    np.testing.assert_allclose(results[0][2], results[1][2], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"cell_m": 0}, "cell_m: needs more than 0, got 0"),
        ({"gap_per_m": -1}, "gap_per_m: needs 0 or more, got -1"),
        ({"min_points": 0}, "min_points: needs 1 or more, got 0"),
        ({"max_boxes": 5000}, "max_boxes: needs 1 .. 4096, got 5000"),
        ({"range_m": (0, 0, 0, 1, 0, 1)}, "range_m: needs x0 < x1, y0 < y1, z0 < z1, got [0, 0, 0, 1, 0, 1]"),
    ],
)
def test_wrong_settings(config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ClusterConfig(**config)


def test_clusters_come_with_their_points():
    one, two = seen(15, 4, 4, 1.7, 1.5), seen(9, -2, 0.6, 0.5, 1.7)
    mixed = np.concatenate([one, two])[np.random.default_rng(0).permutation(len(one) + len(two))]
    points, starts = Clusters(ClusterConfig()).find(mixed)
    assert sorted(np.diff(starts).tolist()) == sorted([len(one), len(two)])
    first = points[: starts[1]]
    assert (first[:, 1] > 0).all() or (first[:, 1] < 0).all()
