"""What a run leaves in its folder, and how it is read: of a finished, a running and a killed run."""

import json
import shutil

import numpy as np
import pytest
from pipe_runs import alive, wait_for

import pipeline
from pipeline.errors import InputError
from pipeline.flow.log import DELIVERED, DROPPED, PUBLISHED, STEP
from pipeline.graph import load as graph
from pipeline.options import RunOptions
from pipeline.runtime import outfolder
from pipeline.runtime.report import Life
from pipeline.runtime.session import Session
from pipeline.watch.history import History

TEXT = """version: 1
nodes:
  a: {driver: test.counter, config: {frames: 10, rate_hz: 10}}
  p: {op: test.pass, inputs: {in: a.out}, place: here}
  snk: {op: test.null, inputs: {in: p.out}, place: here}
"""


@pytest.fixture
def ran(tmp_path):
    """The folder of a finished run."""
    (tmp_path / "g.yaml").write_text(TEXT)
    outcome = pipeline.run(tmp_path / "g.yaml", ["a.config.frames=7"], out=tmp_path / "out", place="inline")
    assert outcome.code == 0, outcome.errors
    return tmp_path / "out"


def kinds(history):
    """Kind of event -> how many."""
    rows = np.concatenate([*history.events(), np.zeros((0, 8), np.int64)])
    return {int(k): int(n) for k, n in zip(*np.unique(rows[:, 0] & 0xFF, return_counts=True), strict=True)}


def test_a_finished_run(ran):
    history = History(ran)
    run = history.run
    assert (run.graph, run.places, run.sources, run.live) == ("g", ["a", "here"], ["a"], False)
    nodes = [(n.name, n.kind, n.place) for n in run.nodes]
    assert nodes == [("a", "source", "a"), ("p", "operator", "here"), ("snk", "sink", "here")]
    assert (run.node("a").config["frames"], run.node("p").trigger) == (7, "in")
    assert [e.name for e in run.edges] == ["a.out->p.in", "p.out->snk.in"]
    assert [(p.node, p.port, p.edges) for p in run.ports] == [("a", "out", [0]), ("p", "out", [1])]
    assert run.text.startswith("version: 1") and run.reasons[0] == "error" and run.raw["machine"]["cores"] > 0
    assert run.start is not None and run.start.anchor_mono_ns > run.time_ns
    assert kinds(history) == {PUBLISHED: 14, DELIVERED: 14, STEP: 21}
    assert run.name_of(6) == "a:6"
    assert not history.is_cut
    assert history.report is not None and history.report["exit"] == "completed"
    assert History(ran / "logs").out == ran


def test_an_empty_history(tmp_path):
    (tmp_path / "logs").mkdir()
    with pytest.raises(InputError, match=r"logs/run.json: needs the file of a run, got none; was the folder made by pipe run"):
        History(tmp_path)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ("{", "ValueError|JSONDecodeError"),
        ("[1]", "TypeError"),
        ('{"format": 2}', "format: needs 1, got 2"),
        ('{"format": 1}', "KeyError: 'nodes'"),
        ("[" * 100_000, "too deep"),
    ],
)
def test_a_file_that_is_no_run(tmp_path, content, got):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "run.json").write_text(content)
    with pytest.raises(InputError, match=got) as raised:
        History(tmp_path)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


def test_indices_that_lead_nowhere(ran):
    path = ran / "logs" / "run.json"
    content = json.loads(path.read_text())
    content["edges"][0]["index"] = 7
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="indices of nodes, ports and edges"):
        History(ran)


def test_a_row_that_is_cut_off_is_left_out(ran):
    (file,) = (ran / "logs" / "events").iterdir()
    whole = file.read_bytes()
    for cut in (1, 63):
        file.write_bytes(whole[:-cut])
        assert sum(kinds(History(ran)).values()) == 48
    file.write_bytes(b"")
    assert kinds(History(ran)) == {}


def test_what_is_newer(ran):
    history = History(ran)
    (file,) = (ran / "logs" / "events").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: 64 * 3 + 10])
    assert [len(rows) for rows in history.newer()] == [3]
    assert [len(rows) for rows in history.newer()] == []
    file.write_bytes(whole)
    file.with_name("00000002.events").write_bytes(whole[:64])
    file.with_name("notes.txt").write_text("not ours")
    assert [len(rows) for rows in history.newer()] == [46, 1]
    file.unlink()
    assert history.is_cut and [len(rows) for rows in history.events()] == [1]


def test_a_new_run_replaces_the_events(ran, tmp_path):
    before = sum(kinds(History(ran)).values())
    pipeline.run(tmp_path / "g.yaml", ["a.config.frames=1"], out=ran, place="inline", overwrite=True)
    assert (before, sum(kinds(History(ran)).values())) == (49, 7)


def test_a_disk_that_is_full(tmp_path):
    """What cannot be written is named; the books balance all the same."""
    (tmp_path / "out" / "logs").mkdir(parents=True)
    (tmp_path / "out" / "logs" / "events").write_text("a file where the folder should be")
    session = Session(graph.parse(TEXT, "t.yaml"), RunOptions(tmp_path / "out"))
    try:
        session.accountant.edges[0].open[1] = (3, 300, 0)
        assert session.accountant.settle(0, 1, "restart")
        outcome = session.finish("completed", 0, {n: Life(0, [], 0.0, 0.0) for n in session.graph.nodes}, {}, [])
    finally:
        session.close()
    (text,) = [text for text in outcome.errors if "pipe why" in text]
    assert text == f"{tmp_path}/out/logs/events: needs room for 64 bytes more, got: File exists; pipe why lacks these events"
    assert (outcome.code, outcome.report["edges"]["a.out->p.in"]["dropped"]) == (1, {"restart": 1})


def test_the_folder_of_a_killed_run(pipe, runtime):
    """An operator dies and is started again; then the supervisor is killed. The events are whole up to there."""
    running = pipe.start(pipe.graph(
        "  a: {driver: test.counter, config: {frames: 100000, rate_hz: 200}}\n"
        "  p: {op: test.pass, inputs: {in: a.out}}\n"
        "  snk: {op: test.null, inputs: {in: p.out}, config: {write: true}}\n"
    ), "--rate", "1", "--quiet")  # fmt: skip
    running.wait_lines("snk", 20)
    first = running.kill("p")
    wait_for(lambda: len(History(running.out).lives) == 4, 20, "the second life of p")
    wait_for(lambda: kinds(History(running.out))[STEP] > 300, 20, "events after the restart")  # of three nodes
    history = History(running.out)
    children = running.children()
    running.process.kill()
    running.end()
    again = history.lives[-1]
    assert [(life.place, life.epoch) for life in history.lives] == [("a", 0), ("p", 0), ("snk", 0), ("p", 1)]
    assert (history.lives[1].pid, again.why) == (first, "killed by SIGKILL")
    rows = np.concatenate(list(History(running.out).events()))
    steps = rows[(rows[:, 0] & 0xFF == STEP) & (rows[:, 0] >> 8 == history.run.node("snk").index)]
    assert len(steps) > 50 and (np.diff(steps[:, 2]) > 0).all()
    delivered = rows[rows[:, 0] & 0xFF == DELIVERED]
    hop, sent, taken = delivered[:, 4], delivered[:, 5], delivered[:, 7]
    assert ((hop >= sent) & (sent >= taken) & (taken >= 0)).all()
    lost = rows[rows[:, 0] & 0xFF == DROPPED]
    drops = running.out / "logs" / "drops.jsonl"
    assert len(lost) == (len(drops.read_text().splitlines()) if drops.exists() else 0)
    with pytest.raises(pipeline.errors.GraphError, match="needs a folder without results"):
        outfolder.take(graph.parse(TEXT, "t.yaml"), running.out, overwrite=False)
    wait_for(lambda: not alive(children), 5, "the end of its processes")
    shutil.rmtree(runtime / "pipe")  # as the next run would
