"""Decisions of the supervisor that a run can hardly be timed to meet."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic_ns

import pytest
from pipe_runs import wait_for

from pipeline.flow.shm import WAITING
from pipeline.graph.layout import STATE, WAITING_EDGE
from pipeline.graph.load import parse
from pipeline.graph.spec import MAX_BACKOFF_S, Restart
from pipeline.options import RunOptions
from pipeline.runtime.messages import EdgeDown, Start, to_worker
from pipeline.runtime.session import Session
from pipeline.runtime.supervisor import STUCK_S, Supervisor, asleep
from pipeline.watch.display import Display

GRAPH = """
version: 1
nodes:
  src: {driver: test.counter}
  snk: {op: test.null, inputs: {in: src.out}}
"""


class Line:
    """A control channel that keeps what is sent."""

    def __init__(self):
        self.sent, self.inbox = [], ()

    def send(self, data):
        self.sent.append(to_worker(data))


@contextmanager
def two_planned(folder):
    """A supervisor whose two processes have their plans; nothing runs. (No fixture: pytest would keep its memory.)"""
    session = Session(parse(GRAPH, "g.yaml", ()), RunOptions(folder))
    supervisor = Supervisor(session, Display(session, quiet=True))
    for child in supervisor.children.values():
        child.has_plan, child.channel = True, Line()
    try:
        yield supervisor
    finally:
        supervisor.sockets.close()
        supervisor._poll.close()
        os.close(supervisor._signals_read)
        os.close(supervisor._signals_write)
        session.close()


def publish(supervisor, gen):
    """A frame that the source sent and nobody received."""
    supervisor.session.edge_books[0].open[gen] = (gen, 0)
    supervisor.session.edge_books[0].produced += 1
    supervisor.session.board.leases(0, supervisor.plan.edge_specs[0].slots)[0, 0] = gen


def test_a_late_answer_is_not_taken_for_the_next(tmp_path):
    """The writer dies twice, is started, sends and dies again while the reader's second answer is on its way."""
    with two_planned(tmp_path) as supervisor:
        src, snk, book = supervisor.children["src"], supervisor.children["snk"], supervisor.session.edge_books[0]
        for _ in range(2):
            src.has_plan = False
            supervisor._settle_death(src)
        downs = [message for message in snk.channel.sent if isinstance(message, EdgeDown)]
        assert downs == [EdgeDown(0, 1), EdgeDown(0, 2)] and src.waits_for == {0}
        supervisor._acknowledged(0, 1)
        assert src.waits_for == {0}, "the reader has not closed the second edge yet"
        supervisor._acknowledged(0, 2)
        assert src.waits_for == set()
        publish(supervisor, 7)
        supervisor._settle_death(src)
        supervisor._acknowledged(0, 2)
        assert list(book.open) == [7], "the reader may still receive it"
        supervisor._acknowledged(0, 3)
        assert (list(book.open), book.dropped) == ([], {"restart": 1})
        supervisor._acknowledged(0, 3)
        assert book.dropped == {"restart": 1}


def test_both_ends_dead_need_no_answer(tmp_path):
    with two_planned(tmp_path) as supervisor:
        src, snk, book = supervisor.children["src"], supervisor.children["snk"], supervisor.session.edge_books[0]
        publish(supervisor, 7)
        src.has_plan = False
        supervisor._settle_death(src)
        assert list(book.open) == [7]
        snk.has_plan = False
        supervisor._settle_death(snk)
        assert (list(book.open), src.waits_for, snk.waits_for) == ([], set(), set())
        sent, _, released = supervisor.session.board.leases(0, supervisor.plan.edge_specs[0].slots)[0].tolist()
        assert sent == released


@pytest.mark.parametrize(
    ("restart", "deaths", "delay_s"),
    [
        (Restart(), 1, 0.2),
        (Restart(), 3, 0.8),
        (Restart(), 20, MAX_BACKOFF_S),
        (Restart(backoff_s=60.0), 3, 60.0),
        (Restart(max=5000, backoff_s=0.0), 5000, 0.0),
        (Restart(max=5000), 5000, MAX_BACKOFF_S),
    ],
)
def test_delay(restart, deaths, delay_s):
    assert restart.delay_s(deaths) == pytest.approx(delay_s)


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


def test_a_source_whose_first_stamp_was_unknown_keeps_its_pace(tmp_path):
    """Its successor would take its own first stamp for that of the start, and play all the time since then at once."""
    with two_planned(tmp_path) as supervisor:
        src, snk = supervisor.children["src"], supervisor.children["snk"]
        unknown = Start(5, None, 1.0, False, {}, None, None)
        assert supervisor._start_again(src, unknown) == unknown, "it has not sent anything"
        book = supervisor.session.node_books["src"]
        book.steps, book.last_started_ns, book.last_stamp_ns = 3, 700, 40
        assert supervisor._start_again(src, unknown) == Start(700, 40, 1.0, False, {}, None, None)
        assert supervisor._start_again(snk, unknown) == unknown
        known = replace(unknown, anchor_stamp_ns=10)
        assert supervisor._start_again(src, known) == known


def test_a_slow_start_is_no_deadlock(tmp_path):
    """Opening took longer than a graph may stand still, and the source finds that its reader has not connected yet."""
    with two_planned(tmp_path) as supervisor:
        supervisor._look_for_deadlock(monotonic_ns())  # a tick while they open
        supervisor._moved_at_ns -= int(10 * STUCK_S * 1e9)
        for child in supervisor.children.values():
            child.ready = True
        supervisor._start_if_ready()
        words, at = supervisor.session.board.words, supervisor.session.board.node(supervisor.plan.node_index["src"])
        words[at + STATE], words[at + WAITING_EDGE] = WAITING, 1
        supervisor._look_for_deadlock(monotonic_ns())
        assert not supervisor.failed
        supervisor._look_for_deadlock(monotonic_ns() + int((STUCK_S + 1) * 1e9))
        assert supervisor.failed, "but this is one"
