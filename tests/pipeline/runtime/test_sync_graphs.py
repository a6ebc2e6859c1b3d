"""Joins in whole graphs: queues of any size from 1 up, sensors that jitter, lie, die and return; every frame ends once."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from naive_sync import Rules, admitted, match
from pipe_runs import check_balance

import pipeline
from pipeline.errors import GraphError
from pipeline.frame import FOREVER
from pipeline.nodes.jitter import JitterConfig, schedule

RATES = {"lidar": (10.0, 15), "cam": (30.0, 45), "heat": (9.0, 14)}


@st.composite
def joins(draw):
    """(sensors: name -> JitterConfig, rules in ms, queue size of each input, operators in front of each input)."""
    sensors = {}
    for name, (rate_hz, frames) in RATES.items():
        disorder_ms = draw(st.sampled_from([0.0, 30.0, 120.0]))
        sensors[name] = JitterConfig(
            frames=frames,
            rate_hz=rate_hz,
            seed=draw(st.integers(0, 99)),
            offset_ms=draw(st.sampled_from([0.0, 17.3])),
            jitter_ms=draw(st.sampled_from([0.0, 2.0, 15.0])),
            disorder_ms=disorder_ms,
            max_disorder_ms=draw(st.sampled_from([disorder_ms, 0.0])),
            duplicates=draw(st.sampled_from([0.0, 0.15])),
            dead_s=draw(st.none() | st.just((0.3, 0.9)) | st.just((0.0, 0.5)) | st.just((0.8, 9.0))),
        )
    policy = draw(st.sampled_from(["nearest", "latest"]))
    rules = {
        "policy": policy,
        "tolerance_ms": draw(st.sampled_from([5.0, 40.0, 200.0])) if policy == "nearest" else 0.0,
        "offset_ms": draw(st.sampled_from([{}, {"b": -17.3}, {"c": 250.0}, {"a": 40.0, "b": -300.0}])),
        "timeout_ms": draw(st.sampled_from([None, 20.0])),
        "optional": draw(st.sampled_from([[], ["c"], ["b", "c"]])),
    }
    return sensors, rules, draw(st.integers(1, 3)), draw(st.tuples(*[st.integers(0, 2)] * 3))


def graph_of(sensors, rules, size, depths) -> str:
    lines = []
    for name, config in sensors.items():
        plain = {k: v for k, v in vars(config).items() if v is not None}
        lines.append(f"  {name}: {{driver: test.jitter, config: {json.dumps(plain)}}}")
    inputs = {}
    for port, name, depth in zip("abc", sensors, depths, strict=True):
        at = f"{name}.out"
        for i in range(depth):
            queue = json.dumps({"in": {"size": size}})
            lines.append(f"  {name}{i}: {{op: test.pass, inputs: {{in: {at}}}, queue: {queue}, config: {{max_mb: 0.01}}}}")
            at = f"{name}{i}.out"
        inputs[port] = at
    sync = {k: v for k, v in rules.items() if v is not None}
    queue = {port: {"size": size} for port in inputs}
    keys = f"inputs: {json.dumps(inputs)}, sync: {json.dumps(sync)}, queue: {json.dumps(queue)}"
    lines.append(f"  join: {{op: 'pipe_nodes:Numbers', {keys}}}")
    lines.append("  snk: {op: test.null, inputs: {in: join.out}, config: {write: true}}")
    return "version: 1\nnodes:\n" + "\n".join(lines) + "\n"


def ops_of(config: JitterConfig) -> list[tuple[str, int]]:
    """Frames of the source, with its bounds (pipeline/runtime/runner.py)."""
    told_ns = round((config.max_disorder_ms or 0.0) * 1e6)
    ops, newest = [], -(2**62)
    for _, stamp in schedule(config):
        newest = max(newest, stamp)
        ops += [("push", stamp), ("bound", newest - told_ns if told_ns else newest + 1)]
    return [*ops, ("bound", FOREVER)]


def through(ops: list[tuple[str, int]], operators: int) -> tuple[list[tuple[str, int]], list[int]]:
    """(frames after a chain of operators, frames dropped by them): stale frames never pass the first operator."""
    if not operators:
        return ops, []
    good, stale = admitted(ops)
    kept, left = [], Counter(good)
    for kind, stamp in ops:
        if kind == "push":
            if not left[stamp]:
                continue
            left[stamp] -= 1
        kept.append((kind, stamp))
    return kept, stale


@pytest.mark.filterwarnings("ignore:.*join.sync")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(joins())
def test_any_join_is_the_slow_matchers_and_never_stuck(case):
    sensors, told, _, depths = case
    text = graph_of(*case)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "g.yaml"
        path.write_text(text)
        try:
            outcome = pipeline.run(path, out=Path(folder) / "out", place="inline")
        except GraphError as error:
            if "can never match" not in str(error):
                raise
            reject()
        assert (outcome.exit, outcome.errors) == ("completed", []), text
        rows = [line.split() for line in (Path(folder) / "out" / "snk" / "frames.txt").read_text().splitlines()]
        drops_file = Path(folder) / "out" / "logs" / "drops.jsonl"
        drops = [json.loads(line) for line in drops_file.read_text().splitlines()] if drops_file.exists() else []
    rules = Rules(
        ("a", "b", "c"),
        told["policy"],
        round(told["tolerance_ms"] * 1e6),
        {p: round(ms * 1e6) for p, ms in told["offset_ms"].items()},
        None if told["timeout_ms"] is None else round(told["timeout_ms"] * 1e6),
        frozenset(told["optional"]),
    )
    streams, lost_before = {}, Counter()
    for port, name, depth in zip("abc", sensors, depths, strict=True):
        streams[port], stale = through(ops_of(sensors[name]), depth)
        lost_before[name] += len(stale)
    results = match(rules, streams)
    assert [int(row[2]) for row in rows] == [chosen["a"] for kind, chosen, *_ in results if kind == "match"]
    # every frame that came to the join ended there once: in a set, or by name and reason
    edges = {port: next(e for e in outcome.report["edges"] if e.endswith(f"->join.{port}")) for port in "abc"}
    used = {port: {r[1][port] for r in results if r[0] == "match" and port in r[1]} for port in "abc"}
    for port, name in zip("abc", sensors, strict=True):
        good, stale = admitted(streams[port])
        expected = Counter({"stale": len(stale)})
        if port == "a":
            expected += Counter(r[2] for r in results if r[0] == "miss")
        else:
            expected["sync_no_match"] += len(good) - len(used[port])
        edge = outcome.report["edges"][edges[port]]
        assert edge["dropped"] == {reason: n for reason, n in expected.items() if n}
        assert edge["delivered"] == len(used[port]) and edge["in_flight"] == 0
        named = [d["stamp_ns"] for d in drops if d["edge"] == edges[port]]
        assert Counter(named) == Counter(s for s in good if s not in used[port]) + Counter(stale)
        elsewhere = sum(1 for d in drops if d["frame"].startswith(f"{name}:") and d["edge"] != edges[port])
        assert elsewhere == lost_before[name]


# A source whose two ways to one join differ in length, joins behind joins, a sensor that never says anything: in processes.
SHAPES = {
    "diamond": """
  lidar: {driver: test.jitter, config: {frames: 60, rate_hz: 10, disorder_ms: 120, seed: 1}}
  x:     {op: test.pass, inputs: {in: lidar.out}, queue: {in: {size: 1}}, config: {max_mb: 0.01}}
  y:     {op: test.pass, inputs: {in: x.out}, queue: {in: {size: 1}}, config: {max_mb: 0.01}}
  join:  {op: "pipe_nodes:Numbers", inputs: {a: lidar.out, b: y.out, c: x.out}, queue: {a: {size: 1}, b: {size: 1}, c: {size: 1}}}
  snk:   {op: test.null, inputs: {in: join.out}, config: {write: true}}
""",
    "behind": """
  lidar: {driver: test.jitter, config: {frames: 60, rate_hz: 10, seed: 1}}
  cam:   {driver: test.jitter, config: {frames: 180, rate_hz: 30, jitter_ms: 3, dead_s: [1, 3], seed: 2}}
  heat:  {driver: test.jitter, config: {frames: 54, rate_hz: 9, disorder_ms: 100, seed: 3}}
  first:
    op: pipe_nodes:Numbers
    inputs: {a: lidar.out, b: cam.out, c: heat.out}
    queue: {a: {size: 1}, b: {size: 1}, c: {size: 1}}
    sync: {policy: nearest, tolerance_ms: 60, optional: [b, c]}
  join:
    op: pipe_nodes:Numbers
    inputs: {a: first.out, b: lidar.out, c: cam.out}
    queue: {a: {size: 1}, b: {size: 1}, c: {size: 1}}
    sync: {policy: nearest, tolerance_ms: 60, optional: [c]}
  snk:   {op: test.null, inputs: {in: join.out}, config: {write: true}}
""",
    "silent": """
  lidar: {driver: test.jitter, config: {frames: 60, rate_hz: 10, seed: 1}}
  cam:   {driver: test.jitter, config: {frames: 60, rate_hz: 10, dead_s: [0.5, 99], seed: 2}}
  heat:  {driver: test.jitter, config: {frames: 1, rate_hz: 9, seed: 3}}
  join:
    op: pipe_nodes:Numbers
    inputs: {a: lidar.out, b: cam.out, c: heat.out}
    queue: {a: {size: 1}, b: {size: 1}, c: {size: 1}}
    sync: {policy: nearest, tolerance_ms: 20, optional: [b, c]}
  snk:   {op: test.null, inputs: {in: join.out}, config: {write: true}}
""",
}


@pytest.mark.quick(1)
@pytest.mark.parametrize("shape", SHAPES)
def test_queues_of_one_in_processes(pipe, shape):
    ended = pipe.run(pipe.graph(SHAPES[shape]))
    assert ended.code == 0, ended.stderr
    check_balance(ended)
    assert len(ended.ids("snk")) == 60, "each trigger has its set"
