"""`pipe new`: its files work, in a project and alone; it overwrites nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.graph import lookup, project
from pipeline.graph.files import SHIPPED

FILES = [
    ".gitignore", "conftest.py", "drivers/ring.py", "graphs/robot.yaml", "operators/near.py", "tests/test_graph.py",
    "tests/test_near.py", "tests/test_ring.py",
]  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    project.use(None)


def pipe(capsys, *argv: str) -> tuple[int, str, str]:
    code = main(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def passes(folder: Path, *which: str) -> str:
    """Runs plain pytest in the folder; returns its last line."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *which]
    env = {**os.environ, "PYTHONPATH": str(project.SHIPPED), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env, timeout=110, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.splitlines()[-1]


def test_a_project_and_more_nodes_in_it(here, capsys, monkeypatch):
    code, out, err = pipe(capsys, "new", "project", "robot")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "run it:   pipe run robot/graphs/robot.yaml"
    assert files(here / "robot") == FILES
    monkeypatch.chdir(here / "robot" / "graphs")
    code, out, err = pipe(capsys, "new", "operator", "keep_near")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "use it:   keep_near: {op: keep_near, inputs: {points: NODE.points}}"
    code, out, err = pipe(capsys, "new", "driver", "two_rings")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "use it:   two_rings: {driver: two_rings}"
    written = ["drivers/two_rings.py", "operators/keep_near.py", "tests/test_keep_near.py", "tests/test_two_rings.py"]
    assert files(here / "robot") == sorted([*FILES, *written])
    assert "17 passed" in passes(here / "robot")
    assert pipe(capsys, "check", "robot") == (
        0,
        "robot.yaml: ok: 3 nodes in 3 processes, 2 edges, offline, 38.4 MB of frames\n  ring: 20 frames at 10 Hz\n",
        "",
    )


def test_a_driver_alone(here, capsys):
    assert pipe(capsys, "new", "driver", "two_rings") == (
        0,
        "wrote two_rings.py and test_two_rings.py\n"
        "test it:  python -m pytest test_two_rings.py\n"
        "use it:   two_rings: {driver: two_rings:TwoRings}\n",
        "",
    )
    assert "5 passed" in passes(here, "test_two_rings.py")
    assert lookup.driver_class("two_rings:TwoRings").__name__ == "TwoRings"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["operator", "class"], "needs a Python name such as find_lanes, got 'class'"),
        (["driver", "two-rings"], "needs a Python name such as find_lanes, got 'two-rings'"),
        (["project", "../up"], "needs a Python name such as find_lanes, got '../up'"),
        (["driver", "mot"], f"has the name of the shipped {project.SHIPPED}/drivers/mot.py; choose another name"),
        (["operator", "mot"], f"has the name of the shipped {project.SHIPPED}/drivers/mot.py; choose another name"),
        (["operator", "lidar"], f"has the name of the shipped {project.SHIPPED}/operators/lidar; choose another name"),
        (["operator", "queue"], "queue is a module of Python or of an installed package; choose another name"),
        (["project", "demo"], "demo is a shipped graph; choose another name"),
        (["project", "operators"], "operators is a package that Pipe uses; choose another name"),
        (["project", "there"], "there exists; it is left as it is, choose another name"),
    ],
)
def test_refused(here, capsys, words, message):
    (here / "there").mkdir()
    assert pipe(capsys, "new", *words) == (2, "", f"error: new {' '.join(words)}: {message}\n")
    assert files(here) == []


def test_nothing_is_overwritten_in_a_project(here, capsys):
    (here / "operators").mkdir()
    (here / "tests").mkdir()
    (here / "tests" / "test_mine.py").write_text("precious")
    assert pipe(capsys, "new", "driver", "mine") == (
        2,
        "",
        f"error: new driver mine: {here}/tests/test_mine.py exists; it is left as it is, choose another name\n",
    )
    assert files(here) == ["tests/test_mine.py"]


def test_its_own_names_are_not_shipped():
    assert not {"near", "ring"} & {*lookup.shipped_nodes("op"), *lookup.shipped_nodes("driver")}
    assert not (SHIPPED / "robot.yaml").exists()
