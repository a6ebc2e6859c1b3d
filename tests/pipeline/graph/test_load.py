"""Graph files: the result of `load`, its refusals and their messages."""

from __future__ import annotations

import pytest

from pipeline.errors import GraphError
from pipeline.graph import files, sizing
from pipeline.graph import load as graph
from pipeline.graph.files import NAME_NEEDS
from pipeline.graph.load import Queue, Restart, Sync
from pipeline.nodes.counter import CounterConfig
from pipeline.operator import Operator
from pipeline.schema import Array, Schema, optional, static

NUMBER = Schema("NUMBER", {"data": Array("int64", (1,))})
TWO = Schema("TWO", {"data": Array("int64", (2,))}, frame="camera")


class Join(Operator):
    """Two streams, a third where wanted, and a latched value."""

    inputs = {"a": NUMBER, "b": NUMBER, "c": optional(NUMBER), "calib": static(NUMBER, optional=True)}
    outputs = {"out": NUMBER}
    holds = {"a": 2}


class OnlyOptional(Operator):
    inputs = {"in": optional(NUMBER)}


JOIN = f"{__name__}:Join"
HEAD = "version: 1\nnodes:\n"
CHAIN = (
    HEAD + "  a: {driver: test.counter}\n  b: {op: test.noop, inputs: {in: a.out}}\n  s: {op: test.null, inputs: {in: b.out}}\n"
)


def parse(text: str, *sets: str) -> graph.GraphSpec:
    return graph.parse(text, "g.yaml", sets)


def nodes(body: str, *sets: str) -> graph.GraphSpec:
    """Body: the nodes, one per line, without the indent; the first stands on line 3."""
    return parse(HEAD + "".join(f"  {line}\n" for line in body.splitlines()), *sets)


def message(text: str, *sets: str) -> str:
    with pytest.raises(GraphError) as error:
        parse(text, *sets)
    return str(error.value)


# ---- what comes out


def test_defaults():
    spec = parse(CHAIN)
    assert (spec.path, spec.name, spec.live) == ("g.yaml", "g", False)
    a, b, s = spec.nodes.values()
    assert (a.name, a.driver, a.op, a.config, a.place, a.threads) == ("a", "test.counter", None, CounterConfig(), "a", 1)
    assert (a.restart, a.hang_s, a.open_hang_s, a.close_s, a.cpus, a.nice, a.live, a.line) == (
        Restart("on-failure", 5, 0.2, 60.0),
        30.0,
        180.0,
        1.5,
        None,
        None,
        False,
        3,
    )
    assert (a.is_source, b.is_source, b.is_sink, s.is_sink) == (True, False, False, True)
    assert (a.streams, b.streams, a.trigger, b.trigger, b.sync) == ((), ("in",), None, "in", None)
    assert (b.inputs["in"].source_node, b.inputs["in"].source_port, b.inputs["in"].queue) == ("a", "out", Queue())
    assert sizing.queue(spec, "b", "in") == Queue("block", 4, None)
    assert spec.on_error("a") == "stop"
    assert [(e.id, e.name, e.static) for e in spec.edges()] == [(0, "a.out->b.in", False), (1, "b.out->s.in", False)]


def test_live_changes_defaults():
    spec = parse(CHAIN, "a.live=true")
    assert spec.live
    assert sizing.queue(spec, "b", "in") == Queue("latest", 1, None)
    assert spec.on_error("b") == "skip"
    assert sizing.queue(parse(CHAIN, "a.live=true", "b.queue.in.policy=drop_oldest"), "b", "in") == Queue("drop_oldest", 4, None)


def test_order_places_and_file_order():
    spec = nodes(
        "s: {op: test.null, inputs: {in: c.out}, place: x}\n"
        "z: {driver: test.counter}\n"
        "c: {op: test.noop, inputs: {in: z.out}, place: x}\n"
        "a: {driver: test.counter}\n"
        "t: {op: test.null, inputs: {in: a.out}}"
    )
    assert spec.order() == ["z", "c", "s", "a", "t"]
    assert spec.places() == {"z": ["z"], "x": ["c", "s"], "a": ["a"], "t": ["t"]}
    assert [e.name for e in spec.edges()] == ["c.out->s.in", "z.out->c.in", "a.out->t.in"]


def test_every_key():
    spec = nodes(
        "a: {driver: test.counter, config: {frames: 3, rate_hz: 10}, pool: {out: {slots: 9, max_mb: 1}}, rate_hz: 20, "
        "live: true}\n"
        f"j: {{op: '{JOIN}', inputs: {{a: a.out, b: a.out}}, queue: {{b: {{policy: latest, size: 2, max_age_ms: 50}}}}, "
        "sync: {policy: nearest, trigger: b, tolerance_ms: 5, offset_ms: {a: -8}, timeout_ms: 60, optional: [a]}, place: p, "
        "threads: 2, restart: {policy: never, max: 1}, on_error: skip, hang_s: 3, close_s: 9, cpus: [0, 1], nice: 5}"
    )
    a, j = spec.nodes["a"], spec.nodes["j"]
    assert (a.config, a.rate_hz, a.live, a.pool["out"].slots) == (CounterConfig(3, 10.0), 20.0, True, 9)
    assert j.sync == Sync("nearest", "b", 5.0, {"a": -8.0}, 60.0, ("a",))
    assert sizing.queue(spec, "j", "b") == Queue("latest", 2, 50.0)
    assert (j.place, j.threads, j.restart, j.on_error, j.hang_s, j.open_hang_s, j.close_s, j.cpus, j.nice) == (
        "p",
        2,
        Restart("never", 1),
        "skip",
        3.0,
        3.0,
        9.0,
        (0, 1),
        5,
    )
    assert j.trigger == "b"


def test_two_streams_are_joined_exactly_by_default():
    spec = nodes(f"a: {{driver: test.counter}}\nj: {{op: '{JOIN}', inputs: {{a: a.out, b: a.out}}, restart: always}}")
    assert spec.nodes["j"].sync == Sync("exact", "a")
    assert spec.nodes["j"].restart == Restart("always")


def test_budget_and_quality():
    spec = parse(CHAIN + "budget: {latency_ms: 100}\nquality: {target_latency_ms: 50}\n", "budget.latency_ms=90")
    assert (spec.budget, spec.quality) == ({"latency_ms": 90.0}, {"target_latency_ms": 50.0})
    assert (parse(CHAIN).budget, parse(CHAIN).quality) == ({}, {})


@pytest.mark.parametrize(
    ("sets", "get", "expected"),
    [
        (["a.config.frames=7"], lambda s: s.nodes["a"].config.frames, 7),
        (["a.config.frames=null"], lambda s: s.nodes["a"].config.frames, None),
        (["a.config={frames: 2}"], lambda s: s.nodes["a"].config.frames, 2),
        (["a.config.frames=1", "a.config.frames=2"], lambda s: s.nodes["a"].config.frames, 2),
        (["s.queue.in.size=8"], lambda s: sizing.queue(s, "s", "in").size, 8),
        (["a.rate_hz=5"], lambda s: s.nodes["a"].rate_hz, 5.0),
        (["b.restart.policy=never"], lambda s: s.nodes["b"].restart.policy, "never"),
        (["b.restart=never"], lambda s: s.nodes["b"].restart.policy, "never"),
        (["b.inputs.in=a.out", "b.place=s"], lambda s: s.places(), {"a": ["a"], "s": ["b", "s"]}),
    ],
)
def test_set(sets, get, expected):
    assert get(parse(CHAIN, *sets)) == expected


def test_set_from_a_dict():
    assert graph.parse(CHAIN, "g.yaml", {"a.config.frames": 7}).nodes["a"].config.frames == 7


# ---- files


def test_load_path_name_and_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(CHAIN)
    assert graph.load("my.yaml").path == "my.yaml"
    assert graph.load(tmp_path / "my.yaml").name == "my"
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "demo.yaml").write_text(CHAIN)
    monkeypatch.setattr(files, "SHIPPED", shipped)
    assert (graph.load("demo").path, graph.load("demo.yaml").name) == ("demo.yaml", "demo")
    for name, text in (
        ("dmeo", "dmeo: no such graph file; did you mean the shipped graph demo?"),
        ("x/demo.yaml", "x/demo.yaml: no such graph file; did you mean the shipped graph demo?"),
        ("zzz", "zzz: no such graph file; shipped graphs: demo"),
        ("shipped", "shipped: is a folder, not a graph file; shipped graphs: demo"),
    ):
        with pytest.raises(GraphError) as error:
            graph.load(name)
        assert str(error.value) == text
    (tmp_path / "bin.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GraphError) as error:
        graph.load("bin.yaml")
    assert str(error.value) == "bin.yaml: cannot read the graph: it is not UTF-8 text"


# ---- what is refused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "g.yaml: needs a mapping with version: 1 and nodes:, got none"),
        ("nodes: {}", "g.yaml: needs version: 1 at the top, got none"),
        ("version: 2\nnodes: {a: {}}", "g.yaml:1: version: needs 1, got 2"),
        ("version: 1", "g.yaml:1: nodes: needs a value (a mapping), got none"),
        ("version: 1\nnodes:", "g.yaml:2: nodes: needs at least one node, got none"),
        (CHAIN + "nods: {}", "g.yaml:6: nods: unknown key; did you mean nodes?"),
        (CHAIN + "budget: {latency: 1}", "g.yaml:6: budget.latency: unknown key; did you mean latency_ms?"),
        (
            CHAIN + "budget: {min_fps: 1}",
            "g.yaml:6: budget.min_fps: unknown key; known: drops_percent, latency_ms, memory_mb, min_rate_hz",
        ),
        (CHAIN + "budget: {latency_ms: 0}", "g.yaml:6: budget.latency_ms: needs more than 0, got 0"),
        (CHAIN + "budget: {drops_percent: 101}", "g.yaml:6: budget.drops_percent: needs at most 100, got 101"),
        (CHAIN + "budget: {memory_mb: much}", "g.yaml:6: budget.memory_mb: needs float or none, got 'much'"),
        (CHAIN + "budget: {min_rate_hz: -1}", "g.yaml:6: budget.min_rate_hz: needs more than 0, got -1"),
        (HEAD + "  a: {}", "g.yaml:3: a: needs driver: or op:, got neither"),
        (HEAD + "  a: {driver: test.counter, op: test.null}", "g.yaml:3: a: needs driver: or op:, got both"),
        (HEAD + "  a: 3", "g.yaml:3: a: needs a mapping, got 3"),
        (HEAD + "  1a: {driver: test.counter}", f"g.yaml:3: 1a: {NAME_NEEDS}"),
        (HEAD + "  a: {driver: test.counter, close_s: -1}", "g.yaml:3: a.close_s: needs at least 0, got -1"),
        (HEAD + "  a: {driver: test.counter, place: ../../x}", f"g.yaml:3: a.place: {NAME_NEEDS}, got '../../x'"),
        (HEAD + '  a: {driver: test.counter, place: "x\\0y"}', f"g.yaml:3: a.place: {NAME_NEEDS}, got 'x\\x00y'"),
        (HEAD + "  a: {driver: test.counter, place: ''}", f"g.yaml:3: a.place: {NAME_NEEDS}, got ''"),
        (HEAD + f"  a: {{driver: test.counter, place: {'x' * 101}}}", f"g.yaml:3: a.place: {NAME_NEEDS}, got '{'x' * 56}..."),
        (HEAD + "  logs: {driver: test.counter}", "g.yaml:3: logs: needs another name: the run keeps its own files in DIR/logs"),
        (HEAD + "  a: {driver: test.conter}", "g.yaml:3: a.driver: unknown driver test.conter; did you mean test.counter?"),
        (HEAD + "  a: {driver: test.null}", "g.yaml:3: a.driver: test.null is an operator; write op: test.null"),
        (HEAD + "  a: {driver: test.counter, raet_hz: 3}", "g.yaml:3: a.raet_hz: unknown key; did you mean rate_hz?"),
        (
            HEAD + "  a:\n    driver: test.counter\n    config:\n      fraems: 3",
            "g.yaml:6: a.config.fraems: unknown key; did you mean frames?",
        ),
        (HEAD + "  a: {driver: test.counter, config: {frames: -1}}", "g.yaml:3: a.config.frames: needs at least 0, got -1"),
        (
            HEAD + "  a: {driver: test.counter, inputs: {x: y.z}}",
            "g.yaml:3: a.inputs: is for operators; test.counter is a driver",
        ),
        (
            HEAD + "  a: {driver: test.counter, pool: {uot: {slots: 3}}}",
            "g.yaml:3: a.pool.uot: test.counter has no output uot; did you mean out?",
        ),
        (HEAD + "  a: {driver: test.counter, pool: {out: {slots: 0}}}", "g.yaml:3: a.pool.out.slots: needs at least 1, got 0"),
        (HEAD + "  a: {driver: test.counter, hang_s: 0}", "g.yaml:3: a.hang_s: needs more than 0, got 0"),
        (HEAD + "  a: {driver: test.counter, nice: 20}", "g.yaml:3: a.nice: needs -20 .. 19, got 20"),
        (HEAD + "  a: {driver: test.counter, cpus: []}", "g.yaml:3: a.cpus: needs a list of CPU numbers, got []"),
        (
            HEAD + "  a: {driver: test.counter, restart: sometimes}",
            "g.yaml:3: a.restart.policy: needs never | on-failure | always, got 'sometimes'",
        ),
        (HEAD + "  s: {op: test.null}", "g.yaml:3: s: input in of test.null is not connected; write inputs: {in: NODE.PORT}"),
        (HEAD + "  s: {op: test.null, inputs: {in: a}}", "g.yaml:3: s.inputs.in: needs NODE.PORT, got 'a'"),
        (
            HEAD + "  s: {op: test.null, inputs: {in: a.out}, live: true}",
            "g.yaml:3: s.live: is for drivers; one live driver makes the graph live",
        ),
        (CHAIN + "  t: {op: test.null, inputs: {in: bb.out}}", "g.yaml:6: t.inputs.in: no node bb; did you mean b?"),
        (CHAIN + "  t: {op: test.null, inputs: {in: b.uot}}", "g.yaml:6: t.inputs.in: b has no output uot; did you mean out?"),
        (CHAIN + "  t: {op: test.null, inputs: {in: s.out}}", "g.yaml:6: t.inputs.in: s has no output out; there are none here"),
        (
            CHAIN + "  t: {op: test.null, inputs: {inn: b.out}}",
            "g.yaml:6: t.inputs.inn: test.null has no input inn; did you mean in?",
        ),
        (
            CHAIN + "  t: {op: test.null, inputs: {in: b.out}, queue: {inn: {size: 2}}}",
            "g.yaml:6: t.queue.inn: test.null has no input inn; did you mean in?",
        ),
        (
            CHAIN + "  t: {op: test.null, inputs: {in: b.out}, queue: {in: {size: 0}}}",
            "g.yaml:6: t.queue.in.size: needs at least 1, got 0",
        ),
        (
            CHAIN + "  t: {op: test.null, inputs: {in: b.out}, queue: {in: {policy: newest}}}",
            "g.yaml:6: t.queue.in.policy: needs block | latest | drop_oldest, got 'newest'",
        ),
        (
            CHAIN + f"  t: {{op: '{__name__}:OnlyOptional'}}",
            f"g.yaml:6: t: {__name__}:OnlyOptional needs a stream on at least one input, or it never runs",
        ),
        (
            CHAIN + f"  j: {{op: '{JOIN}', inputs: {{a: a.out, b: a.out}}, sync: {{trigger: d}}}}",
            "g.yaml:6: j.sync.trigger: d is no connected stream input; known: a, b",
        ),
        (
            CHAIN + f"  j: {{op: '{JOIN}', inputs: {{a: a.out, b: a.out}}, sync: {{offset_ms: {{c: 1}}, optional: [x, a]}}}}",
            (
                "g.yaml:6: j.sync.offset_ms.c: c is no connected stream input; known: a, b\n"
                "g.yaml:6: j.sync.optional[0]: x is no connected stream input; known: a, b\n"
                "g.yaml:6: j.sync.optional: a is the trigger: no set is made without it; choose another trigger"
            ),
        ),
        (
            CHAIN + f"  j: {{op: '{JOIN}', inputs: {{a: a.out, b: a.out}}, queue: {{calib: {{size: 1}}}}}}",
            "g.yaml:6: j.queue.calib: calib is static: it is latched and has no queue",
        ),
        (
            HEAD
            + "  x: {op: test.noop, inputs: {in: z.out}}\n  y: {op: test.noop, inputs: {in: x.out}}\n"
            + "  z: {op: test.noop, inputs: {in: y.out}}",
            "g.yaml:3: x: the graph has a cycle: x -> y -> z -> x; frames must flow one way",
        ),
        (
            HEAD + "  x: {op: test.noop, inputs: {in: x.out}}",
            "g.yaml:3: x: the graph has a cycle: x -> x; frames must flow one way",
        ),
        # all errors at once; ports of a broken node give no second error
        (
            HEAD
            + "  a: {driver: test.conter}\n  b: {op: test.noop, inputs: {in: a.out}, place: 3, hang: 2}\n"
            + "  s: {op: test.null, inputs: {in: c.out}}",
            (
                "g.yaml:3: a.driver: unknown driver test.conter; did you mean test.counter?\n"
                "g.yaml:4: b.hang: unknown key; did you mean hang_s?\n"
                "g.yaml:5: s.inputs.in: no node c; known: a, b, s"
            ),
        ),
    ],
)
def test_refused(text, expected):
    assert message(text) == expected


def test_a_cycle_behind_good_nodes_is_named_without_them():
    body = "a: {driver: test.counter}\nt: {op: test.null, inputs: {in: y.out}}\n"
    body += f"x: {{op: '{JOIN}', inputs: {{a: a.out, b: y.out}}}}\ny: {{op: test.noop, inputs: {{in: x.out}}}}"
    with pytest.raises(GraphError) as error:
        nodes(body)
    assert str(error.value) == "g.yaml:5: x: the graph has a cycle: x -> y -> x; frames must flow one way"


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ("a.config.fraems=3", "--set a.config.fraems=3: a.config.fraems: unknown key; did you mean frames?"),
        ("aa.config.frames=3", "--set aa.config.frames=3: no node aa; did you mean a?"),
        ("a.config.frames", "--set a.config.frames: needs NODE.config.KEY=VALUE, got no ="),
        ("a=3", "--set a=3: needs NODE.config.KEY=VALUE or NODE.KEY=VALUE"),
        ("a.config.frames=[", "--set a.config.frames=[:1: not valid YAML: expected the node content, but found '<stream end>'"),
        ("a.driver.x=1", "--set a.driver.x=1: a.driver: needs a mapping there to set x, got 'test.counter'"),
    ],
)
def test_set_refused(sets, expected):
    assert message(CHAIN, sets) == expected


# ---- what follows from it


def test_rate_follows_the_trigger():
    body = "a: {driver: test.counter, config: {rate_hz: 10}}\n"
    body += "b: {driver: test.counter, config: {rate_hz: 30}}\nc: {driver: test.counter}\n"
    body += (
        f"j: {{op: '{JOIN}', inputs: {{a: a.out, b: b.out}}, sync: {{trigger: b}}}}\nn: {{op: test.noop, inputs: {{in: j.out}}}}"
    )
    spec = nodes(body)
    assert [spec.rate(n) for n in "abjn"] == [10.0, 30.0, 30.0, 30.0]
    assert spec.rate("c") == pytest.approx(10.0)  # from its stamps
    assert spec.origin("n") == "b"
    assert nodes(body, "n.rate_hz=5").rate("n") == 5.0
