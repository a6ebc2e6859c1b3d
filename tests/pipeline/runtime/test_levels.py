"""Levels in a run: the words on the board, the frames, the report. When to switch: test_quality.py."""

from __future__ import annotations

import pytest

from pipeline import api
from pipeline.errors import GraphError
from pipeline.graph.check import check
from pipeline.graph.load import parse
from pipeline.operator import Level
from pipeline.runtime import levels, quality
from pipeline.runtime.levels import stages_of
from pipeline.runtime.quality import Stage, Switch

QUICK = Level("quick", "three quarters of the sleep", 0.1, cost=0.25)
NODES = """version: 1
nodes:
  src:  {driver: test.counter, config: {frames: FRAMES, rate_hz: RATE}, live: true}
  work: {op: "level_nodes:Work", inputs: {data: src.out}, queue: {data: {policy: latest}}, config: {CONFIG}}
  snk:  {op: test.null, inputs: {in: work.out}, config: {write: true}}
quality: {target_latency_ms: 50}
"""


def graph(frames: int = 30, rate_hz: float = 100, config: str = "") -> str:
    return NODES.replace("FRAMES", str(frames)).replace("RATE", str(rate_hz)).replace("CONFIG", config)


class Scripted(quality.Controller):
    """Steps down when `DOWN` frames have arrived, up at `UP`."""

    DOWN, UP = 5, 15

    def __init__(self, target_ms, stages, now_s=0.0):
        super().__init__(target_ms, stages, now_s)
        self.count = 0

    def arrived(self, now_s, sink, latencies_ms):
        assert sink == "snk"
        self.count += len(list(latencies_ms))

    def decide(self, now_s):
        level = 1 if self.DOWN <= self.count < self.UP else 0
        if level == self.level["work"]:
            return None
        self.level["work"] = level
        return Switch("work", level, f"frame {self.count}")


@pytest.fixture
def inline(tmp_path, monkeypatch):
    def run(text: str):
        monkeypatch.setattr(levels, "Controller", Scripted)
        monkeypatch.setattr("pipeline.runtime.inline.BOOKS_S", 0.0)
        path = tmp_path / "g.yaml"
        path.write_text(text)
        outcome = api.run(path, out=tmp_path / "out", place="inline")
        return outcome, (tmp_path / "out/work/levels.txt").read_text()

    return run


def test_no_quality_no_switch(inline):
    outcome, used = inline(graph().replace("quality:", "#"))
    assert (outcome.report["quality"], set(used)) == ([], {"0"})


def test_switches_are_in_the_report_with_their_first_frame(inline, capfd):
    outcome, used = inline(graph(200))
    assert used.strip("0").strip("1") == "" and used[0] == used[-1] == "0"
    down, up = outcome.report["quality"]
    assert (down["node"], down["level"], up["node"], up["level"]) == ("work", "quick", "work", "full")
    assert down["reason"].startswith("frame ") and set(down) == {"node", "level", "at_frame", "reason"}
    assert up["at_frame"] - down["at_frame"] >= used.count("1") > 0  # `latest` may have dropped some between
    assert down["at_frame"] >= used.index("1")
    assert "work: level quick instead of full: frame " in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore:.*has no effect offline")
def test_offline_nothing_switches(inline):
    outcome, used = inline(graph().replace(", live: true", ""))
    assert (outcome.report["quality"], used) == ([], "0" * 30)


def test_a_level_that_fails_costs_one_frame(inline):
    outcome, used = inline(graph(40, config="broken: true"))
    assert outcome.exit == "completed" and outcome.report["nodes"]["work"]["errors"] == 1
    assert (set(used), outcome.report["quality"]) == ({"0"}, [])


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (graph(), None),
        (graph().replace(", live: true", ""), "quality: has no effect offline and in a replay"),
        (graph(config="levels: false"), "quality: has no effect: no operator of this graph has levels"),
    ],
)
def test_check_says_where_quality_has_no_effect(text, warning):
    warnings = check(parse(text, "g.yaml")).warnings
    assert len(warnings) == (warning is not None)
    assert all(text.startswith(f"g.yaml: {warning}") for text in warnings)


def test_target_needs_to_be_positive():
    with pytest.raises(GraphError, match=r"g.yaml:6: quality.target_latency_ms: needs more than 0, got 0"):
        parse(graph().replace("50", "0"), "g.yaml")


def test_no_stage():
    assert stages_of(parse(graph(config="levels: false"), "g.yaml")) == []


def test_stages_know_their_readers_and_sinks():
    nodes = """
  more: {op: "level_nodes:Work", inputs: {data: work.out}}
  side: {op: test.pass, inputs: {in: work.out}}
  last: {op: test.null, inputs: {in: side.out}}
  lost: {op: test.null, inputs: {in: src.out}}
quality"""
    assert stages_of(parse(graph().replace("\nquality", nodes), "g.yaml")) == [
        Stage("work", (QUICK,), ("snk", "more", "side"), frozenset({"snk", "last"})),
        Stage("more", (QUICK,), (), frozenset()),
    ]


@pytest.mark.slow
def test_down_under_load_and_back(pipe):
    """Four times the work for four seconds: 80 ms of 50 at full quality, 20 ms at the level `quick`."""
    ended = pipe.run(pipe.graph(graph(280, 20, "full_ms: 20, slow: [60, 140]")))
    assert ended.code == 0, ended.stderr
    rows = ended.report["quality"]
    assert [row["level"] for row in rows] == ["quick", "full"], rows
    assert 60 <= rows[0]["at_frame"] < 100 and 140 <= rows[1]["at_frame"] < 280
    assert "later than 50 ms at snk" in rows[0]["reason"] and "leaves room" in rows[1]["reason"]
    assert "work: level quick instead of full" in ended.stderr
    assert f"quality: work quick from frame {rows[0]['at_frame']}, work full from" in ended.stdout


@pytest.mark.slow
def test_a_restart_keeps_the_level(pipe):
    running = pipe.start(pipe.graph(graph(200, 20, "full_ms: 20, slow: [10, 1000]")))
    running.wait_lines("snk", 60)
    running.kill("work")
    ended = running.end()
    used = (ended.out / "work/levels.txt").read_text()
    assert ended.report["nodes"]["work"]["restarts"] == 1
    assert used.strip("0").strip("1") == "" and used[-1] == "1", "the successor begins at the level that its predecessor had"
