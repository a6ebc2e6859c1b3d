"""The bench of batches: its graph loads, and the figures have their names. What it measures is for `pipe bench batch`."""

from bench import batch as bench
from pipeline import api


def test_the_items_take_their_time_and_all_figures_come(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "WORKERS", (1, 2))
    monkeypatch.setattr(bench, "engines_here", lambda: ["local"])
    monkeypatch.setattr(bench, "_seconds", lambda command, given=None: 2.0)
    monkeypatch.setattr(bench.os, "sched_getaffinity", lambda pid: {0})
    out = bench.main(per_worker=3)
    monkeypatch.undo()
    assert out["figures"] == {
        "compute.1.xargs": 1.5,
        "compute.1.local": 1.5,
        "sleep.1.xargs": 1.5,
        "sleep.1.local": 1.5,
        "sleep.2.xargs": 3.0,
        "sleep.2.local": 3.0,
    }
    graph = tmp_path / "graph.yaml"
    graph.write_text(bench.GRAPH)
    for sleep in (True, False):
        sets = {"work.config.item": "a", "work.config.seconds": 0.05, "work.config.sleep": sleep}
        outcome = api.run(graph, sets, out=tmp_path / str(sleep), place="inline")
        assert outcome.report["frames"] == 1 and outcome.report["nodes"]["work"]["compute_ms"]["p50"] >= 49
