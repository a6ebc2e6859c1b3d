"""Faults in a graph file and on the command line: how they are written, which edges they take, what is refused."""

import re

import pytest

from pipeline.errors import GraphError
from pipeline.frame import FOREVER, NEVER
from pipeline.graph.check import check
from pipeline.graph.fault import Window
from pipeline.graph.fault import parse as parse_fault
from pipeline.graph.inject import known, with_faults
from pipeline.graph.load import parse
from pipeline.graph.plan import Plan
from pipeline.options import RunOptions

GRAPH = """version: 1
nodes:
  src: {driver: "fault_nodes:Sensors"%s}
  one: {op: "fault_nodes:Look", inputs: {image: src.image, points: src.points}%s}
  two: {op: "fault_nodes:Look", inputs: {image: src.image, grey: src.grey}}
  num: {driver: test.counter, config: {frames: 3}}
  any: {op: test.pass, inputs: {in: src.grey}}
  end: {op: test.null, inputs: {in: any.out}}
"""
PLAIN = GRAPH % ("", "")


def edges(*texts, graph=PLAIN):
    """The edges of each fault."""
    return [[t.edge for t in fault.targets] for fault in with_faults(parse(graph, "g.yaml"), texts).faults]


@pytest.mark.parametrize(("text", "window"), [
    ("cam:noise", Window(True, NEVER, FOREVER)),
    ("cam:noise@10s-15s", Window(False, 10_000_000_000, 15_000_000_000)),
    ("cam:noise@500ms-1.5s", Window(False, 500_000_000, 1_500_000_000)),
    ("cam:noise@10-20", Window(True, 10, 20)),
    ("cam:noise@10-", Window(True, 10, FOREVER)),
    ("cam:noise@-2s", Window(False, NEVER, 2_000_000_000)),
])  # fmt: skip
def test_windows(text, window):
    assert parse_fault(text, "x").window == window


def test_the_parts_of_a_text():
    given = parse_fault("cam.image:noise=0.5@1-2", "x")
    assert (given.node, given.port, given.fault, given.level) == ("cam", "image", "noise", "0.5")
    given = parse_fault("image:noise=0.5@1-2", "x", "cam")
    assert (given.node, given.port, given.fault, given.text) == ("cam", "image", "noise", "cam.image:noise=0.5@1-2")
    given = parse_fault("drop", "x", "cam")
    assert (given.node, given.port, given.fault, given.level) == ("cam", "", "drop", "")


def test_all_faults_are_there():
    assert set(known()) >= {
        "blackout", "whiteout", "glare", "freeze", "noise", "salt-and-pepper", "shift", "beam-loss", "rain", "fog", "sector-loss",
        "delay", "jitter", "drop", "disconnect",
    }  # fmt: skip


def test_a_port_an_output_before_an_input_or_all_that_fit():
    to = {
        f"{s}->{d}"
        for s, d in [("src.image", "one.image"), ("src.image", "two.image"), ("src.grey", "two.grey"), ("src.grey", "any.in")]
    }
    image = ["src.image->one.image", "src.image->two.image"]
    assert edges("src.image:blackout", "one.image:white-out", "one:glare", "two:glare") == [
        image, ["src.image->one.image"], ["src.image->one.image"], ["src.image->two.image", "src.grey->two.grey"],
    ]  # fmt: skip
    (pictures,), (points,), (everything,) = (edges(text) for text in ("src:noise", "src:salt_and_pepper", "src:drop"))
    assert set(pictures) == set(points) == to
    assert set(everything) == {*to, "src.points->one.points"}
    assert edges("src:fog", "end:drop=1") == [["src.points->one.points"], ["any.out->end.in"]]


def test_faults_of_a_node_come_before_those_of_the_command_line():
    graph = GRAPH % (', inject: [drop, "grey:shift=4@1s-"]', ', inject: ["image:freeze"]')
    spec = with_faults(parse(graph, "g.yaml"), ["src.points:beam_loss=0.2"])
    assert [f.text for f in spec.faults] == ["src:drop", "src.grey:shift=4@1s-", "one.image:freeze", "src.points:beam_loss=0.2"]
    assert [f.fault for f in spec.faults] == ["drop", "shift", "freeze", "beam-loss"]
    assert spec.faults[3].targets[0].fault.config["level"] == 0.2


def test_readers_of_a_port_share_the_seed_and_other_ports_have_others(tmp_path):
    spec = with_faults(parse(PLAIN, "g.yaml"), ["src:noise"])
    seeds = {target.port: set() for target in spec.faults[0].targets}
    for fault, target in zip(Plan(spec, RunOptions(tmp_path), "run").faults, spec.faults[0].targets, strict=True):
        seeds[target.port].add(fault.seed)
        assert fault.config["seed"] == fault.seed and fault.bit == 0
    assert all(len(of_port) == 1 for of_port in seeds.values()) and len(set.union(*seeds.values())) == 2


@pytest.mark.parametrize(("text", "message"), [
    ("nix:drop", "needs a node of the graph (src, one, two, num, any, end), got nix"),
    ("src.imag:blackout", "needs a port of src (image, grey, thermal_raw, points), got imag; did you mean image?"),
    ("src:blackot", "got blackot; did you mean blackout?"),
    ("src", "needs NODE[.PORT]:FAULT[=LEVEL][@FROM-TO], got 'src'"),
    ("src:", "needs FAULT[=LEVEL][@FROM-TO], got ''"),
    ("src:noise=", "needs FAULT[=LEVEL][@FROM-TO], got 'noise='"),
    ("src.points:blackout", "blackout: needs a port of IMAGE or GREY or THERMAL_RAW, got points (POINTS)"),
    ("src.image:fog", "fog: needs a port of POINTS, got image (IMAGE)"),
    ("end:blackout", "blackout: needs a port of IMAGE or GREY or THERMAL_RAW, got in (anything)"),
    ("num:drop", "drop: needs a port of a stream, got no connected stream"),
    ("num.out:drop", "needs a connected port, got num.out, which nobody reads"),
    ("src:noise=2", "level: needs 0 .. 1, got 2"),
    ("src:noise=x", "level: needs a number, got x"),
    ("src:noise=nan", "level"),
    ("src:drop=1.5", "level: needs 0 .. 1, got 1.5"),
    ("src:drop=nan", "level: needs 0 .. 1, got nan"),
    ("src:delay=20s", "level: needs 0 .. 10000 ms, got 20s"),
    ("src:freeze=1", "freeze has no level, got 1"),
    ("src:disconnect=1", "disconnect has no level, got 1"),
    ("src:drop@5", "window: needs FROM-TO as 10s-15s"),
    ("src:drop@-", "window: needs FROM-TO"),
    ("src:drop@1s-5", "window: needs two times or two frame numbers, got '1s-5'"),
    ("src:drop@5-5", "window: needs FROM before TO, got '5-5'"),
    ("src:drop@15s-10s", "window: needs FROM before TO, got '15s-10s'"),
    ("src:drop@1m-2m", "window: needs FROM-TO"),
])  # fmt: skip
def test_wrong_faults_end_in_one_line(text, message):
    with pytest.raises(GraphError, match=re.escape(message)) as error:
        with_faults(parse(PLAIN, "g.yaml"), [text])
    assert str(error.value).startswith(f"--inject {text}: ") and "\n" not in str(error.value)


def test_a_wrong_fault_of_the_file_has_its_line():
    with pytest.raises(GraphError, match=r"^g.yaml:3: src.inject\[1\]: needs a fault \(.*\), got dorp; did you mean drop\?$"):
        parse(GRAPH % (", inject: [drop, dorp]", ""), "g.yaml")


def test_a_static_port_has_no_faults():
    graph = "version: 1\nnodes:\n  src: {driver: synthetic.traffic}\n  g: {op: test.null, inputs: {in: src.points}}\n"
    with pytest.raises(
        GraphError, match=re.escape("needs a stream of src (points, boxes3d, truth, pose), got calibration (static)")
    ):
        with_faults(parse(graph, "g.yaml"), ["src.calibration:drop"])


def test_too_many_faults():
    with pytest.raises(GraphError, match="needs at most 62 faults, got 63"):
        with_faults(parse(PLAIN, "g.yaml"), ["src:drop"] * 63)


def test_a_delay_offline_has_no_effect_and_says_so():
    spec = with_faults(parse(PLAIN, "g.yaml"), ["src:delay=0.2s"])
    assert "src:delay=0.2s: has no effect offline: stamps decide there, not time" in "\n".join(check(spec).warnings)
    assert spec.faults[0].targets[0].fault.level == 200.0
