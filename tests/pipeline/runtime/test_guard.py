"""What a node starts is gone with its process and with the run, in whatever way it was started and however the run ends."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
from pipe_runs import GONE_S, alive, check_balance, processes, wait_for

from pipeline.runtime import guard

WAYS = {"plain", "session", "cleared", "forked", "shell", "daemon"}
GRAPH = """
  src: {driver: test.counter, config: {frames: FRAMES, rate_hz: 100}}
  op:  {op: "life_nodes:Starts", inputs: {data: src.out}}
  snk: {op: test.null, inputs: {in: op.out}, config: {write: true}}
"""


def started(running, node="op", lives=1):
    """The pids of all children; one for each way."""
    folder = running.out / node / "pids"
    wait_for(lambda: folder.is_dir() and len(list(folder.iterdir())) >= lives * len(WAYS), 20, "the children")
    found = [path.name.split("-") for path in folder.iterdir()]
    assert {way for way, _ in found} == WAYS
    return [int(pid) for _, pid in found]


def check_all_gone(pids):
    wait_for(lambda: not alive(pids), GONE_S, "the end of what the node started")


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "placement", [[], ["--set", "src.place=g", "--set", "op.place=g", "--set", "snk.place=g"], ["--place", "inline"]]
)
def test_at_the_end(pipe, placement):
    running = pipe.start(pipe.graph(GRAPH.replace("FRAMES", "20")), *placement)
    pids = started(running)
    ended = running.end()
    assert ended.code == 0, ended.stderr
    check_all_gone(pids)


@pytest.mark.quick(3)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("placement", [[], ["--place", "inline"]])
def test_stopped(pipe, runtime, placement, number):
    running = pipe.start(pipe.graph(GRAPH.replace("FRAMES", "null")), "--rate", "1", *placement)
    pids = started(running)
    running.wait_lines("snk", 5)
    assert sorted(alive(pids)) == sorted(pids)
    running.signal(number)
    ended = running.end()
    assert ended.code == (-9 if number == signal.SIGKILL else 128 + number), ended.stderr
    check_all_gone(pids)
    wait_for(lambda: not [argv for _, argv, _ in processes() if str(running.pid) in argv], GONE_S, "the guard's end")
    if number == signal.SIGKILL:
        shutil.rmtree(runtime / "pipe")  # as the next run would


@pytest.mark.quick(1)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_the_process_of_the_node_dies_and_the_run_goes_on(pipe, number):
    running = pipe.start(pipe.graph(GRAPH.replace("FRAMES", "null")), "--rate", "1")
    pids = started(running)
    running.wait_lines("snk", 5)
    running.kill("op", number)
    check_all_gone(pids)
    successors = started(running, lives=2)
    assert set(successors) > set(pids) and len(alive(successors)) == len(WAYS)
    running.signal(signal.SIGINT)
    ended = running.end()
    assert (ended.code, ended.report["nodes"]["op"]["restarts"]) == (130, 1)
    check_all_gone(successors)
    check_balance(ended)


@pytest.mark.slow
def test_others_are_spared(pipe):
    """Children of another run, of another process of the run, of the shell."""
    graph = pipe.graph(GRAPH.replace("FRAMES", "null"))
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    first, second = pipe.start(graph, "--rate", "1"), pipe.start(graph, "--rate", "1")
    ours, theirs = started(first), started(second)
    first.kill("snk")
    time.sleep(0.5)
    assert len(alive(ours)) == len(WAYS), "of another process"
    first.signal(signal.SIGINT)
    assert first.end().code == 130
    check_all_gone(ours)
    assert len(alive(theirs)) == len(WAYS) and bystander.poll() is None
    second.signal(signal.SIGINT)
    second.end()
    bystander.kill()
    bystander.wait()


def test_a_process_that_is_its_own_run_survives_its_end():
    """Its children do not, and neither do they keep the mark of a run that is over."""
    for _ in range(5):
        before = resource.getrlimit(10)
        with guard.this_process():
            child = subprocess.Popen(["sleep", "600"])
            assert resource.prlimit(child.pid, 10)[0] == resource.getrlimit(10)[0] != before[0]
        assert not alive([child.pid]) and resource.getrlimit(10) == before
        child.wait()
        time.sleep(0.05)  # for the guard


def test_marks():
    run = guard.new_run()
    assert run != guard.new_run()
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from pipeline.runtime import guard; guard.bear(int(sys.argv[2])); "
        "print(flush=True); time.sleep(600)"
    )
    root = str(next(p for p in sys.path if os.path.isdir(os.path.join(p, "pipeline", "runtime"))))
    children = [
        subprocess.Popen([sys.executable, "-c", code, root, str(guard.mark_of(run, i))], stdout=subprocess.PIPE) for i in (0, 1)
    ]
    for child in children:
        child.stdout.readline()
    first, second = (child.pid for child in children)
    assert sorted(guard.bearers(run)) == sorted([first, second]) and guard.bearers(run, 1) == [second]
    guard.end(run, 0)
    assert guard.bearers(run) == [second] and resource.prlimit(second, 10)[0] == guard.mark_of(run, 1)
    guard.end(run)
    assert guard.bearers(run) == []
    for child in children:
        child.stdout.close()
        child.wait()
