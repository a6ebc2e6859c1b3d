import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from operators.kernels.greedy import greedy


def pairs_of(cost):
    cost = np.array(cost, np.float64)
    pairs = np.full((min(cost.shape), 2), -1, np.int64)
    greedy(cost, pairs)
    return pairs.tolist()


@pytest.mark.parametrize(
    ("cost", "pairs", "why"),
    [
        (np.empty((0, 3)), [], "no row"),
        (np.empty((3, 0)), [], "no column"),
        ([[7.0]], [[0, 0]], "one"),
        ([[1.0, 2.0], [1.5, 9.0]], [[0, 0], [1, 1]], "takes the cheapest and pays later"),
        ([[5.0, 1.0, 3.0]], [[0, 1]], "more columns"),
        ([[5.0], [1.0], [3.0]], [[1, 0]], "more rows"),
        ([[2.0, 2.0], [2.0, 2.0]], [[0, 0], [1, 1]], "ties go to the first"),
        ([[3.0, 1.0], [0.0, 9.0]], [[1, 0], [0, 1]], "in the order of cost"),
    ],
)
def test_by_hand(cost, pairs, why):
    assert pairs_of(cost) == pairs, why


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(0, 9)))
def test_as_taking_the_minimum_again_and_again(cost):
    left, expected = cost.copy(), []
    for _ in range(min(cost.shape)):
        row, column = divmod(int(left.argmin()), cost.shape[1])
        expected.append([row, column])
        left[row], left[:, column] = np.inf, np.inf
    assert pairs_of(cost) == expected
