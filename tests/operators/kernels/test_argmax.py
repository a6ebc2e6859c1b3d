import numpy as np
import pytest

from operators.kernels.argmax import best_class


def best_of(scores, function=best_class):
    best, classes = np.empty(scores.shape[1:], np.float32), np.empty(scores.shape[1:], np.uint8)
    function(scores, best, classes)
    return best, classes


@pytest.mark.parametrize("function", [best_class, getattr(best_class, "py_func", best_class)])
@pytest.mark.parametrize("shape", [(1, 2, 3), (4, 1, 1), (20, 5, 7), (3, 0, 4)])
def test_equals_numpy(function, shape):
    scores = np.random.default_rng(0).integers(-3, 3, shape).astype(np.float32)  # ties: the first
    best, classes = best_of(scores, function)
    np.testing.assert_array_equal(classes, scores.argmax(0))
    np.testing.assert_array_equal(best, scores.max(0))


def test_nan_loses():
    scores = np.array([[[np.nan, np.nan]], [[1, np.nan]], [[np.nan, np.nan]]], np.float32)
    best, classes = best_of(scores)
    assert classes.tolist() == [[1, 0]] and best.tolist() == [[1, -np.inf]]
