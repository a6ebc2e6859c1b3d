"""A writer and two readers are killed at every step of a frame's life, over hundreds of frames: nothing is lost.

Without processes: a kill is an exception at the points of `--inject`, and the state of the dead is discarded. The supervisor's
part is its real code: the books, `bury_writer` and `bury_reader`.
"""

import random

import numpy as np
import pytest
from local_edges import edge_spec

from pipeline.flow import faults
from pipeline.frame import FOREVER
from pipeline.graph.layout import BOUND
from pipeline.runtime.books import Accountant, EdgeBook, NodeBook
from pipeline.runtime.settling import bury_reader, bury_writer

SLOTS = 9


class Killed(BaseException):
    """A simulated SIGKILL."""


class World:
    """One port with two edges, and the processes to kill."""

    def __init__(self, make, seed, policy):
        self.rng = random.Random(seed)
        specs = [edge_spec(0, SLOTS, policy, 2, 3, holds=1), edge_spec(1, SLOTS, "block", 2, 2)]
        self.local = make(*specs)
        self.books = [EdgeBook("e0"), EdgeBook("e1")]
        self.accountant = Accountant(self.local.board, self.books, [NodeBook()], [(0, [0, 1])], ["src"])
        self.epoch, self.deaths, self.deadly = 0, {}, 0.0
        self.held, self.kept, self.got, self.rung = [[], []], [[], []], [[], []], [False, False]
        for i in (0, 1):
            self.born(i)

    def point(self, step):
        if self.rng.random() < self.deadly:
            self.deaths[step] = self.deaths.get(step, 0) + 1
            raise Killed

    # -- the writer -------------------------------------------------------------------------------------------------
    def write(self):
        local = self.local
        try:
            with local.log.lock:
                for i in (0, 1):
                    if self.rung[i]:
                        self.rung[i] = False
                        local.port.edges[i].rung()
            if self.rng.random() < 0.6 and local.port.room():
                local.frame_id += 1
                header = local.header(local.frame_id)
                loan = local.port.alloc("data", (2,), np.int64)
                loan[:] = local.frame_id
                sent = local.port.write({"data": loan}, header, local.frame_id, header.stamp_ns + 1, 0, {})
                with local.log.lock:
                    local.log.step((0, 0, local.frame_id, 0, 0, -1, 0), (), [sent])
                    self.point("committed")
                    local.port.send(sent)
        except Killed:
            self.accountant.drain()
            for i in (0, 1):
                bury_writer(local.board, self.accountant, i)
            self.epoch += 1
            local.writer(self.epoch)
            self.rung = [True, True]  # the supervisor rings its neighbours

    # -- a reader ---------------------------------------------------------------------------------------------------
    def born(self, i):
        reader = self.local.readers[i] = self.local.reader(self.local.specs[i])
        reader.give_credit = lambda: self.rung.__setitem__(i, True)
        self.held[i], self.kept[i], self.rung[i] = [], [], True

    def read(self, i):
        edge, rng = self.local.readers[i], self.rng
        try:
            if len(self.held[i]) < 3 and rng.random() < 0.7 and (frame := edge.take()) is not None:
                self.held[i].append(frame)
            if self.held[i] and rng.random() < 0.7:
                self.process(i, self.held[i].pop(rng.randrange(len(self.held[i]))))
            if self.kept[i] and rng.random() < 0.5:
                self.kept[i].pop()
            edge.collect()
            edge.ring()
        except Killed:
            self.accountant.drain()
            bury_reader(self.local.board, self.accountant, i)
            self.born(i)

    def process(self, i, frame):
        edge, log = frame.edge, self.local.reader_log
        self.point("processing")
        assert edge.views(frame)["data"].tolist() == [frame.header.frame_id] * 2
        edge.verify(frame)
        self.got[i].append(frame.gen)
        if self.rng.random() < 0.9:
            log.step((0, 0, frame.who, 0, 0, -1, 0), [frame], ())
        else:
            log.drop(i, frame.gen, frame.who, 0, "stale", frame.slot)
            log.commit()
        if edge.spec.holds and not self.kept[i] and self.rng.random() < 0.3:
            self.kept[i].append(edge.views(frame)["data"])
        self.point("processed")
        edge.done(frame)

    # -- both -------------------------------------------------------------------------------------------------------
    def step(self):
        who = self.rng.randrange(3)
        if who == 2:
            self.write()
        else:
            self.read(who)
        if self.rng.random() < 0.02:
            self.accountant.drain()

    def work_off(self):
        """Finishes without further kills or new frames."""
        self.deadly = 0.0
        local = self.local
        with local.log.lock:
            local.port.advance(FOREVER)
        for _ in range(200):
            for i in (0, 1):
                self.read(i)
                self.kept[i].clear()
                with local.log.lock:
                    local.port.edges[i].ask_for_credit()
                    local.port.edges[i].rung()
        self.accountant.drain()


@pytest.mark.parametrize("policy", ["block", "latest", "drop_oldest"])
@pytest.mark.parametrize("seed", range(2))
def test_whoever_dies_nothing_is_lost(make, monkeypatch, seed, policy):
    world = World(make, seed, policy)
    monkeypatch.setattr(faults, "point", world.point)
    monkeypatch.setitem(faults.armed, "all", 1)
    world.deadly = 0.02
    for _ in range(2500):
        world.step()
    world.work_off()
    local, books = world.local, world.books
    assert set(world.deaths) == {
        "allocated", "written", "committed", "recorded", "sent", "rung", "received", "processing", "processed", "released"
    }  # fmt: skip
    for i, book in enumerate(books):
        assert (book.in_flight, book.early) == (0, {})
        assert book.produced == book.delivered + sum(book.dropped.values())
        assert book.produced > 180
        assert book.delivered > 120
        assert set(book.dropped) <= {"restart", "stale"} | ({"queue_full"} if i == 0 and policy != "block" else set())
        assert len(world.got[i]) == len(set(world.got[i])), "none twice"
        assert (local.open_leases(i), local.word(BOUND, i)) == ([], FOREVER)
    assert books[0].produced == books[1].produced
    assert (local.port.refs, sorted(local.port.free)) == ([0] * SLOTS, list(range(SLOTS)))
