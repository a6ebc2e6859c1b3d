"""`pipe export`: its arguments, and the way from a graph's frames to the file."""

import pytest

from pipeline import exporting
from pipeline.cli.verbs import main
from pipeline.errors import GraphError
from pipeline.exporting import Exporter, port_of
from pipeline.graph import lookup
from pipeline.schema import Array, Schema

GRAPH = """\
version: 1
nodes:
  a: {driver: test.counter, config: {frames: 5}}
  sink: {op: test.null, inputs: {in: a.out}}
"""


class Kept(Exporter):
    frames = 3
    made: list = []

    def __init__(self, options):
        self.options, self.default = options, ("demo", {})

    def run(self, frames):
        Kept.made = frames
        self.options.out.write_text(self.options.precision)
        yield "done"


@pytest.fixture
def graph(tmp_path, monkeypatch):
    (tmp_path / "g.yaml").write_text(GRAPH)
    (port,) = lookup.driver_class("test.counter").outputs.values()
    Kept.schemas = {"out": getattr(port, "schema", port)}
    found = lookup.class_by_ref
    mine = dict.fromkeys(exporting._EXPORTERS, Kept)
    monkeypatch.setattr(lookup, "class_by_ref", lambda ref, file=None: mine.get(ref) or found(ref, file))
    return str(tmp_path / "g.yaml")


def test_frames_of_a_graph_reach_the_exporter(tmp_path, graph, capsys):
    out = tmp_path / "e.onnx"
    assert main(["export", "net", "--to", "onnx", "--precision", "int8", "--calibrate", graph, "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"frames: 3 of {graph}, a.out\ndone\n"
    assert len(Kept.made) == 3 and set(Kept.made[0]) == {"out"} and out.read_text() == "int8"


def test_a_graph_without_such_frames(graph):
    with pytest.raises(GraphError, match=r"--calibrate .*g.yaml: needs a node that sends PICTURES, got none$"):
        port_of(graph, {}, "pictures", Schema("PICTURES", {"p": Array("uint8", ("N",))}))


def test_frames_of_the_operators_inputs_and_of_several_ports(tmp_path, graph):
    two = tmp_path / "two.yaml"
    two.write_text(
        GRAPH.replace("  sink:", "  b: {driver: test.counter, config: {frames: 4}}\n  sink:").replace("a.out", "b.out")
    )
    (schema,) = Kept.schemas.values()
    assert port_of(str(two), {}, "in", schema) == "a.out", "the first one"
    assert port_of(str(two), {}, "in", schema, "test.null") == "b.out", "that of the operator's input"
    pairs = exporting._frames(str(two), {}, {"one": "a.out", "other": "b.out"}, 5)
    assert len(pairs) == 4 and all(set(pair) == {"one", "other"} for pair in pairs)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threads", "0"], "--threads: needs 1 or more, got 0"),
        (["-o", "/nowhere/e.onnx"], "--out /nowhere/e.onnx: needs the folder /nowhere, got nothing there"),
        (["--calibrate", "no_such_graph"], "no_such_graph: "),
    ],
)
def test_what_is_wrong_before_the_start(tmp_path, graph, capsys, words, message):
    assert main(["export", "net", "--to", "onnx", "-o", str(tmp_path / "e.onnx"), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--to", "tflite"], ["--to", "onnx", "--precision", "int4"], []])
def test_choices(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["export", "net", "-o", "x", *words])
    assert caught.value.code == 2
