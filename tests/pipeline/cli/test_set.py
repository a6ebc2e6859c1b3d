"""`pipe set` on running graphs: a value holds from a frame on, waits for a busy node, survives a kill, is in the report."""

import json

import pytest
from pipe_runs import wait_for

from pipeline.cli.set import split
from pipeline.errors import GraphError

GRAPH = """
  src:  {driver: test.counter, config: {frames: 100000, rate_hz: RATE}, live: true}
  gain: {op: "tune_nodes:Gain", inputs: {data: src.out}, config: {gain: 2, full_ms: FULL}, restart: {backoff_s: 0.01}}
  snk:  {op: test.null, inputs: {in: gain.out}}
"""


@pytest.fixture
def start(pipe):
    def make(rate=100, full_ms=0):
        return pipe.start(pipe.graph(GRAPH.replace("RATE", str(rate)).replace("FULL", str(full_ms))))

    return make


def gains(run):
    """(frame, gain, offset) of each frame so far."""
    path = run.out / "gain" / "gains.txt"
    return [tuple(map(int, line.split())) for line in path.read_text().splitlines()] if path.exists() else []


def first(run, gain, at=1):
    return next((row[0] for row in gains(run) if row[at] == gain), None)


def test_a_value_holds_from_the_frame_that_is_named_also_after_a_kill(pipe, start):
    run = start()
    wait_for(lambda: len(gains(run)) > 5, 30, "frames")
    done = pipe.pipe("set", str(run.out), "gain.gain=5")
    assert (done.code, done.stderr) == (0, "")
    wait_for(lambda: first(run, 5) is not None, 10, "a frame with 5")
    assert done.stdout == f"gain.gain: 2 -> 5 from src:{first(run, 5)}\n"
    done = pipe.pipe("set", str(run.out), "gain.config.shape.offset=3")  # a second one, in the words of --set
    wait_for(lambda: first(run, 3, at=2) is not None, 10, "a frame with 3")
    assert done.stdout == f"gain.shape.offset: 0 -> 3 from src:{first(run, 3, at=2)}\n"
    for change, code, text in [
        ("gain.fixed=1", 2, "gain.fixed: needs a live key, got one that is read at the start; live ones: gain, shape"),
        ("gain.gain=101", 2, "gain.gain: needs 0..100, got 101"),
        ("gain.gain=13", 2, "gain.gain: refused by the operator: ValueError: 13 is none of mine"),
        ("gian.gain=1", 2, "gian: no such node; did you mean gain?"),
    ]:
        done = pipe.pipe("set", str(run.out), change)
        assert (done.code, done.stdout, done.stderr) == (code, "", f"error: pipe set: {text}\n"), change
    run.kill("gain")
    before = len(gains(run))
    wait_for(lambda: len(gains(run)) > before + 5, 30, "frames after the restart")
    assert {row[1:] for row in gains(run)[before:]} == {(5, 3)}
    run.signal(15)
    report = run.end().report
    rows = report["set"]
    assert [(row["node"], row["key"], row["from"], row["to"], row["source"]) for row in rows] == [
        ("gain", "gain", 2, 5, "src"),
        ("gain", "shape.offset", 0, 3, "src"),
    ]
    assert [row["at_frame"] for row in rows] == [first(run, 5), first(run, 3, at=2)] and not report["comparable"]


def test_a_busy_node_answers_after_its_step(pipe, start):
    run = start(rate=5, full_ms=1500)
    wait_for(lambda: gains(run), 30, "the first frame")
    done = pipe.pipe("set", str(run.out), "gain.gain=7")
    assert done.code == 0 and done.stdout == f"gain.gain: 2 -> 7 from src:{first(run, 7)}\n"
    run.signal(15)
    assert json.loads((run.end().out / "report.json").read_text())["set"][0]["to"] == 7


def test_refused_without_a_run(pipe, tmp_path):
    assert pipe.refused("set", "nothing", "a.b=1").code == 2
    ended = pipe.refused("set", "nothing", "a.b")
    assert (ended.code, ended.stderr) == (2, "error: pipe set: a.b: needs NODE.key=V, got no =\n")


def test_a_finished_run_and_an_inline_one_have_no_door(pipe):
    from pipeline.watch import attach

    out = pipe.folder / "out"
    text = GRAPH.replace("100000", "3").replace("RATE", "1000").replace("FULL", "0").replace(", live: true", "")
    assert pipe.run(pipe.graph(text), "--place", "inline", out=out).code == 0
    ended = pipe.refused("set", str(out), "gain.gain=1")
    assert ended.code == 1 and "needs the door of a running graph, got none: it has ended" in ended.stderr
    inline = attach.Found("g-1", out, pipe.folder)  # its folder has no door
    with pytest.raises(Exception, match="it runs inline"):
        attach.Attached(inline)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("gain.gain", ("gain", "gain")),
        ("gain.config.gain", ("gain", "gain")),
        ("front.cam.rate.high", ("front.cam", "rate.high")),
        ("front.rate", ("front", "rate")),
    ],
)
def test_nodes_of_included_graphs_have_dots(target, expected):
    assert split(target, ["gain", "front", "front.cam"]) == expected


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("gain", "pipe set: gain: needs NODE.key=V, got no key"),
        ("", "pipe set: : needs NODE.key=V, got no key"),
        ("gian.gain", "pipe set: gian: no such node; did you mean gain?"),
    ],
)
def test_a_target_that_is_none(target, line):
    with pytest.raises(GraphError) as error:
        split(target, ["gain"])
    assert str(error.value) == line
