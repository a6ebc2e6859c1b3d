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
    Kept.schema = getattr(port, "schema", port)
    found = lookup.class_by_ref
    mine = {exporting._EXPORTER: Kept}
    monkeypatch.setattr(lookup, "class_by_ref", lambda ref, file=None: mine.get(ref) or found(ref, file))
    return str(tmp_path / "g.yaml")


def test_frames_of_a_graph_reach_the_exporter(tmp_path, graph, capsys):
    out = tmp_path / "e.onnx"
    assert main(["export", "net", "--to", "onnx", "--precision", "int8", "--calibrate", graph, "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"frames: 3 of {graph}, a.out\ndone\n"
    assert len(Kept.made) == 3 and out.read_text() == "int8"


def test_a_graph_without_such_frames(graph):
    with pytest.raises(GraphError, match=r"--calibrate .*g.yaml: needs a node that sends PICTURES, got none$"):
        port_of(graph, {}, Schema("PICTURES", {"p": Array("uint8", ("N",))}))


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
