"""Whatever a verb raises ends in one line; a traceback only with -v."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pipe_runs import ROOT

from pipeline.cli import check, verbs
from pipeline.errors import GraphError, InputError, RunError, printable

RAISED = [
    (GraphError("g.yaml:3: a: needs x"), 2, "error: g.yaml:3: a: needs x"),
    (InputError("f.txt:2: needs a number"), 2, "error: f.txt:2: needs a number"),
    (RunError("a node was given up"), 1, "error: a node was given up"),
    (PermissionError(13, "Permission denied", "/data/x"), 1, "error: /data/x: Permission denied"),
    (OSError(28, "No space left on device"), 1, "error: No space left on device"),
    (MemoryError("3 TB"), 1, "error: not enough memory: 3 TB"),
    (RecursionError("too deep"), 1, "error: RecursionError: too deep; pipe -v shows where"),
    (ZeroDivisionError("x / 0"), 1, "error: ZeroDivisionError: x / 0; pipe -v shows where"),
    (GraphError("a\x1b[31m\0\udcff\r\u2028b"), 2, r"error: a\x1b[31m\x00\udcff\r\u2028b"),
    (KeyError("k"), 1, "error: KeyError: 'k'; pipe -v shows where"),
    (KeyboardInterrupt(), 130, ""),
]


@pytest.mark.parametrize(("raised", "code", "line"), RAISED, ids=[repr(r) for r, _, _ in RAISED])
def test_one_line(monkeypatch, capsys, raised, code, line):
    def run(args):
        raise raised

    monkeypatch.setattr(check, "run", run)
    assert verbs.main(["check", "demo"]) == code
    assert capsys.readouterr().err == (f"{line}\n" if line else "")


@pytest.mark.parametrize("raised", [GraphError("no"), ZeroDivisionError("x")])
def test_a_traceback_for_who_asks(monkeypatch, capsys, raised):
    def run(args):
        raise raised

    monkeypatch.setattr(check, "run", run)
    verbs.main(["-v", "check", "demo"])
    err = capsys.readouterr().err
    assert "Traceback" in err and "test_outermost.py" in err
    assert err.splitlines()[-1].startswith("error: ")


def test_two_problems_are_two_lines(monkeypatch, capsys):
    def run(args):
        raise GraphError("one\ntwo")

    monkeypatch.setattr(check, "run", run)
    verbs.main(["check", "demo"])
    assert capsys.readouterr().err == "error: one\nerror: two\n"


def test_printable():
    assert printable("größe 5 µm, 日本") == "größe 5 µm, 日本"
    assert printable("\x1b]0;title\x07") == r"\x1b]0;title\x07"


def pipe(*words, cwd=ROOT, env=None, **popen):
    env = {**os.environ, "PYTHONPATH": str(ROOT)} | (env or {})
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *words], cwd=cwd, env=env, capture_output=True, timeout=60, check=False, **popen
    )


def test_working_folder_is_gone(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    here = os.getcwd()
    try:
        os.chdir(gone)
        gone.rmdir()
        ran = pipe("check", "demo", cwd=None)
    finally:
        os.chdir(here)
    assert ran.returncode == 2
    assert ran.stderr == b"error: the working folder: needs to exist, got: No such file or directory; cd to another folder\n"


GRAPH = "version: 1\nnodes:\n  a: {driver: test.counter, config: {frames: 3}}\n  z: {op: test.null, inputs: {in: a.out}}\n"


@pytest.mark.quick(4)
@pytest.mark.parametrize("place", [[], ["--place", "inline"]], ids=["processes", "inline"])
@pytest.mark.parametrize("name", [b"gr\xf6\xdfe", b"two\nlines", b"esc\x1b[31m", "größe".encode()])
def test_folders_of_any_name(tmp_path, runtime, name, place):
    folder = os.fsencode(tmp_path) + b"/" + name
    os.mkdir(folder)
    with open(folder + b"/g.yaml", "w") as file:
        file.write(GRAPH)
    for words in (["check", "g.yaml"], ["run", "g.yaml", "--out", "o", "--quiet", *place]):
        ran = pipe(*words, cwd=folder, env={"PYTHONIOENCODING": "ascii"})
        assert (ran.returncode, ran.stderr) == (0, b"")
    assert os.path.exists(folder + b"/o/report.json")


@pytest.mark.parametrize("root", ["~/no", "~nobody_here/no"])
def test_no_home(tmp_path, root):
    env = {k: v for k, v in os.environ.items() if k != "HOME"}
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline", "check", "kitti_lidar", "--set", f"scans.config.root={root}"],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert root.partition("/")[0] in ran.stderr or "no" in ran.stderr
    assert all(line.startswith("error: ") for line in ran.stderr.splitlines())
