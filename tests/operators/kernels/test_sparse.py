import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.optimize import linear_sum_assignment

from operators.kernels.sparse import assign_sparse


def column_of(gains):
    """gains (R, C), 0 = may not be paired"""
    gains = np.array(gains, np.float64)
    rows, columns = np.nonzero(gains)
    out = np.empty(len(gains), np.int64)
    assign_sparse(rows, columns, gains[rows, columns], *gains.shape, out)
    return out


@pytest.mark.parametrize(
    ("gains", "columns", "why"),
    [
        (np.empty((0, 3)), [], "no row"),
        (np.empty((2, 0)), [-1, -1], "no column"),
        (np.zeros((2, 2)), [-1, -1], "nothing may be paired"),
        ([[0.0, 3.0]], [1], "one pair"),
        ([[1.0, 0, 0], [0, 0, 2.0]], [0, 2], "two pieces"),
        ([[5.0, 4.0], [4.0, 0.0]], [1, 0], "the sum counts, not the largest"),
        ([[1.0, 0.0], [3.0, 0.0]], [-1, 0], "one column for two"),
        ([[9.0, 1.0, 0.0], [9.0, 0.0, 0.0], [0.0, 0.0, 7.0]], [1, 0, 2], "a piece of three pairs and one of one"),
    ],
)
def test_by_hand(gains, columns, why):
    assert column_of(gains).tolist() == columns, why


@given(
    arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(0.1, 9)),
    st.integers(0, 2**32 - 1),
    st.floats(0.05, 1),
)
def test_no_assignment_gains_more(gains, seed, share):
    """Compared with scipy on the full matrix, which is mostly 0."""
    gains = np.where(np.random.default_rng(seed).random(gains.shape) < share, gains, 0)
    found = column_of(gains)
    rows = np.flatnonzero(found >= 0)
    assert len(set(found[rows])) == len(rows)
    assert (gains[rows, found[rows]] > 0).all()
    best = linear_sum_assignment(gains, maximize=True)
    assert gains[rows, found[rows]].sum() == pytest.approx(gains[best].sum())
