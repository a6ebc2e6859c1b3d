"""fuse.panoptic against C2.4 word by word (naive_panoptic.py), its rules on masks drawn by hand, bad input."""

import naive_panoptic
import numpy as np
import pytest

from operators.fuse.panoptic import FusePanoptic, PanopticConfig
from operators.streams import PANOPTIC, Instances
from pipeline.errors import FrameError
from pipeline.testing import run_operator

NAMES = ("road", "building", "sky", "Car", "Pedestrian")
THINGS = ("Car", "Pedestrian")
ROAD, BUILDING, SKY, CAR, PEDESTRIAN = range(5)
SHAPE = (48, 70)


def instances(*rows, size=4):
    """(box, score, label, logit of all cells or a mask) each."""
    masks = np.zeros((len(rows), size, size), np.float32)
    for mask, row in zip(masks, rows, strict=True):
        mask[...] = row[3]
    return Instances(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.int32),
        masks,
    )


def planes(of, shape=SHAPE, value=5.0):
    logits = np.full((len(NAMES), *shape), -value, np.float32)
    logits[of] = value
    return logits


def run(semantic, found, config=None, ids=None, **facts):
    facts = {"class_names": list(NAMES), "things": list(THINGS)} | facts
    values = {"semantic": semantic, "instances": found} | ({} if ids is None else {"instance_ids": np.array(ids, np.int64)})
    meta = [{"semantic": facts, "instances": {"class_names": list(NAMES)}}]
    (out,) = run_operator(FusePanoptic, [values], {"min_stuff_px": 1} | (config or {}), meta=meta)
    PANOPTIC.check(out._asdict(), "fuse.panoptic")
    ids_there = np.unique(out.panoptic[out.panoptic > 0])
    assert ids_there.tolist() == out.segment_ids.tolist() == list(range(1, len(out.labels) + 1))
    return out


def label_at(out, row, column):
    """Class there, -1 = void."""
    return int(out.labels[out.panoptic[row, column] - 1]) if out.panoptic[row, column] else -1


@pytest.mark.parametrize("method", ["efficientps", "panoptictracknet", "heuristic"])
@pytest.mark.parametrize(("seed", "num", "shape", "stride"), [
    (0, 0, SHAPE, 1), (1, 1, SHAPE, 1), (2, 30, SHAPE, 1), (3, 25, (67, 101), 1), (4, 20, (64, 96), 4), (5, 12, (9, 7), 2),
    (6, 40, (130, 33), 4),
])  # fmt: skip
def test_equals_c24_word_by_word(seed, num, shape, stride, method):
    rng = np.random.default_rng(seed)
    (height, width), cells = shape, [-(-side // stride) for side in shape]
    logits = rng.normal(0, 2, (5, *cells)).astype(np.float32)
    centre, sides = rng.uniform(-5, 75, (num, 2)), rng.uniform(1, 40, (num, 2))
    boxes = np.concatenate([centre - sides / 2, centre + sides / 2], 1).astype(np.float32)
    scores = rng.choice(np.linspace(0.3, 1, 15, dtype=np.float32), num)  # equal ones among them
    labels = rng.choice([CAR, PEDESTRIAN], num)
    masks = rng.normal(0.5, 2, (num, 7, 7)).astype(np.float32)
    found = Instances(boxes, scores, labels.astype(np.int32), masks)
    config = {"method": method, "min_stuff_px": 200, "score_threshold": 0.4}
    out = run(logits, found, config, stride=stride, image_size=[width, height])
    full = np.stack([
        naive_panoptic.bilinear(plane, (np.arange(width) + 0.5) / stride - 0.5, (np.arange(height) + 0.5) / stride - 0.5)
        for plane in logits.astype(np.float64)
    ])  # fmt: skip
    is_thing, larger = np.isin(NAMES, THINGS), method == "panoptictracknet"
    threshold = np.nextafter(np.float32(0.4), np.float32(1)) if larger else np.float32(0.4)
    expected = naive_panoptic.fuse(
        full, is_thing, boxes, scores, labels, masks, threshold=threshold, least=200 + larger, paste=method == "heuristic",
        alone=larger,
    )  # fmt: skip
    differs = np.zeros(shape, bool)
    for row, column in np.ndindex(shape):
        code = expected.codes[row, column]
        what = -1 if code == 0 else code - 1 if code <= 5 else labels[code - 6]
        differs[row, column] = label_at(out, row, column) != what
    close = expected.margin < 1e-4
    assert not (differs & ~close).any() and close.mean() < 0.01
    # one id per instance, in the order of their scores
    kept = [i for i in expected.kept if (expected.codes == 6 + i).any()]
    is_object = np.isin(out.labels, [CAR, PEDESTRIAN])
    assert np.allclose(out.scores[is_object], scores[kept]) and (out.scores[~is_object] == 1).all()
    for number, i in enumerate(kept, start=1):
        assert ((out.panoptic == number) == (expected.codes == 6 + i))[~close].all()


@pytest.mark.parametrize(("a", "b", "fused"), [
    (0, 0, 0), (3, 3, 11.431), (5, 5, 19.866), (5, 0, 7.467), (5, -2, 3.338), (3, -3, 0), (-3, -3, -0.569),
])  # fmt: skip
def test_the_fused_logit(a, b, fused):
    """The instance wins against stuff just below the value, and not against stuff just above."""
    for stuff, wins in ((fused - 2e-3, True), (fused + 2e-3, False)):
        logits = np.full((5, 8, 8), -50, np.float32)
        logits[ROAD], logits[CAR] = stuff, b
        # a mask of a < 0 alone would be empty: one far cell is not
        mask = np.full((4, 4), a, np.float32)
        mask[3, 3] = max(a, 1)
        out = run(logits, instances(((0, 0, 7, 7), 0.9, CAR, mask)), {"mask_scale": 1.0, "max_overlap": 1.0})
        assert (label_at(out, 0, 0) == CAR) == wins


def test_no_pixel_outside_the_box_where_all_stuff_is_negative():
    logits = np.full((5, *SHAPE), -1, np.float32)  # zero padding would give 0 there, more than -1
    out = run(logits, instances(((10, 5, 19, 14), 0.9, CAR, 5)))
    mine = out.panoptic == 1
    assert mine[5:15, 10:20].all() and mine.sum() == 100 and label_at(out, 0, 0) == ROAD


def test_an_instance_on_a_better_one_leaves_and_equal_scores_keep_their_order():
    first, half, third = (0, 0, 9, 9), (6, 0, 15, 9), (5, 0, 14, 9)
    on_road = planes(ROAD)
    on_road[CAR] = 4
    for box, num in ((half, 2), (third, 2), ((4, 0, 13, 9), 1)):  # 40, 50, 60 of 100 pixels lie on the first
        out = run(on_road, instances((first, 0.9, CAR, 5), (box, 0.8, CAR, 5)))
        assert (out.labels == CAR).sum() == num
    out = run(on_road, instances((first, 0.7, CAR, 5), ((1, 0, 10, 9), 0.7, CAR, 5)))
    assert out.panoptic[0, 0] == 1 and (out.labels == CAR).sum() == 1
    out = run(on_road, instances((first, 0.7, CAR, 5), ((1, 0, 10, 9), 0.8, CAR, 5)))
    assert out.panoptic[0, 10] == 1 and label_at(out, 0, 0) == ROAD


def test_stuff_areas_are_counted_after_things_are_pasted():
    logits = planes(ROAD, (40, 60))
    logits[:, :10] = planes(SKY, (10, 60))  # 600 pixels of sky
    car = instances(((0, 0, 29, 4), 0.9, CAR, 9))  # 150 of them
    for least, there in ((450, True), (451, False)):
        out = run(logits, car, {"min_stuff_px": least})
        assert (label_at(out, 9, 59) == SKY) == there and label_at(out, 39, 0) == ROAD and label_at(out, 0, 0) == CAR
    assert PanopticConfig().min_stuff_px == 2048


def test_areas_and_scores_of_panoptictracknet_must_be_larger_than_their_limits():
    """B3: stuff areas <= u_a are void, segments with a score > u_p stay; of EfficientPS areas < min_sa, scores < c_t leave."""
    logits = planes(ROAD, (20, 20))
    logits[:, :5] = planes(SKY, (5, 20))  # 100 pixels
    at_limit = instances(((0, 10, 9, 19), 0.5, CAR, 9))
    for method, there in (("efficientps", True), ("heuristic", True), ("panoptictracknet", False)):
        for least, stays in ((99, True), (100, there), (101, False)):
            assert (label_at(run(logits, instances(), {"method": method, "min_stuff_px": least}), 0, 0) == SKY) == stays
        assert (label_at(run(logits, at_limit, {"method": method}), 15, 5) == CAR) == there


def test_a_thing_of_the_class_logits_without_an_instance_is_void():
    out = run(planes(CAR), instances())
    assert not out.panoptic.any() and not len(out.labels)


def test_tracks_travel_with_their_instances():
    found = instances(((30, 0, 39, 9), 0.6, CAR, 5), ((0, 0, 9, 9), 0.9, PEDESTRIAN, 5), ((60, 0, 69, 9), 0.2, CAR, 5))
    out = run(planes(ROAD), found, ids=[71, 72, 73])
    assert (out.labels.tolist(), out.track_ids.tolist()) == ([PEDESTRIAN, CAR, ROAD], [72, 71, -1])
    assert run(planes(ROAD), found).track_ids.tolist() == [-1, -1, -1]


@pytest.mark.parametrize(("found", "num"), [
    (instances(), 0),
    (instances(*[((i % 60, i % 40, i % 60 + 9, i % 40 + 9), 0.5 + i / 1000, CAR, 5) for i in range(500)]), None),
    (instances(((-90, -90, -50, -50), 0.9, CAR, 5), ((70, 0, 90, 9), 0.9, CAR, 5)), 0),
    (instances(((0, 0, 9, 9), 0.9, CAR, -5)), 0),
    (instances(((9, 9, 0, 0), 0.9, CAR, 5), ((np.nan, 0, 9, 9), 0.9, CAR, 5)), 0),
    (instances(((-20, -20, 900, 900), 0.9, CAR, 5)), 1),
    (instances(((3, 3, 3, 3), 0.9, CAR, 5), size=1), 1),
    (instances(((0, 0, 9, 9), 0.49, CAR, 5)), 0),
])  # fmt: skip
def test_none_many_outside_empty_no_box_everywhere_a_pixel_unsure(found, num):
    out = run(planes(ROAD), found)
    assert num is None or (out.labels == CAR).sum() == num
    assert (out.panoptic > 0).all()


def test_empty_picture():
    assert run(np.zeros((5, 0, 0), np.float32), instances(((0, 0, 9, 9), 0.9, CAR, 5))).panoptic.shape == (0, 0)


def test_classes_of_other_names():
    names = ["person", "car", "boat"]
    values = {"semantic": planes(ROAD), "instances": instances(*[((20 * i, 0, 20 * i + 9, 9), 0.9, i, 9) for i in range(3)])}
    meta = [{"semantic": {"class_names": list(NAMES)}, "instances": {"class_names": names}}]
    config = {"names": {"person": "Pedestrian", "car": "Car"}, "things": list(THINGS), "min_stuff_px": 1}
    (out,) = run_operator(FusePanoptic, [values], config, meta=meta)
    assert sorted(out.labels.tolist()) == [ROAD, CAR, PEDESTRIAN]


@pytest.mark.parametrize(("change", "message"), [
    ({"label": 7}, r"fusepanoptic.instances: needs labels of the 5 class_names, got 7"),
    ({"label": -1}, r"needs labels of the 5 class_names, got -1"),
    ({"class_names": ["a"]}, r"semantic: needs the fact class_names with 5 names, got 1"),
    ({"things": None}, r"semantic: needs the fact things, got none; name them with config.things\?"),
    ({"things": ["Tram"]}, r"things: needs names of road, building, sky, Car, Pedestrian, got Tram"),
    ({"cells": 0}, r"instances: needs masks of 1 x 1 cells or more, got \(0, 0\)"),
    ({"ids": [1, 2]}, r"instance_ids: needs 1 rows as instances, got 2"),
    ({"ids": [7, 7], "num": 2}, r"fusepanoptic.instance_ids: needs every id once in a frame, got 7 again"),
    ({"stride": 4, "image_size": [70, 48]}, r"needs 18 x 12 cells for a picture of 70 x 48 pixels at stride 4, got 70 x 48"),
    ({"stride": 64}, r"needs a picture of at most 2048 x 2048 pixels, got 4480 x 3072"),
])  # fmt: skip
def test_refusals(change, message):
    defaults = (("label", CAR), ("ids", None), ("cells", 4), ("num", 1))
    label, ids, cells, num = (change.pop(key, default) for key, default in defaults)
    with pytest.raises(FrameError, match=message):
        run(planes(ROAD), instances(*[((0, 0, 9, 9), 0.9, label, 5)] * num, size=cells), ids=ids, **change)


@pytest.mark.parametrize(("config", "message"), [
    ({"score_threshold": 2}, r"score_threshold: needs 0..1, got 2"),
    ({"max_overlap": -1}, r"max_overlap: needs 0..1, got -1"),
    ({"min_stuff_px": -1}, r"min_stuff_px: needs 0 or more, got -1"),
    ({"mask_scale": 0.0}, r"mask_scale: needs more than 0, got 0.0"),
    ({"stride": 0}, r"stride: needs 1..64, got 0"),
])  # fmt: skip
def test_config(config, message):
    with pytest.raises(ValueError, match=message):
        PanopticConfig(**config)
