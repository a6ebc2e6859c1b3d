"""A static port whose source has no value for it: said in one line, or None where the reader can do without."""

import pytest

GRAPH = """
  src: {driver: "pipe_nodes:%s", config: {frames: 5}}
  op:  {op: "pipe_nodes:%s", inputs: {data: src.out, base: src.base}}
  snk: {op: test.null, inputs: {in: op.out}, config: {write: true}}
"""


@pytest.mark.parametrize("place", [[], ["--place", "inline"], ["--set", "src.place=g", "--set", "op.place=g"]])
@pytest.mark.parametrize(
    ("source", "operator", "error"),
    [
        ("Unlatched", "Based", "op.base: needs a value, got none: statics() of src.base named none"),
        ("Unlatched", "MaybeBased", None),
        ("Described", "Based", None),
        ("Described", "MaybeBased", None),
    ],
)
def test_a_value_that_is_not_there(pipe, source, operator, error, place):
    ended = pipe.run(pipe.graph(GRAPH % (source, operator)), *place)
    if error is None:
        assert ended.code == 0, ended.stderr
        assert ended.ids("snk") == list(range(5))
    else:
        assert (ended.code, ended.stderr) == (1, f"error: {error}\n")
