import numpy as np
import pytest

import naive
from operators.kernels.match import ABSORBS, COUNTS, FORGIVEN, NO_PART, match


def frame(rng, num_truth, num_found):
    """Overlaps and scores with few distinct values: many ties."""
    overlap = rng.integers(0, 6, (num_truth, num_found)) / 5.0
    roles = rng.choice([NO_PART, COUNTS, ABSORBS], num_truth, p=[0.1, 0.6, 0.3])
    kinds = rng.choice([NO_PART, COUNTS, ABSORBS, FORGIVEN], num_found, p=[0.1, 0.5, 0.2, 0.2])
    return overlap, roles.astype(np.int8), kinds.astype(np.int8), rng.integers(0, 5, num_found) / 4.0


def matched(frames, limit=0.5, kernel=match, angles=None):
    """-> scores of the first pass, steps, missed, each split by frame"""
    overlaps, roles, kinds, scores = zip(*frames, strict=True)
    at_truth, at_found = (np.cumsum([0, *map(len, of)]) for of in (roles, kinds))
    truth_angles, found_angles = angles or (np.zeros(at_truth[-1]), np.zeros(at_found[-1]))
    right, steps, missed = np.empty(at_truth[-1]), np.zeros((at_found[-1], 3)), np.empty(at_truth[-1], bool)
    flat = np.concatenate([overlap.ravel() for overlap in overlaps])
    kernel(
        flat, limit, at_truth, at_found, np.concatenate(roles), np.concatenate(kinds), np.concatenate(scores), truth_angles,
        found_angles, right, steps, missed,
    )  # fmt: skip
    return np.split(right, at_truth[1:-1]), np.split(steps, at_found[1:-1]), np.split(missed, at_truth[1:-1])


def one(overlap, roles, kinds, scores, **settings):
    frames = [(np.array(overlap, float), np.array(roles, np.int8), np.array(kinds, np.int8), np.array(scores, float))]
    (right,), (steps,), (missed,) = matched(frames, **settings)
    return right[~np.isnan(right)].tolist(), steps.tolist(), missed.tolist()


@pytest.mark.parametrize(("num_truth", "num_found"), [(0, 0), (3, 0), (0, 3)])
def test_nothing_to_pair(num_truth, num_found):
    got = one(np.zeros((num_truth, num_found)), [COUNTS] * num_truth, [COUNTS] * num_found, np.ones(num_found))
    assert got == ([], [[0, 1, 0]] * num_found, [True] * num_truth)


def test_an_overlap_at_the_limit_is_none():
    assert one([[0.5]], [COUNTS], [COUNTS], [0.5]) == ([], [[0, 1, 0]], [True])
    assert one([[np.nextafter(0.5, 1)]], [COUNTS], [COUNTS], [0.5]) == ([0.5], [[1, 0, 1]], [False])


def test_first_by_score_then_by_overlap():
    right, steps, _ = one([[0.6, 0.9]], [COUNTS], [COUNTS, COUNTS], [0.9, 0.3])
    assert right == [0.9]
    assert steps == [[1, 0, 1], [0, 1, 0]], "one right at 0.9; at 0.3 the other is right and the first is wrong"


@pytest.mark.parametrize(
    ("role", "kind", "steps", "missed", "why"),
    [
        (COUNTS, COUNTS, [1, 0, 1], False, "right"),
        (COUNTS, FORGIVEN, [1, 0, 1], False, "right, too"),
        (COUNTS, ABSORBS, [0, 0, 0], False, "a low detection: neither right nor missed"),
        (ABSORBS, COUNTS, [0, 0, 0], False, "a van"),
        (NO_PART, COUNTS, [0, 1, 0], False, "another class"),
        (NO_PART, FORGIVEN, [0, 0, 0], False, "in a DontCare region"),
        (COUNTS, NO_PART, [0, 0, 0], True, "found as another class"),
    ],
)
def test_roles(role, kind, steps, missed, why):
    assert one([[0.9]], [role], [kind], [0.5])[1:] == ([steps], [missed]), why


def test_similarity_of_right_pairs():
    settings = {"angles": (np.array([0.3, 0.0]), np.array([0.3 + np.pi / 2, 2.0]))}
    assert one([[0.9, 0], [0, 0]], [COUNTS] * 2, [COUNTS] * 2, [0.5, 0.5], **settings)[1] == [
        [1, 0, pytest.approx(0.5)],
        [0, 1, 0],
    ]


def test_as_the_naive_one():
    """At every threshold, not only at scores; frames of a batch do not meet."""
    rng = np.random.default_rng(4)
    frames = [frame(rng, *rng.integers(0, 7, 2)) for _ in range(300)]
    for (overlap, roles, kinds, scores), right, steps, missed in zip(frames, *matched(frames), strict=True):
        t, d = roles != NO_PART, kinds != NO_PART
        near, counted, left_out = overlap[np.ix_(t, d)], roles[t] == COUNTS, kinds[d] == ABSORBS
        assert right[~np.isnan(right)].tolist() == naive.matched_scores(near, 0.5, counted, left_out, scores[d])
        for threshold in (1.0, 0.8, 0.75, 0.5, 0.3, 0.25, 0.0):
            want = naive.count_matches(near, 0.5, counted, left_out, kinds[d] == FORGIVEN, scores[d], threshold)
            got = steps[scores >= threshold].sum(0)
            assert (got[0], got[1]) == want
            assert got[2] == got[0], "equal angles"
        assert missed.sum() <= (counted.sum() - want[0])


def test_compiled_and_interpreted_are_one():
    """What numba compiles, run by the interpreter; under NUMBA_DISABLE_JIT=1 both are the interpreter."""
    rng = np.random.default_rng(5)
    frames = [frame(rng, 8, 9), frame(rng, 0, 3), frame(rng, 4, 0), frame(rng, 5, 12)]
    plain = matched(frames, kernel=getattr(match, "py_func", match))
    for a, b in zip(matched(frames), plain, strict=True):
        for mine, theirs in zip(a, b, strict=True):
            np.testing.assert_array_equal(mine, theirs)
