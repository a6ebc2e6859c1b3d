import cv2
import numpy as np
import pytest

from operators.render import colors
from operators.render.panoptic import edges, painted, segments_of
from operators.render.picture import Picture
from operators.streams import CLASS_NAMES, THINGS, Panoptic
from pipeline.testing import run_operator

NAMES, CARS = ("road", "sky", "Car"), {"Car"}
GREY = 50


def panoptic(rows, *segments):
    """rows: the map; segments: (id, label, track id) each"""
    ids, labels, tracks = zip(*segments, strict=True) if segments else ((), (), ())
    ones = np.ones(len(ids), np.float32)
    return Panoptic(
        np.array(rows, np.int32), np.array(ids, np.int32), np.array(labels, np.int32), ones, np.array(tracks, np.int64)
    )


def overlay(value, size=None, share=1.0):
    picture = np.full((*(size or value.panoptic.shape), 3), GREY, np.uint8)
    painted(picture, value, NAMES, CARS, share)
    return picture


def test_void_keeps_the_picture():
    for value in (panoptic([[0, 0]]), panoptic([[0, 0]], (1, 0, -1))):
        assert (overlay(value) == GREY).all()


def test_stuff_in_the_colour_of_its_class_and_things_in_that_of_their_track():
    drawn = np.repeat(np.repeat([[2, 1, 3, 0]], 200, 0), 200, 1)
    picture = overlay(panoptic(drawn, (1, 0, -1), (2, 2, 12), (3, 2, 13)))
    assert picture[100, 300].tolist() == list(colors.OF_STUFF["road"]) and picture[100, 700].tolist() == [GREY] * 3
    cars = [tuple(picture[100, column].tolist()) for column in (100, 500)]
    assert cars == [colors.of_track(12), colors.of_track(13)] and cars[0] != cars[1]
    half = overlay(panoptic(drawn, (1, 0, -1), (2, 2, 12), (3, 2, 13)), share=0.5)
    np.testing.assert_allclose(half[100, 300], (np.array(colors.OF_STUFF["road"]) + GREY) / 2, atol=1)


def test_a_track_keeps_its_colour_whatever_its_number_in_the_frame():
    first, later = (segments_of(panoptic([[0]], (number, 2, 1 << 40)), NAMES, CARS)[0] for number in (1, 9))
    assert first.color == later.color
    near = {colors.of_track((1 << 40) + k) for k in range(50)}
    assert len(near) == 50
    assert (
        segments_of(panoptic([[0]], (1, 2, -1)), NAMES, CARS)[0].color
        != segments_of(panoptic([[0]], (2, 2, -1)), NAMES, CARS)[0].color
    )


def test_lines_between_segments_and_a_label_without_a_name():
    found = edges(np.array([[1, 1, 2], [1, 1, 2], [3, 3, 3]]))
    assert found.tolist() == [[False, True, False], [True, True, True], [False, False, False]]
    picture = overlay(panoptic(np.tile(np.repeat([[1, 2]], 80, 1), (90, 1)), (1, 0, -1), (2, 9, -1)))
    assert (picture[:9, 79] == colors.TEXT).all() and segments_of(panoptic([[1]], (1, 9, -1)), NAMES, CARS)[0].name == "?"


def test_a_map_of_another_size_is_stretched():
    picture = overlay(panoptic([[1, 0]], (1, 2, 5)), size=(20, 40))
    assert picture[10, 2].tolist() == list(colors.of_track(5)) and picture[10, 30].tolist() == [GREY] * 3


def test_500_instances_and_one_without_a_pixel():
    drawn = np.arange(1, 501).reshape(20, 25)
    picture = overlay(panoptic(drawn, *((k, 2, k) for k in range(1, 502))), size=(200, 250))
    assert picture[5, 5].tolist() == list(colors.of_track(1)) and (picture != GREY).any(2).all()


@pytest.mark.parametrize("grey", [False, True])
def test_in_the_operator(tmp_path, grey):
    """The legend of the stuff stands at the lower left, the name of a thing on it."""
    drawn = np.ones((60, 80), np.int32)
    drawn[10:50, 30:70] = 2
    value = panoptic(drawn, (1, 0, -1), (2, 2, 7))
    image = np.full((60, 80), GREY, np.uint8) if grey else np.full((60, 80, 3), GREY, np.uint8)
    facts = {"panoptic": {CLASS_NAMES: list(NAMES), THINGS: ["Car"]}}
    config = {"png_every": 1, "video": False, "tint": 0.5}
    run_operator(Picture, [{"grey" if grey else "image": image, "panoptic": value}], config, out_dir=tmp_path, meta=[facts])
    picture = cv2.imread(str(tmp_path / "frames/000000.png"))[..., ::-1].astype(int)
    near = np.abs(picture - colors.OF_STUFF["road"]).max(2) < 3
    assert near[45:58, 4:20].any() and not near[:40].any(), "the patch of the legend; elsewhere the colour is mixed"
    assert (np.abs(picture - colors.of_track(7)).max(2) < 3)[:12, 30:60].any()
