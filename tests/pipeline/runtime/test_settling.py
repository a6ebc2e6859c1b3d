"""How frames are settled when a process dies, on a board without processes: rows 3 to 15 of docs/decisions/001-frame-life.md."""

import os

import pytest

from pipeline.flow import shm
from pipeline.flow.board import Board
from pipeline.graph.layout import ARMED, DESCRIPTOR_WORDS, DONE, EDGE_HEAD, EDGE_TAIL, RELEASED, SENT, BoardShape
from pipeline.graph.load import parse
from pipeline.graph.plan import Plan
from pipeline.options import RunOptions
from pipeline.runtime import settling
from pipeline.runtime.books import Accountant, EdgeBook, NodeBook

GRAPH = """
version: 1
nodes:
  src: {driver: test.counter}
  op:  {op: test.fault, inputs: {data: src.out}}
  snk: {op: test.null, inputs: {in: op.out}}
"""
SLOTS = 6


class Edge:
    """One edge, by hand: every generation from 1 is published, its slot is its place in `SLOTS`."""

    def __init__(self, board, index=0):
        self.board, self.index = board, index
        self.book = EdgeBook(f"e{index}")
        self.leases = board.leases(index)
        self.ring, self.mask = board.ring_of(index)
        self.at = board.edge(index)
        self.sent = self.received = 0

    def record(self, gen):
        at = self.ring + DESCRIPTOR_WORDS * (self.sent & self.mask)
        self.board.words[at] = gen % SLOTS
        self.board.words[at + 1] = gen
        self.leases[gen % SLOTS, SENT] = gen

    def publish(self, *gens):
        for gen in gens:
            self.book.open[gen] = (gen, 0, 0)
            self.book.produced += 1

    def send(self, *gens):
        for gen in gens:
            self.publish(gen)
            self.record(gen)
            self.sent += 1
            self.board.words[self.at + EDGE_HEAD] = self.sent

    def receive(self, count=1):
        self.received += count
        self.board.words[self.at + EDGE_TAIL] = self.received

    def deliver(self, *gens, release=True):
        for gen in gens:
            del self.book.open[gen]
            self.leases[gen % SLOTS, DONE] = gen
            if release:
                self.leases[gen % SLOTS, RELEASED] = gen

    def leased(self):
        return sorted(int(sent) for sent, released, _ in self.leases if sent != released)


@pytest.fixture
def board():
    shape = BoardShape((SLOTS,), 2, 2, 4)
    fd = shm.create("test:board", shape.size)
    made = Board(fd, shape)
    os.close(fd)
    return made


@pytest.fixture
def edge(board):
    """1 delivered, 2 delivered and kept as a view, 3 received, 4 in the ring, 5 in the sender's queue."""
    made = Edge(board)
    made.send(1, 2, 3, 4)
    made.publish(5)
    made.receive(3)
    made.deliver(1)
    made.deliver(2, release=False)
    return made


def accountant_of(*edges):
    return Accountant(edges[0].board, [e.book for e in edges], [NodeBook(), NodeBook()], [(0, [0])], ["src"])


def test_the_writer_died(board, edge):
    """Its sent frames belong to the reader; its unsent frames are lost."""
    board.words[edge.at + ARMED] = 2
    settling.bury_writer(board, accountant_of(edge), 0)
    assert (sorted(edge.book.open), edge.book.dropped) == ([3, 4], {"restart": 1})
    assert edge.leased() == [2, 3, 4]
    assert board.words[edge.at + ARMED] == 0, "nobody waits for credit"


def test_the_writer_died_between_the_descriptor_and_the_head(board, edge):
    edge.record(5)
    assert edge.leased() == [2, 3, 4, 5]
    settling.bury_writer(board, accountant_of(edge), 0)
    assert (sorted(edge.book.open), edge.leased()) == ([3, 4], [2, 3, 4])


def test_the_reader_died(board, edge):
    """Its received frames are lost, and its views end; the ring and the queue wait for its successor."""
    settling.bury_reader(board, accountant_of(edge), 0)
    assert (sorted(edge.book.open), edge.book.dropped) == ([4, 5], {"restart": 1})
    assert edge.leased() == [4]
    assert edge.leases[3, DONE] == 3


@pytest.mark.parametrize("order", [(settling.bury_writer, settling.bury_reader), (settling.bury_reader, settling.bury_writer)])
def test_both_died(board, edge, order):
    """In either order of deaths, the frame in the ring waits for the reader's successor."""
    accountant = accountant_of(edge)
    for bury in order:
        bury(board, accountant, 0)
    assert (sorted(edge.book.open), edge.book.dropped, edge.leased()) == ([4], {"restart": 2}, [4])


@pytest.mark.parametrize("bury", [settling.bury_writer, settling.bury_reader, settling.settle_sent])
def test_an_edge_without_frames(board, bury):
    edge = Edge(board)
    bury(board, accountant_of(edge), 0)
    assert (edge.book.dropped, edge.leases.any()) == ({}, False)


def test_a_successor_of_the_writer_dies_too(board, edge):
    """Generations of a later life are larger: its published unsent frames are lost, the predecessor's are not."""
    later = 1 << 40
    edge.publish(later + 1)
    settling.bury_writer(board, accountant_of(edge), 0)
    assert sorted(edge.book.open) == [3, 4]


def test_nobody_will_read_what_was_sent(board, edge):
    """The reader was given up: the sender drops its own queue."""
    accountant = accountant_of(edge)
    settling.bury_reader(board, accountant, 0)
    settling.settle_sent(board, accountant, 0)
    assert (sorted(edge.book.open), edge.book.dropped) == ([5], {"restart": 2})
    edge.book.open.clear()
    edge.send(6)  # before it was told
    settling.settle_sent(board, accountant, 0)
    assert (edge.book.open, edge.book.dropped) == ({}, {"restart": 3})


def test_all_edges_of_a_dead_process(tmp_path):
    """An operator is the reader of one edge and the writer of another."""
    plan = Plan(parse(GRAPH, "g.yaml", ()), RunOptions(tmp_path), "run")
    shape = plan.board_shape
    fd = shm.create("test:board", shape.size)
    board = Board(fd, shape)
    os.close(fd)
    to_op, to_snk = Edge(board, 0), Edge(board, 1)
    to_op.send(1, 2)
    to_op.receive()
    to_snk.send(1)
    to_snk.publish(2)
    accountant = Accountant(board, [to_op.book, to_snk.book], [NodeBook()] * 3, [(0, [0]), (1, [1])], ["src"])
    settling.bury(plan, board, accountant, "op")
    assert (sorted(to_op.book.open), sorted(to_snk.book.open)) == ([2], [1])
    settling.bury(plan, board, accountant, "src")
    settling.bury(plan, board, accountant, "snk")
    assert (sorted(to_op.book.open), sorted(to_snk.book.open)) == ([2], [1]), "the rings outlive both"
