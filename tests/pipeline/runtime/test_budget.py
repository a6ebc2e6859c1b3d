"""The budget of a graph: kept, broken, without a figure; exit code, report, summary, and the stage that is named."""

from __future__ import annotations

import json

import pytest

from pipeline import api
from pipeline.__main__ import main
from pipeline.graph.load import parse
from pipeline.runtime.budget import Facts, judge
from pipeline.runtime.shares import Share
from pipeline.verify import verify
from pipeline.watch.summary import summary

GRAPH = """version: 1
nodes:
  src:  {{driver: test.counter, config: {{frames: {frames}, rate_hz: 100}}, live: true}}
  a:    {{op: test.fault, inputs: {{data: src.out}}}}
  slow: {{op: test.fault, inputs: {{data: a.out}}, config: {{kind: slow, slow_ms: {slow_ms}}}}}
  snk:  {{op: test.null, inputs: {{in: slow.out}}}}
budget: {{{budget}}}
"""
WIDE = "latency_ms: 5000, min_rate_hz: 0.1, drops_percent: 100, memory_mb: 100000"


@pytest.fixture
def graph(tmp_path):
    def write(budget: str, frames: int = 5, slow_ms: float = 0):
        path = tmp_path / "g.yaml"
        path.write_text(GRAPH.format(budget=budget, frames=frames, slow_ms=slow_ms))
        return path

    return write


def test_a_budget_that_is_kept(graph, tmp_path):
    outcome = api.run(graph(WIDE), out=tmp_path / "out", place="inline")
    assert (outcome.exit, outcome.code, outcome.errors) == ("completed", 0, [])
    rows = outcome.report["budget"]
    assert [row["key"] for row in rows] == ["latency_ms", "min_rate_hz", "drops_percent", "memory_mb"]
    assert all(row["kept"] and row["stage"] is None and row["figure"] is not None for row in rows)
    assert any("budget: latency_ms " in line and "BROKEN" not in line for line in summary(outcome.report, tmp_path))


@pytest.mark.parametrize("place", ["inline", None])
def test_a_broken_one_fails_and_names_figure_limit_and_stage(graph, tmp_path, capfd, place):
    words = ["run", str(graph("latency_ms: 10", slow_ms=30)), "--out", str(tmp_path / "out"), "--quiet"]
    assert main([*words, *(["--place", place] if place else [])]) == 1
    report = json.loads((tmp_path / "out/report.json").read_text())
    (row,) = report["budget"]
    assert (report["exit"], row["kept"], row["at"], row["limit"]) == ("failed", False, "snk", 10)
    assert row["figure"] == pytest.approx(report["sinks"]["snk"]["latency_ms"]["p99"], abs=0.01)
    said = capfd.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith(f"error: {tmp_path}/g.yaml: budget.latency_ms: needs p99 of at most 10 ms from capture to snk, got ")
    assert f"; {row['stage']}" in line and "slow frames; pipe why RUN src:" in line
    assert "budget: latency_ms " in said.out and "at snk BROKEN (10)" in said.out


def test_a_run_without_frames_has_no_figure_and_fails(graph, tmp_path):
    outcome = api.run(graph(WIDE, frames=0), out=tmp_path / "out", place="inline")
    assert (outcome.exit, outcome.code) == ("failed", 1)
    assert [(row["key"], row["figure"]) for row in outcome.report["budget"] if not row["kept"]] == [
        ("latency_ms", None), ("min_rate_hz", None), ("drops_percent", None),
    ]  # fmt: skip
    assert outcome.errors[0].endswith("budget.latency_ms: needs p99 of at most 5000 ms from capture to a sink, got no frame came")
    assert "budget: latency_ms no frame BROKEN (5000)" in "\n".join(summary(outcome.report, tmp_path))


def test_without_a_budget_nothing_is_judged(graph, tmp_path):
    outcome = api.run(graph(""), out=tmp_path / "out", place="inline")
    assert "budget" not in outcome.report and outcome.code == 0


def test_frames_of_a_port_and_verification_have_their_own_pace(graph, tmp_path):
    tight = graph("latency_ms: 0.000001").read_text().replace(", live: true", "")
    path = tmp_path / "offline.yaml"
    path.write_text(tight)
    assert len(list(api.frames(path, "slow.out"))) == 5
    options = api.RunOptions(tmp_path / "verified", quiet=True)
    assert verify(parse(tight, "offline.yaml"), options, 1, 0, False, {}) == 0


SPEC = parse(GRAPH.format(budget="", frames=1, slow_ms=0), "g.yaml")
EDGE = {"produced": 100, "dropped": {}}


def facts(**given):
    nodes = {name: {"compute_ms": {"p50": 1.0}, "out": 100} for name in SPEC.nodes}
    edges = {e.name: dict(EDGE) for e in SPEC.edges()}
    report = {"nodes": nodes, "edges": edges, "sinks": {"snk": {"frames": 100, "latency_ms": {"p99": 20.0}}}}
    return Facts(report, given.get("seconds", 10.0), given.get("shares", {}), given.get("rss_mb", {"a": 30.0, "b": 50.0}))


def judged(key: str, limit: float, given: Facts):
    object.__setattr__(SPEC, "budget", {key: limit})
    (verdict,) = judge(SPEC, given)
    return verdict


def test_the_limit_itself_is_kept():
    assert judged("latency_ms", 20, facts()).kept and not judged("latency_ms", 19.9, facts()).kept
    assert judged("min_rate_hz", 10, facts()).kept and not judged("min_rate_hz", 10.1, facts()).kept
    assert judged("memory_mb", 80, facts()).kept and not judged("memory_mb", 79, facts()).kept
    assert judged("drops_percent", 0, facts()).kept


def test_the_stage_of_a_latency_is_the_largest_share():
    shares = [Share("slow", 15.0, 20.0, 3, "src:7"), Share("the hop a.out->slow.data", 5.0, 20.0, 3, "src:7")]
    given = facts(shares={"snk": shares})
    stage = "slow takes 15 of 20 ms (mean of 3 slow frames; pipe why RUN src:7 tells of the slowest)"
    assert judged("latency_ms", 10, given).stage == stage
    assert judged("latency_ms", 30, given).stage is None


def test_the_stage_of_a_rate():
    given = facts()
    assert judged("min_rate_hz", 20, given).stage == "src sent 100 frames"
    given.report["edges"]["a.out->slow.data"] = {"produced": 300, "dropped": {"queue_full": 150, "too_old": 50, "shutdown": 9}}
    assert judged("min_rate_hz", 20, given).stage == "a.out->slow.data dropped 200 of 300, most of them as queue_full"
    given.report["nodes"]["slow"]["compute_ms"]["p50"] = 100.0
    assert judged("min_rate_hz", 20, given).stage == "slow computes 100 ms per frame"


def test_drops_of_the_end_and_of_injected_faults_do_not_count():
    given = facts()
    given.report["edges"]["a.out->slow.data"]["dropped"] = {"shutdown": 5, "injected": 20}
    assert judged("drops_percent", 0, given).kept
    given.report["edges"]["a.out->slow.data"]["dropped"]["stale"] = 2
    verdict = judged("drops_percent", 1, given)
    assert (verdict.figure, verdict.stage) == (2.0, "a.out->slow.data dropped 2 of 100, most of them as stale")
    assert verdict.error(SPEC).startswith(
        "g.yaml: budget.drops_percent: needs at most 1 % of the frames of a.out->slow.data dropped, got 2 %; "
    )


def test_memory_names_the_largest_process():
    assert judged("memory_mb", 10, facts()).error(SPEC) == (
        "g.yaml: budget.memory_mb: needs at most 10 MB in all processes, got 80 MB; b has 50 MB"
    )
