"""Parts of `pipe bench panoptic` on few frames: hops of the logits, a scan in the graph."""

import pytest

from bench import panoptic_hop, panoptic_lidar


@pytest.mark.slow
def test_the_hop_of_logits_copies_nothing(monkeypatch):
    monkeypatch.setattr(panoptic_hop, "FRAMES", dict.fromkeys(panoptic_hop.SIZES, 30))
    table = panoptic_hop.rows()
    assert [row.mb for row in table] == [8e-6, pytest.approx(9.96, abs=0.01), pytest.approx(159.4, abs=0.1)]
    assert table[1].fill_ms < table[2].fill_ms and all(row.us > 0 for row in table)
    assert len(panoptic_hop.lines(table)) == 4


@pytest.mark.slow
def test_scans_through_parts_and_graph(monkeypatch):
    """Of a small net; its time is of no interest here."""
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from operators.nets.efficientps_config import EfficientPSConfig
    from operators.panoptic_classes import WORLD_CLASSES, WORLD_THINGS

    light = {"width": 0.25, "depth": 0.1, "channels": 8, "semantic_channels": 4, "hidden": 8, "embedding": 4}
    config = EfficientPSConfig(WORLD_CLASSES[:8] + WORLD_THINGS, WORLD_THINGS, (2048, 64), **light)
    monkeypatch.setattr(panoptic_lidar, "MODELS", panoptic_lidar.MODELS / "none")
    monkeypatch.setattr(panoptic_lidar, "untrained", lambda: config)
    found = panoptic_lidar.rows(1, scans=2)
    assert found["weights"] == "a net that was never trained" and found["graph, segment"] > 0 and found["graph, points"] > 0
    assert found["to the points, 5 of 5 x 5"] > 0 and len(panoptic_lidar.lines(found)) == len(found)
