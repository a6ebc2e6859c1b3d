import re

import pytest

from bench import track as bench


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("PIPE_DATA", str(tmp_path))  # nothing there: generated traffic
    generated = bench.generated(30)
    monkeypatch.setattr(bench, "generated", lambda: generated)
    return generated


@pytest.mark.slow
def test_a_small_run(monkeypatch, capsys):
    monkeypatch.setattr(bench, "_end_to_end", lambda recording: 123.0)
    monkeypatch.setattr(bench, "_thousand", lambda is_known: 4.5)
    got = bench.main(rounds=1)
    figures = got["figures"]
    assert {row["preset"] for row in got["rows"]} == {"best", "best, no poses", "ab3dmot", "ab3dmot, no poses"}
    assert figures["all.best.fps"] == pytest.approx(figures["generated.best.fps"])
    printed = capsys.readouterr().out
    assert re.search(r"Jetson TX2 +MAXN \| 43\.1\n", printed)
    assert re.search(r"this machine +one core, best \| \d", printed)
    assert "AB3DMOT as published, on its authors' machine: 97 to 212 frames/s" in printed
    assert "1,000 objects on 200 x 200 m, best, no poses: 4.5 ms" in printed


@pytest.mark.slow
def test_a_thousand_objects_take_a_time():
    assert bench._thousand(True, frames=4) > 0
