"""run.json and lives.jsonl: what a run was, without its graph file."""

import json

import pytest

from pipeline.graph import load as graph
from pipeline.graph.plan import Plan
from pipeline.options import RunOptions
from pipeline.runtime import runfile
from pipeline.runtime.runfile import RunFile, commit

TEXT = """version: 1
# rtsp://admin:secret@10.0.0.5/stream
nodes:
  a: {driver: test.counter, config: {frames: 10, rate_hz: 10}}
  snk: {op: test.null, inputs: {in: a.out}}
"""
HASH = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def plan(tmp_path):
    return Plan(graph.parse(TEXT, "t.yaml"), RunOptions(tmp_path, frames=3), "t-1")


def test_its_content(plan, tmp_path):
    file = RunFile(plan, tmp_path)
    for place, epoch, pid, why in (("a", 0, 10, ""), ("snk", 0, 11, ""), ("snk", 1, None, "exited with code 3")):
        file.life(place, epoch, pid, why)
    file.add_versions()
    file.close()
    content = json.loads((tmp_path / "run.json").read_text())
    assert (content["format"], content["run"], content["start"], content["options"]["frames"]) == (1, "t-1", None, 3)
    assert content["nodes"][1]["op"] == "test.null" and content["nodes"][0]["config"] == {"frames": 10, "rate_hz": 10, "start": 0}
    assert content["versions"]["python"] and content["wall_offset_ns"] > 0
    assert "rtsp://***@10.0.0.5/stream" in content["text"] and "secret" not in json.dumps(content)
    lives = [json.loads(line) for line in (tmp_path / "lives.jsonl").read_text().splitlines()]
    assert [(life["place"], life["epoch"], life["pid"], life["why"]) for life in lives] == [
        ("a", 0, 10, ""), ("snk", 0, 11, ""), ("snk", 1, None, "exited with code 3")
    ]  # fmt: skip
    assert not (tmp_path / "run.tmp").exists()


def test_a_full_disk(plan, tmp_path):
    """It is told, and the run goes on."""
    (tmp_path / "logs").write_text("a file where the folder should be")
    file = RunFile(plan, tmp_path / "logs")
    file.life("a", 0, 10, "")
    assert [text.partition(" got: ")[2].partition(";")[0] for text in file.unwritten()] == ["Not a directory", "File exists"]
    file.close()


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        ({".git/HEAD": HASH}, HASH),
        ({".git/HEAD": "ref: refs/heads/main", ".git/refs/heads/main": HASH}, HASH),
        ({".git/HEAD": "ref: refs/heads/main", ".git/packed-refs": f"# pack-refs\n{HASH} refs/heads/main\n"}, HASH),
        ({".git/HEAD": "ref: refs/heads/main"}, None),
        (
            {
                ".git": "gitdir: main/.git/worktrees/w",
                "main/.git/worktrees/w/HEAD": "ref: refs/heads/w",
                "main/.git/worktrees/w/commondir": "../..",
                "main/.git/refs/heads/w": HASH,
            },
            HASH,
        ),
    ],
)
def test_the_commit_is_read_without_git(tmp_path, files, found):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert commit(tmp_path / "pipeline" / "runtime" / "runfile.py") == found


def test_kinds():
    plan = Plan(graph.parse(TEXT, "t.yaml"), RunOptions(None), "t-1")
    assert [runfile.kind_of(node) for node in plan.graph.nodes.values()] == ["source", "sink"]
