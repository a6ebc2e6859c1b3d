import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from operators.kernels import lsap

SHAPES = st.tuples(st.integers(0, 9), st.integers(0, 9))
WITH_TIES = SHAPES.flatmap(lambda s: hnp.arrays(np.float64, s, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0, 1000.5])))
WITHOUT = SHAPES.flatmap(lambda s: hnp.arrays(np.float64, s, elements=st.floats(-1e3, 1e3)))


def assigned(cost):
    cost = np.array(cost, np.float64)
    out = np.full(len(cost), 99, np.int64)
    lsap.assign(cost, out)
    return out


def paired(gain):
    gain = np.array(gain, np.float64)
    out = np.full(len(gain), 99, np.int64)
    lsap.best_pairs(gain, out)
    return out


def by_scipy(cost):
    out = np.full(len(cost), -1)
    rows, columns = linear_sum_assignment(cost)
    out[rows] = columns
    return out.tolist()


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_none(shape):
    assert assigned(np.empty(shape)).tolist() == paired(np.empty(shape)).tolist() == [-1] * shape[0]


@pytest.mark.parametrize(
    ("cost", "expected", "why"),
    [
        ([[5.0]], [0], "one"),
        ([[4, 1, 3], [2, 0, 5], [3, 2, 2]], [1, 0, 2], "1 + 2 + 2, though 0 is the least"),
        ([[7, 7], [7, 7]], [0, 1], "all equal: the identity"),
        ([[3, 1], [2, 9], [1, 5]], [1, -1, 0], "more rows than columns"),
        ([[9, 2, 1], [9, 9, 0]], [1, 2], "more columns than rows"),
    ],
)
def test_by_hand(cost, expected, why):
    assert assigned(cost).tolist() == expected, why


@given(st.one_of(WITH_TIES, WITHOUT))
def test_the_assignment_is_scipys_ties_included(cost):
    assert assigned(cost).tolist() == by_scipy(cost)


@pytest.mark.parametrize(
    ("gain", "expected", "why"),
    [
        ([[0, 0], [0, 0]], [-1, -1], "nothing to gain"),
        ([[0, 0.5], [0, 0]], [1, -1], "no choice"),
        ([[0.5, 0.6], [0.4, 0]], [1, 0], "1.0 beats 0.5"),
        ([[0.9, 0.2], [0.3, 0]], [0, -1], "0.9 beats 0.2 + 0.3"),
        ([[0.5, 0.5]], [0], "a tie: the first"),
    ],
)
def test_pairs_by_hand(gain, expected, why):
    assert paired(gain).tolist() == expected, why


@given(WITH_TIES)
def test_pairs_are_scipys_without_the_worthless(gain):
    expected = [j if j >= 0 and gain[i, j] > 0 else -1 for i, j in enumerate(by_scipy(-gain))]
    assert paired(gain).tolist() == expected


def test_plain_python_computes_the_same():
    """What numba compiles, run by the interpreter; under NUMBA_DISABLE_JIT=1 both are the interpreter."""
    cost = np.random.default_rng(3).integers(0, 4, (6, 6)).astype(np.float64)
    python = getattr(lsap._solve, "py_func", lsap._solve)
    out = np.full(6, -1, np.int64)
    python(cost, out)
    assert out.tolist() == assigned(cost).tolist() == by_scipy(cost)
