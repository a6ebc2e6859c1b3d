import numpy as np
import pytest

from operators.kernels import chance

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # without numba the hash wraps aloud

WHOLE = (1 << 64) - 1
KEYS = [(0, 0, 0), (1, 0, 0), (7, 1, 2), (7, 2, 1), (2**62 - 1, 5, 9), (123456789, 2**60, 1023), (3, -1, 4), (3, -(2**40), 0)]


def bits(seed, a, b):
    """splitmix64 in Python's unbounded integers."""
    h = (seed + a * 0x9E3779B97F4A7C15 + b * 0xD1B54A32D192ED03) & WHOLE
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & WHOLE
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & WHOLE
    return h ^ (h >> 31)


@pytest.fixture(params=["compiled", "interpreter"])
def kernel(request, monkeypatch):
    """Under NUMBA_DISABLE_JIT=1 both are the interpreter, which needs NumPy integers for the hash to wrap."""
    if request.param == "interpreter":
        for name in ("_bits", "uniform", "normal", "eight"):
            monkeypatch.setattr(chance, name, getattr(getattr(chance, name), "py_func", getattr(chance, name)))

    return lambda name, *key: getattr(chance, name)(*np.array(key, np.int64))


@pytest.mark.parametrize("key", KEYS)
def test_uniform_is_splitmix64(kernel, key):
    assert kernel("uniform", *key) == (bits(*key) >> 11) / 2**53


@pytest.mark.parametrize("key", KEYS)
def test_normal_is_a_sum_of_four(kernel, key):
    four = [((bits(*key) >> shift) & 0xFFFF) / 65536 for shift in (0, 16, 32, 48)]
    assert kernel("normal", *key) == pytest.approx((sum(four) - 2 + 2 / 65536) * 3**0.5, abs=1e-12)


@pytest.mark.parametrize("key", [(0, 0, 0, 0), (7, 31, 12, 400), (2**62 - 1, 9, 3, 2**40)])
def test_eight_are_of_one_key(kernel, key):
    inner = bits(*key[:3]) >> 1
    assert kernel("eight", *key) == tuple((bits(inner, key[3], k) >> 11) / 2**53 for k in range(8))


def many(function, count, axis):
    """Values along one of seed, a, b."""
    return np.array([function(*(k if axis == n else 11 for n in range(3))) for k in range(count)])


@pytest.mark.parametrize("axis", range(3), ids=["seed", "a", "b"])
def test_uniform_is_uniform_along_each_key(axis):
    values = many(chance.uniform, 20_000, axis)
    assert values.min() >= 0 and values.max() < 1 and len(np.unique(values)) == len(values)
    counts = np.histogram(values, 20, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 44, "chi-squared of 19 degrees, 1 in 1000"
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.03, "neighbours know nothing of each other"


@pytest.mark.parametrize("axis", range(3), ids=["seed", "a", "b"])
def test_normal_is_nearly_normal(axis):
    values = many(chance.normal, 20_000, axis)
    assert abs(values.mean()) < 0.03 and values.std() == pytest.approx(1, abs=0.02) and np.abs(values).max() < 3.7
    assert (np.abs(values) < 1).mean() == pytest.approx(0.683, abs=0.03)
    assert (np.abs(values) < 2).mean() == pytest.approx(0.954, abs=0.02)


def test_eight_know_nothing_of_each_other():
    rows = np.array([chance.eight(7, 3, number, j) for number in range(20) for j in range(100)])
    assert np.abs(np.corrcoef(rows.T) - np.eye(8)).max() < 0.1
    assert rows.mean(0) == pytest.approx([0.5] * 8, abs=0.03)
