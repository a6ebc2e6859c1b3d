"""Runs with injected faults: what each changes and nothing else, the ledger, one digest in every placement and in a replay."""

import json

import numpy as np
import pytest

import pipeline
from pipeline.graph.load import load

DATA = {
    "image": ["blackout", "white-out", "glare", "freeze", "noise=0.2", "salt-and-pepper", "shift=5"],
    "grey": ["noise", "freeze", "shift"],
    "thermal_raw": ["blackout=0.5", "whiteout", "noise=0.5", "glare"],
    "points": ["beam-loss", "rain=200", "fog", "sector-loss=120"],
}
LOOK = """
  src: {driver: "fault_nodes:Sensors"}
  snk: {op: "fault_nodes:Look", inputs: {image: src.image, grey: src.grey, thermal_raw: src.thermal_raw, points: src.points}}
"""


def run_inline(pipe, text, out, *faults, **more):
    return pipeline.run(pipe.graph(text), out=pipe.folder / out, place="inline", inject=faults, **more)


def looked(folder, sink="snk"):
    """Frame -> what the sink noted."""
    return {note["frame"]: note for note in map(json.loads, (folder / sink / "notes.jsonl").read_text().splitlines())}


def balanced(report):
    return all(
        e["produced"] == e["delivered"] + sum(e["dropped"].values()) and not e["in_flight"] for e in report["edges"].values()
    )


def counts(report):
    return [(row["node"], row["fault"], row["frames"]) for row in report["injected"]]


def test_a_graph_without_faults_names_none(pipe):
    assert run_inline(pipe, LOOK, "out").report["injected"] == []


@pytest.mark.parametrize("port", DATA)
def test_inside_the_window_the_port_changes_and_nothing_else_does(pipe, port):
    clean = run_inline(pipe, LOOK, "clean")
    before = looked(pipe.folder / "clean")
    for number, fault in enumerate(DATA[port]):
        outcome = run_inline(pipe, LOOK, f"out{number}", f"src.{port}:{fault}@300ms-0.6s")
        assert counts(outcome.report) == [("src", fault.partition("=")[0].replace("white-out", "whiteout"), 3)]
        assert balanced(outcome.report) and outcome.report["comparable"]
        after = looked(pipe.folder / f"out{number}")
        changed = {(f, p) for f in before for p in before[f]["crc"] if before[f]["crc"][p] != after[f]["crc"][p]}
        assert changed == {(f, port) for f in ((4, 5) if fault == "freeze" else (3, 4, 5))}, fault
        if fault == "freeze":
            assert after[4]["crc"][port] == after[5]["crc"][port] == before[3]["crc"][port]
        assert all(note["writeable"] == [] for note in after.values())
        assert outcome.report["digest"] != clean.report["digest"]
        for name, edge in outcome.report["edges"].items():
            assert edge["copied_bytes"] == clean.report["edges"][name]["copied_bytes"]


def test_a_window_that_never_comes_leaves_the_digest(pipe):
    one, two = run_inline(pipe, LOOK, "a"), run_inline(pipe, LOOK, "b", "src:noise@10-20", "src:drop=1@1s-")
    assert one.report["digest"] == two.report["digest"] and [n for _, _, n in counts(two.report)] == [0, 0]


COUNT = """
  src: {driver: test.counter, config: {frames: 400}}
  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}}
  two: {op: test.null, inputs: {in: src.out}, config: {write: true}}
"""


def ids(folder, sink):
    return [int(line.split()[1]) for line in (folder / sink / "frames.txt").read_text().splitlines()]


def test_drop_takes_its_share_by_frame_id_and_each_one_is_named(pipe):
    outcomes = [run_inline(pipe, COUNT, f"out{n}", "src:drop=0.3@100-300") for n in range(2)]
    left = [ids(pipe.folder / f"out{n}", sink) for n in range(2) for sink in ("snk", "two")]
    assert left[0] == left[1] == left[2] == left[3]
    gone = sorted(set(range(400)) - set(left[0]))
    assert 40 < len(gone) < 80 and min(gone) >= 100 and max(gone) < 300
    assert counts(outcomes[0].report) == [("src", "drop", len(gone))] and balanced(outcomes[0].report)
    drops = [json.loads(line) for line in (pipe.folder / "out0/logs/drops.jsonl").read_text().splitlines()]
    assert [d["frame"] for d in drops if d["edge"] == "src.out->two.in"] == [f"src:{n}" for n in gone]
    assert {d["reason"] for d in drops} == {"injected"}
    assert run_inline(pipe, COUNT, "all", "src:drop=1").report["edges"]["src.out->snk.in"]["dropped"] == {"injected": 400}


def test_an_input_of_a_node_concerns_this_node_alone(pipe):
    outcome = run_inline(pipe, COUNT, "out", "two:disconnect@100-150")
    assert ids(pipe.folder / "out", "snk") == list(range(400))
    assert ids(pipe.folder / "out", "two") == [n for n in range(400) if not 100 <= n < 150]
    assert counts(outcome.report) == [("two", "disconnect", 50)] and balanced(outcome.report)


JOIN = """
  a: {driver: "fault_nodes:Sensors", config: {frames: 20, rate_hz: 20}}
  b: {driver: "fault_nodes:Sensors", config: {rate_hz: 5, frames: 5}, inject: ["image:shift=3@0.2s-600ms"]}
  snk:
    op: "fault_nodes:Look"
    inputs: {points: a.points, image: b.image}
    sync: {policy: %s, trigger: points, optional: [image]}
"""


def test_a_join_goes_on_without_the_input_that_is_disconnected(pipe):
    outcome = run_inline(pipe, JOIN % "exact", "out", "b:disconnect@400ms-")
    missing = {frame: note["missing"] for frame, note in looked(pipe.folder / "out").items()}
    assert missing == {frame: [] if frame in (0, 4) else ["image"] for frame in range(20)}
    assert counts(outcome.report) == [("b", "shift", 1), ("b", "disconnect", 3)] and balanced(outcome.report)


def test_a_frame_in_several_sets_is_changed_in_all_and_counts_once(pipe):
    outcome = run_inline(pipe, JOIN % "latest", "out", verify=True)
    seen = {frame: note["crc"]["image"] for frame, note in looked(pipe.folder / "out").items()}
    groups = [{seen[frame] for frame in range(first, first + 4)} for first in range(0, 20, 4)]
    assert [len(group) for group in groups] == [1] * 5 and len(set.union(*groups)) == 5
    assert counts(outcome.report) == [("b", "shift", 2)]


WHOLE = """
  src: {driver: "fault_nodes:Sensors", config: {frames: 40}, inject: ["drop=0.2@5-15", "image:glare@2s-3s", "points:fog@2s-"]}
  two: {driver: "fault_nodes:Sensors", config: {frames: 40}, inject: ["thermal_raw:freeze@10-20"]}
  mid:
    op: augment.shadows_highlights
    inputs: {image: src.image}
    config: {seed: 3}
    inject: ["image:noise@30-", "disconnect@3s-3.2s"]
  snk:
    op: "fault_nodes:Look"
    inputs: {image: mid.image, points: src.points, thermal_raw: two.thermal_raw, grey: src.grey}
    sync: {trigger: thermal_raw, optional: [image, points, grey]}
    inject: ["grey:salt-and-pepper=0.1", "thermal_raw:blackout=0.5@500ms-1500ms"]
"""


@pytest.fixture
def whole(pipe):
    return pipe.graph(WHOLE)


def test_one_digest_and_one_count_in_every_placement_and_in_a_replay(pipe, whole):
    file = pipe.folder / "r.mcap"
    apart = pipe.run(whole, "--record", str(file))
    assert apart.code == 0, apart.stderr
    together = pipe.run(whole, *(arg for n in ("src", "two", "mid", "snk") for arg in ("--set", f"{n}.place=all")))
    inline = pipe.run(whole, "--place", "inline")
    again = pipe.run(whole, verb=["replay", str(file)])
    reports = [ended.report for ended in (apart, together, inline, again)]
    for report in reports:
        assert report["digest"] == reports[0]["digest"] and report["digest"]
        assert report["injected"] == reports[0]["injected"] and balanced(report)
    assert [row["text"] for row in reports[0]["injected"]] == [
        "src:drop=0.2@5-15", "src.image:glare@2s-3s", "src.points:fog@2s-", "two.thermal_raw:freeze@10-20",
        "mid.image:noise@30-", "mid:disconnect@3s-3.2s", "snk.grey:salt-and-pepper=0.1",
        "snk.thermal_raw:blackout=0.5@500ms-1500ms",
    ]  # fmt: skip
    frames = [row["frames"] for row in reports[0]["injected"]]
    assert frames[1:6] == [10, 20, 10, 8, 2] and 0 < frames[0] < 30 and 30 <= frames[6] <= 40 and frames[7] == 10
    assert "as in the recorded run: snk" in again.stdout
    assert "injected: src:drop=0.2@5-15" in apart.stdout
    assert not any("_record" in name and edge["dropped"] for name, edge in reports[0]["edges"].items())


def test_a_window_counts_from_the_first_life_and_kill_steps_work_beside_faults(pipe):
    graph = pipe.graph(COUNT.replace("frames: 400", "frames: 60"))
    ended = pipe.run(graph, "--inject", "src:sent@16", "--inject", "src:disconnect@2s-3s", "--inject", "snk:processing@5")
    assert ended.code == 0, ended.stderr
    report = ended.report
    assert (report["nodes"]["src"]["restarts"], report["nodes"]["snk"]["restarts"]) == (1, 1)
    assert counts(report) == [("src", "disconnect", 10)] and balanced(report)
    named = {d["frame"] for d in ended.drops if d["edge"] == "src.out->two.in" and d["reason"] == "injected"}
    assert named == {f"src:{n}" for n in range(20, 30)}


@pytest.mark.parametrize("place", [[], ["--place", "inline"]], ids=["processes", "inline"])
def test_live_a_delay_holds_frames_back_and_loses_none(pipe, place):
    graph = pipe.graph("""
  src: {driver: test.counter, config: {frames: 40, rate_hz: 40}, live: true}
  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}, queue: {in: {policy: drop_oldest, size: 40}}}
""")
    ended = pipe.run(graph, *place, "--inject", "src:delay=300ms@-30", "--inject", "src:jitter=20")
    assert ended.code == 0, ended.stderr
    report = ended.report
    assert ended.ids("snk") == list(range(40)) and balanced(report)
    assert counts(report) == [("src", "delay", 30), ("src", "jitter", 40)]
    assert report["sinks"]["snk"]["latency_ms"]["p50"] >= 300


def test_wrong_faults_end_before_the_start(pipe):
    graph = pipe.graph(COUNT)
    ended = pipe.run(graph, "--inject", "src:blackout@1s-2s")
    assert ended.code == 2 and ended.stderr.count("\n") == 1
    assert (
        "error: --inject src:blackout@1s-2s: blackout: needs a port of IMAGE or GREY or THERMAL_RAW, got out (COUNT)"
        in ended.stderr
    )
    assert not ended.out.exists()


def test_frames_has_the_faults_upstream_but_not_those_of_the_port_itself(pipe):
    graph = pipe.graph("""
  src: {driver: "fault_nodes:Sensors", inject: ["image:blackout"]}
  mid: {op: augment.shadows_highlights, inputs: {image: src.image}, config: {p: 0.0}}
  end: {op: test.null, inputs: {in: mid.image}}
""")
    assert len(load(graph).faults) == 1
    sent = [image for _, image in pipeline.frames(graph, "src.image")]
    after = [image for _, image in pipeline.frames(graph, "mid.image")]
    assert len(sent) == len(after) == 10 and all(image.any() for image in sent)
    assert not np.any(after)
