"""Scenes from any driver, from any position; labels become classes, DontCare becomes regions."""

from dataclasses import dataclass

import numpy as np
import pytest

from operators.geometry.project import project_points
from operators.streams import CALIBRATION, CLASSES, DONT_CARE, POINTS, TRUTH, Calibration, Truth
from operators.train.pointpillars.config import DataConfig
from operators.train.scenes import IGNORED, Scenes, class_table, in_view, min_points
from pipeline.errors import GraphError, InputError
from pipeline.frame import Reading, Static
from pipeline.graph.lookup import driver_class
from pipeline.operator import Found, Source
from pipeline.schema import static

TABLE = class_table(("Cyclist", "Car"), {"Car": ["Car", "Van"], "Cyclist": ["Cyclist"]})
CALIBRATIONS = [
    Calibration(np.array([[f, 0, 50, 0], [0, f, 20, 0], [0, 0, 1, 0]], np.float64), T, np.array([100, 40], np.int32))
    for f, T in ((50.0, np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])),)
]


@dataclass(frozen=True)
class NumbersConfig:
    frames: int = 5
    without: tuple[int, ...] = ()  # these have no truth
    told: bool = True


class Numbers(Source):
    """Frame k: one point at x = k + 1, its truth a van, a truck, and a region."""

    Config, outputs = NumbersConfig, {"points": POINTS, "truth": TRUTH, "calibration": static(CALIBRATION)}
    opened = 0

    @classmethod
    def find(cls, config):
        return Found(config.frames if config.told else None)

    def open(self, start=0):
        type(self).opened += 1
        self.next = start

    def statics(self):
        yield Static("calibration", CALIBRATIONS[0])

    def read(self):
        k = self.next
        if k >= self.config.frames:
            return None
        self.next += 1
        values = {"points": np.array([[k + 1, 0, 0, 0.5], [-1, 0, 0, 0.5]], np.float32)}
        if k not in self.config.without:
            boxes = np.array([[5, 0, 0, 4, 2, 1, 0], [9, 0, 0, 9, 3, 3, 0], [np.nan] * 7], np.float32)
            labels = np.array([CLASSES.index("Van"), CLASSES.index("Truck"), DONT_CARE], np.int32)
            boxes2d = np.arange(12, dtype=np.float32).reshape(3, 4)
            zeros = np.zeros(3, np.int32)
            values["truth"] = Truth(boxes, boxes2d, labels, np.zeros(3, np.int64), zeros, zeros.astype(np.float32))
        return Reading(values, f"{k:06d}", k)


def scenes(data=None, source=Numbers, **config):
    return Scenes(source, source.Config(**config), data or DataConfig("numbers"), TABLE, seed=3)


def numbers(stream, count):
    return [int(stream.read().points[0, 0]) - 1 for _ in range(count)]


def test_no_frames():
    with pytest.raises(InputError, match="numbers: needs at least one frame to train on, got none"):
        scenes(frames=0)


def test_labels_become_classes():
    scene = scenes().read()
    np.testing.assert_array_equal(scene.classes, [1, IGNORED])  # a van is a car, a truck is ignored
    assert scene.boxes3d.shape == (2, 7) and scene.boxes3d.dtype == np.float64
    np.testing.assert_array_equal(scene.regions2d, [[8, 9, 10, 11]])
    np.testing.assert_array_equal(min_points(DataConfig("x", min_points={"Car": 2}), ("Cyclist", "Car")), [5, 2])


def test_rounds_and_starts():
    assert numbers(scenes(), 12) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    stream = scenes()
    stream.seek(7)
    assert numbers(stream, 6) == [2, 3, 4, 0, 1, 2] and stream.position == 13


def test_unknown_length():
    stream = scenes(told=False)
    assert numbers(stream, 7) == [0, 1, 2, 3, 4, 0, 1]


def test_shuffled_rounds_are_permutations_that_start_anywhere():
    data = DataConfig("numbers", shuffle=True)
    got = numbers(scenes(data, frames=7), 21)
    rounds = [got[:7], got[7:14], got[14:]]
    assert all(sorted(r) == list(range(7)) for r in rounds) and len({tuple(r) for r in rounds}) == 3
    again = scenes(data, frames=7)
    again.seek(9)
    assert numbers(again, 12) == got[9:]


def test_frames_without_truth_are_skipped():
    assert numbers(scenes(without=(0, 3)), 5) == [1, 2, 4, 1, 2]
    with pytest.raises(InputError, match="numbers: needs frames with points and truth to train on, got none with both"):
        scenes(without=tuple(range(5))).read()


def test_a_driver_without_truth_is_refused():
    with pytest.raises(GraphError, match=r"test.counter: needs the ports points and truth to train on, has out"):
        scenes(DataConfig("test.counter"), driver_class("test.counter"))


def test_streams_are_opened_once():
    Numbers.opened = 0
    numbers(scenes(), 5)
    assert Numbers.opened == 1


@pytest.mark.parametrize(("share", "expected"), [(1.0, 1), (0.0, 2)])
def test_camera_view(share, expected):
    stream = scenes(DataConfig("numbers", camera_view=share))
    assert [len(stream.read().points) for _ in range(4)] == [expected] * 4


def test_camera_view_of_some_is_the_same_again():
    def lengths(start):
        stream = scenes(DataConfig("numbers", camera_view=0.5))
        stream.seek(start)
        return [len(stream.read().points) for _ in range(40 - start)]

    assert set(lengths(0)) == {1, 2} and lengths(11) == lengths(0)[11:]


def test_in_view_is_the_rule_of_the_reduced_scans():
    points = np.random.default_rng(0).uniform(-30, 30, (500, 4)).astype(np.float32)
    calibration = CALIBRATIONS[0]
    uv, depth = project_points(points[:, :3], calibration.P_cam, calibration.T_cam_velo)
    seen = [d >= 0 and 0 <= u < 100 and 0 <= v < 40 for (u, v), d in zip(uv, depth, strict=True)]
    np.testing.assert_array_equal(in_view(points, calibration), seen)


def test_of_kitti_only_the_picture_is_labelled():
    for name, there in (("kitti.object", True), ("kitti.tracking", True), ("synthetic.traffic", False)):
        assert getattr(driver_class(name), "truth_in_view", False) is there
