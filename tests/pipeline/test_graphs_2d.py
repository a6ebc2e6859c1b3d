"""Boxes in the image on real data, end to end: KITTI with RRC's detections, and MOTChallenge files."""

import pytest

from operators.score import kitti_tracking, mot


@pytest.mark.data
@pytest.mark.slow
def test_kitti(pipe, shared_data):
    root = shared_data / "kitti_tracking"
    ended = pipe.run(
        "kitti_tracking_2d", "--set", f"dets.config.root={root}", "--set", "dets.config.sequences=all", timeout_s=100
    )
    assert ended.code == 0, ended.stderr
    assert not any(e["dropped"] for e in ended.report["edges"].values())
    found = kitti_tracking.score(root, ended.out / "results")
    car, pedestrian = found["car"], found["pedestrian"]
    assert car["HOTA"] >= 0.79 and car["MOTA"] >= 0.86 and car["IDS"] <= 95, car
    assert pedestrian["HOTA"] >= 0.55 and pedestrian["MOTA"] >= 0.66 and pedestrian["IDS"] <= 15, pedestrian


@pytest.mark.slow
@pytest.mark.data
def test_mot(pipe, shared_data):
    """Detections are the boxes of a published tracker without its ids: our ids are no worse than its own, whose numbers are
    IDF1 62.4, MOTA 55.5, 14 switches."""
    root = shared_data / "mot_tud"
    sets = ("--set", f"dets.config.root={root}", "--set", "dets.config.file=test.txt")
    ended = pipe.run("mot", *sets, timeout_s=100)
    assert ended.code == 0, ended.stderr
    assert ended.report["sinks"]["results"]["frames"] == 250
    found = mot.score(root, ended.out / "results")
    assert found["IDF1"] >= 0.624 and found["MOTA"] >= 0.555 and found["IDS"] <= 10, found
