"""The trace of a run: what ui.perfetto.dev reads."""

import signal

import numpy as np
import pytest
from run_files import RunFiles, check_trace

import pipeline
from pipeline.watch import trace

TEXT = """version: 1
nodes:
  src: {driver: test.counter, config: {frames: 20, rate_hz: 10}}
  p: {op: test.pass, inputs: {in: src.out}}
  snk: {op: test.null, inputs: {in: p.out}, place: p}
"""
IN, OUT = "src.out->p.in", "p.out->snk.in"


@pytest.fixture
def files(tmp_path):
    return RunFiles(tmp_path / "out", TEXT)


def written(files):
    path = files.out / "t.json"
    trace.write(files.history(), path)
    return check_trace(path)


def test_a_run_without_a_frame(files):
    found = written(files)
    assert [event["args"].get("name") for event in found.pop("M")] == [
        "src", None, "p", None, "src (test.counter)", "p (test.pass)", "snk (test.null)"
    ]  # fmt: skip
    assert not any(found.values())


def test_one_frame(files):
    files.read("src.out", "src:0", 1, 2, 3)
    files.take(IN, "src:0", 2, 3.5, 4, 5)
    files.publish("p.out", "src:0", 7)
    files.step("p", "src:0", 5, 6, 7)
    files.take(OUT, "src:0", 6, 7, 8, 9)
    files.step("snk", "src:0", 9, 9.5, 10, 11)
    found = written(files)
    slices = [(e["pid"], e["tid"], e["name"], e["ts"], e["dur"], e["args"]["frame"]) for e in found["X"]]
    assert slices == [
        (1, 1, "src: read", 1000, 1000, "src:0"), (2, 2, "p", 5000, 1000, "src:0"), (2, 3, "snk", 9000, 500, "src:0")
    ]  # fmt: skip
    assert [(e["tid"], e["name"], round(e["ts"])) for e in found["s"]] == [(1, IN, 2000), (2, OUT, 6000)]
    assert [(e["tid"], e["name"], e["ts"]) for e in found["f"]] == [(2, IN, 5000), (3, OUT, 9000)]
    assert [(e["ts"], e["name"], e["args"]["frames"]) for e in found["C"]] == [
        (3000, f"in flight {IN}", 1), (7000, f"in flight {IN}", 0), (7000, f"in flight {OUT}", 1), (10000, f"in flight {OUT}", 0)
    ]  # fmt: skip


def test_drops_and_restarts(files):
    files.read("src.out", "src:0", 1, 2, 3)
    files.drop(IN, "src:0", "queue_full", 4)
    files.life("p", 0, 0)
    files.life("p", 1, 5, 'killed by "SIGKILL"')
    files.life("p", 2, 6, "exited with code 1", None)
    found = written(files)
    assert [(e["ts"], e["pid"], e["tid"], e["name"], e["s"]) for e in found["i"]] == [
        (4000, 2, 2, "dropped: queue_full", "t"),
        (5000, 2, 0, 'restart: killed by "SIGKILL"', "p"),
        (6000, 2, 0, "given up: exited with code 1", "p"),
    ]
    assert found["i"][0]["args"] == {"frame": "src:0", "edge": IN}
    assert [e["args"]["frames"] for e in found["C"]] == [1, 0]
    assert found["s"] == found["f"] == []


def test_the_calls_of_a_batch_follow_each_other(files):
    for number in range(3):
        files.take(OUT, f"src:{number}", 1, 2, 3, 4)
        files.steps["snk"] = 6
        files.step("snk", f"src:{number}", 4, 5, 7)
    assert [(e["ts"], e["dur"]) for e in written(files)["X"]] == [(4000, 1000), (5000, 1000), (6000, 1000)]


def test_the_begin_of_a_long_run_is_gone(files):
    """No arrow begins nowhere, no counter falls below zero."""
    for number in range(4):
        at = 10 * number
        files.read("src.out", f"src:{number}", at, at + 1, at + 2)
        files.take(IN, f"src:{number}", at + 1, at + 2, at + 3, at + 4)
        files.step("p", f"src:{number}", at + 4, at + 5, at + 6)
    files.rows = files.rows[5:]
    found = written(files)
    assert (len(found["X"]), len(found["s"])) == (6, 2)


def test_a_real_run(tmp_path):
    (tmp_path / "g.yaml").write_text(TEXT)
    outcome = pipeline.run(tmp_path / "g.yaml", out=tmp_path / "out", place="inline", trace=tmp_path / "t" / "trace.json")
    assert (outcome.code, outcome.errors) == (0, [])
    found = check_trace(tmp_path / "t" / "trace.json")
    assert (len(found["X"]), len(found["s"]), len(found["i"])) == (60, 40, 0)
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["trace.json"]


def test_it_cannot_be_written(pipe, tmp_path):
    (tmp_path / "g.yaml").write_text(TEXT)
    done = pipe.refused(
        "run", str(tmp_path / "g.yaml"), "--out", str(tmp_path / "out"), "--trace", str(tmp_path), "--place", "inline"
    )
    assert (done.code, done.stderr.count("\n")) == (2, 1) and "--trace" in done.stderr and "Is a directory" in done.stderr


def test_after_ctrl_c(pipe, tmp_path):
    running = pipe.start(pipe.graph(
        "  src: {driver: test.counter, config: {frames: null, rate_hz: 500}}\n"
        "  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}}\n"
    ), "--rate", "1", "--trace", str(tmp_path / "t.json"), "--quiet")  # fmt: skip
    running.wait_lines("snk", 30)
    running.signal(signal.SIGINT)
    ended = running.end()
    assert ended.code == 130, ended.stderr
    found = check_trace(tmp_path / "t.json")
    names, counts = np.unique([e["name"] for e in found["X"]], return_counts=True)
    assert names.tolist() == ["snk", "src: read"] and counts[0] == ended.report["nodes"]["snk"]["in"] >= 30
