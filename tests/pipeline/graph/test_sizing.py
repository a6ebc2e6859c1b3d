"""Memory of a graph: queues, windows, slots, bytes; and a join never keeps more frames than planned."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import GraphError
from pipeline.flow.sync import Joiner
from pipeline.frame import FOREVER
from pipeline.graph import load as graph
from pipeline.graph import sizing
from pipeline.graph.spec import Queue
from pipeline.operator import Operator
from pipeline.schema import Array, Schema, optional, static

NUMBER = Schema("NUMBER", {"data": Array("int64", (1,))})


class Join(Operator):
    """Two streams, a third where wanted, and a latched value."""

    inputs = {"a": NUMBER, "b": NUMBER, "c": optional(NUMBER), "calib": static(NUMBER, optional=True)}
    outputs = {"out": NUMBER}
    holds = {"a": 2}


class Endless(Operator):
    inputs = {"in": NUMBER}
    outputs = {"out": Schema("MANY", {"data": Array("int64", ("N",))})}


JOIN = f"{__name__}:Join"
CHAIN = "a: {driver: test.counter}\nb: {op: test.noop, inputs: {in: a.out}}\ns: {op: test.null, inputs: {in: b.out}}"


def nodes(body: str, *sets: str) -> graph.GraphSpec:
    """Body: the nodes, one per line, without the indent; the first stands on line 3."""
    return graph.parse("version: 1\nnodes:\n" + "".join(f"  {line}\n" for line in body.splitlines()), "g.yaml", sets)


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ((), Queue("block", 4)),
        (("a.live=true",), Queue("latest", 1)),
        (("b.queue.in.policy=drop_oldest",), Queue("drop_oldest", 4)),
        (("b.queue.in.size=9", "b.queue.in.max_age_ms=5"), Queue("block", 9, 5.0)),
    ],
)
def test_queue(sets, expected):
    assert sizing.queue(nodes(CHAIN, *sets), "b", "in") == expected


@pytest.mark.parametrize(
    ("port", "wire", "spare"),
    [("a", "", False), ("c", ", c: x.out", False), ("b", ", b: x.out", True)],
)
def test_is_spare(port, wire, spare):
    body = f"x: {{driver: test.counter}}\nj: {{op: '{JOIN}', inputs: {{a: x.out, b: x.out{wire if port == 'c' else ''}}}"
    spec = nodes(body + (", sync: {optional: [b]}}" if port == "b" else "}"))
    (edge,) = (e for e in spec.edges() if e.dst_port == port)
    assert sizing.is_spare(spec, edge) is spare


def test_slots_of_a_chain():
    spec = nodes(CHAIN)
    a_to_b = spec.edges()[0]
    assert (sizing.sync_buffer(spec, a_to_b), sizing.window(spec, a_to_b)) == (0, 4 + 1)
    assert sizing.slots(spec, "a", "out") == 1 + 5
    assert sizing.slot_bytes(spec, "a", "out") == 64
    live = nodes(CHAIN, "a.live=true")
    assert sizing.window(live, live.edges()[0]) == 1
    assert sizing.slots(live, "a", "out") == 1 + 1 + (1 + 1)


def test_slots_of_a_fan_out_into_a_join():
    # equal rates: a trigger waits for at most one period, the other input's frames for two
    spec = nodes(f"a: {{driver: test.counter, config: {{rate_hz: 10}}}}\nj: {{op: '{JOIN}', inputs: {{a: a.out, b: a.out}}}}")
    a, b = spec.edges()
    assert (sizing.sync_buffer(spec, a), sizing.sync_buffer(spec, b)) == (2, 3)
    assert (sizing.window(spec, a), sizing.window(spec, b)) == (4 + 1 + 2 + 2, 4 + 1 + 3)  # a: holds 2
    assert sizing.slot_terms(spec, "a", "out") == {"being written": 1, "j.a": 9, "j.b": 8}
    assert sizing.slots(spec, "a", "out") == 18


def test_given_pool_and_unconnected_output():
    spec = nodes(CHAIN, "a.pool.out.slots=40", "a.pool.out.max_mb=2")
    assert (sizing.slots(spec, "a", "out"), sizing.slot_bytes(spec, "a", "out")) == (40, 2_000_000)
    alone = nodes("a: {driver: test.counter}")
    assert (sizing.slots(alone, "a", "out"), sizing.slot_bytes(alone, "a", "out")) == (0, 0)


def test_slot_of_unknown_size():
    spec = nodes(
        f"a: {{driver: test.counter}}\ne: {{op: '{__name__}:Endless', inputs: {{in: a.out}}}}\ns: {{op: test.null, "
        f"inputs: {{in: e.out}}}}"
    )
    with pytest.raises(GraphError) as error:
        sizing.slot_bytes(spec, "e", "out")
    assert str(error.value) == (
        "g.yaml:4: e: needs the size of the largest frame of out, which Endless does not declare; write pool: {out: "
        "{max_mb: ...}}"
    )


JOINS = st.fixed_dictionaries(
    {
        "rates": st.lists(st.sampled_from([1, 5, 10, 15, 25, 30, 100]), min_size=3, max_size=3),
        "offsets": st.lists(st.integers(-150, 150), min_size=3, max_size=3),
        "phases": st.lists(st.integers(0, 100), min_size=3, max_size=3),
        "policy": st.sampled_from(["exact", "nearest", "latest"]),
        "tolerance": st.integers(0, 120),
        "inputs": st.integers(2, 3),
        "trigger": st.integers(0, 1),
    }
)


@settings(max_examples=150, deadline=None)
@given(JOINS)
def test_a_join_never_keeps_more_than_its_buffer(case):
    """Sensors in real time, frames arriving when captured: the joiner never keeps more than `sync_buffer`."""
    ports = "abc"[: case["inputs"]]
    rate, offset = dict(zip("abc", case["rates"], strict=True)), dict(zip("abc", case["offsets"], strict=True))
    body = "".join(f"{p}: {{driver: test.counter, config: {{rate_hz: {rate[p]}}}}}\n" for p in ports)
    wires = ", ".join(f"{p}: {p}.out" for p in ports)
    offsets = ", ".join(f"{p}: {offset[p]}" for p in ports)
    trigger = ports[case["trigger"]]
    spec = nodes(
        f"{body}j: {{op: '{JOIN}', inputs: {{{wires}}}, sync: {{policy: {case['policy']}, trigger: {trigger}, "
        f"tolerance_ms: {case['tolerance']}, offset_ms: {{{offsets}}}}}}}"
    )
    promised = {e.dst_port: sizing.sync_buffer(spec, e) for e in spec.edges()}
    joiner = Joiner(
        ports, trigger, case["policy"], case["tolerance"] * 10**6, {p: o * 10**6 for p, o in offset.items() if p in ports}
    )
    arrivals = []
    for p, phase in zip(ports, case["phases"], strict=False):
        period_ns = round(1e9 / rate[p])
        start_ns = phase * period_ns // 100
        arrivals += [(stamp, p) for stamp in range(start_ns, 3_000_000_000, period_ns)]
    started = set()
    for stamp, port in sorted(arrivals):
        joiner.push(port, stamp, (port, stamp))
        joiner.bound(port, stamp + 1)
        joiner.pop()
        started.add(port)
        if len(started) == len(ports):
            assert {p: joiner.buffered(p) for p in ports if joiner.buffered(p) > promised[p]} == {}
    for p in ports:
        joiner.bound(p, FOREVER)
    joiner.pop()
    assert sum(joiner.buffered(p) for p in ports) == 0
