"""Graphs from Python: `pipeline.run`, `pipeline.frames`. The fixture `runtime` of conftest checks that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import pipeline
import pipeline.api
from pipeline.errors import GraphError, RunError
from pipeline.frame import Header

NODES = """
version: 1
nodes:
  count: {driver: test.counter, config: {frames: 12}}
  left:  {op: test.noop, inputs: {in: count.out}}
  right: {op: test.fault, inputs: {data: count.out}}
  after: {op: test.pass, inputs: {in: right.out}}
  sink:  {op: test.null, inputs: {in: left.out}, config: {write: true}}
"""


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text(NODES)
    return path


def lines(out: Path) -> int:
    return len((out / "sink" / "frames.txt").read_text().splitlines())


# ---- run


@pytest.mark.parametrize(
    ("overrides", "frames", "got"),
    [
        (None, None, 12),
        ({}, 5, 5),
        ({"count.config.frames": 0}, None, 0),
        ({"count.config.frames": 7}, None, 7),
        (["count.config.frames=7", "left.threads=2"], 6, 6),
        ("count.config.frames=3", None, 3),
    ],
)
def test_run_with_overrides_of_every_form(graph, tmp_path, capfd, overrides, frames, got):
    outcome = pipeline.run(graph, overrides, out=tmp_path / "out", frames=frames, place="inline")
    assert (outcome.exit, outcome.code, outcome.errors) == ("completed", 0, [])
    assert outcome.report["frames"] == got
    assert outcome.report["sinks"]["sink"]["frames"] == got
    assert lines(tmp_path / "out") == got
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == outcome.report
    assert capfd.readouterr() == ("", "")


def test_processes_and_inline_give_the_same(graph, tmp_path):
    apart = pipeline.run(graph, out=tmp_path / "apart", verify=True)
    here = pipeline.run(graph, out=tmp_path / "here", place="inline")
    assert (apart.exit, apart.code, apart.errors) == ("completed", 0, [])
    assert apart.report["digest"] == here.report["digest"] and set(apart.report["digest"]) == {"sink"}
    assert lines(tmp_path / "apart") == lines(tmp_path / "here") == 12


def test_a_run_that_fails_says_so_in_its_outcome(graph, tmp_path):
    outcome = pipeline.run(graph, {"right.config.kind": "raise", "right.config.at": 3}, out=tmp_path / "out")
    assert (outcome.exit, outcome.code) == ("failed", 1)
    assert outcome.errors == ["right: frame count:3 (000003): ValueError: right: raised on purpose"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["exit"] == "failed"


def test_inline_an_exception_passes_through(graph, tmp_path):
    with pytest.raises(ValueError, match="right: raised on purpose"):
        pipeline.run(graph, {"right.config.kind": "raise"}, out=tmp_path / "out", place="inline")


def test_results_are_kept_unless_told(graph, tmp_path):
    pipeline.run(graph, out=tmp_path / "out", place="inline")
    with pytest.raises(GraphError) as error:
        pipeline.run(graph, out=tmp_path / "out", place="inline")
    assert str(error.value) == (
        f"{tmp_path}/out: needs a folder without results, got sink, logs, report.json, run.html; use --overwrite or another --out"
    )
    assert pipeline.run(graph, {"count.config.frames": 2}, out=tmp_path / "out", place="inline", overwrite=True).code == 0
    assert lines(tmp_path / "out") == 2


def test_runs_in_a_loop_have_a_folder_each(graph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.api.time.strftime", lambda form: "NOW")
    for _ in range(3):
        pipeline.run(graph, frames=1, place="inline")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["g-NOW", "g-NOW-2", "g-NOW-3"]


def test_what_is_odd_is_a_warning_at_the_line_of_the_call(graph, tmp_path):
    with pytest.warns(UserWarning, match="sync: has no effect: left has one stream input") as caught:
        pipeline.run(graph, {"left.sync": {"policy": "exact"}}, out=tmp_path / "out", place="inline")
    assert [w.filename for w in caught] == [__file__]
    with pytest.warns(UserWarning, match="sync: has no effect: left has one stream input") as caught:
        list(pipeline.frames(graph, "left.out", {"left.sync": {"policy": "exact"}}))
    assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (("nowhere.yaml",), {}, "nowhere.yaml: no such graph file; shipped graphs: "),
        (("G", {"cout.config.frames": 3}), {}, "--set cout.config.frames=3: no node cout; did you mean count?"),
        (("G", "count.config.frames"), {}, "--set count.config.frames: needs NODE.config.KEY=VALUE, got no ="),
        (("G",), {"frames": -1}, "--frames: needs 0 .. 9.0072e+15, got -1"),
        (("G",), {"duration_s": float("nan")}, "--duration: needs 0 .. 1e+09, got nan"),
        (("G",), {"rate": 0.0}, "--rate: needs 1e-06 .. 1e+06, got 0.0"),
        (("G",), {"place": "outline"}, "place: needs None or 'inline', got 'outline'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(graph, tmp_path, args, kwargs, message):
    with pytest.raises(GraphError) as error:
        pipeline.run(*(graph if a == "G" else a for a in args), out=tmp_path / "out", **kwargs)
    assert str(error.value).startswith(message)
    assert not (tmp_path / "out").exists()


def in_thread(call):
    """The result or exception of `call()` in another thread."""
    got: list = []

    def work() -> None:
        try:
            got.append(call())
        except Exception as error:
            got.append(error)

    thread = threading.Thread(target=work, name="other")
    thread.start()
    thread.join()
    return got[0]


def test_processes_need_the_main_thread_and_inline_does_not(graph, tmp_path):
    error = in_thread(lambda: pipeline.run(graph, out=tmp_path / "out"))
    assert isinstance(error, RunError)
    assert str(error) == "run() needs the main thread to stop its processes on a signal, got thread other; use place='inline'"
    assert not (tmp_path / "out").exists()
    assert in_thread(lambda: pipeline.run(graph, out=tmp_path / "out", place="inline")).code == 0
    assert len(in_thread(lambda: list(pipeline.frames(graph, "left.out")))) == 12


def test_ctrl_c_in_a_notebook_stops_the_run(graph, tmp_path, monkeypatch):
    def interrupt(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.nodes.noop.Noop.open", interrupt)
    outcome = pipeline.run(graph, out=tmp_path / "out", place="inline")
    assert (outcome.exit, outcome.code) == ("stopped", 130)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_last_frame_does_not_cost_the_report(graph, tmp_path, monkeypatch, number):
    save = pipeline.api.report.save

    def late(*args):
        os.kill(os.getpid(), number)  # the children are gone, the supervisor listens no more
        save(*args)

    monkeypatch.setattr("pipeline.api.report.save", late)
    before = signal.getsignal(number)
    outcome = pipeline.run(graph, out=tmp_path / "out")
    assert (outcome.exit, json.loads((tmp_path / "out" / "report.json").read_text())["exit"]) == ("completed", "completed")
    assert signal.getsignal(number) is before


# ---- frames


def test_frames_of_a_port_with_their_headers(graph):
    got = list(pipeline.frames(graph, "right.out", frames=3))
    assert [(h, value.tolist()) for h, value in got] == [
        (Header("count", 0, "000000", 1_000_000_000, got[0][0].recv_ns), [0]),
        (Header("count", 1, "000001", 1_100_000_000, got[1][0].recv_ns), [1]),
        (Header("count", 2, "000002", 1_200_000_000, got[2][0].recv_ns), [2]),
    ]


@pytest.mark.parametrize(("frames", "numbers"), [(0, []), (1, [0]), (None, list(range(12)))])
def test_none_one_all(graph, frames, numbers):
    assert [int(v[0]) for _, v in pipeline.frames(graph, "after.out", frames=frames)] == numbers


def test_values_are_the_readers_own_and_outlive_the_run(graph):
    values = [v for _, v in pipeline.frames(graph, "count.out")]
    for v in values:
        v += 100
    assert np.concatenate(values).tolist() == list(range(100, 112))


def test_a_schema_of_several_arrays_comes_as_its_named_tuple(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text("version: 1\nnodes:\n  world: {driver: synthetic.traffic, config: {frames: 2}}\n")
    got = list(pipeline.frames(path, "world.boxes3d"))
    assert [type(boxes).__name__ for _, boxes in got] == ["Boxes3D"] * 2
    assert all(boxes.boxes3d.shape == (len(boxes.scores), 7) and len(boxes.scores) for _, boxes in got)


def test_only_what_the_port_needs_runs_and_its_files_go_where_told(graph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert len(list(pipeline.frames(graph, "left.out", {"right.config.kind": "raise"}))) == 12
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.yaml", "temporary"]
    assert list((tmp_path / "temporary").iterdir()) == []
    assert len(list(pipeline.frames(graph, "left.out", out="mine"))) == 12
    assert sorted(p.name for p in (tmp_path / "mine").iterdir()) == [".pipe", "logs"]


def test_leaving_early_cleans_up_at_once(graph, runtime, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    iterator = pipeline.frames(graph, "left.out", {"count.config.frames": None})  # endless
    for _, value in iterator:
        if value[0] == 5:
            break
    assert len(list((runtime / "pipe").iterdir())) == 2  # .gate and the run
    iterator.close()
    assert [p.name for p in (runtime / "pipe").iterdir()] == [".gate"]
    assert list((tmp_path / "temporary").iterdir()) == []
    assert "memfd:pipe" not in Path("/proc/self/maps").read_text()


def test_an_iterator_nobody_starts_makes_nothing(graph, runtime):
    pipeline.frames(graph, "left.out")
    assert not (runtime / "pipe").exists()


def test_exceptions_pass_through_and_everything_is_gone(graph, runtime):
    iterator = pipeline.frames(graph, "after.out", {"right.config.kind": "raise", "right.config.at": 2})
    numbers = [int(next(iterator)[1][0]) for _ in range(2)]
    with pytest.raises(ValueError, match="right: raised on purpose"):
        next(iterator)
    assert next(iterator, None) is None
    assert numbers == [0, 1]
    assert [p.name for p in (runtime / "pipe").iterdir()] == [".gate"]


@pytest.mark.parametrize(
    ("port", "message"),
    [
        ("left", "frames: needs NODE.PORT, got 'left'"),
        ("lft.out", "frames: G has no node lft; did you mean left?"),
        ("left.in", "frames: left has no output in; known: out"),
        ("sink.out", "frames: sink has no output out; there are none here"),
    ],
)
def test_a_port_that_is_none(graph, port, message):
    with pytest.raises(GraphError) as error:
        pipeline.frames(graph, port)
    assert str(error.value).replace(str(graph), "G") == message


def test_a_static_port_is_no_stream(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text("version: 1\nnodes:\n  world: {driver: synthetic.traffic}\n")
    with pytest.raises(GraphError) as error:
        pipeline.frames(path, "world.calibration")
    assert str(error.value).startswith("frames: world.calibration is static: it is latched, not a stream; world sends ")


# ---- the package


def test_the_package_itself_is_cheap():
    heavy = "{'numpy', 'zmq', 'pipeline.api'} & set(sys.modules)"
    code = f"import sys, pipeline; print(sorted({heavy}), dir(pipeline)[-2:], pipeline.run)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] ['replay', 'run'] <function run at ")
    with pytest.raises(AttributeError, match="module 'pipeline' has no attribute 'runn'"):
        pipeline.runn  # noqa: B018
