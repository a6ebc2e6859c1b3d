import importlib.util

import pytest

from bench import eval as bench
from bench.rivals import trackeval
from pipeline.errors import RunError


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("PIPE_DATA", str(tmp_path))  # nothing there: generated tracks
    monkeypatch.setattr(bench, "SEQUENCES", {"0000": 20, "0001": 5})


@pytest.mark.slow
def test_without_trackeval_ours_is_timed_alone(monkeypatch, capsys):
    monkeypatch.setattr(trackeval, "imported", lambda: None)
    got = bench.main(rounds=1)
    assert set(got["figures"]) == {"ours_s", "ab3dmot_s"}
    assert "25 frames, 225 truth and 225 track rows" in got["about"]["data"]
    assert "TrackEval is not installed (make trackeval)" in capsys.readouterr().out


@pytest.mark.skipif(importlib.util.find_spec("trackeval") is None, reason="TrackEval is not installed (make trackeval)")
def test_beside_trackeval(capsys):
    got = bench.main(rounds=1)
    assert got["figures"]["speedup"] == got["figures"]["trackeval_s"] / got["figures"]["ours_s"]
    assert "HOTA, MOTA, IDS, IDTP of both are equal" in capsys.readouterr().out


def test_a_difference_ends_it(monkeypatch):
    other = {"CLEAR": {"IDSW": 3, "MOTA": 0.5}, "Identity": {"IDTP": 7}, "HOTA": {"HOTA": [0.25, 0.75]}}
    trackeval.check_same({"car": {"IDS": 3, "MOTA": 0.5, "IDTP": 7, "HOTA": 0.5}}, {"car": other})
    with pytest.raises(RunError, match=r"^bench eval: car IDS: needs TrackEval's 3, got 4$"):
        trackeval.check_same({"car": {"IDS": 4, "MOTA": 0.5, "IDTP": 7, "HOTA": 0.5}}, {"car": other})
