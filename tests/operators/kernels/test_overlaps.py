import numpy as np
import pytest

from operators.kernels import overlaps

BOX = (0, 0, 10, 10)


def boxes(*rows):
    return np.array(rows, np.float64).reshape(-1, 4)


def iou(a, b):
    out = np.full((len(a), len(b)), np.nan)
    overlaps.iou_2d(a, b, out)
    return out


@pytest.mark.parametrize(
    ("other", "expected", "why"),
    [
        (BOX, 1, "itself"),
        ((5, 0, 15, 10), 1 / 3, "half of it"),
        ((10, 0, 20, 10), 0, "side by side"),
        ((2, 2, 7, 7), 0.25, "inside"),
        ((5, 5, 5, 9), 0, "no width"),
        ((9, 9, 1, 1), 0, "upside down: its area is positive, it shares none"),
    ],
)
def test_iou_by_hand(other, expected, why):
    assert iou(boxes(BOX), boxes(other))[0, 0] == pytest.approx(expected), why
    assert iou(boxes(other), boxes(BOX))[0, 0] == pytest.approx(expected), why


def test_iou_of_none():
    assert iou(boxes(), boxes(BOX)).shape == (0, 1) and iou(boxes(BOX), boxes()).shape == (1, 0)


@pytest.mark.parametrize(
    ("region", "expected", "why"),
    [
        ((0, 0, 10, 5), False, "half is not more than half"),
        ((0, 0, 10, 6), True, "more"),
        ((-100, -100, 100, 100), True, "all of it; the region's size does not matter"),
        ((20, 20, 30, 30), False, "elsewhere"),
    ],
)
def test_mostly_within(region, expected, why):
    assert overlaps.mostly_within(np.array(BOX, float), boxes(region), 0.0) == expected, why
    assert not overlaps.mostly_within(np.array((5, 5, 5, 9), float), boxes(region), 0.0), "no area"


def test_mostly_within_one_region_not_within_two():
    assert not overlaps.mostly_within(np.array(BOX, float), boxes((0, 0, 10, 4), (0, 4, 10, 8)), 0.0)


LOW, HIGH = (0, 0, 100, 25), (0, 0, 100, 26)


@pytest.mark.parametrize(
    ("truth", "aside", "tracks", "regions", "kept", "pairs", "why"),
    [
        ([], [], [], [], [], [], "nothing"),
        ([HIGH], [False], [], [], [], [], "no tracks"),
        ([], [], [HIGH], [], [True], [], "wrong, and stays"),
        ([], [], [LOW], [], [False], [], "too low to be wrong"),
        ([LOW], [False], [LOW], [], [True], [1], "low, but it matches"),
        ([HIGH], [True], [HIGH], [], [False], [], "goes with the truth that is aside"),
        ([HIGH], [False], [HIGH, HIGH], [], [True, True], [1, 1], "one matches, the other is wrong"),
        ([], [], [HIGH], [(0, 0, 100, 20)], [False], [], "in a region"),
        ([HIGH], [False], [HIGH], [(0, 0, 100, 20)], [True], [1], "in a region, but it matches"),
        ([HIGH, HIGH], [True, False], [HIGH], [], [False], [], "the first truth gets it, and is aside"),
        ([HIGH], [False], [(0, 0, 49, 26)], [], [True], [0.49], "less than half: no match, but the pair is there"),
    ],
)
def test_prepare_one_frame(truth, aside, tracks, regions, kept, pairs, why):
    got_kept, similarity = np.zeros(len(tracks), bool), np.full(len(truth) * len(tracks), np.nan)
    starts = [np.array([0, len(rows)]) for rows in (truth, tracks, regions)]
    aside = np.array(aside, bool)
    n = overlaps.prepare(
        boxes(*truth), starts[0], aside, ~aside, boxes(*tracks), starts[1], boxes(*regions), starts[2], 25.0, got_kept, similarity
    )
    assert got_kept.tolist() == kept, why
    assert similarity[:n].tolist() == pytest.approx(pairs), why


def test_truth_that_takes_no_track_with_it_but_does_not_count():
    kept, similarity, one, no = np.zeros(1, bool), np.full(1, np.nan), np.array([0, 1]), np.zeros(1, bool)
    n = overlaps.prepare(boxes(HIGH), one, no, no, boxes(HIGH), one, boxes(), np.array([0, 0]), 25.0, kept, similarity)
    assert n == 0 and kept.tolist() == [True]


def test_all_pairs_of_frames_in_turn():
    a, b = boxes(BOX, BOX, BOX), boxes(BOX, (5, 0, 15, 10))
    out = np.empty(1 * 1 + 2 * 0 + 0 * 1)
    overlaps.all_pairs(a, np.array([0, 1, 3, 3]), b, np.array([0, 1, 1, 2]), False, out)
    assert out.tolist() == [1]


@pytest.mark.parametrize("size", [(0, 2, 1), (4, -2, 1), (4, 2, -1)])
def test_without_volume_nothing_is_shared(size):
    good, bad = np.array([[0, 0, 0, 4, 2, 1, 0.0]]), np.array([[0, 0, 0, *size, 0.0]])
    one = np.array([0, 1])
    for a, b, expected in ((good, good, 1), (good, bad, 0), (bad, good, 0), (bad, bad, 0)):
        out = np.full(1, np.nan)
        overlaps.all_pairs(a, one, b, one, True, out)
        assert out.tolist() == pytest.approx([expected])
        assert good[0, 3] == 4
