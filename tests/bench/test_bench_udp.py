import pytest

from bench import udp as bench


@pytest.mark.slow
def test_every_sensor_has_a_row_per_rate(monkeypatch, capsys):
    monkeypatch.setattr(bench, "SENSORS", {"small": (100, 64)})
    monkeypatch.setattr(bench, "QUIET_S", 0.2)
    got = bench.main(seconds=0.1)
    assert [(row["rate"], row["of"]) for row in got["rows"]] == [(1, 10), (2, 20)]
    assert set(got["figures"]) == {"small.1x.lost", "small.1x.cpu_us", "small.2x.lost", "small.2x.cpu_us"}
    assert got["figures"]["small.1x.lost"] == 0
    assert "small" in capsys.readouterr().out
