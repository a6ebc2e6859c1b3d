import pytest

from bench import velodyne as bench


@pytest.mark.slow
def test_clouds_come_and_cost_something(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PIPE_DATA", str(tmp_path))
    got = bench.main(seconds=0.3, rounds=1)
    assert [(row["rate"], row["scans"] > 0, row["lost"]) for row in got["rows"]] == [(1, True, 0), (2, True, 0)]
    assert got["figures"]["ours.ms_per_scan"] > 0
    assert "made by the manual" in capsys.readouterr().out
