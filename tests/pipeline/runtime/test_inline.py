"""The loop of an inline run decides whether any work is left."""

import json

import pipeline

GRAPH = """
version: 1
nodes:
  a: {driver: test.jitter, config: {frames: 8, rate_hz: 10.0, dead_s: [0.05, 0.65]}}
  b: {driver: test.jitter, config: {frames: 68, rate_hz: 100.0}}
  join: {op: 'pipe_nodes:Numbers', inputs: {a: a.out, b: b.out, c: b.out}, sync: SYNC, queue: {b: QUEUE, c: QUEUE}}
"""


def test_what_waits_at_a_sender_when_all_sources_have_ended(tmp_path):
    """While a is silent, b fills the window of the join. The join drops frames too old for a, so the rest arrives in parts."""
    sync = {"policy": "nearest", "tolerance_ms": 5.0, "optional": ["b", "c"]}
    queue = {"policy": "drop_oldest", "size": 150}
    path = tmp_path / "g.yaml"
    path.write_text(GRAPH.replace("SYNC", json.dumps(sync)).replace("QUEUE", json.dumps(queue)))
    outcome = pipeline.run(path, out=tmp_path / "out", place="inline")
    assert (outcome.exit, outcome.errors) == ("completed", [])
    edges = outcome.report["edges"]
    assert edges["a.out->join.a"]["delivered"] == 2
    for port in "bc":
        row = edges[f"b.out->join.{port}"]
        assert (row["delivered"], row["dropped"]) == (1, {"sync_no_match": 67})


OPENS = """
version: 1
nodes:
  src: {driver: test.counter, config: {frames: 3}}
  a:   {op: 'pipe_nodes:Opens', inputs: {data: src.out}}
  bad: {op: 'pipe_nodes:Opens', inputs: {data: src.out}, config: {fail: true}}
  c:   {op: 'pipe_nodes:Opens', inputs: {data: src.out}}
"""


def test_only_nodes_that_were_opened_are_closed(tmp_path):
    (tmp_path / "g.yaml").write_text(OPENS)
    outcome = pipeline.run(tmp_path / "g.yaml", out=tmp_path / "out", place="inline")
    assert (outcome.exit, outcome.code, outcome.errors) == ("failed", 1, ["bad: needs to open, got no"])
