"""Every method writes its frames, in a small run; rates are not tested."""

import pytest

from bench import record


def test_each_way_once(tmp_path):
    pytest.importorskip("mcap")
    rates = record.measure(tmp_path, 65_536, 40, rounds=1)
    assert set(rates) == set(record.WAYS) and all(len(found) == 1 and found[0] > 0 for found in rates.values())
    assert list(tmp_path.iterdir()) == [], "nothing is left"
