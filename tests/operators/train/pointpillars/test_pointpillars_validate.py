"""Counts by hand: each object once, the best prediction first, unlabelled regions not at all."""

import math

import numpy as np
import pytest

from operators.streams import Boxes3D, Calibration
from operators.train.pointpillars.validate import Judged, judge, score
from operators.train.scenes import IGNORED, Scene

CAMERA = Calibration(
    np.array([[100.0, 0, 100, 0], [0, 100, 50, 0], [0, 0, 1, 0]]),
    np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]),
    np.array([200, 100], np.int32),
)


def boxes(*xy):
    return np.array([[x, y, 0, 4, 2, 1.5, 0] for x, y in xy], np.float64).reshape(-1, 7)


def scene(objects, classes, regions=()):
    return Scene(
        np.empty((0, 4), np.float32), boxes(*objects), np.array(classes, np.int32), np.array(regions).reshape(-1, 4), CAMERA, 0
    )


def found(*rows):
    """x, y, score, class"""
    at = boxes(*[row[:2] for row in rows]).astype(np.float32)
    return Boxes3D(at, np.array([r[2] for r in rows], np.float32), np.array([r[3] for r in rows], np.int32))


def test_nothing_at_all():
    judged = judge(found(), scene([], []), 0)
    assert judged.objects == 0 and not len(judged.scores)
    assert all(math.isnan(value) for value in score([judged])[:3]) and score([])[3] == 0


def test_an_object_is_found_once_by_the_best():
    judged = judge(found((10, 0, 0.9, 0), (10.5, 0, 0.8, 0), (30, 0, 0.7, 0), (10, 1, 0.6, 1)), scene([(10.4, 0)], [0]), 0)
    assert judged.right.tolist() == [True, False, False] and judged.objects == 1


def test_the_nearest_free_object_is_taken():
    judged = judge(found((10, 0, 0.9, 0), (10, 0, 0.8, 0), (10, 0, 0.7, 0)), scene([(11.5, 0), (10.5, 0)], [0, 0]), 0)
    assert judged.right.tolist() == [True, True, False]


def test_what_is_ignored_does_not_count():
    truth = scene([(10, 0), (30, 0)], [IGNORED, 0], regions=[[100, 0, 130, 100]])
    judged = judge(found((10, 0, 0.9, 0), (20, -3, 0.8, 0), (20, 3, 0.7, 0), (30, 0, 0.6, 0)), truth, 0)
    # the first at an ignored object, the second in a region of the picture: v = 100 + 100 * 3 / 20
    assert judged.scores.tolist() == pytest.approx([0.7, 0.6]) and judged.right.tolist() == [False, True]


def test_average_precision_by_hand():
    judged = [
        Judged(np.array([0.9, 0.5]), np.array([True, False]), 2),
        Judged(np.array([0.8, 0.2]), np.array([False, True]), 1),
    ]
    # in order: right, wrong, wrong, right -> precision 1 at recall 1/3, 1/2 at 2/3
    got = score(judged)
    assert got.ap == pytest.approx(1 / 3 * 1 + 1 / 3 * 0.5) and got.objects == 3
    assert got.recall == pytest.approx(1 / 3) and got.precision == pytest.approx(1 / 3)
