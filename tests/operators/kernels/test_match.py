import numpy as np
import pytest

import naive
from operators.kernels.match import count_at, found_scores


def frame(rng, num_truth, num_found):
    """Overlaps and scores with few distinct values: many ties."""
    overlap = rng.integers(0, 6, (num_truth, num_found)) / 5.0
    flags = rng.random((3, max(num_truth, num_found))) < [[0.7], [0.2], [0.2]]
    scores = rng.integers(0, 5, num_found) / 4.0
    return overlap, flags[0, :num_truth], flags[1, :num_found], flags[2, :num_found], scores


def count(overlap, counted, left_out, forgiven, scores, thresholds, limit=0.5):
    out = np.zeros((len(thresholds), 2), np.int64)
    count_at(overlap, limit, counted, left_out, forgiven, scores, np.array(thresholds, np.float64), out)
    return out.tolist()


def first_pass(overlap, counted, left_out, scores, limit=0.5):
    out = np.empty(len(counted))
    return out[: found_scores(overlap, limit, counted, left_out, scores, out)].tolist()


@pytest.mark.parametrize(("num_truth", "num_found", "right_wrong"), [(0, 0, [0, 0]), (3, 0, [0, 0]), (0, 3, [0, 3])])
def test_nothing_to_pair(num_truth, num_found, right_wrong):
    none = np.zeros(num_found, bool)
    args = np.zeros((num_truth, num_found)), np.ones(num_truth, bool), none
    assert count(*args, none, np.ones(num_found), [0.5]) == [right_wrong]
    assert first_pass(*args, np.ones(num_found)) == []


def test_an_overlap_at_the_limit_is_none():
    yes, no = np.array([True]), np.array([False])
    for overlap, right_wrong in ((0.5, [0, 1]), (np.nextafter(0.5, 1), [1, 0])):
        assert count(np.array([[overlap]]), yes, no, no, np.array([0.5]), [0.5]) == [right_wrong]


def test_first_by_score_then_by_overlap():
    overlap, counted = np.array([[0.6, 0.9]]), np.array([True])
    left_out = forgiven = np.array([False, False])
    scores = np.array([0.9, 0.3])
    assert first_pass(overlap, counted, left_out, scores) == [0.9]
    assert count(overlap, counted, left_out, forgiven, scores, [0.9, 0.3]) == [[1, 0], [1, 1]]


def test_as_the_naive_one():
    rng = np.random.default_rng(4)
    for _ in range(300):
        overlap, counted, left_out, forgiven, scores = frame(rng, *rng.integers(0, 7, 2))
        thresholds = [1.0, 0.75, 0.5, 0.25, 0.0]
        got = count(overlap, counted, left_out, forgiven, scores, thresholds)
        want = [list(naive.count_matches(overlap, 0.5, counted, left_out, forgiven, scores, t)) for t in thresholds]
        assert got == want
        assert first_pass(overlap, counted, left_out, scores) == naive.matched_scores(overlap, 0.5, counted, left_out, scores)


def test_compiled_and_interpreted_are_one():
    """What numba compiles, run by the interpreter; under NUMBA_DISABLE_JIT=1 both are the interpreter."""
    overlap, counted, left_out, forgiven, scores = frame(np.random.default_rng(5), 8, 9)
    thresholds, plain = np.array([0.75, 0.25]), np.zeros((2, 2), np.int64)
    getattr(count_at, "py_func", count_at)(overlap, 0.5, counted, left_out, forgiven, scores, thresholds, plain)
    assert count(overlap, counted, left_out, forgiven, scores, thresholds) == plain.tolist()
    out = np.empty(8)
    n = getattr(found_scores, "py_func", found_scores)(overlap, 0.5, counted, left_out, scores, out)
    assert first_pass(overlap, counted, left_out, scores) == out[:n].tolist()
