"""Percentiles from logarithmic bins, held against numpy's over the raw values."""

import numpy as np
import pytest

from pipeline.runtime.histogram import Histogram

RNG = np.random.default_rng(3)


def filled(values):
    histogram = Histogram()
    for part in np.array_split(np.asarray(values), 7):
        histogram.add(part)
    return histogram


def test_empty_has_no_percentile():
    histogram = Histogram()
    histogram.add(np.zeros(0, np.int64))
    assert histogram.count == 0
    assert histogram.quantile(0.5) is None
    assert histogram.percentiles(1e6, ("p50", "p999")) == {"p50": None, "p999": None}


@pytest.mark.parametrize("ns", [150, 1_000, 123_456, 10**9, 9 * 10**11])
def test_one_value_is_every_percentile(ns):
    histogram = filled([ns])
    for q in (0.0, 0.5, 0.999, 1.0):
        assert histogram.quantile(q) == pytest.approx(ns, rel=0.01)


@pytest.mark.parametrize(
    "values",
    [
        RNG.lognormal(np.log(2e5), 1.5, 20_000),
        RNG.uniform(1e6, 2e6, 5_000),
        np.concatenate([np.full(990, 50_000), np.full(10, 3_000_000_000)]),
        RNG.exponential(1e7, 30_000) + 200,
    ],
    ids=["lognormal", "uniform", "two peaks", "exponential"],
)
@pytest.mark.parametrize("q", [0.05, 0.5, 0.95, 0.99, 0.999])
def test_within_two_percent_of_numpy(values, q):
    values = values.astype(np.int64)
    exact = float(np.quantile(values, q, method="inverted_cdf"))
    assert filled(values).quantile(q) == pytest.approx(exact, rel=0.02)


def test_out_of_range_is_counted_at_the_ends():
    histogram = filled([0, -5, 3, 10**15])
    assert histogram.count == 4
    assert histogram.quantile(0.5) == pytest.approx(100, rel=0.02)
    assert histogram.quantile(1.0) >= 0.9e12


def test_units():
    assert filled([2_000_000] * 3).percentiles(1e6, ("p50", "p99")) == {
        "p50": pytest.approx(2.0, rel=0.01),
        "p99": pytest.approx(2.0, rel=0.01),
    }


def test_counts_up_to_bounds_and_the_sum():
    values = RNG.lognormal(np.log(2e6), 1.5, 20_000).astype(np.int64)
    bounds = np.array([1e5, 1e6, 2.5e6, 1e7, 1e13])
    for bound, count in zip(bounds, filled(values).upto(bounds), strict=True):
        assert (values <= bound * 0.98).sum() <= count <= (values <= bound * 1.02).sum()
    assert filled(values).sum_ns() == pytest.approx(values.sum(), rel=0.005)
    assert (Histogram().upto(bounds), Histogram().sum_ns()) == ([0] * 5, 0.0)
