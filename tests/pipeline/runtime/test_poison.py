"""A frame that made an operator raise is saved with all inputs, and fails with the same message when run alone."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import RunError
from pipeline.runtime.poison import Poison

GRAPH = """
  src:  {driver: "pipe_nodes:Described", config: {frames: 5}}
  late: {driver: test.counter, config: {frames: %d}}
  op:
    op: pipe_nodes:Picky
    inputs: {a: src.out, b: late.out, base: src.base}
    sync: {policy: exact, optional: [b]}
    config: {kind: %s}
  snk:  {op: test.null, inputs: {in: op.out}, config: {write: true}}
"""
SEEN = "a 3 b 3 base 100 tens 30 missing ()"
ERRORS = {
    "raise": f"ValueError: seen: {SEEN} at 000003",
    "write": "ValueError: assignment destination is read-only",
    "shape": "op.more.data: needs (1,) int64, got (2,) int64",
    "port": "op: needs output ports out, more, got nowhere",
    "alloc": "op: alloc: needs an output port (out, more), got nowhere",
    "type": "op: process() must return {port: value} for out, more, got list",
}


def saved(pipe, kind="raise", late=5):
    """(graph, the run, the one file in DIR/poison)."""
    graph = pipe.graph(GRAPH % (late, kind))
    ended = pipe.run(graph)
    assert ended.code == 1
    (file,) = (ended.out / "poison").iterdir()
    return graph, ended, file


@pytest.mark.parametrize("kind", ERRORS)
def test_it_fails_again_in_the_same_words(pipe, kind):
    graph, ended, file = saved(pipe, kind)
    assert ended.stderr == f"error: op: frame src:3 (000003): {ERRORS[kind]}\n"
    assert file.name == "op-src-3.npz"
    again = pipe.run(graph, "--only", "op", "--frame", str(file))
    assert again.code == 1
    assert again.stderr.rstrip().splitlines()[-1].removeprefix("error: ") == ERRORS[kind]
    assert ("Traceback" in again.stderr) == ERRORS[kind].startswith("ValueError"), "of the operator's own line, or of none"


def test_a_missing_input_is_missing_again(pipe):
    graph, ended, file = saved(pipe, late=2)
    seen = "a 3 b None base 100 tens 30 missing ('b',)"
    assert seen in ended.stderr
    assert seen in pipe.run(graph, "--only", "op", "--frame", str(file)).stderr


def test_mended(pipe):
    """The command reports a config other than the failing one, then shows the result."""
    graph, _, file = saved(pipe)
    again = pipe.run(graph, "--only", "op", "--frame", str(file), "--set", "op.config.kind=none")
    assert again.code == 0
    assert again.stderr == "warning: op.config.kind was 'raise' when the frame failed, is 'none' now\n"
    assert again.stdout == "{'out': array([3]), 'more': array([100])}\n"


def test_what_is_in_the_file(pipe):
    _, _, file = saved(pipe)
    poison = Poison.load(file)
    assert (poison.node, poison.trigger, poison.error) == ("op", "a", ERRORS["raise"])
    assert {port: str(h) for port, h in poison.headers.items()} == {"a": "src:3", "b": "late:3"}
    assert poison.config == {"kind": "raise", "text": "seen"} and poison.meta["a"] == {"tens": 30}
    assert {p: {n: a.tolist() for n, a in g.items()} for p, g in poison.arrays.items()} == {
        "a": {"data": [3]},
        "b": {"data": [3]},
        "base": {"data": [100]},
    }


def test_skipped_frames_are_saved_too_up_to_twenty(pipe):
    graph = pipe.graph("""
  src: {driver: test.counter, config: {frames: 40}}
  op:  {op: test.fault, inputs: {data: src.out}, config: {kind: raise, at: 10, every: 1}, on_error: skip}
  snk: {op: test.null, inputs: {in: op.out}, config: {write: true}}
""")
    ended = pipe.run(graph)
    assert ended.code == 0 and ended.ids("snk") == list(range(10))
    assert len(list((ended.out / "poison").iterdir())) == 20
    assert sum(ended.report["edges"]["src.out->op.data"]["dropped"].values()) == 30


def test_the_debugger_opens_where_it_raised(pipe):
    """On a terminal: variables of the line that raised, and up to whoever called."""
    graph, _, file = saved(pipe)
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", str(graph), "--only", "op", "--frame", str(file)],
        stdin=terminal, stdout=terminal, stderr=terminal, cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "dumb"},
    )  # fmt: skip
    os.close(terminal)
    os.write(controller, b"p 'seen', seen\np int(a[0]) + int(base[0])\nq\n")
    shown = b""
    while True:
        try:
            data = os.read(controller, 4096)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(controller)
    assert process.wait(20) == 1
    text = shown.decode()
    assert "the debugger is at the line that raised" in text
    assert f"('seen', \"{SEEN}\")" in text.replace("'" + SEEN + "'", f'"{SEEN}"')
    assert "103" in text


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda f: None, "FileNotFoundError"),
        (lambda f: f.write_bytes(b""), "EOFError|ValueError"),
        (lambda f: f.write_bytes(b"PK\x03\x04 and no more"), "BadZipFile: File is not a zip file"),
        (lambda f: np.savez(f, a=np.zeros(3)), "KeyError"),
        (lambda f: np.savez(f, pipe=np.frombuffer(b"[1, 2]", np.uint8)), "TypeError"),
        (lambda f: np.savez(f, pipe=np.frombuffer(b'{"headers": {}}', np.uint8)), "KeyError"),
        (lambda f: np.savez(f, pipe=np.array([{"a": 1}], dtype=object)), "ValueError: Object arrays cannot be loaded"),
    ],
)
def test_files_that_are_none(tmp_path, make, text):
    file = tmp_path / "x.npz"
    make(file)
    with pytest.raises(RunError, match=f"needs a frame saved in DIR/poison, got ({text})"):
        Poison.load(file)


def test_a_frame_of_another_node(pipe):
    graph, _, file = saved(pipe)
    ended = pipe.run(graph, "--only", "snk", "--frame", str(file))
    assert (ended.code, ended.stderr) == (1, f"error: {file}: needs a frame of node snk, got one of op\n")
