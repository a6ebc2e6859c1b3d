"""The loop of a batch: what is tried, skipped, tried again, refused, and what it reports. Jobs run in the process of the test."""

import json
import signal

import pytest

from pipeline import api
from pipeline.batch.folder import Folder
from pipeline.batch.items import Item
from pipeline.batch.report import lines
from pipeline.errors import GraphError


def saved(batch):
    return json.loads((batch.out / "batch.json").read_text())


def ids(folder):
    return [int(line.split()[1]) for line in (folder / "sink" / "frames.txt").read_text().splitlines()]


def test_items_are_the_runs_of_each_alone(batch, graph, tmp_path):
    result = batch("0,10")
    assert result.code == 0 and saved(batch) == result.report
    assert result.report["counts"] == {"done": 2, "skipped": 0, "failed": 0, "left": 0} and result.report["frames"] == 8
    for item in ("0", "10"):
        alone = api.run(graph, {"src.config.start": int(item)}, out=tmp_path / f"alone{item}", place="inline").report
        assert result.report["items"][item]["digest"] == alone["digest"]
        own, other = batch.out / item / "sink/frames.txt", tmp_path / f"alone{item}/sink/frames.txt"
        assert own.read_bytes() == other.read_bytes()
        assert json.loads((batch.out / item / "report.json").read_text())["digest"] == alone["digest"]
    assert sorted(p.name for p in batch.out.iterdir()) == [".batch", "0", "10", "batch.json"]


def test_done_items_are_skipped_and_new_ones_done(batch):
    batch("0,10")
    result = batch("0,10,20")
    assert batch.pool.started == ["20.1"]
    assert [row["state"] for row in result.report["items"].values()] == ["skipped", "skipped", "done"]
    assert result.report["frames"] == 12 and result.code == 0
    assert batch("0,10,20").report["counts"]["skipped"] == 3 and batch.pool.started == []


def test_stale_results_are_refused_and_done_again_with_overwrite(batch):
    batch("0,10")
    with pytest.raises(GraphError, match=r"results are there, of 0 \(settings\), 10 \(settings\), which differ"):
        batch("0,10", frames=2)
    assert len(ids(batch.out / "0")) == 4 and batch.pool.started == []
    assert batch("0,10", frames=2, overwrite=True).code == 0
    assert len(ids(batch.out / "0")) == 2 and batch.pool.started == ["0.1", "10.1"]
    assert batch("0,10", frames=2, overwrite=True).report["counts"]["skipped"] == 2


def test_a_worker_that_dies_is_replaced(batch):
    batch.pool.dies = {"10": ["killed by SIGKILL (out of memory?)"]}
    result = batch("0,10,20")
    assert batch.pool.started == ["0.1", "10.1", "20.1", "10.2"] and result.code == 0
    row = result.report["items"]["10"]
    assert row["state"] == "done" and row["tries"] == 2
    assert row["failed_tries"] == [{"try": 1, "host": None, "exit": "killed", "reason": "killed by SIGKILL (out of memory?)"}]
    assert ids(batch.out / "10") == [0, 1, 2, 3]


def test_an_item_that_fails_is_tried_again_then_named_and_the_others_run(batch, capsys):
    result = batch("0,10,20", "mid.config.kind=raise", "mid.config.at={item}")
    row = result.report["items"]["0"]
    assert result.code == 1 and result.report["exit"] == "failed"
    assert batch.pool.started == ["0.1", "10.1", "20.1", "0.2"]
    assert row["state"] == "failed" and [t["exit"] for t in row["failed_tries"]] == ["failed", "failed"]
    assert "mid" in row["error"] and "0: failed: " in capsys.readouterr().err
    assert (batch.out / "0" / "logs").is_dir() and list((batch.out / "0" / "poison").iterdir())
    assert ids(batch.out / "10") == [0, 1, 2, 3]
    again = batch("0,10,20", "mid.config.kind=raise", "mid.config.at={item}", retries=0)
    assert batch.pool.started == ["0.1"] and again.report["counts"] == {"done": 0, "skipped": 2, "failed": 1, "left": 0}
    table = "\n".join(lines(again.report, "out"))
    assert "0     failed" in table and "3 items" in table and "2 skipped, 1 failed" in table


def test_a_killed_item_leaves_its_last_try(batch):
    batch.pool.dies = {"0": ["killed by SIGSEGV", "killed by SIGKILL"]}
    result = batch("0")
    assert result.code == 1 and result.report["items"]["0"]["error"] == "killed by SIGKILL"
    assert json.loads((batch.out / "0/item.json").read_text())["exit"] == "killed"
    batch.pool.dies = {}
    assert batch("0").code == 0 and ids(batch.out / "0") == [0, 1, 2, 3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_keeps_what_is_done_and_the_rest_is_done_later(batch, number):
    def during(job):
        if job.item == "10":
            signal.raise_signal(number)

    batch.pool.during = during
    result = batch("0,10,20")
    assert result.code == 128 + number and result.report["exit"] == "stopped"
    assert [row["state"] for row in result.report["items"].values()] == ["done", "done", "left"]
    assert saved(batch)["exit"] == "stopped" and not (batch.out / "20").exists() and not (batch.out / ".tries").exists()
    batch.pool.during = lambda job: None
    assert batch("0,10,20").code == 0 and batch.pool.started == ["20.1"]


def test_a_wrong_item_that_was_named_stops_all(batch):
    with pytest.raises(GraphError, match=r"src.config.start: needs int, got 'x'"):
        batch("0,x")
    assert not batch.out.exists() and batch.pool.started == []


def test_a_wrong_item_of_a_glob_fails_alone(batch, tmp_path, graph):
    """Also: an item with a space in its path."""
    text = graph.read_text().replace("test.counter", "own:Own").replace("{frames: 4}", "{}")
    graph.write_text(text)
    (tmp_path / "own.py").write_text(
        "from dataclasses import dataclass\nfrom pathlib import Path\nfrom pipeline.errors import InputError\n"
        "from pipeline.nodes.counter import Counter, CounterConfig\nfrom pipeline.operator import Found\n"
        "@dataclass(frozen=True)\nclass OwnConfig(CounterConfig):\n    file: str = ''\n"
        "class Own(Counter):\n    Config = OwnConfig\n    @classmethod\n    def find(cls, config):\n"
        "        if not Path(config.file).read_text():\n            raise InputError(f'{config.file}: empty')\n"
        "        return Found(3)\n"
    )
    (tmp_path / "rec").mkdir()
    for name, content in (("a b.rec", "x"), ("c.rec", "")):
        (tmp_path / "rec" / name).write_text(content)
    result = batch(f"{tmp_path}/rec/*.rec", "src.config.frames=3", "src.config.start=0", "src.config.file={item}")
    rows = list(result.report["items"].values())
    assert result.code == 1 and [row["state"] for row in rows] == ["done", "failed"]
    assert [row["folder"] for row in rows] == ["a_b.rec", "c.rec"] and "c.rec: empty" in rows[1]["error"]
    assert batch.pool.started == [f"{tmp_path}/rec/a b.rec.1"]


def test_a_live_graph_is_refused(batch, graph):
    graph.write_text(graph.read_text().replace("driver: test.counter,", "driver: test.counter, live: true,"))
    with pytest.raises(GraphError, match="a batch needs sources that end, got a live graph"):
        batch("0")


def test_folders_of_others_are_not_touched(batch, graph):
    api.run(graph, out=batch.out / "10", place="inline")
    with pytest.raises(GraphError, match=r"needs a folder without results of others, got 10; use --overwrite"):
        batch("0,10")
    (batch.out / "10/mine.txt").write_text("kept")
    result = batch("0,10", overwrite=True, retries=0)
    assert result.code == 1 and "only what pipe has made is replaced, got mine.txt" in result.report["items"]["10"]["error"]
    assert (batch.out / "10/mine.txt").read_text() == "kept"
    (batch.out / "10/mine.txt").unlink()
    assert batch("0,10").code == 0


def test_two_batches_do_not_write_to_one_folder(batch):
    def during(job):
        with pytest.raises(GraphError, match="a batch is writing there"):
            batch("0")

    batch.pool.during = during
    assert batch("0").code == 0


def test_a_folder_stays_with_its_item(tmp_path):
    with Folder(tmp_path, [Item("a_b", "a_b")], False):
        pass
    with pytest.raises(GraphError, match="needs a folder for a/b, got that of a_b"):
        Folder(tmp_path, [Item("a/b", "a_b")], False)
