import naive_decoders2d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from operators.kernels import nms

CAR = (10, 5, -1, 4, 2, 1.5, 0.0)


def stay(boxes, max_iou, room=100, function=nms.nms_bev):
    kept = np.full(room, -7, np.int64)
    num = function(np.array(boxes, np.float64).reshape(-1, 7), max_iou, kept)
    assert (kept[num:] == -7).all(), "nothing beyond what stays is touched"
    return kept[:num].tolist()


def test_none():
    assert stay([], 0.1) == []


@pytest.mark.parametrize(
    ("other", "max_iou", "kept", "why"),
    [
        (CAR, 0.99, [0], "itself"),
        ((12, 5, -1, 4, 2, 1.5, 0.0), 0.3, [0], "IoU 1/3, above"),
        ((12, 5, -1, 4, 2, 1.5, 0.0), 0.34, [0, 1], "IoU 1/3, below"),
        ((14, 5, -1, 4, 2, 1.5, 0.0), 0.0, [0, 1], "end to end: no overlap is not above 0"),
        ((10, 5, 9, 4, 2, 1.5, 0.0), 0.5, [0], "far above it: seen from above the same"),
        ((10, 5, -1, 2, 4, 1.5, np.pi / 2), 0.99, [0], "the same footprint by other numbers"),
        ((10, 5, -1, 4, 2, 1.5, np.pi / 2), 0.34, [0, 1], "a cross, IoU 1/3"),
    ],
)
def test_two_by_hand(other, max_iou, kept, why):
    assert stay([CAR, other], max_iou) == kept, why


def test_what_went_suppresses_nothing():
    """A chain: the first box suppresses the middle one, so the last, which overlaps only the middle, stays."""
    chain = [(x, 0, 0, 4, 2, 2, 0) for x in (0, 2, 4)]
    assert stay(chain, 0.3) == [0, 2]


def test_no_more_than_there_is_room_for():
    row = [(10 * i, 0, 0, 4, 2, 2, 0) for i in range(9)]
    assert stay(row, 0.1, room=4) == [0, 1, 2, 3]


@settings(deadline=None)  # the first call compiles
@given(
    st.lists(
        st.tuples(*[st.floats(-4, 4, width=32)] * 3, *[st.floats(0.125, 6, width=32)] * 3, st.floats(-3.2, 3.2)),
        max_size=12,
    ),
    st.sampled_from([0.05, 0.3, 0.7]),
)
def test_many_equal_the_naive_way(boxes, max_iou):
    array = np.array(boxes, np.float64).reshape(-1, 7)
    close = [abs(naive.iou_bev(a, b) - max_iou) < 1e-9 for a in array for b in array]
    if not any(close):  # on the border rounding decides
        assert stay(boxes, max_iou) == naive.nms_bev(array, max_iou)


def test_plain_python_computes_the_same():
    """What numba compiles, run by the interpreter; under NUMBA_DISABLE_JIT=1 both are the interpreter."""
    rng = np.random.default_rng(1)
    boxes = rng.uniform([-9, -9, -1, 0.5, 0.5, 0.5, -3], [9, 9, 1, 5, 3, 3, 3], (60, 7))
    plain = stay(boxes, 0.2, function=getattr(nms.nms_bev, "py_func", nms.nms_bev))
    assert stay(boxes, 0.2) == plain == naive.nms_bev(boxes, 0.2)
    assert 10 < len(plain) < 50


# ---- boxes in a picture


def stay_2d(boxes, max_iou, groups=None, room=100, function=nms.nms_2d):
    kept = np.full(room, -7, np.int64)
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    groups = np.zeros(len(boxes), np.int64) if groups is None else np.array(groups, np.int64)
    num = function(boxes, groups, max_iou, kept)
    assert (kept[num:] == -7).all(), "nothing beyond what stays is touched"
    return kept[:num].tolist()


@pytest.mark.parametrize(
    ("boxes", "max_iou", "groups", "kept", "why"),
    [
        ([], 0.5, None, [], "none"),
        ([(0, 0, 9, 9)], 0.0, None, [0], "one"),
        ([(0, 0, 4, 2), (2, 0, 6, 2)], 0.3, None, [0], "IoU 1/3, above"),
        ([(0, 0, 4, 2), (2, 0, 6, 2)], 0.34, None, [0, 1], "IoU 1/3, below"),
        ([(0, 0, 4, 2), (2, 0, 6, 2)], 0.3, (1, 2), [0, 1], "of another class"),
        ([(0, 0, 4, 2), (4, 0, 8, 2)], 0.0, None, [0, 1], "side by side"),
        ([(0, 0, 4, 2), (2, 0, 6, 2), (4, 0, 8, 2)], 0.3, None, [0, 2], "what went suppresses nothing"),
    ],
)
def test_boxes_in_a_picture_by_hand(boxes, max_iou, groups, kept, why):
    assert stay_2d(boxes, max_iou, groups) == kept, why


@pytest.mark.parametrize("function", [nms.nms_2d, getattr(nms.nms_2d, "py_func", nms.nms_2d)])
def test_boxes_in_a_picture_equal_the_naive_way(function):
    rng = np.random.default_rng(2)
    boxes = rng.uniform([0, 0, 5, 5], [60, 60, 30, 30], (80, 4))
    boxes[:, 2:] += boxes[:, :2]
    groups = rng.integers(0, 3, 80)
    rows = [(*box, -i, group) for i, (box, group) in enumerate(zip(boxes, groups, strict=True))]
    expected = [-row[4] for row in naive_decoders2d.nms(rows, 0.2)]
    assert stay_2d(boxes, 0.2, groups, function=function) == expected and 10 < len(expected) < 70
    assert stay_2d(boxes, 0.2, groups, room=3, function=function) == expected[:3]
