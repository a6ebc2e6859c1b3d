"""A static port without a value: an error in one line, or None if the input is optional."""

import pytest

GRAPH = """
  src: {driver: "pipe_nodes:%s", config: {frames: 5}}
  op:  {op: "pipe_nodes:%s", inputs: {data: src.out, base: src.base}}
  snk: {op: test.null, inputs: {in: op.out}, config: {write: true}}
"""


@pytest.mark.quick(4)
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


@pytest.mark.quick(2)
@pytest.mark.parametrize("after_s", [0.0, 1.5], ids=["first", "when all others are ready"])
@pytest.mark.parametrize("optional", [False, True])
def test_a_value_whose_source_was_given_up(pipe, optional, after_s):
    """No reader waits for ever: it runs without an optional value, else it drops its frames by name."""
    operator = "MaybeBased" if optional else "Based"
    ended = pipe.run(
        pipe.graph(f"""
  dead: {{driver: "pipe_nodes:Stillborn", restart: never, on_error: skip, config: {{after_s: {after_s}}}}}
  src:  {{driver: test.counter, config: {{frames: 5}}}}
  op:   {{op: "pipe_nodes:{operator}", inputs: {{data: src.out, base: dead.base}}, on_error: skip}}
  snk:  {{op: test.null, inputs: {{in: op.out}}, config: {{write: true}}}}
  all:  {{op: test.null, inputs: {{in: src.out}}, config: {{write: true}}}}
""")
    )
    assert ended.code == 1
    assert ended.stderr.splitlines()[-1].startswith("error: dead: exited with code 7; given up (restart: never)")
    assert ended.ids("all") == list(range(5))
    assert ended.ids("snk") == (list(range(5)) if optional else [])
    assert ended.report["edges"]["src.out->op.data"]["dropped"] == ({} if optional else {"error": 5})
    if not optional:
        text = "op.base: needs a value, got none: dead was given up; all that needs it is dropped"
        assert ended.log("op").count(text) == 1
