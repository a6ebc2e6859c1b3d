"""A small telemetry bench: each way to watch a run, with and without events on disk."""

import importlib.util

import pytest

from bench import telemetry


@pytest.mark.slow
def test_every_mode_has_a_rate(capsys):
    figures = telemetry.main(skip_s=1.0, seconds=1.0, turns=1)["figures"]
    known = importlib.util.find_spec("prometheus_client") is not None
    modes = telemetry.MODES if known else ("nothing", "events", "top")
    assert set(figures) == {f"{mode}.{what}" for mode in modes for what in ("frames_per_s", "lost")}
    assert all(figures[f"{mode}.frames_per_s"] > 0 for mode in modes)
    assert ("no metrics, pip install" in capsys.readouterr().out) is not known
    assert figures["nothing.lost"] == 0.0
