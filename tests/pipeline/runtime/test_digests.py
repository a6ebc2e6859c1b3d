"""The digest of a sink covers all that it was given: its frames and its latched values."""

from __future__ import annotations

import pipeline


def test_the_digest_covers_latched_values(tmp_path):
    """Two calibrations, other result files, other digests: of each sink that was given them, and of no other."""
    graph = tmp_path / "g.yaml"
    graph.write_text("""version: 1
nodes:
  src:  {driver: "pipe_nodes:Described"}
  op:   {op: "pipe_nodes:Based", inputs: {data: src.out, base: src.base}}
  snk:  {op: test.null, inputs: {in: src.out}}
  sum:  {op: "pipe_nodes:BasedSink", inputs: {data: src.out, base: src.base}}
  part: {op: "pipe_nodes:BasedSink", inputs: {data: src.out}}
""")
    digests = []
    for i, (base, place) in enumerate([(100, "inline"), (101, "inline"), (100, None)]):
        sets = {"src.config.base": base}
        outcome = pipeline.run(graph, sets, out=tmp_path / str(i), place=place)
        assert outcome.code == 0, outcome.errors
        digests.append(outcome.report["digest"])
    one, other, processes = digests
    assert one == processes and one["snk"] == other["snk"] and one["part"] == other["part"]
    assert one["sum"] != other["sum"] and one["sum"] != one["part"]


BASES = """
  src: {driver: "pipe_nodes:TwoBases", config: {frames: 20, switch: %d}}
  sum: {op: "pipe_nodes:BasedSink", inputs: {data: src.out, base: src.base}}
"""


def test_the_digest_covers_when_values_hold(pipe):
    """The same values from another stamp on: other digests. A source that is killed and sends its values again: the same."""
    runs = [
        pipe.run(pipe.graph(BASES % switch), *args)
        for switch, args in ((10, ["--place", "inline"]), (11, ["--place", "inline"]), (10, ["--inject", "src:sent@5"]))
    ]
    assert [run.code for run in runs] == [0, 0, 0], runs
    one, other, killed = (run.report["digest"]["sum"] for run in runs)
    assert one != other and one == killed and runs[2].report["nodes"]["src"]["restarts"] == 1
