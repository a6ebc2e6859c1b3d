"""A tap that takes several frames per call: its batches, and the books after it returns, raises or dies."""

from __future__ import annotations

import json
from itertools import chain

import pytest
from pipe_runs import check_balance

GRAPH = """
  a: {driver: test.counter, config: {frames: 60}}
  b: {driver: test.counter, config: {frames: %d}}
  tap: {op: "pipe_nodes:Batches", inputs: {a: a.out, b: b.out}, queue: {a: {size: 8}, b: {size: 8}}%s}
"""


def taken(ended) -> list[list[tuple[str, int]]]:
    """The tap's calls."""
    path = ended.out / "tap" / "batches.jsonl"
    return [[(port, frame) for port, frame in json.loads(line)] for line in path.read_text().splitlines()]


def lost(ended) -> list[tuple[str, int]]:
    return [(d["frame"].partition(":")[0], int(d["frame"].partition(":")[2])) for d in ended.drops]


def test_nothing_comes(pipe):
    ended = pipe.run(pipe.graph((GRAPH % (0, "")).replace("frames: 60", "frames: 0")))
    assert ended.code == 0, ended.stderr
    assert taken(ended) == []


@pytest.mark.parametrize("place", [[], ["--place", "inline"]])
def test_each_frame_once_and_in_order(pipe, place):
    ended = pipe.run(pipe.graph(GRAPH % (60, "")), *place)
    assert ended.code == 0, ended.stderr
    calls = taken(ended)
    for port in "ab":
        assert [frame for p, frame in chain(*calls) if p == port] == list(range(60))
    sizes = {len(call) for call in calls}
    assert max(sizes) <= 5
    if not place:
        assert max(sizes) == 5, "they gathered while it was busy"
    assert ended.report["sinks"]["tap"]["frames"] == 120
    assert lost(ended) == []
    check_balance(ended)


def test_large_frames_come_one_by_one(pipe):
    """Together they would be more than 1 MB."""
    blobs = GRAPH.replace("test.counter, config: {frames: ", "test.blob, config: {bytes: 600000, frames: ")
    ended = pipe.run(pipe.graph(blobs % (20, "")))
    assert ended.code == 0, ended.stderr
    assert {len(call) for call in taken(ended)} == {1}
    assert ended.report["sinks"]["tap"]["frames"] == 80


@pytest.mark.slow
def test_frames_that_are_too_old_are_not_given(pipe):
    """Live: they have waited while it was busy."""
    live = GRAPH.replace("config: {frames: 60}", "config: {frames: 60, rate_hz: 200}, live: true")
    live = live.replace("b: {size: 8}", "b: {max_age_ms: 0.001}")
    ended = pipe.run(pipe.graph(live % (60, "")))
    assert ended.code == 0, ended.stderr
    reasons = {source: {d["reason"] for d in ended.drops if d["frame"].startswith(source)} for source in "ab"}
    assert reasons["a"] <= {"queue_full"} and "too_old" in reasons["b"] and reasons["b"] <= {"queue_full", "too_old"}
    seen = list(chain(*taken(ended)))
    assert {port for port, _ in seen} == {"a"}
    assert sorted([*seen, *lost(ended)]) == [(port, i) for port in "ab" for i in range(60)]
    check_balance(ended)


@pytest.mark.quick(3)
@pytest.mark.parametrize("step", ["processing", "processed", "committed", "released"])
@pytest.mark.parametrize("count", [1, 33])
def test_killed_in_the_middle_of_a_batch(pipe, step, count):
    """A batch counts as a whole or not at all: after a kill before the commit the file has at least the frames of the books."""
    ended = pipe.run(pipe.graph(GRAPH % (60, "")), "--inject", f"tap:{step}@{count}")
    assert ended.code == 0, ended.stderr
    assert ended.report["nodes"]["tap"]["restarts"] == 1
    check_balance(ended)
    calls = taken(ended)
    seen, gone = list(chain(*calls)), lost(ended)
    assert len(seen) == len(set(seen)) and len(gone) == len(set(gone))
    assert set(seen) | set(gone) == {(port, i) for port in "ab" for i in range(60)}
    written = [set(call) for call in calls if set(call) & set(gone)]
    assert all(call <= set(gone) for call in written), "whole batches"
    assert bool(written) == (step == "processed")


def test_an_error_costs_the_batch(pipe):
    ended = pipe.run(pipe.graph(GRAPH % (20, ", config: {raise_at: 30}, on_error: skip")))
    assert ended.code == 0, ended.stderr
    seen, gone = list(chain(*taken(ended))), lost(ended)
    assert ("a", 30) in gone and 1 <= len(gone) <= 5
    assert {d["reason"] for d in ended.drops} == {"error"}
    assert sorted(seen + gone) == sorted([("a", i) for i in range(60)] + [("b", i) for i in range(20)])
    check_balance(ended)


def test_an_error_stops_the_run(pipe):
    ended = pipe.run(pipe.graph(GRAPH % (20, ", config: {raise_at: 30}")))
    assert ended.code == 1
    assert "ValueError: a of a:30 will not do" in ended.stderr
    check_balance(ended)
