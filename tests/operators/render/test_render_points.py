import re

import cv2
import numpy as np
import pytest

from operators.render import colors
from operators.render.points import Points, PointsConfig, point_colors
from operators.streams import VOID
from pipeline.errors import FrameError

NAMES = ("road", "Car", "pole")
SMALL = {"range_m": (-10.0, -10.0, 10.0, 10.0), "png_every": 1, "video": False}


@pytest.fixture
def draw(make, header):
    def run(points, classes, ids=None, frame=0):
        op = make(Points, name=f"node{frame}", **SMALL)
        op.header, op.meta = header(0), {"point_classes": {"class_names": NAMES}}
        op.process(points=points, point_classes=np.array(classes, np.uint8), point_ids=ids)
        op.close()
        return cv2.imread(str(op.out_dir / "frames" / "0000_000000.png"))[:, :, ::-1]

    return run


def at(picture, x, y):
    return tuple(picture[int((10 - x) * 10), int((10 - y) * 10)].tolist())


def some(*rows):
    return np.array([(*row, 0.5) for row in rows], np.float32).reshape(-1, 4)


def test_an_empty_scan(draw):
    assert draw(some(), []).shape == (200, 200, 3)


def test_classes_and_objects_have_colours(draw):
    points = some((-5.05, 0.05, 0), (-5.05, -5.05, 0), (-8.05, -5.05, 0), (-5.05, -8.05, 0))
    plain = draw(points, [0, 1, VOID, 99])
    assert at(plain, -5.05, 0.05) == colors.of_stuff("road") and at(plain, -5.05, -5.05) == colors.of_stuff("Car")
    assert at(plain, -8.05, -5.05) == at(plain, -5.05, -8.05) == (60, 60, 60)
    first, again, other = (
        draw(points, [0, 1, 1, 1], np.array([-1, *ids]), 1 + k) for k, ids in enumerate([(7, 8, 7), (7, 9, 7), (6, 8, 7)])
    )
    assert at(first, -5.05, -5.05) == at(first, -5.05, -8.05) == at(again, -5.05, -5.05) != at(other, -5.05, -5.05)
    assert at(first, -8.05, -5.05) != at(first, -5.05, -5.05)


def test_objects_lie_over_stuff_and_the_higher_point_shows(draw):
    place = (-5.05, -5.05)
    picture = draw(some((*place, 3), (*place, -1), (*place, -2)), [2, 1, 1], np.array([-1, 5, 6]))
    only = draw(some((*place, -1)), [1], np.array([5]), 1)
    assert at(picture, *place) == at(only, *place)


def test_a_class_and_an_object_keep_their_colours():
    classes, ids = np.array([1, 0, VOID], np.uint8), np.array([-1, 1 << 40, 3])
    (first, *_), (other, *_) = point_colors(("a", "pole"), classes, None), point_colors(("pole",), classes - 1, None)
    assert (first == other).all()
    objects = point_colors(NAMES, classes, ids)
    assert tuple(objects[1].tolist()) == colors.of_track(1 << 40) and tuple(objects[2].tolist()) == colors.of_track(3)
    assert point_colors((), classes[:0], ids[:0]).shape == (0, 3)


def test_labels_of_another_scan_are_refused(draw):
    with pytest.raises(FrameError, match="needs point_classes of the 1 points, got 2"):
        draw(some((1, 1, 1)), [0, 0])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"range_m": (0.0, 0.0, 0.0, 1.0)}, "range_m: needs x1 > x0"),
        ({"px_per_m": 0.01}, "px_per_m: needs a picture of at least 16 pixels"),
        ({"png_every": -1}, "png_every: needs 0 or more, got -1"),
        ({"video_crf": 99}, "video_crf: needs 0..51, got 99"),
    ],
)
def test_a_wrong_config_names_its_key(config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        PointsConfig(**config)
