"""Flat, creeping and noisy series are told apart."""

import numpy as np
import pytest

from bench import drift

RANDOM = np.random.default_rng(3)


def bins(ns: np.ndarray) -> np.ndarray:
    histogram = drift.Histogram()
    histogram.add(ns)
    return histogram.bins


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_windows(count):
    with pytest.raises(ValueError, match=f"drift: needs at least 3 windows, got {count}"):
        drift.of_values([1.0] * count)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([100.0] * 3, "flat"),
        ([0.0] * 9, "flat"),
        (np.linspace(100, 104, 54), "flat"),
        (np.linspace(100, 112, 54), "grows"),
        (np.linspace(112, 100, 54), "falls"),
        ([100.0] * 20 + [120.0] * 20, "grows"),
        ([100.0] * 53 + [500.0], "flat"),  # one bad minute
        (100 + RANDOM.normal(0, 1, 54), "flat"),
        (np.linspace(100, 110, 54) + RANDOM.normal(0, 1, 54), "grows"),
        (100 + RANDOM.normal(0, 60, 12), "noisy"),
    ],
    ids=["three", "nothing", "4 %", "12 %", "falls", "step", "outlier", "flat, noise", "creep, noise", "only noise"],
)
def test_verdict_of_values(values, verdict):
    found = drift.of_values(list(values))
    assert found.verdict == verdict, found
    assert found.flat == (verdict == "flat")
    assert found.row()["verdict"] == verdict


def test_a_step_that_medians_of_thirds_do_not_see_is_in_the_trend():
    """A creep that reverses in the last third would pass; both figures see a steady one."""
    found = drift.of_values(list(np.linspace(100, 106, 61)))
    assert found.change == pytest.approx(0.0397, abs=1e-3)
    assert found.trend == pytest.approx(6 / 103, abs=1e-3)
    assert found.verdict == "grows"


def test_trend():
    assert drift.trend([]) == drift.trend([5.0]) == drift.trend([0.0, 1.0, -1.0]) == 0.0
    assert drift.trend([1.0, 2.0, 3.0]) == pytest.approx(1.0)


def test_quantile_of_all_frames_of_a_third():
    """Not the median of the windows' p99: a window with one frame must weigh less than one with a thousand."""
    windows = [bins(np.full(1000, 10e6)), bins(np.full(1, 90e6))] * 6
    found = drift.of_counts(windows, 0.99)
    assert found.first == found.last == pytest.approx(10e6, rel=0.01)
    assert drift.quantile(windows[1], 0.99) == pytest.approx(90e6, rel=0.01)
    assert drift.quantile(windows[0] * 0, 0.99) is None


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "flat"), (1.12, "grows"), (0.88, "falls")])
def test_verdict_of_counts(factor, verdict):
    random = np.random.default_rng(5)
    windows = [bins(random.gamma(30, 0.2e6, 600) * (1 + (factor - 1) * i / 53)) for i in range(54)]
    found = drift.of_counts(windows, 0.99)
    assert found.verdict == verdict, found
    assert found.low < found.change < found.high


@pytest.mark.parametrize("creep", [0.0, 0.3])
def test_a_machine_that_slows_down_is_told_from_a_creep(creep):
    """Latency follows the machine, which is slow increasingly often; an additional creep is seen at any speed."""
    random = np.random.default_rng(7)
    slow = np.clip(np.linspace(0.3, 0.7, 54) + random.normal(0, 0.15, 54), 0, 1)  # share of each minute
    factors = [np.where(random.random(600) < share, 1.4, 1.0) for share in slow]
    windows = [bins(random.gamma(30, 0.2e6, 600) * f * (1 + creep * i / 53)) for i, f in enumerate(factors)]
    bare = [float(257 * f.mean()) for f in factors]
    assert drift.of_counts(windows, 0.5).change > 0.05
    found = drift.at_equal_speed(windows, bare, 0.5)
    assert found["low"] <= found["change"] <= found["high"]
    if creep:
        assert found["low"] > 0.05
    else:
        assert abs(found["change"]) < 0.03


def test_too_few_windows_to_tell_speeds_apart():
    assert drift.at_equal_speed([bins(np.full(9, 1e6))] * 11, [1.0] * 11, 0.5) is None
    assert drift.at_equal_speed([bins(np.full(9, 1e6))] * 12, [1.0] * 12, 0.5) == {"change": 0.0, "low": 0.0, "high": 0.0}
    assert drift.at_equal_speed([bins(np.zeros(0))] * 12, [1.0] * 12, 0.5) is None
