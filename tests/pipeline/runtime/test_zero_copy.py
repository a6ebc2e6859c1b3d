"""Frames are not copied: proved by the kernel's map of the reader's memory; then the engine's counters are tested."""

import json

import numpy as np
import pytest

from pipeline.nodes.counts import fill

WHERE = """
  src:  {driver: test.blob, config: {bytes: 100000, frames: 20}%s}
  here: {op: "pipe_nodes:Where", inputs: {data: src.out}%s}
  copy: {op: test.pass, inputs: {in: src.out}, config: {max_mb: 0.2}%s}
  far:  {op: "pipe_nodes:Where", inputs: {data: copy.out}%s}
"""
PLACES = {"process": ("", []), "group": (", place: g", []), "inline": ("", ["--place", "inline"])}
placements = pytest.mark.parametrize("placement", PLACES)


def notes(ended, node):
    return [json.loads(line) for line in (ended.out / node / "notes.jsonl").read_text().splitlines()]


def run(pipe, text, placement, *args):
    place, more = PLACES[placement]
    ended = pipe.run(pipe.graph(text.replace("%s", place)), *more, *args)
    assert ended.code == 0, ended.stderr
    return ended


def sums():
    blob = np.empty(100_000, np.uint8)
    out = []
    for i in range(20):
        fill(blob, i)
        out.append(int(blob.sum(dtype=np.int64)))
    return out


@pytest.mark.quick(2)
@placements
def test_the_array_lies_in_the_producers_memfd_read_only(pipe, placement):
    ended = run(pipe, WHERE, placement)
    name = ended.report["run"]
    for node, producer in (("here", "src"), ("far", "copy")):
        rows = notes(ended, node)
        assert [r["frame"] for r in rows] == list(range(20))
        assert {(r["name"], r["perms"]) for r in rows} == {(f"/memfd:pipe:{name}:{producer} (deleted)", "r--s")}
        assert [r["sum"] for r in rows] == sums()


@pytest.mark.quick(2)
@placements
def test_views_cannot_be_written(pipe, placement):
    text = """
  src: {driver: test.blob, config: {bytes: 64, frames: 3}%s}
  bad: {op: "pipe_nodes:Vandal", inputs: {data: src.out}%s}
"""
    ended = run(pipe, text, placement)
    for row in notes(ended, "bad"):
        assert len(row["refused"]) == 10, "five views, two attempts each"
        assert set(row["refused"]) == {"assignment destination is read-only", "cannot set WRITEABLE flag to True of this array"}


def test_nor_by_address(pipe):
    """The pages are read-only for the reader's process: the attempt kills it."""
    ended = pipe.run(
        pipe.graph("""
  src: {driver: test.blob, config: {bytes: 64, frames: 3}}
  bad: {op: "pipe_nodes:Vandal", inputs: {data: src.out}, config: {by_address: true}, restart: never}
""")
    )
    assert ended.code == 1
    assert ended.stderr == f"error: bad: killed by SIGSEGV; given up (restart: never); see {ended.out / 'logs' / 'bad.log'}\n"


LOANS = """
  src: {driver: "pipe_nodes:Loans", config: {kind: KIND}%s}
  snk: {op: "pipe_nodes:Meta", inputs: {data: src.out}%s}
"""


@pytest.mark.quick(4)
@placements
@pytest.mark.parametrize(
    ("kind", "size", "copied"),
    [
        ("empty", 0, 0),
        ("whole", 1000, 0),
        ("leading", 300, 0),
        ("trailing", 300, 0),  # any contiguous part of a loan lies in the slot already
        ("strided", 1000, 1000),
        ("plain", 1000, 1000),
    ],
)
def test_copied_bytes(pipe, placement, kind, size, copied):
    ended = run(pipe, LOANS.replace("KIND", kind), placement)
    edge = ended.report["edges"]["src.out->snk.data"]
    assert (edge["bytes"], edge["copied_bytes"]) == (20 * size, 20 * copied)
    assert [(r["size"], r["first"]) for r in notes(ended, "snk")] == [(size, i if size else None) for i in range(20)]


@pytest.mark.quick(2)
@placements
def test_an_input_returned_as_output_is_one_copy(pipe, placement):
    ended = run(pipe, WHERE, placement)
    edges = ended.report["edges"]
    assert edges["src.out->copy.in"]["copied_bytes"] == 0
    assert edges["copy.out->far.data"]["copied_bytes"] == edges["copy.out->far.data"]["bytes"] == 20 * 100_000


def test_a_fan_out_copy_counts_once(pipe):
    """One copy into the slot, however many read it: the port's first edge has it, the sum is one."""
    ended = pipe.run(
        pipe.graph("""
  src: {driver: "pipe_nodes:Loans", config: {kind: plain}}
  a: {op: test.null, inputs: {in: src.out}}
  b: {op: test.null, inputs: {in: src.out}}
  c: {op: test.null, inputs: {in: src.out}, place: b}
""")
    )
    assert ended.code == 0, ended.stderr
    assert [e["copied_bytes"] for e in ended.report["edges"].values()] == [20_000, 0, 0]


@pytest.mark.quick(2)
@placements
def test_a_published_loan_is_no_longer_writeable(pipe, placement):
    ended = run(pipe, LOANS.replace("KIND", "regret"), placement)
    rows = notes(ended, "snk")
    assert [r["meta"]["refused"] for r in rows] == list(range(20)), "each attempt to write to the last frame was refused"
    assert [r["first"] for r in rows] == list(range(20))


def test_nothing_lies_in_dev_shm(pipe):
    import os

    before = set(os.listdir("/dev/shm"))
    running = pipe.start(pipe.graph((WHERE % ("", "", "", "")).replace("frames: 20", "frames: 20, rate_hz: 40")), "--rate", "1.0")
    running.pid_of("far")
    assert set(os.listdir("/dev/shm")) - before == set()
    assert running.end().code == 0
