"""A user's project: a folder with its own operators/, drivers/ and graphs/, in every placement and from any working folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
from pipeline.errors import GraphError
from pipeline.graph import lookup, project
from pipeline.graph.files import SHIPPED, find_file
from pipeline.graph.load import load

NEAR = '''"""Own near."""
import operators.tools.limits
from operators.helper import LIMIT
from operators.streams import POINTS
from pipeline.operator import operator

@operator(inputs={"points": POINTS}, outputs={"points": POINTS})
def NAME(points, max_m: float = LIMIT):
    return points[points[:, 0] < max_m]
'''
BEAM = '''"""Own beam."""
import numpy as np
from operators.streams import POINTS
from pipeline.testing import ListSource

class Beam(ListSource):
    outputs = {"points": POINTS}
    values = [np.full((2, 4), i, np.float32) for i in range(3)]
'''
GRAPH = """version: 1
nodes:
  beam: {driver: beam}
  near: {op: near, inputs: {points: beam.points}}
  far:  {op: lidar.far, inputs: {points: near.points}}
  s:    {op: test.null, inputs: {in: far.points}, config: {write: true}}
"""
SHIPPED_ONLY = """version: 1
nodes:
  a: {driver: test.counter, config: {frames: 2}}
  s: {op: test.null, inputs: {in: a.out}, config: {write: true}}
"""
FILES = {
    "operators/near.py": NEAR.replace("NAME", "near"),
    "operators/lidar/far.py": NEAR.replace("NAME", "far"),
    "operators/helper.py": "LIMIT = 2.0\n",
    "operators/tools/limits.py": "",
    "drivers/beam.py": BEAM,
    "graphs/mine.yaml": GRAPH,
    "graphs/demo.yaml": SHIPPED_ONLY,
    "graphs/shipped.yaml": SHIPPED_ONLY,
    "old.yaml": GRAPH.replace("op: near", 'op: "alone:near"'),
    "alone.py": NEAR.replace("NAME", "near"),
}
HOSTILE = ("bench.py", "coverage.py", "numpy.py", "queue.py", "yaml.py", "zmq.py", "pipeline/__init__.py", "graphs/__init__.py")
"""A user's modules with names of the engine's, of its libraries', of Python's."""


@pytest.fixture(params=["namespace", "packages"])
def folder(request, tmp_path):
    """The project, without and with `__init__.py`."""
    root = tmp_path / "mine"
    files = dict(FILES) | dict.fromkeys(HOSTILE, "raise SystemExit('imported by mistake')\n")
    if request.param == "packages":
        inits = ["operators", "operators/lidar", "operators/tools", "drivers"]
        files |= dict.fromkeys([f"{package}/__init__.py" for package in inits], "")
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(autouse=True)
def forget():
    yield
    project.use(None)


def pipe(*words: object, cwd: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [python, "-c", "import sys; sys.path.pop(0); from pipeline.__main__ import cli; cli()", *map(str, words)],
        cwd=cwd, env=env, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def frames(out: Path) -> list[str]:
    return [line.split()[1] for line in (out / "s" / "frames.txt").read_text().splitlines()]


@pytest.mark.parametrize(
    ("graph", "cwd", "more"),
    [
        ("graphs/mine.yaml", "elsewhere", []),
        ("graphs/mine.yaml", ".", ["--set", "near.place=a", "--set", "far.place=a"]),
        ("graphs/mine.yaml", "graphs", ["--place", "inline"]),
        ("old.yaml", "elsewhere", []),
        ("old.yaml", ".", ["--place", "inline"]),
    ],
    ids=["processes", "group", "inline", "module:name", "module:name inline"],
)
def test_it_runs(folder, tmp_path, graph, cwd, more):
    """Also, every other `import X` there finds the module of Python, the engine or a library."""
    there = tmp_path / "elsewhere" if cwd == "elsewhere" else folder / cwd
    there.mkdir(exist_ok=True)
    ended = pipe("run", folder / graph, "--out", tmp_path / "out", *more, cwd=there)
    assert ended.returncode == 0, ended.stderr
    assert frames(tmp_path / "out") == ["0", "1", "2"]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert sum(node["errors"] for node in report["nodes"].values()) == 0


def test_python_m_pipeline_in_the_project(folder, tmp_path):
    """`python -m` puts the working folder first; with a pipeline/ of one's own there it cannot mean the engine."""
    (folder / "pipeline" / "__init__.py").unlink()
    env = os.environ | {"PYTHONPATH": str(project.SHIPPED)}
    words = [sys.executable, "-m", "pipeline", "run", "mine", "--out", str(tmp_path / "out")]
    ended = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    assert frames(tmp_path / "out") == ["0", "1", "2"]


def test_check_graph_and_ops(folder, tmp_path):
    assert "ok: 4 nodes" in pipe("check", folder / "graphs" / "mine.yaml", cwd=tmp_path).stdout
    assert "lidar.far" in pipe("graph", folder / "graphs" / "mine.yaml", cwd=tmp_path).stdout
    listed = pipe("ops", cwd=folder / "graphs").stdout
    assert listed.startswith(f"operators of {folder}\n  lidar.far ")
    assert re.search(r"^  near +Own near\.$", listed, re.MULTILINE)
    assert re.search(rf"^drivers of {re.escape(str(folder))}\n  beam +Own beam\.$", listed, re.MULTILINE)
    assert "Own near." not in pipe("ops", cwd=tmp_path).stdout
    assert pipe("ops", "near", cwd=folder).stdout.startswith("op: near    operators.near:near\n\nOwn near.\n")


def test_names_of_graphs(folder, monkeypatch):
    """A shipped name is the shipped graph, even beside a file of this name; a path is the file."""
    monkeypatch.chdir(folder / "graphs")
    assert find_file("demo") == SHIPPED / "demo.yaml"
    assert list(load("./demo.yaml").nodes) == ["a", "s"]
    monkeypatch.chdir(folder)
    assert list(load("mine").nodes) == ["beam", "near", "far", "s"]
    assert find_file("demo") == SHIPPED / "demo.yaml"


@pytest.mark.parametrize("place", ["inline", None])
def test_from_python(folder, tmp_path, place):
    assert pipeline.run(folder / "graphs" / "mine.yaml", out=tmp_path / "out", place=place).exit == "completed"
    assert frames(tmp_path / "out") == ["0", "1", "2"]
    got = [points[:, 0].tolist() for _, points in pipeline.frames(folder / "graphs" / "mine.yaml", "far.points")]
    assert got == [[0, 0], [1, 1], []]


def test_two_projects_in_one_process(folder, tmp_path):
    """Each gets its own modules, also when they have the same names."""
    other = tmp_path / "other"
    for name in (
        "operators/near.py",
        "operators/lidar/far.py",
        "operators/tools/limits.py",
        "drivers/beam.py",
        "graphs/mine.yaml",
    ):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_text(FILES[name])
    (other / "operators/helper.py").write_text("LIMIT = 1.0\n")
    for root, limit in ((folder, 2.0), (other, 1.0), (folder, 2.0)):
        spec = load(root / "graphs" / "mine.yaml")
        assert spec.nodes["near"].config.max_m == limit
        assert lookup.class_file(spec.nodes["near"].cls) == str(root / "operators" / "near.py")


def test_shipped_nodes_need_no_user_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = list(sys.path)
    shipped = load("graphs/shipped.yaml")
    assert sys.path == before
    path, root = project.worker_path([n.cls for n in shipped.nodes.values()], shipped.project)
    assert str(folder) not in path and root is None and path == project.engine_path()
    own = load("graphs/mine.yaml")
    assert sys.path == [*before, str(folder)]
    path, root = project.worker_path([n.cls for n in own.nodes.values()], own.project)
    assert path[-1] == str(folder) and root == folder


def test_a_worker_refuses_another_file(folder):
    cls = load(folder / "graphs" / "mine.yaml").nodes["near"].cls
    ref, file = lookup.class_ref(cls), str(folder / "operators" / "near.py")
    assert lookup.class_by_ref(ref, file) is cls
    with pytest.raises(GraphError, match=rf"operators.near:near: needs the module that was checked, /other/near.py, got {file}"):
        lookup.class_by_ref(ref, "/other/near.py")


@pytest.mark.parametrize(
    ("own", "shipped", "op"),
    [
        ("operators/lidar/voxelize.py", "operators/lidar/voxelize.py", "lidar.voxelize"),
        ("operators/streams.py", "operators/streams.py", "near"),
        ("operators/render.py", "operators/render", "near"),
        ("drivers/mot.py", "drivers/mot.py", "near"),
    ],
)
def test_shipped_names_are_refused(folder, own, shipped, op):
    (folder / own).parent.mkdir(exist_ok=True)
    (folder / own).write_text(FILES["operators/near.py"])
    near = f"near: {{op: {op}, inputs: {{points: beam.points}}}}"
    (folder / "graphs" / "g.yaml").write_text(f"version: 1\nnodes:\n  beam: {{driver: beam}}\n  {near}\n")
    with pytest.raises(GraphError) as error:
        load(folder / "graphs" / "g.yaml")
    assert f"{folder / own}" in str(error.value)
    assert f"has the name of the shipped {project.SHIPPED / shipped}" in str(error.value)


def test_a_hidden_module_is_named(folder):
    (folder / "g.yaml").write_text("version: 1\nnodes:\n  q: {driver: 'queue:Mine'}\n")
    with pytest.raises(
        GraphError, match=rf"module queue has no class Mine; {folder}/queue.py has the name of .*/queue.py; rename it"
    ):
        load(folder / "g.yaml")


def test_unknown_names_are_suggested_from_both(folder):
    (folder / "g.yaml").write_text("version: 1\nnodes:\n  q: {driver: baem}\n  n: {op: lidar.fra, inputs: {points: q.points}}\n")
    with pytest.raises(GraphError) as error:
        load(folder / "g.yaml")
    assert "did you mean beam?" in str(error.value)
    assert "did you mean lidar.far?" in str(error.value)
