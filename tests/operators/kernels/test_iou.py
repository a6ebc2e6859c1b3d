import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from operators.kernels import iou

CAR = (10, 5, -1, 4, 2, 1.5, 0.3)


def overlap(function, a, b):
    a, b = (np.array(v, np.float64).reshape(-1, 7) for v in (a, b))
    out = np.full((len(a), len(b)), np.nan)
    function(a, b, out)
    return out


def boxes():
    spot, size, angle = st.floats(-4, 4, width=32), st.floats(0.125, 6, width=32), st.floats(-3.2, 3.2)
    return st.lists(st.tuples(spot, spot, spot, size, size, size, angle), min_size=1, max_size=4)


@pytest.mark.parametrize("function", [iou.iou_3d, iou.giou_3d, iou.iou_bev])
@pytest.mark.parametrize(("a", "b", "shape"), [([], [], (0, 0)), ([], [CAR], (0, 1)), ([CAR], [], (1, 0))])
def test_none(function, a, b, shape):
    assert overlap(function, a, b).shape == shape


@pytest.mark.parametrize(
    ("other", "expected_iou", "expected_giou", "why"),
    [
        ((0, 0, 0, 4, 2, 2, 0), 1, 1, "itself"),
        ((0, 0, 0, 4, 2, 2, -np.pi), 1, 1, "turned round"),
        ((2, 0, 0, 4, 2, 2, 0), 1 / 3, 1 / 3, "half of it further: the hull is the union"),
        ((4, 0, 0, 4, 2, 2, 0), 0, 0, "end to end"),
        ((6, 0, 0, 4, 2, 2, 0), 0, -0.2, "a gap of 2 in a hull of 10"),
        ((0, 0, 3, 4, 2, 2, 0), 0, -0.2, "a gap of 1 above, in a hull of 5"),
        ((0, 0, 0, 2, 2, 2, 0), 1 / 2, 1 / 2, "inside"),
        ((0, 0, 0, 2, 4, 2, np.pi / 2), 1, 1, "the same box with length and width swapped"),
        ((0, 0, 0, 2, 4, 2, 0), 1 / 3, 1 / 3 - 2 / 14, "a cross: its hull is 14 of 16"),
    ],
)
def test_one_pair_by_hand(other, expected_iou, expected_giou, why):
    one = (0, 0, 0, 4, 2, 2, 0)
    assert overlap(iou.iou_3d, [one], [other])[0, 0] == pytest.approx(expected_iou, abs=1e-12), why
    assert overlap(iou.giou_3d, [one], [other])[0, 0] == pytest.approx(expected_giou, abs=1e-12), why


@settings(deadline=None)  # the first call compiles
@given(boxes(), boxes())
def test_many_equal_the_naive_polygons(a, b):
    expected = np.array([[naive.overlap_3d(np.array(p), np.array(q)) for q in b] for p in a])
    np.testing.assert_allclose(overlap(iou.iou_3d, a, b), expected[..., 0], atol=1e-9)
    np.testing.assert_allclose(overlap(iou.giou_3d, a, b), expected[..., 1], atol=1e-9)


@settings(deadline=None)  # the first call compiles
@given(boxes(), boxes())
def test_many_equal_the_naive_polygons_from_above(a, b):
    expected = np.array([[naive.iou_bev(np.array(p), np.array(q)) for q in b] for p in a])
    np.testing.assert_allclose(overlap(iou.iou_bev, a, b), expected, atol=1e-9)


def test_plain_python_computes_the_same():
    """What numba compiles, run by the interpreter; under NUMBA_DISABLE_JIT=1 both are the interpreter."""
    rng = np.random.default_rng(1)
    a, b = rng.uniform([-5, -5, -1, 0.5, 0.5, 0.5, -3], [5, 5, 1, 5, 3, 3, 3], (2, 12, 7))
    plain = np.empty((12, 12))
    getattr(iou.giou_3d, "py_func", iou.giou_3d)(a, b, plain)
    np.testing.assert_allclose(overlap(iou.giou_3d, a, b), plain, atol=1e-12)


def test_far_from_the_origin_nothing_is_lost():
    a, b = np.array(CAR), np.array([11, 5.5, -1, 4, 2, 1.5, 0.4])
    far = np.array([1e5, -1e5, 0, 0, 0, 0, 0])
    assert overlap(iou.giou_3d, a + far, b + far)[0, 0] == pytest.approx(overlap(iou.giou_3d, a, b)[0, 0], abs=1e-8)
