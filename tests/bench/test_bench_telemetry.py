"""A small telemetry bench: each way to watch a run, with and without events on disk."""

import pytest

from bench import telemetry

pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install 'perception-pipe[metrics]'")


@pytest.mark.slow
def test_every_mode_has_a_rate(capsys):
    figures = telemetry.main(skip_s=1.0, seconds=1.0, turns=1)["figures"]
    assert set(figures) == {f"{mode}.{what}" for mode in telemetry.MODES for what in ("frames_per_s", "lost")}
    assert all(figures[f"{mode}.frames_per_s"] > 0 for mode in telemetry.MODES)
    assert figures["nothing.lost"] == 0.0
