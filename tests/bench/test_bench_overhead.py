"""A small overhead bench: a chain and a fan-out run, and their cost is a number."""

import pytest

from bench import overhead


@pytest.mark.parametrize("make", [overhead.chain, overhead.fan])
def test_two_operators(make):
    row = overhead.cost(make, 2, 20, 120)
    assert row["frames_per_s"] > 0
    assert set(row) == {"us", "grown_mb", "frames_per_s"}
