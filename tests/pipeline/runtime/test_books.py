"""Only committed events count: events of a killed process count up to its last commit."""

import json
import os

import numpy as np
import pytest

from pipeline.flow import shm
from pipeline.flow.board import Board
from pipeline.flow.log import DELIVERED, DROPPED, ERROR, PUBLISHED, REASON, REASONS, STEP, Log
from pipeline.flow.slot import who
from pipeline.graph.layout import RING_EVENTS, BoardShape
from pipeline.runtime.books import Accountant, EdgeBook, NodeBook, balance


class Books:
    """Two processes: 0 runs the source (node 0, port 0), 1 the sink (node 1). One edge, or two for a fan-out."""

    def __init__(self, tmp_path, edges=1):
        shape = BoardShape((4,) * edges, nodes=2, processes=2, bells=2)
        fd = shm.create("test:board", shape.size)
        self.board = Board(fd, shape)
        os.close(fd)
        self.edges = [EdgeBook(f"src.out->s{i}.in", f"s{i}") for i in range(edges)]
        self.nodes = [NodeBook(), NodeBook()]
        self.full = 0
        self.writer, self.reader = Log(self.board, 0, self._on_full), Log(self.board, 1, self._on_full)
        self.path = tmp_path / "logs" / "drops.jsonl"
        self.accountant = Accountant(self.board, self.edges, self.nodes, [(0, list(range(edges)))], ["src"], self.path, tmp_path)

    def _on_full(self):
        self.full += 1
        self.accountant.drain()

    def publish(self, *frames, nbytes=8, copied=0):
        for i in frames:
            self.writer.add(PUBLISHED, 0, 100 + i, who(0, i), 1000 * i, nbytes, copied)
        self.writer.commit()

    def deliver(self, *frames, edge=0):
        for i in frames:
            self.reader.add(DELIVERED, edge, 100 + i, who(0, i), 1000 * i, 5000)
        self.reader.commit()

    def drops(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []


@pytest.fixture
def books(tmp_path):
    made = Books(tmp_path)
    yield made
    made.accountant.close()


def counts(book):
    return book.produced, book.delivered, book.dropped, book.in_flight


def test_nothing_happened(books):
    assert books.accountant.drain() == 0
    assert counts(books.edges[0]) == (0, 0, {}, 0)
    assert balance(books.edges[0])["hop_us"] == {"p50": None, "p95": None, "p99": None}
    assert not books.path.exists()


def test_uncommitted_events_do_not_exist(books):
    books.writer.add(PUBLISHED, 0, 100, who(0, 0), 0, 8, 0)
    assert books.accountant.drain() == 0
    books.writer.commit()
    assert books.accountant.drain() == 1
    assert counts(books.edges[0]) == (1, 0, {}, 1)


def test_a_successor_overwrites_what_was_never_committed(books):
    """The process died between add and commit: the next life starts at the head."""
    books.publish(0)
    books.writer.add(PUBLISHED, 0, 101, who(0, 1), 0, 8, 0)
    books.writer = Log(books.board, 0, books._on_full)
    books.publish(2)
    assert books.accountant.drain() == 2
    assert sorted(books.edges[0].open) == [100, 102]


def test_published_delivered_dropped(books):
    books.publish(0, 1, 2, nbytes=100, copied=60)
    books.deliver(0)
    books.reader.drop(0, 101, who(0, 1), 1000, "stale")
    books.reader.commit()
    assert books.accountant.drain() == 5
    row = balance(books.edges[0])
    assert {k: row[k] for k in ("produced", "delivered", "dropped", "in_flight", "bytes", "copied_bytes")} == {
        "produced": 3, "delivered": 1, "dropped": {"stale": 1}, "in_flight": 1, "bytes": 300, "copied_bytes": 180,
    }  # fmt: skip
    assert row["hop_us"]["p50"] == pytest.approx(5.0, rel=0.01)
    assert books.drops() == [{"edge": "src.out->s0.in", "reason": "stale", "frame": "src:1", "stamp_ns": 1000}]
    assert (books.path.parent.parent / "s0" / "lost.jsonl").read_text() == books.path.read_text(), (
        "a sink's folder says what it lost"
    )


def test_delivered_may_be_read_before_published(tmp_path):
    """Rings are read one after another: the reader's may be ahead of the writer's."""
    books = Books(tmp_path)
    books.deliver(0)
    books.reader.drop(0, 101, who(0, 1), 1000, "error")
    books.reader.commit()
    books.accountant.drain()
    assert books.edges[0].in_flight == 0
    books.publish(0, 1, 2)
    books.accountant.drain()
    assert counts(books.edges[0]) == (3, 1, {"error": 1}, 1)
    assert books.edges[0].early == {}
    books.accountant.close()


def test_fan_out_is_counted_on_each_edge(tmp_path):
    books = Books(tmp_path, edges=2)
    books.publish(0, 1)
    books.deliver(0, 1, edge=0)
    books.deliver(0, edge=1)
    books.accountant.drain()
    assert [counts(e) for e in books.edges] == [(2, 2, {}, 0), (2, 1, {}, 1)]
    assert books.nodes[0].out == 2, "frames, not sendings"
    books.accountant.close()


def test_settle(books):
    books.publish(0, 1, 2)
    books.deliver(0)
    books.accountant.drain()
    assert books.accountant.settle(0, 101, "restart")
    assert not books.accountant.settle(0, 101, "restart"), "once"
    assert not books.accountant.settle(0, 100, "restart"), "not what was delivered"
    assert books.accountant.settle_all(0, "shutdown") == 1
    assert counts(books.edges[0]) == (3, 1, {"restart": 1, "shutdown": 1}, 0)
    books.accountant.close()
    assert [(d["reason"], d["frame"]) for d in books.drops()] == [("restart", "src:1"), ("shutdown", "src:2")]


def test_a_full_ring_waits(books):
    """Nothing is overwritten: events for three laps all arrive, in order."""
    total = 3 * RING_EVENTS
    for i in range(total):
        books.writer.add(PUBLISHED, 0, 1 + i, who(0, i), i, 1, 0)
        books.writer.commit()
    books.accountant.drain()
    assert books.full >= 2
    assert list(books.edges[0].open) == list(range(1, total + 1))
    assert books.edges[0].bytes == total


def test_steps(books):
    for i, (ns, latency) in enumerate([(1_000_000, -1), (3_000_000, 5_000_000)]):
        books.writer.add(STEP, 0, i, who(0, 7 + i), 50 + i, ns, latency, 900 + i)
    books.writer.add(ERROR, 1, 0, who(0, 9), 0)
    books.writer.commit()
    books.accountant.drain()
    node = books.nodes[0]
    assert (node.steps, node.last_step, node.last_who, node.last_stamp_ns, node.last_started_ns) == (2, 1, who(0, 8), 51, 901)
    assert (node.compute.count, node.latency.count) == (2, 1), "-1 is no latency"
    assert books.nodes[1].errors == 1


def test_first_step_after_a_restart(books):
    books.nodes[0].watch_from_ns = 500
    for i, started in enumerate((400, 600, 700)):
        books.writer.add(STEP, 0, i, who(0, i), 0, 1, -1, started)
    books.writer.commit()
    books.accountant.drain()
    assert books.nodes[0].first_after_ns == 600


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_survives_the_ring(books, reason):
    books.publish(0)
    books.reader.add(DROPPED, 0, 100, who(0, 0), 0, reason=REASON[reason], slot=200)
    books.reader.commit()
    books.accountant.drain()
    assert books.edges[0].dropped == {reason: 1}


@pytest.mark.parametrize(("source", "frame_id"), [(0, 0), (3, 2**47), (100, 5)])
def test_names(tmp_path, source, frame_id):
    books = Books(tmp_path)
    books.accountant.sources = [f"s{i}" for i in range(101)]
    assert books.accountant.name_of(who(source, frame_id)) == (f"s{source}", frame_id)
    books.accountant.close()


def test_many_random_interleavings_balance(tmp_path):
    rng = np.random.default_rng(0)
    books = Books(tmp_path)
    waiting: list[int] = []
    sent = done = lost = 0
    for _ in range(3000):
        kind = rng.integers(4)
        if kind == 0:
            books.publish(sent)
            waiting.append(sent)
            sent += 1
        elif kind == 1 and waiting:
            books.deliver(waiting.pop(0))
            done += 1
        elif kind == 2 and waiting:
            i = waiting.pop(int(rng.integers(len(waiting))))
            books.reader.drop(0, 100 + i, who(0, i), 0, "queue_full")
            books.reader.commit()
            lost += 1
        elif kind == 3:
            books.accountant.drain()
    books.accountant.drain()
    assert counts(books.edges[0]) == (sent, done, {"queue_full": lost}, len(waiting))
    assert len(books.drops()) == lost
    books.accountant.close()
