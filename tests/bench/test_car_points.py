import json

import numpy as np
import pytest

from bench.car_points import CarPoints, line, rows, scans, table
from operators.streams import CLASSES, Truth
from pipeline.errors import InputError
from pipeline.testing import run_operator


def truth(*xs, name="Car", occluded=0, truncated=0.0, seen=True):
    n = len(xs)
    boxes3d = np.array([[x, 0, 0, 4, 2, 2, 0] for x in xs], np.float32).reshape(-1, 7)
    boxes2d = np.tile(np.array([0, 0, 9, 9] if seen else [0, 0, 0, 0], np.float32), (n, 1))
    labels = np.full(n, CLASSES.index(name), np.int32)
    return Truth(boxes3d, boxes2d, labels, np.arange(n), np.full(n, occluded, np.int32), np.full(n, truncated, np.float32))


def points(*groups):
    """(x, how many) -> so many points at x"""
    return np.concatenate([np.zeros((0, 4)), *(np.tile([x, 0, 0, 0], (n, 1)) for x, n in groups)]).astype(np.float32)


def test_nothing():
    assert rows(points(), truth()).shape == (0, 2)
    assert table(np.empty((0, 2))) == {f"{d} m": {"cars": 0, "points": None} for d in (10, 20, 30, 40)}
    assert line("x", table(np.empty((0, 2)))).startswith("points of a car, x: 10 m - (0 cars), 20 m -")


def test_cars_without_and_with_points():
    assert rows(points((10, 7), (99, 5)), truth(10, 30)).tolist() == [[10, 7], [30, 0]]


@pytest.mark.parametrize(
    "hidden", [{"name": "Van"}, {"occluded": 1}, {"truncated": 0.2}, {"seen": False}], ids=lambda hidden: next(iter(hidden))
)
def test_only_cars_that_are_seen_whole(hidden):
    assert len(rows(points((10, 7)), truth(10, **hidden))) == 0


def test_scaled_to_the_distance():
    """100 points at 12 m are as 144 at 10 m; 16 m is nearer to 20."""
    got = table(np.array([[10, 100], [12, 100], [14.9, 0], [16, 50.0]]))
    assert got["10 m"] == {"cars": 3, "points": pytest.approx(100)}
    assert got["20 m"] == {"cars": 1, "points": pytest.approx(32)}


def test_as_a_sink(tmp_path):
    sets = [{"points": points((10, 7)), "truth": truth(10)}, {"points": points(), "truth": truth()}]
    run_operator(CarPoints, sets, out_dir=tmp_path / "cars")
    assert json.loads((tmp_path / "cars" / "car_points.json").read_text())["10 m"] == {"cars": 1, "points": 7}


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(InputError, match="needs a folder with velodyne/ or image_02/"):
        list(scans(tmp_path))


@pytest.mark.data
def test_real_cars(shared_data):
    """Both layouts are read; nearer cars have more points."""
    for folder, frames in (("kitti_object", 21), ("kitti_tracking_0000", 129)):
        cars = [rows(*scan) for scan in scans(shared_data / folder)]
        assert len(cars) == frames
        got = table(np.concatenate(cars))
        assert 800 < got["10 m"]["points"] < 2000
        assert 200 < got["20 m"]["points"] < 500
