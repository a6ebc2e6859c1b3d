"""A frame that made an operator raise is saved with all inputs, and fails with the same message when run alone."""

from __future__ import annotations

import io
import json
import os
import pty
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import pipeline
from pipeline.errors import PipeError, RunError
from pipeline.frame import Header
from pipeline.graph.load import load
from pipeline.runtime.poison import Poison, rerun

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


@pytest.mark.quick(2)
@pytest.mark.parametrize("kind", ERRORS)
def test_it_fails_again_in_the_same_words(pipe, kind):
    graph, ended, file = saved(pipe, kind)
    assert ended.stderr == f"error: op: frame src:3 (000003): {ERRORS[kind]}\n"
    assert file.name == "op-src-3.npz"
    again = pipe.run(graph, "--only", "op", "--frame", str(file))
    assert again.code == 1
    assert again.stderr.rstrip().splitlines()[-1].removeprefix("error: ").removesuffix("; pipe -v shows where") == ERRORS[kind]


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


def bomb(file, array):
    np.savez_compressed(file, pipe=array)


def claims(file, shape):
    """An array that is far smaller than its header says."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("pipe.npy", head.getvalue() + bytes(100))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda f: None, "FileNotFoundError"),
        (lambda f: f.write_bytes(b""), "BadZipFile: File is not a zip file"),
        (lambda f: f.mkdir(), "OSError: .*it is a folder, not a file"),
        (os.mkfifo, "OSError: .*it is a pipe, not a file"),
        (lambda f: f.write_bytes(b"PK\x03\x04 and no more"), "BadZipFile: File is not a zip file"),
        (lambda f: np.savez(f, a=np.zeros(3)), "KeyError"),
        (lambda f: np.savez(f, pipe=np.frombuffer(b"[1, 2]", np.uint8)), "TypeError"),
        (lambda f: np.savez(f, pipe=np.frombuffer(b'{"headers": {}}', np.uint8)), "KeyError"),
        (lambda f: np.savez(f, pipe=np.array([{"a": 1}], dtype=object)), "ValueError: pipe.npy is no array of numbers"),
        (lambda f: np.savez(f, pipe=np.frombuffer(b"[" * 100_000, np.uint8)), "ValueError: its brackets are too deep"),
        (lambda f: np.savez(f, pipe=np.frombuffer(b'{"node": 1}', np.uint8)), "TypeError: node needs to be a str, got 1"),
        (lambda f: bomb(f, np.zeros(1 << 28, np.uint8)), r"ValueError: it claims \d+ bytes, at most 67108864 are unpacked"),
        (lambda f: claims(f, (1 << 40,)), "ValueError: pipe.npy is no array of numbers that is all there"),
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


def saved_inline(folder):
    """A graph and its saved frame."""
    graph = folder / "g.yaml"
    graph.write_text("version: 1\nnodes:\n" + GRAPH % (5, "raise"))
    with pytest.raises(ValueError, match="seen"):
        pipeline.run(graph, out=folder / "out", place="inline")
    (file,) = (folder / "out" / "poison").iterdir()
    return graph, file


def changed(file, **description):
    """The file with another description."""
    with np.load(file) as npz:
        arrays = dict(npz)
    old = json.loads(arrays["pipe"].tobytes())
    arrays["pipe"] = np.frombuffer(json.dumps(old | description).encode(), np.uint8)
    np.savez(file, **arrays)


HEADER = {"source": "src", "frame_id": 3, "item": "", "stamp_ns": 0, "recv_ns": 0}


@pytest.mark.parametrize(
    "description",
    [
        {"node": None}, {"trigger": "nowhere"}, {"headers": []}, {"headers": {"a": []}},
        {"headers": {"a": HEADER | {"frame_id": "3"}}},
        {"headers": {"a": HEADER | {"stamp_ns": 1.5}}}, {"headers": {"a": {"source": "src"}}}, {"meta": 5}, {"meta": {"a": 5}},
        {"missing": "b"}, {"config": []}, {"error": 5},
    ],
    ids=str,
)  # fmt: skip
def test_descriptions_that_are_none(tmp_path, description):
    _, file = saved_inline(tmp_path)
    changed(file, **description)
    with pytest.raises(RunError, match=r"needs a frame saved in DIR/poison, got (TypeError|KeyError)"):
        Poison.load(file)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({}, "op.a: needs its value in the saved frame, got none"),
        ({"a/data": np.zeros(1, np.int64)}, "op.base: needs its value in the saved frame, got none"),
        ({"a/data": np.zeros(1, np.float32)}, r"op.a.data: needs \(1,\) int64, got \(1,\) float32"),
        ({"a/other": np.zeros(1, np.int64)}, "op.a: needs arrays data in the saved frame, lacks data"),
    ],
)
def test_a_frame_without_its_arrays(tmp_path, arrays, text):
    graph, file = saved_inline(tmp_path)
    poison = Poison.load(file)
    poison.missing = ("b",)
    poison.arrays = {}
    for name, array in arrays.items():
        poison.arrays.setdefault(name.partition("/")[0], {})[name.partition("/")[2]] = array
    with pytest.raises(PipeError, match=text):
        rerun(load(graph), poison, tmp_path / "again")


def test_two_frames_of_one_name(tmp_path):
    """Node a-b of source c, and node a of source b-c."""
    paths = [
        Poison(node, "x", {"x": Header(source, 3, "i", 0)}, {}, (), {}, "e").save(tmp_path)
        for node, source in (("a-b", "c"), ("a", "b-c"), ("a-b", "c"))
    ]
    assert len(set(paths)) == 3
    assert [Poison.load(path).node for path in paths] == ["a-b", "a", "a-b"]


def test_facts_that_are_no_json(tmp_path):
    poison = Poison("a", "x", {"x": Header("s", 3, "i", 0)}, {"x": {"b": b"bytes", "n": np.int64(3)}}, (), {}, "e")
    assert Poison.load(poison.save(tmp_path)).meta["x"]["b"] == "b'bytes'"


def fuzz(tmp_path, count, seed):
    graph, file = saved_inline(tmp_path)
    spec, whole, rng = load(graph), file.read_bytes(), np.random.default_rng(seed)
    before, ran = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(int(rng.integers(1, 4))):
            at, n = int(rng.integers(0, len(data))), int(rng.integers(1, 9))
            kind = int(rng.integers(0, 5))
            if kind == 0:
                data[at] ^= 1 << int(rng.integers(0, 8))
            elif kind == 1:
                data[at : at + n] = rng.bytes(n)
            elif kind == 2:
                del data[at : at + n]
            elif kind == 3:
                data[at:at] = data[at : at + 8 * n]
            else:
                data[at : at + 8] = (0, 2**31, 2**32 - 1, 2**64 - 1)[int(rng.integers(0, 4))].to_bytes(8, "little")
        file.write_bytes(data)
        began = time.monotonic()
        try:
            poison = Poison.load(file)
            if poison.node in spec.nodes and not spec.nodes[poison.node].is_source:
                rerun(spec, poison, tmp_path / "again")
        except PipeError as error:
            assert str(error) and "\n" not in str(error)  # noqa: PT017 - either is right
        except ValueError as error:
            assert str(error).startswith("seen: ")  # noqa: PT017 - the operator's own
            ran += 1
        assert time.monotonic() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    return ran


def test_any_bytes(tmp_path):
    """Damaged files are refused in one line; what is whole runs the operator."""
    assert fuzz(tmp_path, 400, 0) < 400


@pytest.mark.fuzz
@pytest.mark.timeout(1200)
def test_any_bytes_for_long(tmp_path):
    fuzz(tmp_path, 50_000, None)


def test_a_failing_source_saves_no_frame(pipe):
    """The summary does not name a folder that is not there."""
    graph = pipe.graph("""
  src: {driver: test.fault_source, config: {frames: 30, kind: raise, at: 5}, on_error: skip}
  snk: {op: test.null, inputs: {in: src.out}}
""")
    ended = pipe.run(graph)
    assert "  errors: src 1\n" in ended.stdout and "poison" not in ended.stdout
    graph, ended, _ = saved(pipe)
    assert f"  errors: op 1 (frames saved in {ended.out / 'poison'})\n" in ended.stdout
