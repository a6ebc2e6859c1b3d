"""fuse.paint: colours, classes and scores of points, beside a loop over the points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_lens import painted as naive

from operators.fuse.paint import Paint, PaintConfig, cells, is_nearest, seen, softmax
from operators.streams import Calibration, PointColors
from pipeline.errors import FrameError, GraphError
from pipeline.testing import run_operator

T = np.array([[0, -1, 0, 0.1], [0, 0, -1, -0.2], [1, 0, 0, -0.3], [0, 0, 0, 1.0]])
CALIBRATION = Calibration(np.array([[60.0, 0, 39.5, 0], [0, 60, 29.5, 0], [0, 0, 1, 0]]), T, np.array([80, 60], np.int32))
EMPTY = np.zeros((0, 4), np.float32)


def scan(seed, num=200):
    return np.random.default_rng(seed).uniform([-10, -10, -3, 0], [20, 10, 3, 1], (num, 4)).astype(np.float32)


def picture(seed, width=80, height=60):
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3), np.uint8)


def paint(inputs, config=None, meta=None):
    (out,) = run_operator(Paint, [inputs], config, statics={"calibration": CALIBRATION}, meta=meta and [meta])
    return out


def test_an_empty_scan():
    out = paint(
        {
            "points": EMPTY,
            "image": picture(0),
            "class_map": np.zeros((60, 80), np.uint8),
            "semantic": np.zeros((3, 6, 8), np.float32),
        }
    )
    assert out["point_colors"].point_colors.shape == (0, 3) and out["point_colors"].painted.shape == (0,)
    assert out["point_classes"].shape == (0,) and out["point_scores"].shape == (0, 3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([(80, 60), (160, 120), (40, 30)]))
def test_colours_are_those_of_the_naive_loop(seed, size):
    points, image = scan(seed), picture(seed, *size)
    got = paint({"points": points, "image": image})["point_colors"]
    colors, there = naive(points, CALIBRATION, image)
    assert np.array_equal(got.painted, there) and np.array_equal(got.point_colors, colors)


def test_a_point_straight_ahead_has_the_pixel_in_the_middle():
    image = picture(1)
    point = np.array([[6.3, 0.09, -0.21, 0.5], [-6, 0, 0, 0.5]], np.float32)  # 6 m ahead, u = 39.6, v = 29.6; behind
    got = paint({"points": point, "image": image})["point_colors"]
    assert got.painted.tolist() == [True, False] and got.point_colors[0].tolist() == image[30, 40].tolist()


def test_points_outside_keep_what_another_camera_gave():
    points, image = scan(2), picture(2)
    before = PointColors(np.full((200, 3), 7, np.uint8), np.arange(200) % 2 == 0)
    got = paint({"points": points, "image": image, "point_colors": before})["point_colors"]
    colors, there = naive(points, CALIBRATION, image)
    assert np.array_equal(got.point_colors, np.where(there[:, None], colors, 7))
    assert np.array_equal(got.painted, there | before.painted)
    without = paint({"points": points, "point_colors": before})["point_colors"]
    assert np.array_equal(without.point_colors, before.point_colors) and np.array_equal(without.painted, before.painted)


def test_classes_and_their_names():
    points, classes = scan(3), np.random.default_rng(3).integers(0, 5, (60, 80)).astype(np.uint8)
    classes[classes == 4] = 255
    before = np.full(200, 2, np.uint8)
    facts = {
        "class_map": {"class_names": ["a", "b", "c", "d"], "things": ["a"]},
        "point_classes": {"class_names": ["a", "b", "c", "d"]},
    }
    got = paint({"points": points, "class_map": classes, "point_classes": before}, meta=facts)["point_classes"]
    found, there = naive(points, CALIBRATION, np.repeat(classes[:, :, None], 3, 2))
    want = np.where(there & (found[:, 0] != 255), found[:, 0], 2)
    assert np.array_equal(got, want)
    facts["point_classes"] = {"class_names": ["x"]}
    with pytest.raises(FrameError, match=r"paint.class_map at .*: needs the classes of point_classes, \['x'\], got \['a', 'b'"):
        paint({"points": points, "class_map": classes, "point_classes": before}, meta=facts)


@pytest.mark.parametrize("stride", [1, 4])
def test_scores_are_the_softmax_of_the_cell(stride):
    points = scan(4)
    logits = np.random.default_rng(4).normal(0, 3, (3, 60 // stride, 80 // stride)).astype(np.float32)
    facts = {"semantic": {"stride": stride, "image_size": [80, 60], "class_names": ["a", "b", "c"]}}
    got = paint({"points": points, "semantic": logits}, meta=facts)["point_scores"]
    index = np.arange(logits[0].size, dtype=np.uint32).reshape(logits[0].shape)
    places = np.stack([index >> 16, index >> 8 & 255, index & 255], -1).astype(np.uint8)
    found, there = naive(points, CALIBRATION, places)
    where = found.astype(int) @ [1 << 16, 1 << 8, 1]
    for n in range(len(points)):
        row = np.exp(logits.reshape(3, -1)[:, where[n]].astype(float))
        np.testing.assert_allclose(got[n], row / row.sum() if there[n] else 0, atol=1e-6)


def test_cells_of_a_map_that_reaches_beyond_the_picture():
    """A net of stride 8 on a picture of 80 x 60 gives 10 x 8 cells: the last row is half outside."""
    config = PaintConfig()
    where = seen(scan(5, 400), CALIBRATION, config)
    rows, columns = cells(where, (8, 10), 8, (80, 60))
    assert np.array_equal(rows, np.floor((where.uv[:, 1] + 0.5) / 8)) and np.array_equal(
        columns, np.floor((where.uv[:, 0] + 0.5) / 8)
    )


def test_far_points_are_hidden_behind_near_ones():
    points = np.array([[5, 0, -0.2, 0], [9, 0, -0.2, 0], [5.3, 0, -0.2, 0], [9, 4, -0.2, 0]], np.float32)
    shown = paint({"points": points, "image": picture(6)}, {"occlusion_px": 4})["point_colors"].painted
    assert shown.tolist() == [True, False, True, True]
    assert paint({"points": points, "image": picture(6)})["point_colors"].painted.all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 90), st.floats(0, 5))
def test_hiding_is_that_of_the_naive_loop(seed, cell, margin):
    rng = np.random.default_rng(seed)
    uv, depth = rng.uniform([-0.5, -0.5], [79.49, 59.49], (60, 2)), rng.uniform(1, 20, 60)
    got = is_nearest(uv, depth, CALIBRATION.image_size, cell, margin)
    place = [tuple(((p + 0.5) // cell).astype(int)) for p in uv]
    want = [depth[n] <= min(depth[m] for m in range(60) if place[m] == place[n]) + margin for n in range(60)]
    assert got.tolist() == want


def test_softmax_of_large_scores_and_of_none():
    assert softmax(np.array([[1000.0, 1000.0]])).tolist() == [[0.5, 0.5]]
    assert softmax(np.zeros((0, 3))).shape == (0, 3)


def test_what_does_not_fit_is_refused():
    points = scan(7, 5)
    with pytest.raises(FrameError, match=r"paint.image at .*: needs a picture of 80 x 60 as the calibration has it.*got 60 x 80"):
        paint({"points": points, "image": picture(0, 60, 80)})
    before = PointColors(np.zeros((4, 3), np.uint8), np.zeros(4, bool))
    with pytest.raises(FrameError, match=r"paint.point_colors at .*: needs \(5, 3\) as the points .*, got \(4, 3\)"):
        paint({"points": points, "point_colors": before})
    for config, message in [
        ({"occlusion_px": -1}, "occlusion_px: needs 0 .. 256"),
        ({"max_classes": 0}, "max_classes: needs 1 .. 128"),
    ]:
        with pytest.raises(GraphError, match=message):
            paint({"points": points, "image": picture(0)}, config)
