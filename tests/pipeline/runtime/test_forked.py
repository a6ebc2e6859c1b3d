"""A node may fork: its children end when they are told to, and never act as the process that they are copies of."""

import os
import signal

import pytest
from pipe_runs import check_account

from pipeline.runtime import forked

GRAPH = """
  src: {driver: test.counter, config: {frames: 4}}
  op:  {op: "life_nodes:Pools", inputs: {data: src.out}, config: {way: WAY}, hang_s: 20}
  snk: {op: test.null, inputs: {in: op.out}, config: {write: true}}
"""


@pytest.mark.quick(2)
@pytest.mark.parametrize("way", ["pool", "terminate", "fork_exit", "fork_return"])
def test_in_process(pipe, way):
    graph = pipe.graph(GRAPH.replace("WAY", way))
    ended = pipe.run(graph)
    assert (ended.code, ended.stderr) == (0, "")
    assert all(node["restarts"] == 0 for node in ended.report["nodes"].values())
    check_account(ended, graph, range(4))


@pytest.mark.quick(2)
@pytest.mark.parametrize("way", ["fork_return", "pool", "terminate", "fork_exit"])
def test_inline(pipe, way):
    graph = pipe.graph(GRAPH.replace("WAY", way))
    ended = pipe.run(graph, "--place", "inline")
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(4))


def test_a_child_undoes_what_is_registered_the_latest_first():
    read, write = os.pipe()
    with forked.undone_in_child(lambda: os.write(write, b"a")):
        with forked.undone_in_child(lambda: os.write(write, b"b")):
            pid = os.fork()
            if pid == 0:
                os.write(write, b"c")
                os._exit(0)
            os.waitpid(pid, 0)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    assert os.read(read, 9) == b"baca"
    os.close(read)
    os.close(write)


def test_a_signal_of_the_program_is_its_own(pipe):
    """The run's handlers are gone in a child that was forked meanwhile: SIGTERM ends it."""
    from pipeline.runtime import signals

    came = []
    with signals.caught(came.append):
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
        os.kill(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
    assert came == []
