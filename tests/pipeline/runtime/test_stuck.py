"""Hanging nodes and deadlocked graphs, detected from the words of the board only; nothing runs."""

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from pipe_runs import wait_for

from pipeline.graph.layout import (
    BUSY_SINCE,
    CLOSING,
    IDLE,
    OPENING,
    PROCESSING,
    READING,
    RELEASED,
    SENT,
    STATE,
    WAITING,
    WAITING_EDGE,
)
from pipeline.graph.load import parse
from pipeline.options import RunOptions
from pipeline.runtime.children import children_of
from pipeline.runtime.session import Session
from pipeline.runtime.stuck import STUCK_S, Stuck, asleep, keeps_all, kept_views, stuck_text

GRAPH = """
version: 1
nodes:
  src: {driver: test.counter}
  snk: {op: test.null, inputs: {in: src.out}, hang_s: 2}
"""
S = 1_000_000_000


@contextmanager
def standing(folder, graph=GRAPH, **options):
    """All processes are ready and have no work; `at(node)` is the first word of a node. (No fixture: it would keep memory.)"""
    session = Session(parse(graph, "g.yaml", ()), RunOptions(folder, **options))
    children = children_of(session.plan)
    for child in children.values():
        child.ready = True
    stuck = Stuck(session, children)
    stuck.forever(0, True, ())  # the books are counted once
    try:
        yield stuck, lambda node: session.board.node(session.plan.node_index[node])
    finally:
        session.close()
        del stuck.board, session.board


def late(stuck):
    return stuck.moved_at_ns + int((STUCK_S + 1) * S)


def test_idle_nodes_neither_hang_nor_are_stuck(tmp_path):
    with standing(tmp_path) as (stuck, _):
        assert list(stuck.hanging(1000 * S)) == []
        assert stuck.forever(late(stuck), True, ()) is None


@pytest.mark.parametrize(
    ("state", "alive", "after_s", "text"),
    [
        (PROCESSING, True, 1, None),
        (PROCESSING, True, 3, "snk: in process() for more than hang_s = 2 s; killed"),
        (PROCESSING, False, 3, None),
        (OPENING, True, 2, None),
        (OPENING, True, 3, "snk: in open() for more than hang_s = 2 s; killed"),
        (WAITING, True, 60, None),
        (READING, True, 60, None),
    ],
)
def test_hang(tmp_path, state, alive, after_s, text):
    with standing(tmp_path) as (stuck, at):
        words, since = stuck.board.words, at("snk")
        words[since + BUSY_SINCE], words[since + STATE] = 7 * S, state
        stuck.children["snk"].proc = object() if alive else None
        found = list(stuck.hanging((7 + after_s) * S))
        assert [(child.place, said) for child, said in found] == ([] if text is None else [("snk", text)])
        if text is not None:
            assert words[since + STATE] == IDLE and list(stuck.hanging(1000 * S)) == [], "said once"


@pytest.mark.parametrize(("ended_s", "after_s", "hangs"), [(0, 99, False), (8, 1, False), (8, 4, True), (1, 3, True)])
def test_a_reading_hangs_only_after_the_end_of_the_sources(tmp_path, ended_s, after_s, hangs):
    """And then from its own begin; it began at 7 s."""
    with standing(tmp_path, GRAPH.replace("{driver: test.counter}", "{driver: test.counter, hang_s: 2}")) as (stuck, at):
        words, since = stuck.board.words, at("src")
        words[since + BUSY_SINCE], words[since + STATE] = 7 * S, READING
        stuck.children["src"].proc = object()
        found = [said for _, said in stuck.hanging((7 + after_s) * S, ended_s * S)]
        assert found == (["src: in read() for more than hang_s = 2 s; killed"] if hangs else [])
        assert stuck.children["src"].ends_late is hangs


def test_a_close_that_hangs_at_the_end_of_the_stream(tmp_path):
    with standing(tmp_path) as (stuck, at):
        words, since = stuck.board.words, at("snk")
        words[since + BUSY_SINCE], words[since + STATE] = 7 * S, CLOSING
        child = stuck.children["snk"]
        child.proc = object()
        assert [said for _, said in stuck.hanging(10 * S)] == ["snk: in close() for more than hang_s = 2 s; killed"]
        assert child.ends_late, "a successor would hang in it again"


def test_a_process_that_never_starts(tmp_path):
    with standing(tmp_path) as (stuck, _):
        child = stuck.children["snk"]
        child.proc, child.times["spawn"] = object(), 7 * S
        assert list(stuck.hanging(180 * S)) == []
        assert [said for _, said in stuck.hanging(188 * S)] == ["snk: its process did not start within 180 s; killed"]
        child.said_hello = True
        assert list(stuck.hanging(188 * S)) == []


def test_whoever_waits_for_room_for_ever_is_named(tmp_path):
    with standing(tmp_path) as (stuck, at):
        words, src = stuck.board.words, at("src")
        words[src + STATE], words[src + WAITING_EDGE] = WAITING, 1
        now = late(stuck)
        assert stuck.forever(now - 2 * S, True, ()) is None, "not yet"
        text = stuck.forever(now, True, ())
        assert text == stuck_text(stuck.session, [0]) and "snk.in: its buffer of 0 frames is full" in text


@pytest.mark.parametrize("why", ["somebody computes", "nodes open", "a restart", "an event", "a live graph"])
def test_what_is_no_deadlock(tmp_path, why):
    graph = GRAPH.replace("{driver: test.counter}", "{driver: test.counter, live: true}") if why == "a live graph" else GRAPH
    with standing(tmp_path, graph) as (stuck, at):
        words, src = stuck.board.words, at("src")
        words[src + STATE], words[src + WAITING_EDGE] = WAITING, 1
        now = late(stuck)
        if why == "somebody computes":
            words[at("snk") + STATE] = PROCESSING
        elif why == "a restart":
            stuck.children["snk"].ready = False
        elif why == "an event":
            stuck.session.accountant.events += 1
        assert stuck.forever(now, why != "nodes open", ()) is None
        if why in ("a restart", "an event"):
            assert stuck.moved_at_ns == now


def test_a_reader_that_keeps_everything(tmp_path):
    """Its frames are processed, but their leases stay: even a live graph can never continue."""
    with standing(tmp_path, GRAPH.replace("{driver: test.counter}", "{driver: test.counter, live: true}")) as (stuck, at):
        session = stuck.session
        spec, leases = session.plan.edge_specs[0], session.board.leases(0)
        words, src = stuck.board.words, at("src")
        words[src + STATE], words[src + WAITING_EDGE] = WAITING, 1
        assert (kept_views(session, 0), keeps_all(session, 0)) == (0, False)
        for slot in range(spec.window + spec.holds):
            leases[slot, SENT] = slot + 1
        assert keeps_all(session, 0)
        text = stuck.forever(late(stuck), True, ())
        assert text.startswith("g: snk keeps views of 1 frames of src.out, 0 declared; set holds = {'in': 1} in its class")
        leases[:, RELEASED] = leases[:, SENT]
        assert kept_views(session, 0) == 0


def test_text_of_nothing(tmp_path):
    with standing(tmp_path) as (stuck, _):
        assert stuck_text(stuck.session, []) == ""


def test_asleep():
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "print(1, flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with sleeper:
        assert sleeper.stdout.readline() == b"1\n"
        wait_for(lambda: asleep(sleeper.pid), 10, "it to wait for input")
        sleeper.send_signal(signal.SIGSTOP)
        wait_for(lambda: not asleep(sleeper.pid), 10, "it to be stopped")
        sleeper.kill()
    assert not asleep(sleeper.pid)
