"""Two scenes side by side become one; what overlaps nothing of another scene comes through unchanged."""

import numpy as np
import pytest

from operators.detect.merge import Merge, MergeConfig, merge
from operators.streams import BOXES3D_LOGIT, BOXES3D_PROBABILITY, Boxes3D
from pipeline.testing import run_operator


def found(*rows):
    """x, y, score, label"""
    boxes = np.array([[x, y, 0, 4, 2, 1.5, 0.3] for x, y, *_ in rows], np.float32).reshape(-1, 7)
    return Boxes3D(boxes, np.array([r[2] for r in rows], np.float32), np.array([r[3] for r in rows], np.int32))


def same(got, expected):
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


def test_nothing_at_all():
    same(merge([found(), found()], MergeConfig()), found())


def test_one_side_is_empty():
    near = found((5, 0, 0.9, 0), (5, 0.5, 0.8, 0))
    same(merge([near, found()], MergeConfig()), near)
    same(merge([found(), near], MergeConfig()), near)


def test_without_objects_at_the_border_it_is_the_union():
    """Also where boxes of one detector overlap each other: its own duplicates are its own matter."""
    random = np.random.default_rng(3)
    near, far = (found(*[(x0 + x, y, s, int(c)) for x, y, s, c in random.random((60, 4)) * [30, 60, 1, 3]]) for x0 in (0, 40))
    near, far = (Boxes3D(*(array[np.argsort(-part.scores)] for array in part)) for part in (near, far))
    got = merge([near, far], MergeConfig())
    assert len(got.scores) == 120 and (np.diff(got.scores) <= 0).all()
    union = np.concatenate([near.boxes3d, far.boxes3d])
    np.testing.assert_array_equal(got.boxes3d[np.lexsort(got.boxes3d.T)], union[np.lexsort(union.T)])


@pytest.mark.parametrize(
    ("parts", "config", "scores", "why"),
    [
        ([found((34, 0, 0.6, 0)), found((35, 0, 0.9, 0))], {}, [0.9], "a car across the border, found by both"),
        ([found((34, 0, 0.6, 0)), found((35, 0, 0.9, 1))], {}, [0.9, 0.6], "of two classes"),
        ([found((34, 0, 0.6, 0)), found((45, 0, 0.9, 0))], {}, [0.9, 0.6], "of two places"),
        ([found((34, 0, 0.6, 0)), found((36.5, 0, 0.9, 0))], {"nms_iou": 0.5}, [0.9, 0.6], "overlap below the limit"),
        ([found((34, 0, 0.8, 0), (35, 0, 0.6, 0)), found((36, 0, 0.9, 0))], {}, [0.9], "both overlap the best"),
        ([found((30, 0, 0.9, 0)), found((32, 0, 0.8, 0)), found((34, 0, 0.7, 0))], {}, [0.9, 0.7], "the middle one is gone"),
        ([found((1, 0, 0.5, 0)), found((9, 0, 0.5, 0))], {"max_boxes": 1}, [0.5], "the first input of equal scores"),
    ],
)
def test_which_boxes_stay(parts, config, scores, why):
    got = merge(parts, MergeConfig(**config))
    np.testing.assert_allclose(got.scores, scores, err_msg=why)
    if "max_boxes" in config:
        assert got.boxes3d[0, 0] == 1


def test_the_node_with_two_and_with_three_inputs():
    sets = [{"a": found((1, 0, 0.9, 0)), "b": found((9, 0, 0.8, 0))}, {"a": found(), "b": found()}]
    outputs = run_operator(Merge, sets)
    assert [out.scores.tolist() for out in outputs] == [pytest.approx([0.9, 0.8]), []]
    (out,) = run_operator(Merge, [sets[0] | {"c": found((20, 0, 0.95, 2))}])
    assert out.labels.tolist() == [2, 0, 0]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"nms_iou": 1.5}, "nms_iou: needs 0 to 1, got 1.5"),
        ({"max_boxes": 0}, "max_boxes: needs 1 to 4096, got 0"),
    ],
)
def test_wrong_values_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        MergeConfig(**config)


def test_logits_are_refused():
    """Scores of different kinds cannot be ranked."""
    for port in Merge.inputs.values():
        schema = getattr(port, "schema", port)
        assert BOXES3D_LOGIT.mismatch(schema) == "needs scores of kind probability, got logit"
        assert BOXES3D_PROBABILITY.mismatch(schema) is None
