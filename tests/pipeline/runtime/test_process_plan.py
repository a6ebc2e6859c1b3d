"""The plan of one process of a run: its nodes, the edges that end in it, the pools it uses."""

from pathlib import Path

import pytest

from pipeline.graph.load import parse
from pipeline.graph.plan import Plan
from pipeline.operator import Resume
from pipeline.options import RunOptions
from pipeline.runtime.messages import SyncPlan, pack, to_worker
from pipeline.runtime.process_plan import process_plan

GRAPH = """version: 1
nodes:
  a: {driver: test.counter, config: {frames: 10, rate_hz: 10}}
  b: {driver: test.counter, config: {frames: 5, rate_hz: 10}}
  one: {op: test.null, inputs: {in: a.out}, cpus: [0]}
  two: {op: "pipe_nodes:Pair", inputs: {a: a.out, b: b.out}, sync: {policy: nearest, tolerance_ms: 20, optional: [b]}}
  end: {op: test.null, inputs: {in: two.out}}
"""
POOLS = {"a": (10, 11), "b": (20, 21), "one": (-1, -1), "two": (30, 31), "end": (-1, -1)}
BELLS = list(range(100, 112))
"""Descriptors: of two threads in each of five processes, and of two sources."""


@pytest.fixture
def plan(tmp_path):
    return Plan(parse(GRAPH, "g.yaml"), RunOptions(tmp_path, verify=True, inject=("two:sent",)), "run")


def of(plan, *nodes, epochs=None, resume=None):
    return process_plan(
        plan,
        list(nodes),
        plan.process_index[nodes[0]],
        5,
        BELLS,
        POOLS,
        epochs or {e.id: (0, 0) for e in plan.edges},
        resume or {},
    )


def test_a_source(plan):
    process = of(plan, "a")
    assert [n.name for n in process.nodes] == ["a"]
    assert {(e.src_node, e.dst_node) for e in process.edges} == {("a", "one"), ("a", "two")}
    assert set(process.pools) == {"a"} and process.pools["a"].write_fd == 10
    assert [(p.node, len(p.edges)) for p in process.ports] == [("a", 2)]
    assert (process.process, process.board_fd, process.verify, process.inject) == (0, 5, True, ("two:sent",))
    assert process.nodes[0].sync is None and process.nodes[0].trigger is None


def test_a_sink_sees_only_what_feeds_it(plan):
    process = of(plan, "one")
    assert set(process.pools) == {"a"}, "it has none of its own"
    assert [e.dst_node for e in process.edges] == ["one"]
    assert process.nodes[0].cpus == (0,) and process.nodes[0].streams == ("in",)


def test_a_join(plan):
    (node,) = of(plan, "two").nodes
    assert node.sync == SyncPlan("nearest", 20_000_000, {}, None, ("b",))
    assert (node.streams, node.trigger) == (("a", "b"), "a")


def test_several_nodes_and_their_past(plan):
    resume = {"two": Resume(2, 7, "7", 8)}
    process = of(plan, "two", "end", epochs={e.id: (e.id, 2) for e in plan.edges}, resume=resume)
    assert [(n.name, n.resume) for n in process.nodes] == [("two", resume["two"]), ("end", None)]
    assert all((e.spec.writer_epoch, e.spec.reader_epoch) == (e.spec.index, 2) for e in process.edges)
    assert all(spec.writer_epoch == 0 for spec in plan.edge_specs), "the run's own plan is as before"


def test_it_travels(plan):
    process = of(plan, "a", "b", "one", "two", "end")
    assert to_worker(pack(process)) == process
    assert Path(process.out) == plan.options.out


def test_bells_of_its_threads_and_of_its_neighbours(plan):
    """Main and I/O thread of each process, in the order of the processes, then the sources' own threads."""
    process = of(plan, "two")
    number = plan.process_index["two"]
    assert (process.main_bell, process.io_bell) == (2 * number, 2 * number + 1)
    assert process.bells == {index: BELLS[index] for index in process.bells}
    edges = {e.dst_node if e.src_node == "two" else e.src_node: e for e in process.edges}
    assert (edges["a"].writer_bell, edges["b"].writer_bell) == (10, 11), "a source reads on its own thread"
    assert edges["a"].reader_bell == edges["b"].reader_bell == process.main_bell == process.nodes[0].bell
    assert edges["end"].reader_bell == 2 * plan.process_index["end"]
    assert edges["end"].writer_io_bell == process.io_bell
    needed = {b for e in process.edges for b in (e.writer_bell, e.writer_io_bell, e.reader_bell)}
    assert set(process.bells) == needed | {process.main_bell, process.io_bell}
