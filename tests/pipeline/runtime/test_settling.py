"""Who settles what when a process dies, on a board without processes: rows 3 to 12 of docs/decisions/001-frame-life.md."""

import os

import pytest

from pipeline.flow import shm
from pipeline.flow.shm import Board
from pipeline.graph.layout import RECEIVED, RELEASED, SENT, BoardShape
from pipeline.graph.load import parse
from pipeline.graph.plan import Plan
from pipeline.options import RunOptions
from pipeline.runtime.books import Accountant, EdgeBook, NodeBook
from pipeline.runtime.children import children_of
from pipeline.runtime.messages import EdgeDown
from pipeline.runtime.settling import Settling, settle_edge

GRAPH = """
version: 1
nodes:
  src: {driver: test.counter}
  snk: {op: test.null, inputs: {in: src.out}}
"""
SLOTS = 4


def board_of(shape):
    fd = shm.create("test:board", shape.size)
    board = Board(fd, shape)
    os.close(fd)
    return board


class Run:
    """A source and a sink in processes of their own, which have their plans; nothing runs, and what is told is kept."""

    def __init__(self, tmp_path):
        self.plan = Plan(parse(GRAPH, "g.yaml", ()), RunOptions(tmp_path), "run")
        self.board = board_of(self.plan.board_shape)
        self.book = EdgeBook(self.plan.edges[0].name)
        ports = [(0, p.edges) for p in self.plan.ports]
        self.accountant = Accountant(self.board, [self.book], [NodeBook(), NodeBook()], ports, ["src"])
        self.children = children_of(self.plan)
        for child in self.children.values():
            child.has_plan = True
        self.told, self.settled = [], []
        self.settling = Settling(
            self.plan, self.board, self.accountant, self.children,
            lambda child, message: self.told.append((child.place, message)), lambda child: self.settled.append(child.place),
        )  # fmt: skip
        self.leases = self.board.leases(0, self.plan.edge_specs[0].slots)

    def publish(self, gen):
        """A frame that the source sent and nobody received."""
        self.book.open[gen] = (gen, 0)
        self.book.produced += 1
        self.leases[0, SENT] = gen

    def die(self, place):
        self.children[place].has_plan = False
        self.settling.died(self.children[place])


def test_a_late_answer_is_not_taken_for_the_next(tmp_path):
    """The writer dies twice, is started, sends and dies again while the reader's second answer is on its way."""
    run = Run(tmp_path)
    src, book = run.children["src"], run.book
    for _ in range(2):
        run.die("src")
    assert run.told == [("snk", EdgeDown(0, 1)), ("snk", EdgeDown(0, 2))] and src.waits_for == {0}
    run.settling.acknowledged(0, 1)
    assert src.waits_for == {0}, "the reader has not closed the second edge yet"
    assert run.settled == []
    run.settling.acknowledged(0, 2)
    assert (src.waits_for, run.settled) == (set(), ["src"])
    run.publish(7)
    run.settling.died(src)
    run.settling.acknowledged(0, 2)
    assert list(book.open) == [7], "the reader may still receive it"
    run.settling.acknowledged(0, 3)
    assert (list(book.open), book.dropped) == ([], {"restart": 1})
    run.settling.acknowledged(0, 3)
    assert book.dropped == {"restart": 1}


def test_both_ends_dead_need_no_answer(tmp_path):
    run = Run(tmp_path)
    run.publish(7)
    run.die("src")
    assert list(run.book.open) == [7]
    run.die("snk")
    assert (list(run.book.open), run.children["src"].waits_for, run.children["snk"].waits_for) == ([], set(), set())
    assert run.leases[0, SENT] == run.leases[0, RELEASED]
    assert run.settled == ["src"]


def test_a_process_without_its_plan_is_not_asked(tmp_path):
    run = Run(tmp_path)
    run.children["snk"].has_plan = False
    run.publish(7)
    run.die("src")
    assert (run.told, list(run.book.open)) == ([], [])


def test_an_answer_nobody_waits_for(tmp_path):
    run = Run(tmp_path)
    run.settling.acknowledged(0, 1)
    assert run.settled == []


def test_a_static_edge_is_closed_without_an_answer(tmp_path):
    run = Run(tmp_path)
    run.plan.edges = [type(e)(e.id, e.name, e.src_node, e.src_port, e.dst_node, e.dst_port, True) for e in run.plan.edges]
    run.die("src")
    assert run.told == [("snk", EdgeDown(0, 0))] and run.children["src"].waits_for == set()


@pytest.mark.parametrize(
    ("writer_dead", "reader_dead", "lost", "leased"),
    [
        # generations: 1 processed and given back; 2 processed, a view is kept; 3 received; 4 on its way; 5 in the writer's queue
        (True, False, [4, 5], [2, 3]),  # the reader accounts for what it has received, and keeps its views
        (False, True, [3, 4], []),  # the queue waits for the successor
        (True, True, [3, 4, 5], []),
    ],
)
def test_settle_edge(tmp_path, writer_dead, reader_dead, lost, leased):
    board = board_of(BoardShape((SLOTS,), 2, 2))
    book = EdgeBook("src.out->snk.in", open={3: (3, 0), 4: (4, 0), 5: (5, 0)}, produced=5, delivered=2)
    accountant = Accountant(board, [book], [NodeBook(), NodeBook()], [(0, [0])], ["src"])
    leases = board.leases(0, SLOTS)
    for slot, (sent, received, released) in enumerate([(1, 1, 1), (2, 2, 0), (3, 3, 0), (4, 0, 0)]):
        leases[slot, [SENT, RECEIVED, RELEASED]] = sent, received, released
    settle_edge(board, SLOTS, accountant, 0, writer_dead, reader_dead)
    assert sorted({3, 4, 5} - set(book.open)) == lost
    assert book.dropped == {"restart": len(lost)}
    assert [int(sent) for sent, _, released in leases if sent != released] == leased


def test_settle_an_edge_without_frames():
    board = board_of(BoardShape((SLOTS,), 2, 2))
    book = EdgeBook("e")
    accountant = Accountant(board, [book], [], [], [])
    for dead in ((True, False), (False, True), (True, True)):
        settle_edge(board, SLOTS, accountant, 0, *dead)
    assert (book.dropped, board.leases(0, SLOTS).any()) == ({}, False)
