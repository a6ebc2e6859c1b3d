"""Small cases worked out by hand; KITTI's own evaluator on its files is in test_ap_kitti.py."""

import numpy as np
import pytest

from operators.score.ap import KITTI_LEVELS, AveragePrecision, Level, overlap_2d, overlap_3d
from operators.score.tally import recall_thresholds
from operators.streams import CLASSES, Boxes3D, Truth

ALL = (Level("all"),)


def boxes(*xs, y=0.0):
    return np.array([[x, y, 0, 4, 2, 1.5, 0] for x in xs], np.float32).reshape(-1, 7)


def truth(*xs, names="Car", heights=50.0, occluded=0, truncated=0.0):
    n = len(xs)
    boxes2d = np.zeros((n, 4), np.float32)
    boxes2d[:, 2], boxes2d[:, 3] = 80, heights
    labels = [CLASSES.index(name) for name in ([names] * n if isinstance(names, str) else names)]
    return Truth(
        boxes(*xs), boxes2d, np.array(labels, np.int32), np.arange(n), np.full(n, occluded, np.int32), np.full(n, truncated)
    )


def with_region(value, region):
    """The same truth with a DontCare region."""
    return Truth(
        np.concatenate([value.boxes3d, np.full((1, 7), np.nan, np.float32)]),
        np.concatenate([value.boxes2d, np.array([region], np.float32)]),
        np.append(value.labels, np.int32(-1)),
        np.append(value.track_ids, -1),
        np.append(value.occluded, np.int32(-1)),
        np.append(value.truncated, -1.0),
    )


def found(*xs, names="Car", scores=None):
    labels = [CLASSES.index(name) for name in ([names] * len(xs) if isinstance(names, str) else names)]
    scores = np.linspace(0.9, 0.5, len(xs)) if scores is None else np.array(scores)
    return Boxes3D(boxes(*xs), scores.astype(np.float32), np.array(labels, np.int32))


def score(frames, cls="Car", level="all", **settings):
    ap = AveragePrecision(**{"levels": ALL, **settings})
    for frame in frames:
        ap.add(*frame)
    return ap.result()[cls][level]


def test_nothing_at_all():
    for frames in ([], [(found(), truth())]):
        got = score(frames)
        assert (got.r40, got.r11, got.recall, got.num_truth, got.num_found) == (None, None, None, 0, 0)


def test_nothing_found():
    got = score([(found(), truth(10, 20))])
    assert (got.r40, got.r11, got.recall, got.num_truth) == (0.0, 0.0, 0.0, 2)


def test_nothing_to_find():
    got = score([(found(10, 20), truth())])
    assert (got.r40, got.recall, got.num_truth, got.num_found) == (None, None, 0, 2)


def test_all_found():
    """41 boxes: one score per recall point"""
    got = score([(found(10, scores=[1 - k / 100]), truth(10)) for k in range(41)])
    assert (got.r40, got.r11, got.recall) == (100.0, 100.0, 1.0)


def test_one_box_reaches_nothing():
    """The devkit counts points, not recall: of n < 40 boxes (n - 1) / 40."""
    assert score([(found(10), truth(10))]).r40 == 0.0
    assert score([(found(10), truth(10))] * 3).r40 == pytest.approx(100 * 2 / 40)


def test_false_alarms_with_higher_scores():
    """Every second detection is wrong and scores above the right one: precision 1/2 everywhere."""
    frames = [(found(10, 40, scores=[0.9 - k / 100, 0.901 - k / 100]), truth(10)) for k in range(41)]
    assert score(frames).r40 == pytest.approx(50.0, abs=1.5)
    assert score(frames).curve[-1] == pytest.approx(41 / 82)


@pytest.mark.parametrize(
    ("off_m", "right", "why"),
    [(0.0, 1, "same box"), (0.7, 1, "IoU 0.702"), (0.71, 0, "IoU 0.698"), (4.0, 0, "touching")],
)
def test_limit_of_a_car(off_m, right, why):
    got = score([(found(10 + off_m), truth(10))])
    assert got.recall == right, why


def test_two_on_one_truth():
    """Two detections with the same score: one of them is wrong."""
    frames = [(found(10, 10.1, scores=[0.6, 0.6]), truth(10))] * 41
    assert score(frames).curve[0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("classes", "num_truth", "wrong"),
    [({"Car": ["Car"]}, 0, 0), ({"Car": ["Car", "Van"]}, 1, 0), ({"Car": ["Car"], "Other": ["Van"]}, 0, 1)],
    ids=["absorbs", "counts as car", "is another class"],
)
def test_a_van_found_as_a_car(classes, num_truth, wrong):
    """With 41 detected cars, so that there is a precision."""
    frames = [(found(10), truth(10))] * 41 + [(found(10), truth(10, names="Van"))]
    got = score(frames, classes=classes, limits={"Car": 0.7, "Other": 0.7})
    assert got.num_truth == 41 + num_truth
    assert got.curve[0] == pytest.approx(41 / (41 + wrong) if not num_truth else 1.0)


def test_a_pedestrian_is_no_car():
    frames = [(found(10, names="Pedestrian"), truth(10))] * 3
    assert score(frames).recall == 0
    assert score(frames, cls="Pedestrian").num_found == 3


@pytest.mark.parametrize(
    ("height", "occluded", "truncated", "counts"),
    [(50, 0, 0.15, (1, 1, 1)), (40, 0, 0, (0, 1, 1)), (25, 0, 0, (0, 0, 0)), (50, 1, 0, (0, 1, 1)), (50, 2, 0, (0, 0, 1)),
     (50, 3, 0, (0, 0, 0)), (50, 0, 0.4, (0, 0, 1))],
)  # fmt: skip
def test_what_counts_at_which_level(height, occluded, truncated, counts):
    ap = AveragePrecision()
    ap.add(found(10), truth(10, heights=height, occluded=occluded, truncated=truncated), np.array([[0, 0, 80, 50.0]]))
    result = ap.result()["Car"]
    assert tuple(result[level.name].num_truth for level in KITTI_LEVELS) == counts


def test_low_detections_are_not_wrong_and_absorb_truth_of_any_class():
    low = np.array([[0, 0, 10, 24.0]])
    ap = AveragePrecision()
    ap.add(found(30), truth(), low)
    ap.add(found(10, names="Cyclist"), truth(10, heights=30.0), low)
    got = ap.result()["Car"]["moderate"]
    assert (got.num_truth, got.num_found, got.recall) == (1, 0, 0.0)


def test_range():
    """Truth at 30 m counts, at 60 m it absorbs; a detection at 60 m is not wrong."""
    near = Level("near", max_range_m=50)
    frames = [(found(30), truth(30)), (found(60), truth(60)), (found(70), truth())] * 41
    got = score(frames, levels=[near], level="near")
    assert (got.r40, got.num_truth, got.num_found) == (100.0, 41, 41)


@pytest.mark.parametrize(
    ("region", "forgive", "precision"),
    [((0, 0, 100, 100), True, 1.0), ((0, 0, 100, 100), False, 0.5), ((0, 0, 60, 100), True, 0.5)],
    ids=["inside", "as the devkit in 3D", "60 % inside, a car needs 70 %"],
)
def test_dontcare(region, forgive, precision):
    in_picture = np.array([[200, 0, 300, 100.0], [0, 0, 100, 100.0]])
    frames = [(found(10, 40, scores=[0.5, 0.9]), with_region(truth(10), region), in_picture)] * 41
    assert score(frames, dontcare=forgive).curve[0] == pytest.approx(precision)


def test_result_in_between_changes_nothing():
    ap = AveragePrecision(levels=ALL)
    rng = np.random.default_rng(3)
    for k in range(60):
        ap.add(found(10 + rng.normal(0, 0.4), 20, scores=rng.random(2)), truth(10, 25))
        if k % 20 == 0:
            ap.result()
    again = AveragePrecision(levels=ALL)
    rng = np.random.default_rng(3)
    for _ in range(60):
        again.add(found(10 + rng.normal(0, 0.4), 20, scores=rng.random(2)), truth(10, 25))
    np.testing.assert_array_equal(ap.result()["Car"]["all"].curve, again.result()["Car"]["all"].curve)
    assert 0 < ap.result()["Car"]["all"].r40 < 100


@pytest.mark.parametrize(("right", "num_truth", "taken"), [([], 5, []), ([0.5], 1, [0.5]), ([0.2, 0.9], 2, [0.9, 0.2])])
def test_thresholds_of_a_few(right, num_truth, taken):
    assert recall_thresholds(np.array(right), num_truth).tolist() == taken


def test_thresholds_of_many():
    right = np.random.default_rng(1).random(1000)
    got = recall_thresholds(right, 2000)
    assert len(got) == 21, "recall ends at 1/2"
    np.testing.assert_allclose(got[1:], -np.sort(-right)[49::50], atol=2e-3)


def test_overlaps():
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 9]], np.float32)
    b = np.array([[5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(overlap_2d(a, b), [[1 / 3, 0], [0, 0]])
    assert overlap_2d(a[:0], b).shape == (0, 2)
    high = boxes(0)
    high[:, 2] = 100.0
    assert overlap_3d(boxes(0), high).tolist() == [[0.0]]
    assert overlap_3d(boxes(0), high, flat=True).tolist() == [[1.0]]
    flat = boxes(0)
    flat[:, 5] = 0.0
    assert overlap_3d(flat, boxes(0))[0, 0] == pytest.approx(0, abs=1e-6), "a box without height"


def test_boxes_in_the_picture_are_needed_there():
    ap = AveragePrecision(levels=ALL, metric="2d")
    with pytest.raises(ValueError, match="2d: needs boxes2d of the detections, got none"):
        ap.add(found(10), truth(10))
