"""`pipe check`, `graph`, `ops`, `new` from the command line: output, exit code, message."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.cli.ops import unit
from pipeline.graph import lookup

CHAIN = """version: 1
nodes:
  a: {driver: test.counter, config: {frames: 3, rate_hz: 20}}
  s: {op: test.null, inputs: {in: a.out}}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.yaml").write_text(CHAIN)
    return tmp_path


def pipe(capsys, *argv: str) -> tuple[int, str, str]:
    code = main(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


# ---- check


def test_check(folder, capsys):
    assert pipe(capsys, "check", "g.yaml") == (
        0,
        "g.yaml: ok: 2 nodes in 2 processes, 1 edge, offline, 0.0 MB of frames\n  a: 3 frames at 20 Hz\n",
        "",
    )


def test_check_with_set_and_warning(folder, capsys):
    code, out, err = pipe(
        capsys, "check", "g.yaml", "--set", "a.config.frames=null", "--set", "s.sync.policy=exact", "--set", "a.place=s"
    )
    assert (code, err) == (0, "warning: --set s.sync.policy=exact: s.sync: has no effect: s has one stream input\n")
    assert out == "g.yaml: ok: 2 nodes in 1 process, 1 edge, offline, 0.0 MB of frames\n  a: endless at 20 Hz\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["g.yaml", "--set", "a.config.fraems=1"], "--set a.config.fraems=1: a.config.fraems: unknown key; did you mean frames?"),
        (["demoo"], "demoo: no such graph file; did you mean the shipped graph demo?"),
    ],
)
def test_check_refuses(folder, capsys, argv, message):
    assert pipe(capsys, "check", *argv) == (2, "", f"error: {message}\n")


def test_check_names_the_line(folder, capsys):
    (folder / "g.yaml").write_text(CHAIN.replace("in: a.out", "in: a.uot"))
    assert pipe(capsys, "check", "g.yaml") == (2, "", "error: g.yaml:4: s.inputs.in: a has no output uot; did you mean out?\n")


# ---- graph


def test_graph_prints_mermaid(folder, capsys):
    assert pipe(capsys, "graph", "g.yaml") == (
        0,
        'flowchart LR\n  n0(["a<br/>test.counter"])\n  n1[["s<br/>test.null"]]\n  n0 -- "out → in" --> n1\n',
        "",
    )


def test_graph_writes_files(folder, capsys):
    assert pipe(capsys, "graph", "g.yaml", "-o", "g.svg") == (0, "", "")
    assert ElementTree.parse(folder / "g.svg").getroot().tag.endswith("svg")
    assert pipe(capsys, "graph", "g.yaml", "-o", "g.mmd") == (0, "", "")
    assert (folder / "g.mmd").read_text().startswith("flowchart LR\n")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("g.png", "-o g.png: needs a name ending in .svg or .mmd"),
        ("no/g.svg", "-o no/g.svg: cannot write: No such file or directory"),
    ],
)
def test_graph_refuses(folder, capsys, output, message):
    assert pipe(capsys, "graph", "g.yaml", "-o", output) == (2, "", f"error: {message}\n")


# ---- ops


def test_ops_lists_everything_and_why_not(tmp_path, capsys, monkeypatch):
    gone = tmp_path / "gone.py"
    gone.write_text('"""Gone."""\nimport no_such_package.part\n')
    nodes = {kind: lookup.shipped_nodes(kind) for kind in ("op", "driver")}
    listed = {
        "op": {"lidar.gone": gone, "test.null": nodes["op"]["test.null"]},
        "driver": {"test.counter": nodes["driver"]["test.counter"]},
    }
    monkeypatch.setattr(lookup, "shipped_nodes", listed.get)
    monkeypatch.setattr(lookup, "_entries", lambda group: ())
    code, out, err = pipe(capsys, "ops")
    assert (code, err) == (0, "")
    assert out == (
        "operators\n"
        "  lidar.gone    ! needs the package no_such_package, which is not installed\n"
        "\n"
        "drivers\n"
        "\n"
        "test nodes\n"
        "  test.counter  Count: 0, 1, 2, ...\n"
        "  test.null     Take anything, keep nothing. `write: true` notes every frame in frames.txt: "
        "an account independent of the engine's.\n"
    )


def test_ops_lists_the_shipped_ones(capsys):
    code, out, _ = pipe(capsys, "ops")
    assert code == 0
    listed = {line.split()[0]: line.split(None, 1)[-1] for line in out.splitlines() if line.startswith("  ")}
    assert set(listed) == {*lookup.available_operators(), *lookup.available_drivers()}
    assert listed["lidar.voxelize"] == "Group one LiDAR sweep into pillars."
    assert [name for name, text in listed.items() if text == name or text.startswith("!")] == []


def test_ops_shows_one(capsys):
    assert pipe(capsys, "ops", "test.jitter")[1] == (
        "driver: test.jitter    pipeline.nodes.jitter:Jitter\n"
        "\n"
        "A sensor with a bad clock: stamps jitter, come out of order, come twice, stop for a while. All by seed.\n"
        "\n"
        "out  out   (1,) int64   number of the frame before disorder\n"
        "\n"
        "outputs\n"
        "  out  COUNT\n"
        "         data  (1,) int64  running number\n"
        "\n"
        "config\n"
        "  frames           int                     100\n"
        "  rate_hz          float                   10.0  Hz\n"
        "  seed             int                     0\n"
        "  offset_ms        float                   0.0   ms  of all stamps\n"
        "  jitter_ms        float                   0.0   ms  each stamp moves by up to this, either way\n"
        "  disorder_ms      float                   0.0   ms  a frame comes at most this far after one with a later stamp\n"
        "  max_disorder_ms  float or none           none  ms  what the driver declares; none = the truth\n"
        "  duplicates       float                   0.0       share of frames that come twice\n"
        "  dead_s           [float, float] or none  none  s   from, to: seconds after the start without a frame\n"
    )


def test_ops_shows_ports_frames_and_nested_keys(folder, capsys, monkeypatch):
    (folder / "own.py").write_text(
        '"""Own operator."""\n'
        "from dataclasses import dataclass, field\n"
        "from pipeline.operator import Operator\n"
        "from pipeline.schema import ANY, Array, Schema, optional, static\n"
        "LOGITS = Schema('LOGITS', {'scores': Array('float32', ('M',))}, kind='logit')\n"
        "POINTS = Schema('POINTS', {'points': Array('float32', ('N', 4), 'm', 'x y z i')}, frame='velodyne')\n"
        "@dataclass(frozen=True)\nclass Inner:\n    far_m: float = 4.0  # to there\n"
        "@dataclass(frozen=True)\nclass Config:\n    root: str\n    inner: Inner = field(default_factory=lambda: Inner(5.0))\n"
        "class Own(Operator):\n    Config = Config\n    holds = {'points': 1}\n"
        "    inputs = {'points': POINTS, 'scores': optional(LOGITS), 'calib': static(ANY, optional=True)}\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    code, out, _ = pipe(capsys, "ops", "own:Own")
    sys.modules.pop("own")
    assert code == 0
    assert out == (
        "op: own:Own    own:Own\n\nOwn operator.\n\ninputs\n"
        "  points  POINTS    velodyne frame, holds 1\n"
        "            points  (N, 4) float32 [m]       x y z i\n"
        "  scores  LOGITS    optional, scores: logit\n"
        "            scores  (M,) float32\n"
        "  calib   anything  static, optional\n"
        "                    any arrays\n"
        "\nconfig\n"
        "  root         text       (required)\n"
        "  inner        a mapping\n"
        "  inner.far_m  float      5.0         m  to there\n"
    )


def test_ops_refuses(capsys):
    assert pipe(capsys, "ops", "lidar.voxelise") == (
        2,
        "",
        "error: no operator or driver lidar.voxelise; did you mean lidar.voxelize?\n",
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [("m", ""), ("cell_m", "m"), ("rate_hz", "Hz"), ("max_mb", "MB"), ("max_points", ""), ("thermal_k", "K"), ("yaw_rad", "rad")],
)
def test_unit(name, expected):
    assert unit(name) == expected


# ---- new


def test_new_operator_works_and_its_test_passes(folder, capsys):
    assert pipe(capsys, "new", "operator", "keep_near") == (
        0,
        "wrote keep_near.py and test_keep_near.py\n"
        "test it:  python -m pytest test_keep_near.py\n"
        "use it:   keep_near: {op: keep_near:keep_near, inputs: {points: NODE.points}}\n",
        "",
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_keep_near.py"],
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
        check=False,
    )
    assert "3 passed" in ran.stdout, ran.stdout + ran.stderr
    ops = subprocess.run(
        [sys.executable, "-m", "pipeline", "ops", "keep_near:keep_near"],
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
        check=True,
    )
    assert "Keep the points near the sensor." in ops.stdout
    assert "  max_m  float  40.0  m\n" in ops.stdout


@pytest.mark.parametrize("existing", ["mine.py", "test_mine.py"])
def test_new_overwrites_nothing(folder, capsys, existing):
    (folder / existing).write_text("precious")
    assert pipe(capsys, "new", "operator", "mine") == (
        2,
        "",
        f"error: new operator mine: {existing} exists; it is left as it is, choose another name\n",
    )
    assert sorted(p.name for p in folder.iterdir()) == sorted(["g.yaml", existing])
    assert (folder / existing).read_text() == "precious"


@pytest.mark.parametrize("name", ["2fast", "class", "a-b", "_hidden", "../up"])
def test_new_needs_a_name(folder, capsys, name):
    message = f"error: new operator {name}: needs a Python name such as find_lanes, got {name!r}\n"
    assert pipe(capsys, "new", "operator", name) == (2, "", message)
    assert [p.name for p in folder.iterdir()] == ["g.yaml"]


def test_ops_marks_live_keys(capsys):
    """Keys that `pipe set` may change, those inside of a live mapping too."""
    code, out, _ = pipe(capsys, "ops", "track.tracker2d")
    assert code == 0 and "config; `pipe set` changes live keys while the graph runs\n" in out
    lines = [line.split() for line in out.splitlines()]
    assert ["byte.birth", "float", "0.7", "live"] in lines
    assert not any("live" in line for line in lines if line[:1] == ["max_gap"])
    assert "pipe set" not in pipe(capsys, "ops", "test.jitter")[1]
