"""The state of a run in one dict: of a run inline, and of processes that are not there."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.graph import load as graph
from pipeline.graph.layout import STATE, WAITING, WAITING_EDGE
from pipeline.options import RunOptions
from pipeline.runtime.histogram import Histogram
from pipeline.runtime.inline import Inline
from pipeline.runtime.session import Session
from pipeline.runtime.snapshot import processes, snapshot

TEXT = """version: 1
nodes:
  a: {driver: test.counter, config: {frames: 4, rate_hz: 10}}
  p: {op: test.pass, inputs: {in: a.out}}
  snk: {op: test.null, inputs: {in: p.out}}
"""


@pytest.fixture
def session(tmp_path):
    session = Session(graph.parse(TEXT, "t.yaml"), RunOptions(tmp_path / "out"))
    kept = [session]
    yield session
    session.close()
    session.__dict__.clear()
    kept.clear()


def test_before_the_first_frame(session):
    found = snapshot(session)
    assert json.loads(json.dumps(found)) == found
    assert (found["exit"], found["frames"], found["processes"], found["quality"], found["injected"]) == (None, 0, {}, [], [])
    assert {name: (node["kind"], node["state"]) for name, node in found["nodes"].items()} == {
        "a": ("source", "idle"), "p": ("operator", "idle"), "snk": ("sink", "idle")
    }  # fmt: skip
    assert found["edges"]["p.out->snk.in"] == {
        "from": "p.out", "to": "snk.in", "produced": 0, "delivered": 0, "dropped": {}, "in_flight": 0, "oldest_ms": None,
        "bytes": 0, "copied_bytes": 0, "hop": [],
    }  # fmt: skip


def test_after_a_run(session):
    assert Inline(session).run().code == 0
    found = snapshot(session)
    assert (found["exit"], found["frames"], found["live"]) == ("completed", 4, False)
    assert {node["state"] for node in found["nodes"].values()} == {"done"}
    snk, edge = found["nodes"]["snk"], found["edges"]["a.out->p.in"]
    assert (snk["steps"], snk["level"], snk["restarts"], found["nodes"]["p"]["latency"]) == (4, None, 0, None)
    assert (edge["produced"], edge["delivered"], edge["bytes"]) == (4, 4, 32)
    for bins in (snk["compute"], snk["latency"], edge["hop"]):
        assert sum(count for _, count in bins) == 4 == Histogram.from_sparse(bins).count


def test_a_node_that_waits_for_room(session):
    at = session.board.node(session.plan.node_index["p"])
    session.board.words[at + STATE], session.board.words[at + WAITING_EDGE] = WAITING, 2
    assert snapshot(session)["nodes"]["p"]["waits_for"] == "p.out->snk.in"
    session.board.words[at + WAITING_EDGE] = 77
    assert snapshot(session)["nodes"]["p"]["waits_for"] is None, "a process may have written anything"


@pytest.mark.parametrize(
    ("child", "state"),
    [
        ({}, "running"),
        ({"nodes": ["done"]}, "ended"),
        ({"ready": False}, "starting"),
        ({"ready": False, "epoch": 2}, "restarting"),
        ({"proc": None, "respawn_at_ns": 5}, "restarting"),
        ({"proc": None, "respawn_at_ns": 0}, "ended"),
        ({"proc": None, "gone": True}, "given up"),
    ],
)
def test_states_of_processes(child, state):
    given = {
        "proc": SimpleNamespace(pid=os.getpid()),
        "nodes": ["n"],
        "epoch": 0,
        "ready": True,
        "gone": False,
        "respawn_at_ns": 0,
    }
    given |= child
    fake = SimpleNamespace(place="p", cpu_s=1.0, alive=given["proc"] is not None, **given)
    row = processes([fake], {"done"})["p"]
    assert (row["state"], row["restarts"]) == (state, given["epoch"])
    assert (row["cpu_s"] > 1.0 and row["rss_mb"] > 1) if given["proc"] else (row["cpu_s"], row["rss_mb"]) == (1.0, 0.0)


def test_two_snapshots_are_subtracted():
    histogram, late = Histogram(), np.array([2e6, 5e7, 5e7])
    histogram.add(np.array([1e3, 2e6]))
    before = histogram.sparse()
    histogram.add(late)
    window, expected = Histogram.from_sparse(histogram.sparse(), before), Histogram()
    expected.add(late)
    assert window.sparse() == expected.sparse() and window.count == 3
    assert Histogram.from_sparse([]).quantile(0.5) is None
    with pytest.raises(ValueError, match=r"a bin of a histogram: needs 0 \.\. 1281, got 5000"):
        Histogram.from_sparse([[5000, 1]])
