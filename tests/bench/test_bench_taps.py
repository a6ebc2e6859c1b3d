"""A small taps bench: a viewer that is not there, reads, is stopped."""

import pytest

from bench import taps

pytest.importorskip("foxglove", reason="needs foxglove-sdk: pip install 'perception-pipe[foxglove]'")


@pytest.mark.slow
def test_every_mode_has_a_latency(monkeypatch):
    monkeypatch.setattr(taps, "SETTLE_S", 2.0)
    figures = taps.main(seconds=1.0, turns=1)["figures"]
    assert set(figures) == {f"{mode}.{what}" for mode in taps.MODES for what in ("p50_ms", "p99_ms", "p99_ratio", "missed")}
    assert figures["none.p99_ratio"] == 1.0 and all(figures[f"{mode}.p50_ms"] > 0 for mode in taps.MODES)
