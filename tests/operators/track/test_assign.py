from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from operators.track.assign import distance_cost, giou_cost, greedy, hungarian, iou_cost, match


def cars(*x):
    """At these metres ahead, 4 m long"""
    return np.array([(v, 0, 0, 4, 2, 2, 0) for v in x], np.float64).reshape(-1, 7)


@pytest.mark.parametrize("matching", ["hungarian", "greedy"])
@pytest.mark.parametrize(("dets", "tracks"), [((), ()), ((1,), ()), ((), (1,))])
def test_nobody_to_match(dets, tracks, matching):
    assert match(cars(*dets), cars(*tracks), "giou_3d", -0.2, matching).shape == (0, 2)


@pytest.mark.parametrize(
    ("metric", "threshold", "apart", "matched", "why"),
    [
        ("giou_3d", -0.2, 6, True, "GIoU -0.2 exactly: stays"),
        ("giou_3d", -0.2, 6.1, False, "beyond"),
        ("iou_3d", 0.01, 3.9, True, "touching by 10 cm"),
        ("iou_3d", 0.01, 4.0, False, "end to end"),
        ("distance_3d", 2.0, 2.0, True, "2 m exactly: stays"),
        ("distance_3d", 2.0, 2.01, False, "beyond"),
    ],
)
def test_one_pair_and_the_limit(metric, threshold, apart, matched, why):
    got = match(cars(0), cars(apart), metric, threshold - 1e-12 * (metric == "giou_3d"), "hungarian")
    assert got.tolist() == ([[0, 0]] if matched else []), why


@pytest.mark.parametrize(
    ("cost", "by_hungarian", "by_greedy", "why"),
    [
        ([[1.0, 2.0], [1.5, 9.0]], [[0, 1], [1, 0]], [[0, 0], [1, 1]], "greedy takes the cheapest and pays later"),
        ([[5.0, 1.0, 3.0]], [[0, 1]], [[0, 1]], "one detection, three tracks"),
        ([[5.0], [1.0], [3.0]], [[1, 0]], [[1, 0]], "three detections, one track"),
        ([[2.0, 2.0], [2.0, 2.0]], [[0, 0], [1, 1]], [[0, 0], [1, 1]], "ties go to the first"),
    ],
)
def test_assignments_by_hand(cost, by_hungarian, by_greedy, why):
    cost = np.array(cost)
    assert hungarian(cost).tolist() == by_hungarian, why
    assert greedy(cost).tolist() == by_greedy, why


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.floats(-10, 10)))
def test_hungarian_costs_no_more_than_any_other_assignment(cost):
    pairs = hungarian(cost)
    wide = cost if cost.shape[0] <= cost.shape[1] else cost.T
    best = min(sum(wide[i, j] for i, j in enumerate(p)) for p in permutations(range(wide.shape[1]), wide.shape[0]))
    assert cost[pairs[:, 0], pairs[:, 1]].sum() == pytest.approx(best, abs=1e-9)
    for column in pairs.T:
        assert len(set(column.tolist())) == len(column) == min(cost.shape)


def test_greedy_leaves_its_costs_alone_and_uses_everyone_once():
    cost = np.random.default_rng(0).random((7, 4))
    before = cost.copy()
    pairs = greedy(cost)
    np.testing.assert_array_equal(cost, before)
    assert sorted(pairs[:, 1].tolist()) == [0, 1, 2, 3] and len(set(pairs[:, 0].tolist())) == 4
    taken = cost[pairs[:, 0], pairs[:, 1]]
    assert taken[0] == cost.min() and (np.diff(taken) >= 0).all()


def test_pairs_beyond_the_limit_are_undone_after_the_assignment():
    """Tracks at 0 and 3; detections at -1.5 and 0.9: the total decides for 0-0 and 1-3, and then 1-3 is too far, although
    detection 1 lies near track 0."""
    got = match(cars(-1.5, 0.9), cars(0, 3), "distance_3d", 2.0, "hungarian")
    assert got.tolist() == [[0, 0]]


@pytest.mark.parametrize(("cost", "expected"), [(giou_cost, -1.0), (iou_cost, -1.0), (distance_cost, 0.0)])
def test_costs_have_a_row_per_detection_and_favour_the_same_place(cost, expected):
    got = cost(cars(0, 50, 100), cars(50, 200))
    assert got.shape == (3, 2)
    assert got[1, 0] == pytest.approx(expected) and got[1, 0] == got.min()
