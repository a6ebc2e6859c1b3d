"""Arrays of the net -> objects."""

import numpy as np

from operators.fuse.objects import objects

BOXES = np.array([[0.5, 0.5, 0.2, 0.4], [0.1, 0.1, 0.1, 0.1], [0.25, 0.75, 0.5, 0.5]], np.float32)


def logits(*best, queries=3):
    made = np.full((queries, 4), -9, np.float32)
    for query, (cls, value) in enumerate(best):
        made[query, cls] = value
    return made


def test_objects_are_the_best_class_of_each_query_best_first():
    got = objects(logits((1, 5), (3, 9), (0, 6)), BOXES, 0.1)
    assert got.classes.tolist() == [0, 1], "no object is no box"
    np.testing.assert_allclose(got.boxes, [[0, 0.5, 0.5, 1], [0.4, 0.3, 0.6, 0.7]], atol=1e-6)
    assert got.scores[0] > got.scores[1] > 0.99 and got.boxes.dtype == got.scores.dtype == np.float32


def test_none():
    assert objects(logits((1, 5), (3, 9), (0, 6)), BOXES, 1.0).boxes.shape == (0, 4)
    assert objects(np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32), 0.1).boxes.shape == (0, 4)


def test_large_logits_are_finite():
    assert objects(logits((0, 1e4), queries=1), BOXES[:1], 0.5).scores.tolist() == [1.0]


def test_equal_scores_keep_the_order_of_the_queries():
    got = objects(logits((2, 5), (1, 5), (0, 5)), BOXES, 0.1)
    assert got.classes.tolist() == [2, 1, 0]
