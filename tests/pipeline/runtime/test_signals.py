"""Ctrl-C and SIGTERM at any moment: gone within two seconds, a summary, a report, whole files."""

import os
import random
import signal
import time

import pytest
from pipe_runs import GONE_S, Ended, check_account, check_balance, check_gone, wait_for

GRAPH = """
  src:  {driver: test.counter, config: {frames: 100, rate_hz: 100}}
  op:   {op: test.fault, inputs: {data: src.out}}
  snk:  {op: test.null, inputs: {in: op.out}, config: {write: true}}
  tap:  {op: test.null, inputs: {in: src.out}, config: {write: true}}
"""
HANG = """
  src:  {driver: test.counter, config: {frames: null}}
  op:   {op: test.fault, inputs: {data: src.out}, config: {kind: hang, at: 10, hang_in_c: true, hold_gil: %s}}
  snk:  {op: test.null, inputs: {in: op.out}, config: {write: true}}
"""


def check_stopped(ended: Ended, graph, code: int) -> None:
    assert ended.code == code, ended.stderr
    assert ended.stderr == ""
    assert ended.report["exit"] == "stopped"
    assert f"{graph.stem}: stopped, " in ended.stdout
    assert ended.stdout.endswith(f"  results in {ended.out}\n")
    check_balance(ended)


def produced(ended: Ended) -> range:
    (count,) = {e["produced"] for name, e in ended.report["edges"].items() if name.startswith("src.")}
    return range(count)


def started(running) -> list[int]:
    return wait_for(running.nodes, 10, "the first process of a node")


@pytest.mark.quick(2)
@pytest.mark.parametrize("seed", range(4))
def test_ctrl_c_mid_run(pipe, seed):
    graph = pipe.graph(GRAPH)
    running = pipe.start(graph, "--rate", "1.0")
    running.wait_lines("snk", 5)
    time.sleep(random.Random(seed).uniform(0, 0.8))
    children = running.children()
    ended = check_gone(running, children, running.signal(signal.SIGINT))
    check_stopped(ended, graph, 130)
    check_account(ended, graph, produced(ended))
    assert 5 <= len(ended.ids("snk")) < 100


@pytest.mark.quick(2)
@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.15, 0.3])
def test_ctrl_c_while_it_starts(pipe, after_s):
    """The first process exists, others are still to come."""
    graph = pipe.graph(GRAPH)
    running = pipe.start(graph, "--rate", "1.0")
    children = started(running)
    time.sleep(after_s)
    children = sorted({*children, *running.children()})
    ended = check_gone(running, children, running.signal(signal.SIGINT))
    check_stopped(ended, graph, 130)
    check_account(ended, graph, produced(ended))


@pytest.mark.quick(1)
@pytest.mark.parametrize("after_s", [0.1, 0.2, 0.3])
def test_ctrl_c_before_it_starts(pipe, after_s):
    """While Python starts there is no summary; the run still ends, and leaves nothing."""
    graph = pipe.graph(GRAPH)
    running = pipe.start(graph, "--rate", "1.0")
    time.sleep(after_s)
    ended = check_gone(running, running.children(), running.signal(signal.SIGINT))
    assert ended.code in (130, -signal.SIGINT)
    if (ended.out / "report.json").exists():
        check_stopped(ended, graph, 130)


def test_ctrl_c_near_the_end(pipe):
    """The source has ended, the sinks are about to: completed or stopped, but whole either way."""
    graph = pipe.graph(GRAPH)
    for wait_lines in (98, 100):
        running = pipe.start(graph, "--rate", "1.0")
        running.wait_lines("snk", wait_lines)
        children = running.children()
        ended = check_gone(running, children, running.signal(signal.SIGINT))
        assert (ended.code, ended.report["exit"]) in ((130, "stopped"), (0, "completed"), (130, "completed"))
        check_account(ended, graph, produced(ended))


@pytest.mark.parametrize("hold_gil", ["false", "true"])
def test_ctrl_c_in_a_long_c_call(pipe, hold_gil):
    """No Python signal handler runs there; with the GIL held, no other thread either."""
    graph = pipe.graph(HANG % hold_gil)
    running = pipe.start(graph)
    running.wait_lines("snk", 10)
    time.sleep(0.2)
    children = running.children()
    ended = check_gone(running, children, running.signal(signal.SIGINT))
    check_stopped(ended, graph, 130)
    assert ended.ids("snk") == list(range(10))
    assert ended.report["edges"]["src.out->op.data"]["dropped"] == {"shutdown": len(produced(ended)) - 10}
    check_account(ended, graph, produced(ended))


def test_ctrl_c_in_a_long_open(pipe):
    graph = pipe.graph("""
  src:  {driver: test.counter, config: {frames: null}}
  op:   {op: test.fault, inputs: {data: src.out}, config: {kind: hang, in_open: true, hang_in_c: true}}
  snk:  {op: test.null, inputs: {in: op.out}}
""")
    running = pipe.start(graph)
    wait_for(lambda: len(running.nodes()) == 3, 10, "three processes")
    time.sleep(0.5)
    children = running.children()
    ended = check_gone(running, children, running.signal(signal.SIGINT))
    check_stopped(ended, graph, 130)


def test_ctrl_c_with_a_stopped_child(pipe):
    graph = pipe.graph(GRAPH)
    running = pipe.start(graph, "--rate", "1.0")
    running.wait_lines("snk", 5)
    running.kill("op", signal.SIGSTOP)
    children = running.children()
    ended = check_gone(running, children, running.signal(signal.SIGINT))
    check_stopped(ended, graph, 130)


def test_second_ctrl_c_kills_at_once(pipe):
    graph = pipe.graph(HANG % "true")
    running = pipe.start(graph)
    running.wait_lines("snk", 10)
    time.sleep(0.2)
    children = running.children()
    at = running.signal(signal.SIGINT)
    time.sleep(0.3)
    running.signal(signal.SIGINT)
    ended = check_gone(running, children, at, within_s=0.8)  # SIGKILL would come by itself at 1.5 s
    check_stopped(ended, graph, 130)


def test_sigterm(pipe):
    graph = pipe.graph(GRAPH)
    running = pipe.start(graph, "--rate", "1.0")
    running.wait_lines("snk", 10)
    children = running.children()
    ended = check_gone(running, children, running.signal(signal.SIGTERM))
    check_stopped(ended, graph, 143)
    check_account(ended, graph, produced(ended))


def test_sigint_ignored_by_the_parent(pipe):
    """A shell starts `pipe run ... &` with SIGINT ignored; a SIGINT still stops it."""
    graph = pipe.graph(GRAPH)
    running = pipe.start(graph, "--rate", "1.0", prefix=["sh", "-c", "trap '' INT; exec \"$@\"", "sh"])
    running.wait_lines("snk", 10)
    children = running.children()
    ended = check_gone(running, children, running.signal(signal.SIGINT))
    check_stopped(ended, graph, 130)


def test_ctrl_c_of_a_terminal_reaches_the_whole_group(pipe):
    """Children do not receive it: each leads its own session, so they end in order."""
    graph = pipe.graph(GRAPH)
    running = pipe.start(graph, "--rate", "1.0", start_new_session=True)
    running.wait_lines("snk", 10)
    children = running.children()
    assert all(os.getpgid(pid) == pid != running.pid for pid in children)
    at = time.monotonic()
    os.killpg(running.pid, signal.SIGINT)
    ended = check_gone(running, children, at)
    check_stopped(ended, graph, 130)


def test_ctrl_c_while_a_child_is_being_restarted(pipe):
    graph = pipe.graph(GRAPH.replace("inputs: {data: src.out}", "inputs: {data: src.out}, restart: {backoff_s: 30}"))
    running = pipe.start(graph, "--rate", "1.0")
    running.wait_lines("snk", 10)
    running.kill("op")
    time.sleep(0.3)
    children = running.children()
    ended = check_gone(running, children, running.signal(signal.SIGINT))
    assert (ended.code, ended.report["exit"]) == (130, "stopped")
    assert ended.stderr == "op: killed by SIGKILL; restart 1 of 5 in 30.0 s\n"
    check_account(ended, graph, produced(ended))


def test_ctrl_c_inline(pipe):
    graph = pipe.graph(GRAPH)
    running = pipe.start(graph, "--rate", "1.0", "--place", "inline")
    running.wait_lines("snk", 10)
    at = running.signal(signal.SIGINT)
    ended = running.end(10)
    assert time.monotonic() - at <= GONE_S
    check_stopped(ended, graph, 130)
    check_account(ended, graph, produced(ended))


def test_a_prompt_stop_is_prompt(pipe):
    """No process hangs, so the stop does not use the grace period of 1.5 s."""
    graph = pipe.graph(GRAPH)
    running = pipe.start(graph, "--rate", "1.0")
    running.wait_lines("snk", 10)
    children = running.children()
    check_stopped(check_gone(running, children, running.signal(signal.SIGINT), within_s=0.7), graph, 130)
