"""`pipe plan` from reports; one real run."""

import json
from types import SimpleNamespace

import pytest

from pipeline import api
from pipeline.__main__ import main

GRAPH = """version: 1
nodes:
  scans: {driver: synthetic.traffic, config: {frames: 6}}
  clusters: {op: lidar.cluster, inputs: {points: scans.points}}
  sink: {op: test.null, inputs: {in: clusters.boxes3d}}
"""


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text(GRAPH)
    return path


@pytest.fixture
def report(tmp_path):
    nodes = {
        "scans": {"in": 0, "compute_ms": {"p50": 5.0}, "rss_mb": 90.0},
        "clusters": {"in": 100, "compute_ms": {"p50": 40.0}, "rss_mb": 120.0},
        "sink": {"in": 50, "compute_ms": {"p50": 1.0}, "rss_mb": 60.0},
    }
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"frames": 100, "nodes": nodes}))
    return path


@pytest.mark.parametrize("device, ms, fps", [("tx2", 57.74, 17.3), ("xavier", 41.63, 24.0), ("orin", 35.82, 27.9)])
def test_from_a_report(graph, report, tmp_path, capsys, device, ms, fps):
    assert main(["plan", str(graph), "--device", device, "--report", str(report), "--json", str(tmp_path / "o.json")]) == 0
    out = capsys.readouterr().out
    assert "PREDICTED from times on this machine; nothing ran on such a board" in out
    assert f"clusters         cpu        40.00 {ms:12.2f}        120" in out and "sensor" in out
    assert f"frames/s: {fps} predicted, limited by process clusters" in out and "error of the prediction: nets" in out
    made = json.loads((tmp_path / "o.json").read_text())
    assert made["predicted"] is True and made["nodes"][2]["here_ms"] == 0.5 and len(made["checked"]) == 3


@pytest.mark.parametrize("exit_", ["completed", "failed"])
def test_without_a_report_the_graph_runs_here_first(graph, report, capsys, monkeypatch, exit_):
    def ran(name, sets, *, out, frames, duration_s, quiet):
        assert (name, sets, quiet) == (str(graph), ["scans.config.frames=7"], True) and frames <= 30 and duration_s <= 20
        return SimpleNamespace(exit=exit_, errors=["clusters: killed"], report=json.loads(report.read_text()))

    monkeypatch.setattr(api, "run", ran)
    done = main(["plan", str(graph), "--device", "orin", "--set", "scans.config.frames=7"])
    said = capsys.readouterr()
    if exit_ == "completed":
        assert done == 0 and "frames/s: 27.9 predicted" in said.out
    else:
        assert done == 1 and "g.yaml: needs to run here first, but failed: clusters: killed" in said.err


@pytest.mark.parametrize(
    "words, text",
    [
        (["--device", "nano"], "invalid choice: 'nano'"),
        ([], "--device"),
        (["--device", "orin", "--mips", "0"], "--mips: needs more than 0, got 0"),
        (["--device", "orin", "--report", "nowhere.json"], "nowhere.json: needs the report of a run (report.json), got: "),
        (["--device", "orin", "--report", "{graph}"], "g.yaml: needs the report of a run (report.json), got: "),
    ],
)
def test_wrong_words(graph, capsys, words, text):
    try:
        code = main(["plan", str(graph), *(word.format(graph=graph) for word in words)])
    except SystemExit as wrong:  # of argparse
        code = wrong.code
    assert code == 2 and text in capsys.readouterr().err


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda r: r["nodes"].pop("sink"), "needs the report of a run of g, got one without sink"),
        (lambda r: r.update(frames=0), "g: needs a run of 1 frame or more, got one of 0"),
        (lambda r: r["nodes"]["sink"].pop("compute_ms"), "g: needs compute_ms, rss_mb and in of sink in the report"),
        (lambda r: r.update(nodes=[]), "report.json: needs the report of a run (report.json), got another file"),
    ],
)
def test_a_report_that_does_not_fit(graph, report, capsys, change, text):
    found = json.loads(report.read_text())
    change(found)
    report.write_text(json.dumps(found))
    assert main(["plan", str(graph), "--device", "tx2", "--report", str(report)]) == 2
    assert text in capsys.readouterr().err
