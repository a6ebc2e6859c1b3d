"""Thresholds of the tracker from given detections, and what a false result looks like."""

import numpy as np
import pytest

from drivers.synthetic.camera import kitti_like_calibration
from operators.streams import CLASSES, Boxes3D, Truth
from operators.track.best import BestConfig
from studies import thresholds
from studies.detector import Frame, tracked, verdict
from studies.false_alarms import Looks, alarms, looks, tables
from studies.thresholds import EVEN_SCORES, Row, chosen, lines, setting, sweep

CAMERA = kitti_like_calibration(1242, 375)
SIZE = {"Car": (4.0, 1.7, 1.5), "Pedestrian": (0.8, 0.6, 1.75), "Cyclist": (1.8, 0.6, 1.75)}


def boxes(rows):
    return np.array([(x, y, -0.9, *SIZE[kind], 0) for kind, x, y, *_ in rows], np.float32).reshape(-1, 7)


def frame(truth, found, number=0):
    """truth: (class, x, y, occluded), found: (class, x, y, score)"""
    boxes2d = np.array([(600, 100, 640, 200)] * len(truth), np.float32).reshape(-1, 4)
    labels = [np.array([CLASSES.index(kind) for kind, *_ in rows], np.int32) for rows in (truth, found)]
    of = Truth(
        boxes(truth), boxes2d, labels[0], np.arange(len(truth)), np.array([row[3] for row in truth], np.int32),
        np.zeros(len(truth), np.float32),
    )  # fmt: skip
    scores = np.array([row[3] for row in found], np.float32)
    found3d = Boxes3D(boxes(found), scores, labels[1])
    return Frame(f"0000/{number:06d}", np.zeros((0, 4), np.float32), of, found3d, np.eye(4), CAMERA, number == 0)


def test_no_frames_and_nobody():
    (row,) = sweep([], "car", (0.5,))
    assert (row.truth, row.found, row.false_per_scan) == (0, 0, 0) and np.isnan(row.recall) and np.isnan(row.precision)
    (row,) = sweep([frame([], [])], "pedestrian", (0.5,))
    assert (row.truth, row.false_per_scan) == (0, 0)


def test_a_sweep_trades_found_for_false():
    """A person with score 0.8, a post with 0.5; a hidden person counts neither way."""
    people = [("Pedestrian", 12, 1, 0), ("Pedestrian", 20, -3, 2)]
    found = [("Pedestrian", 12, 1, 0.8), ("Pedestrian", 20, -3, 0.7), ("Pedestrian", 15, 6, 0.5)]
    frames = [frame(people, found, number) for number in range(6)]
    rows = list(sweep(frames, "pedestrian", (0.3, 0.7, 0.95)))
    assert [row.truth for row in rows] == [6, 6, 6]
    assert rows[0].recall == 1 and rows[0].false_per_scan == 1 and rows[0].precision == 0.5
    assert rows[1].recall == 1 and rows[1].false_per_scan == 0 and rows[1].precision == 1
    assert rows[2].recall == 0 and np.isnan(rows[2].precision)
    assert next(iter(sweep(frames, "car", (0.5,)))).truth == 0, "each class alone"


ROWS = [Row(0.2, 10, 9, 0.5, 0.6), Row(0.4, 10, 8, 0.1, 0.8), Row(0.6, 10, 8, 0.05, 0.9), Row(0.8, 10, 5, 0.0, 1.0)]


@pytest.mark.parametrize(
    ("precision", "even_score"),
    [(0.6, 0.2), (0.7, 0.4), (0.9, 0.6), (0.95, 0.8)],
    ids=["all", "first of equals", "second", "last"],
)
def test_the_most_found_with_this_precision(precision, even_score):
    assert chosen(ROWS, precision).even_score == even_score


def test_without_any_of_this_precision_the_fewest_false_ones():
    assert chosen(ROWS[:3], 0.95).even_score == 0.6
    assert chosen([Row(0.9, 10, 0, 0.0, float("nan"))]).even_score == 0.9


def test_what_is_printed():
    assert "        0.40    0.800      0.800       0.100  <- chosen" in lines("car", ROWS, ROWS[1])
    best = dict.fromkeys(thresholds.GROUPS, ROWS[1])
    text = setting(best)
    assert text == "config: {best: {car: {even_score: 0.4}, pedestrian: {even_score: 0.4}, cyclist: {even_score: 0.4}}}"
    assert set(EVEN_SCORES) > {0.25, 0.5, 0.6}


def post(x, y, width, height, count=200, zero=0.0):
    """Points of a post on the ground at z = -1.7, with ground around."""
    rng = np.random.default_rng(3)
    ground = np.column_stack([x + rng.uniform(-3, 3, (400, 2)) * 1.0, np.full(400, -1.7), np.full(400, 0.3)])
    ground[:, 1] += y - x
    own = np.column_stack([
        x + rng.uniform(-0.02, 0.02, count), y + rng.uniform(-width / 2, width / 2, count),
        rng.uniform(-1.7, -1.7 + height, count), np.where(np.arange(count) < zero * count, 0, 0.4),
    ])  # fmt: skip
    return np.concatenate([ground, own]).astype(np.float32)


@pytest.mark.parametrize(
    ("width", "height", "kind"),
    [(0.1, 2.6, "pole"), (0.5, 2.6, "trunk"), (1.4, 2.6, "mass"), (0.1, 1.8, "post"), (0.5, 1.8, "figure"), (1.4, 1.8, "block"),
     (0.3, 1.0, "stub"), (1.4, 1.0, "low")],
)  # fmt: skip
def test_looks(width, height, kind):
    seen = looks(post(12, 0, width, height, zero=0.25), np.array([12, 0, -0.9, 0.8, 0.6, 1.75, 0.3]), is_vehicle=False)
    assert seen.kind == kind and seen.top_m == pytest.approx(height, abs=0.1) and seen.intensity == pytest.approx(0.4)
    assert seen.zero == pytest.approx(0.25, abs=0.05)


def test_no_points_have_no_looks():
    box = np.array([12, 0, -0.9, 0.8, 0.6, 1.75, 0])
    for points in (np.zeros((0, 4), np.float32), post(40, 0, 0.1, 2)):
        assert looks(points, box, False).points == 0 and looks(points, box, True).kind == "few"


def test_false_results_and_their_table():
    found = [("Car", 12, 1, 0.9), ("Car", 25, 5, 0.9)]
    frames = [frame([("Car", 12, 1, 0)], found, number)._replace(points=post(25, 5, 0.5, 2.6)) for number in range(4)]
    shown = list(tracked(frames, BestConfig()))
    assert verdict(frames[3], shown[3], "vehicles").right.tolist() in ([True, False], [False, True])
    false = list(alarms(frames, shown, "vehicles", is_generated=False))
    assert {a.looks.kind for a in false} == {"trunk"} and false[0].distance_m == pytest.approx(25.5, abs=0.3)
    said = tables("a", 4, false)
    assert "a, vehicles: 4 false results in 4 scans, 1.000 a scan" in said
    assert any(row.startswith("| trunk | 4 | 0 | 0 | 4 | 0 | ") for row in said)
    assert isinstance(false[0].looks, Looks)
