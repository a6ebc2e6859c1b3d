"""Decisions of the supervisor that depend on timing that a real run rarely has."""

from contextlib import contextmanager
from dataclasses import replace
from time import monotonic_ns

import pytest

from pipeline.graph.layout import STATE, WAITING, WAITING_EDGE
from pipeline.graph.load import parse
from pipeline.graph.spec import MAX_BACKOFF_S, Restart
from pipeline.options import RunOptions
from pipeline.runtime.messages import Start, to_worker
from pipeline.runtime.session import Session
from pipeline.runtime.spawn import Spawner
from pipeline.runtime.stuck import STUCK_S
from pipeline.runtime.supervisor import Supervisor
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
        self.sent, self.inbox, self.fd = [], (), -1

    def close(self):
        pass

    def send(self, data):
        self.sent.append(to_worker(data))


@contextmanager
def two_planned(folder):
    """A supervisor whose two processes have their plans; nothing runs. (No fixture: pytest would keep its memory.)"""
    session = Session(parse(GRAPH, "g.yaml", ()), RunOptions(folder))
    supervisor = Supervisor(session, Display(session, quiet=True), Spawner())
    for child in supervisor.children:
        child.has_plan, child.channel = True, Line()
    try:
        yield supervisor
    finally:
        supervisor.close()
        session.close()


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


def test_a_source_whose_first_stamp_was_unknown_keeps_its_pace(tmp_path):
    """Otherwise its successor would use its own first stamp as the start, and play the time since then at once."""
    with two_planned(tmp_path) as supervisor:
        src, snk = supervisor.children.of("src"), supervisor.children.of("snk")
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
        supervisor.stuck.moved_at_ns -= int(10 * STUCK_S * 1e9)
        for child in supervisor.children:
            child.ready = True
        supervisor._start_if_ready()
        words, at = supervisor.session.board.words, supervisor.session.board.node(supervisor.plan.node_index["src"])
        words[at + STATE], words[at + WAITING_EDGE] = WAITING, 1
        supervisor._look_for_deadlock(monotonic_ns())
        assert not supervisor.failed
        supervisor._look_for_deadlock(monotonic_ns() + int((STUCK_S + 1) * 1e9))
        assert supervisor.failed, "but this is one"
