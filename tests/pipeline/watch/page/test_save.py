"""DIR/run.html of whole runs, inline and in processes."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

import pytest

import pipeline
from pipeline.watch.page import content, save

GRAPH = """version: 1
nodes:
  a: {driver: test.counter, config: {frames: 20, rate_hz: 10}}
  p: {op: test.pass, inputs: {in: a.out}}
  snk: {op: test.null, inputs: {in: p.out}, config: {write: true}}
"""


def data_of(out):
    """What run.html shows."""
    return json.loads(re.search(r'id="data">(.*?)</script>', (out / "run.html").read_text(), re.S)[1])


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "g<b>.yaml"
    path.write_text(GRAPH)
    return path


def test_a_run(tmp_path, graph):
    outcome = pipeline.run(graph, out=tmp_path / "out", place="inline")
    data = data_of(tmp_path / "out")
    assert outcome.code == 0 and data["report"] == outcome.report and not data["live"]
    assert (data["snapshot"]["exit"], data["snapshot"]["frames"]) == ("completed", 20)
    assert {n["name"]: n["config"] for n in data["run"]["nodes"]}["a"]["frames"] == 20
    assert data["run"]["machine"]["cores"] > 0 and data["run"]["text"] == GRAPH
    assert [(e["name"], e["static"]) for e in data["drawing"]["edges"]] == [("a.out->p.in", False), ("p.out->snk.in", False)]
    assert sum(data["series"]["rates"]["snk"]) == 20 and data["series"]["drops"] == {}
    assert [story["frame"] for story in data["stories"]["frames"]] == [f"a:{n}" for n in range(20)]
    assert (data["cuts"], data["errors"], data["media"], data["scores"]) == ([], [], [], [])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [".pipe", "logs", "report.json", "run.html", "snk"]
    pipeline.run(graph, ["a.config.frames=3"], out=tmp_path / "out", place="inline", overwrite=True)
    assert data_of(tmp_path / "out")["snapshot"]["frames"] == 3


def test_a_run_without_a_frame_leaves_none(tmp_path, graph):
    pipeline.run(graph, frames=0, out=tmp_path / "out", place="inline")
    assert not (tmp_path / "out" / "run.html").exists() and (tmp_path / "out" / "report.json").exists()


def test_a_run_that_fails(tmp_path, graph):
    graph.write_text(
        GRAPH.replace("test.pass, inputs: {in: a.out}", "test.fault, inputs: {data: a.out}, config: {kind: raise, at: 5}")
    )
    with pytest.raises(Exception, match="p: "):
        pipeline.run(graph, out=tmp_path / "out", place="inline")
    data = data_of(tmp_path / "out")
    assert data["snapshot"]["exit"] == "failed" and data["snapshot"]["nodes"]["p"]["errors"] == 1


@pytest.mark.parametrize(
    ("kind", "what", "text"),
    [(OSError, (errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"), (KeyError, ("x",), "KeyError: 'x'")],
)
def test_a_page_that_cannot_be_made_is_one_warning(tmp_path, graph, monkeypatch, kind, what, text):
    def fail(*_, **__):
        raise kind(*what)

    monkeypatch.setattr(content, "content", fail)
    words = rf"out/run.html: needs to be written, got: .*{text}.*; report.json and logs/ have"
    with pytest.warns(UserWarning, match=words) as told:
        outcome = pipeline.run(graph, out=tmp_path / "out", place="inline")
    assert len(told) == 1 and outcome.code == 0 and outcome.errors == []
    assert not (tmp_path / "out" / "run.html").exists()


def test_a_full_disk_leaves_no_half_page(tmp_path, graph, monkeypatch):
    write = Path.write_bytes

    def full(path, data):
        if path.name.startswith(".run.html"):
            write(path, data[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.warns(UserWarning, match=r"run.html: needs to be written, got: .*No space left on device"):
        assert pipeline.run(graph, out=tmp_path / "out", place="inline").code == 0
    assert not [p for p in (tmp_path / "out").iterdir() if "run.html" in p.name]


def test_a_page_that_is_too_large_has_no_frames(tmp_path, graph, monkeypatch):
    pipeline.run(graph, out=tmp_path / "out", place="inline")
    size = (tmp_path / "out" / "run.html").stat().st_size
    monkeypatch.setattr(save, "MOST_BYTES", size - 1000)
    pipeline.run(graph, out=tmp_path / "out", place="inline", overwrite=True)
    data = data_of(tmp_path / "out")
    assert data["stories"]["frames"] == [] and data["cuts"] == ["frames: the page has no room for them"]


def test_a_restart_in_processes(pipe):
    graph = pipe.graph(GRAPH.replace("version: 1\nnodes:\n", "").replace("frames: 20, rate_hz: 10", "frames: 60, rate_hz: 60"))
    ended = pipe.run(graph, "--rate", "1", "--inject", "p:processing@10")
    assert ended.code == 0, ended.stderr
    data = data_of(ended.out)
    (life,) = [life for life in data["lives"] if life["why"]]
    assert (life["place"], life["why"], life["ms"]["detect"] >= 0) == ("p", "killed by SIGKILL", True)
    assert data["snapshot"]["processes"]["p"]["restarts"] == 1 and 0 < life["at_s"] < 30
