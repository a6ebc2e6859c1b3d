import re

import naive_range_image as naive
import numpy as np
import pytest

from operators.lidar.range_image import RangeImages
from operators.lidar.unproject import Unproject, UnprojectConfig, weights
from operators.streams import VOID, Panoptic, RangeImage
from pipeline.errors import FrameError
from pipeline.testing import run_operator

NAMES = ["unlabeled", "road", "car", "pole"]
SMALL = {"beams": 16, "columns": 64}


def scan(seed, num):
    points = np.random.default_rng(seed).normal(0, 8, (num, 4)).astype(np.float32)
    points[:, 2] /= 8
    (made,) = run_operator(RangeImages, [points], SMALL)
    return points, made


def unproject(points, made, meta=None, config=None, **labels):
    port = next(iter(labels))
    facts = {port: {"class_names": NAMES} if meta is None else meta}
    return run_operator(Unproject, [{"points": points, "range_image": made, **labels}], config, meta=[facts])[0]


def panoptic(segments, labels, track_ids):
    ids = np.arange(1, len(labels) + 1, dtype=np.int32)
    ones = np.ones(len(labels), np.float32)
    return Panoptic(segments.astype(np.int32), ids, np.array(labels, np.int32), ones, np.array(track_ids, np.int64))


@pytest.mark.parametrize("num", [0, 1, 3000])
def test_class_maps_are_voted_on(num):
    points, made = scan(num, num)
    class_map = np.random.default_rng(1).choice(np.array([0, 1, 2, 3, VOID], np.uint8), (16, 64))
    got = unproject(points, made, class_map=class_map)
    silent = (class_map == VOID) | (class_map == 0)
    labels = np.where(silent, -2 - class_map.astype(np.int32), class_map)
    found = naive.vote(points, made.point_pixels, made.range_image[3], labels, weights(5, 1.0), 5, np.float32(1.0))
    assert got["point_classes"].tolist() == [-2 - label if label < -1 else label for label in found]
    assert (got["point_ids"] == -1).all() and len(got["point_ids"]) == num


def test_a_class_without_a_vote_stays_where_nobody_votes():
    points = np.array([(8, 0, -1, 0)], np.float32)
    (made,) = run_operator(RangeImages, [points], SMALL)
    for label in (0, VOID, 2):
        got = unproject(points, made, class_map=np.full((16, 64), label, np.uint8))
        assert got["point_classes"].tolist() == [label]


def test_a_hidden_point_gets_the_class_of_its_neighbours():
    """A wall 20 m away, with a pole 5 m away before it: the wall's points behind the pole lie in the pole's pixels."""
    angle, up = (m.ravel() for m in np.meshgrid(np.radians(np.arange(-20, 20, 1.0)), np.radians(np.arange(-12, 2, 1.0))))
    wall = np.stack([20 * np.cos(angle), 20 * np.sin(angle), 20 * np.tan(up), 0 * up], 1).astype(np.float32)
    pole = wall[np.abs(angle) < 0.01] / 4
    points = np.concatenate([wall, pole])
    (made,) = run_operator(RangeImages, [points], {"beams": 28, "columns": 360})
    class_map = np.where(made.range_image[3] < 10, 3, 1).astype(np.uint8)
    cleaned, raw = (unproject(points, made, class_map=class_map, config={"neighbours": k})["point_classes"] for k in (5, 0))
    behind = np.flatnonzero(np.abs(angle) < 0.01)
    assert (raw[behind] == 3).all() and (cleaned[behind] == 1).all()
    assert (cleaned[len(wall) :] == 3).all() and (cleaned[: len(wall)] == 1).all()


def test_segments_give_classes_and_track_ids():
    points, made = scan(5, 2000)
    column = made.point_pixels[:, 1]
    segments = np.zeros((16, 64), np.int32)
    segments[:, :32], segments[:, 32:60] = 1, 2
    got = unproject(points, made, panoptic=panoptic(segments, [2, 1], [4711, -1]), config={"neighbours": 0})
    assert got["point_classes"].tolist() == np.where(column < 32, 2, np.where(column < 60, 1, VOID)).tolist()
    assert got["point_ids"].tolist() == np.where(column < 32, 4711, -1).tolist()
    voted = unproject(points, made, panoptic=panoptic(segments, [2, 1], [4711, -1]))
    assert set(zip(voted["point_classes"].tolist(), voted["point_ids"].tolist(), strict=True)) == {(2, 4711), (1, -1), (VOID, -1)}


def test_points_without_a_pixel_have_no_class():
    points = np.array([(np.nan, 0, 0, 0), (0, 0, 0, 0), (5, 0, -1, 0)], np.float32)
    (made,) = run_operator(RangeImages, [points], SMALL)
    for labels in ({"class_map": np.full((16, 64), 2, np.uint8)}, {"panoptic": panoptic(np.ones((16, 64)), [2], [7])}):
        for neighbours in (0, 5):
            got = unproject(points, made, config={"neighbours": neighbours}, **labels)
            assert got["point_classes"].tolist() == [VOID, VOID, 2]
            assert got["point_ids"].tolist() == [-1, -1, 7 if "panoptic" in labels else -1]


def test_the_facts_go_on(make):
    points, made = scan(0, 10)
    op, said = make(Unproject), {}
    op._emit_meta = said.__setitem__
    op.meta = {"class_map": {"class_names": NAMES, "things": ["car"], "other": 1}}
    op.process(points=points, range_image=made, class_map=np.zeros((16, 64), np.uint8))
    assert said == {port: {"class_names": NAMES, "things": ["car"]} for port in ("point_classes", "point_ids")}


def test_inputs_that_do_not_belong_together_are_refused():
    points, made = scan(0, 10)
    classes = np.zeros((16, 64), np.uint8)
    segments = panoptic(np.ones((16, 64)), [2], [7])
    cases = (
        (
            {"class_map": classes[:4]},
            points,
            "needs class_map and points of one range image, (16, 64) with 10 points, got (4, 64)",
        ),
        ({"class_map": classes}, points[:3], "got (16, 64) and 3 points"),
        ({"class_map": classes, "panoptic": segments}, points, "needs one of its inputs class_map and panoptic, got both"),
        ({"panoptic": panoptic(np.full((16, 64), 9), [2], [7])}, points, "needs pixels of the 1 segments, got the id 9"),
    )
    for labels, given, message in cases:
        with pytest.raises(FrameError, match=re.escape(message)):
            unproject(given, made, **labels)
    with pytest.raises(FrameError, match="needs a picture as wide as the window of 5, got"):
        unproject(points[:0], RangeImage(np.zeros((5, 2, 4), np.float32), np.zeros((0, 2), np.int32)), class_map=classes[:2, :4])
    with pytest.raises(FrameError, match="got neither"):
        run_operator(Unproject, [{"points": points, "range_image": made}])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"window": 4}, "window: needs an odd number, 1 .. 31, got 4"),
        ({"window": 3, "neighbours": 10}, "neighbours: needs 0 .. 9, the pixels of the window, got 10"),
        ({"cutoff_m": 0.0}, "cutoff_m: needs more than 0, got 0"),
        ({"max_points": 0}, "max_points: needs 1 .. 200000, got 0"),
    ],
)
def test_a_wrong_config_names_its_key(config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        UnprojectConfig(**config)


def test_an_empty_range_image():
    made = RangeImage(np.zeros((5, 16, 64), np.float32), np.zeros((0, 2), np.int32))
    got = unproject(np.zeros((0, 4), np.float32), made, panoptic=panoptic(np.zeros((16, 64)), [], []))
    assert {port: array.shape for port, array in got.items()} == {"point_classes": (0,), "point_ids": (0,)}
