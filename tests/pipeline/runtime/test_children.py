"""The lives of a process of a run, and the processes at the other ends of its edges; nothing is started."""

import pytest

from pipeline.graph.load import parse
from pipeline.graph.plan import Plan
from pipeline.options import RunOptions
from pipeline.runtime.children import Child, children_of, other_end

GRAPH = """version: 1
nodes:
  src: {driver: test.counter}
  one: {op: test.noop, inputs: {in: src.out}, place: both}
  two: {op: test.null, inputs: {in: one.out}, place: both}
"""


@pytest.fixture
def plan(tmp_path):
    return Plan(parse(GRAPH, "g.yaml"), RunOptions(tmp_path), "run")


def test_one_child_for_each_place(plan):
    children = children_of(plan)
    assert [(c.place, c.index, c.nodes) for c in children.values()] == [("src", 0, ["src"]), ("both", 1, ["one", "two"])]
    assert not any(c.alive or c.has_plan or c.gone or c.epoch for c in children.values())


def test_other_end(plan):
    children = children_of(plan)
    out, inner = plan.edges
    assert other_end(plan, children, out, children["src"]) is children["both"]
    assert other_end(plan, children, out, children["both"]) is children["src"]
    assert other_end(plan, children, inner, children["both"]) is None


def test_times_of_a_restart():
    child = Child("a", 0, ["a"])
    child.times = {"detect": 1e6, "spawn": 10e6, "hello": 12e6, "imported": 15e6, "ready": 19e6}
    child.proc = object()
    assert not child.waits_for_first_frame
    child.note_restart()
    assert child.restart_ms == [{"detect": 1.0, "spawn": 2.0, "import": 3.0, "open": 4.0, "first_frame": None}]
    assert child.waits_for_first_frame
    child.note_first_frame([0, 0])
    assert child.waits_for_first_frame, "no node has begun a step"
    child.note_first_frame([0, 24_000_000, 30_000_000])
    assert child.restart_ms[0]["first_frame"] == 5.0 and not child.waits_for_first_frame
