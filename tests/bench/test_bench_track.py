import re

import numpy as np
import pytest

from bench import track as bench
from operators.streams import Boxes3D
from pipeline.errors import RunError


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("PIPE_DATA", str(tmp_path))  # nothing there: generated traffic
    generated = bench._generated(30)
    monkeypatch.setattr(bench, "_generated", lambda: generated)
    return generated


def test_a_small_run(monkeypatch, capsys):
    monkeypatch.setattr(bench, "_end_to_end", lambda recording: 123.0)
    monkeypatch.setattr(bench, "_thousand", lambda is_known: 4.5)
    got = bench.main(rounds=1, endless=40)
    figures = got["figures"]
    assert figures["generated.ratio"] == figures["generated.ab3dmot.fps"] / figures["generated.naive twin.fps"]
    assert {row["preset"] for row in got["rows"]} == {"best", "best, no poses", "ab3dmot", "ab3dmot, no poses", "naive twin"}
    assert figures["all.best.fps"] == pytest.approx(figures["generated.best.fps"])
    printed = capsys.readouterr().out
    assert re.search(r"Jetson TX2 +MAXN \| 43\.1\n", printed)
    assert re.search(r"this machine +one core, best \| \d", printed)
    assert "1,000 objects on 200 x 200 m, best, no poses: 4.5 ms" in printed


def test_the_naive_twin_gives_the_same_tracks(small):
    """Else it raises; and it does raise."""
    took = bench._naive(small)
    assert len(took.clock) == len(took.cpu) == 30
    ours = Boxes3D(np.ones((1, 7), np.float32), np.ones(1, np.float32), np.zeros(1, np.int32))
    message = "bench track: generated frame 3: needs the naive twin's 0 tracks, got 1 or others"
    with pytest.raises(RunError, match=f"^{message}$"):
        bench._same(small, 3, ours, [])


def test_a_thousand_objects_take_a_time():
    assert bench._thousand(True, frames=4) > 0
