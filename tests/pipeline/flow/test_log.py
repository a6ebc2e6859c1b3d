"""Events of one process: collected, then committed by one store; nothing is overwritten."""

import os
from time import monotonic_ns
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.flow import log as module
from pipeline.flow import shm
from pipeline.flow.board import Board
from pipeline.flow.edge import Sent
from pipeline.flow.log import (
    DELIVERED,
    DROPPED,
    PUBLISHED,
    REASON,
    REASONS,
    REUSED,
    STEP,
    Log,
    Ring,
    kind_and_index,
    kinds_and_indices,
    reason_of,
    wait_for_supervisor,
)
from pipeline.flow.slot import who
from pipeline.graph.layout import RING_EVENTS, RING_HEAD, RING_TAIL, BoardShape


class Process:
    """The log of process 1 of three, and the supervisor's side of it."""

    def __init__(self):
        shape = BoardShape((2,), nodes=1, processes=3, bells=1)
        fd = shm.create("test:board", shape.size)
        self.board = Board(fd, shape)
        os.close(fd)
        self.read, self.waits = [], 0
        self.log = Log(self.board, 1, self.on_full)
        self.ring = Ring(self.board, 1)

    def on_full(self):
        self.waits += 1
        self.drain()

    def drain(self):
        events = self.ring.take()
        self.ring.done(len(events))
        self.read += events.tolist()
        return len(events)

    def word(self, word):
        return self.board.words[self.board.ring(1) + word]

    def at(self, count):
        """Begin as if `count` events had been logged and read."""
        self.board.words[self.board.ring(1) + RING_HEAD] = self.board.words[self.board.ring(1) + RING_TAIL] = count
        self.log = Log(self.board, 1, self.on_full)
        return self.log


@pytest.fixture
def process():
    return Process()


def arrived(edge, gen, slot=0, accounted=False):
    """The fields of `reader.Arrived` that the log reads."""
    header = SimpleNamespace(stamp_ns=1000 * gen)
    index = SimpleNamespace(index=edge)
    fields = {"slot": slot, "gen": gen, "who": who(1, gen), "accounted": accounted, "injected": 5}
    return SimpleNamespace(edge=index, header=header, made_ns=40, sent_ns=70, taken_ns=90, **fields)


def sent(port, gen, slot=0, nbytes=64, copied=8):
    return Sent(SimpleNamespace(index=port), slot, gen, who(1, gen), 1000 * gen, 0, nbytes, copied)


STEP_3 = (5, 3, who(1, 7), 7000, 11, -1, 100)
"""Of node 5: its step 3, on frame 7 of stamp 7000; it took 11 ns, is no sink, began at 100."""


# -- one event ------------------------------------------------------------------------------------------------------------


def test_nothing_was_logged(process):
    assert process.ring.take().shape == (0, 8)
    process.log.commit()
    assert process.ring.take().shape == (0, 8)


def test_an_event_is_eight_words(process):
    process.log.add(DELIVERED, 300, 1 << 40, who(2, 9), -5, 10, 20, 30, 40, reason=4, slot=77)
    process.log.commit()
    (event,) = process.ring.take().tolist()
    assert event == [DELIVERED | 300 << 8 | 4 << 32 | 77 << 40, 1 << 40, who(2, 9), -5, 10, 20, 30, 40]
    (subject,) = kinds_and_indices(np.array([event])).tolist()
    assert kind_and_index(subject) == (DELIVERED, 300)
    assert reason_of(event) == REASONS[4]


@pytest.mark.parametrize("reason", REASONS)
def test_a_drop_has_a_reason(process, reason):
    process.log.drop(3, 8, who(0, 7), 700, reason, slot=2)
    assert process.drain() == 0, "true with the commit"
    process.log.commit()
    assert process.drain() == 1
    (event,) = process.read
    assert event == [DROPPED | 3 << 8 | REASON[reason] << 32 | 2 << 40, 8, who(0, 7), 700, event[4], 0, 0, 0]
    assert 0 <= monotonic_ns() - event[4] < 60e9
    assert reason_of(process.read[0]) == reason


def test_a_reason_that_does_not_exist(process):
    with pytest.raises(KeyError):
        process.log.drop(0, 1, 0, 0, "lost")


def test_processes_have_rings_of_their_own(process):
    others = [Ring(process.board, i) for i in (0, 2)]
    for _ in range(RING_EVENTS):
        process.log.add(STEP, 0, 1, 2, 3)
    process.log.commit()
    assert [len(ring.take()) for ring in others] == [0, 0]
    assert not process.board.array[process.board.ring(0) : process.board.ring(1)].any()
    assert not process.board.array[process.board.ring(2) :].any()


# -- one step -------------------------------------------------------------------------------------------------------------


def test_a_step_names_its_inputs_its_outputs_and_itself(process):
    inputs = [arrived(4, 7, slot=1), arrived(6, 9)]
    outputs = [sent(2, 5, slot=3), sent(0, 6, nbytes=0, copied=0)]
    process.log.step(STEP_3, inputs, outputs, level=2, committed_ns=120, write_ns=9)
    process.drain()
    assert process.read == [
        [DELIVERED | 4 << 8 | 1 << 40, 7, who(1, 7), 7000, 60, 30, 5, 10],
        [DELIVERED | 6 << 8, 9, who(1, 9), 9000, 60, 30, 5, 10],
        [PUBLISHED | 2 << 8 | 3 << 40, 5, who(1, 5), 5000, 64, 8, 120, 0],
        [PUBLISHED | 0 << 8, 6, who(1, 6), 6000, 0, 0, 120, 0],
        [STEP | 5 << 8, 3, who(1, 7), 7000, 11, -1, 100, 2 | 9 << 8],
    ]
    assert [frame.accounted for frame in inputs] == [True, True]
    assert [frame.committed_ns for frame in outputs] == [120, 120]


def test_a_frame_is_delivered_once(process):
    """A joined frame can be in several sets: in the later ones it is reused."""
    frame = arrived(4, 7)
    process.log.step(STEP_3, [frame], [])
    process.log.step(STEP_3, [frame, arrived(4, 8, accounted=True)], [])
    process.drain()
    assert [event[0] & 0xFF for event in process.read] == [DELIVERED, STEP, REUSED, REUSED, STEP]


def test_a_step_of_a_source_without_frames(process):
    process.log.step(STEP_3, (), ())
    assert (process.drain(), process.read[0][0]) == (1, STEP | 5 << 8)


class Watched:
    """The words of the board, with every store of one of them."""

    def __init__(self, words, at):
        self.words, self.at, self.stores = words, at, []

    def __getitem__(self, at):
        return self.words[at]

    def __setitem__(self, at, value):
        assert at == self.at, "no other word"
        self.stores.append(value)
        self.words[at] = value


def test_a_step_is_true_by_one_store(process):
    """Together with all events added before; a kill falls before or after the store."""
    process.log._words = watched = Watched(process.board.words, process.board.ring(1) + RING_HEAD)
    process.log.drop(0, 1, 0, 0, "stale")
    process.log.step(STEP_3, [arrived(0, i) for i in range(20)], [sent(0, i) for i in range(3)])
    assert watched.stores == [25]
    process.log.drop(0, 2, 0, 0, "stale")
    process.log.drop(0, 3, 0, 0, "stale")
    process.log.commit()
    assert watched.stores == [25, 27]


def test_a_step_that_breaks_off_never_was(process):
    with pytest.raises(AttributeError):
        process.log.step(STEP_3, [arrived(0, 1)], [None])
    process.log.step(STEP_3, [], [sent(0, 9)])
    process.drain()
    assert [event[0] & 0xFF for event in process.read] == [PUBLISHED, STEP]


# -- round the ring -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [RING_EVENTS - 3, 10**12 * RING_EVENTS - 3])
def test_a_step_over_the_end_of_the_ring(process, before):
    process.at(before).step(STEP_3, [arrived(0, 1), arrived(0, 2)], [sent(0, 3), sent(0, 4)])
    assert process.drain() == 5
    assert [event[1] for event in process.read] == [1, 2, 3, 4, 3]
    assert (process.word(RING_HEAD), process.word(RING_TAIL)) == (before + 5, before + 5)


def test_many_laps(process):
    """The ring is read in pieces while it is written, for more than two laps."""
    total = 0
    while total < 3 * RING_EVENTS:
        for gen in range(total, total + 700):
            process.log.add(PUBLISHED, 0, gen, 0, 0)
        process.log.commit()
        total += 700
        if total % 2100 == 0:
            process.drain()
    process.drain()
    assert ([event[1] for event in process.read], process.waits) == (list(range(total)), 0)


def test_a_full_ring_waits_and_overwrites_nothing(process):
    for gen in range(RING_EVENTS):
        process.log.add(PUBLISHED, 0, gen, 0, 0)
    assert process.waits == 0, "it is just full"
    process.log.commit()
    process.log.add(PUBLISHED, 0, RING_EVENTS, 0, 0)
    process.log.commit()
    assert process.waits == 1
    process.drain()
    assert [event[1] for event in process.read] == list(range(RING_EVENTS + 1))


def test_a_step_waits_for_room_for_all_of_it(process):
    """It waits before its first event, so that it is never partly present."""
    for gen in range(RING_EVENTS - 100):
        process.log.add(PUBLISHED, 0, gen, 0, 0)
    process.log.commit()
    process.log.step(STEP_3, [arrived(0, gen) for gen in range(1000)], [])
    assert (process.waits, len(process.read)) == (1, RING_EVENTS - 100)
    assert process.drain() == 1001


def test_it_waits_until_the_supervisor_has_read_enough(process):
    """A supervisor that reads one event at a time."""
    for gen in range(RING_EVENTS):
        process.log.add(PUBLISHED, 0, gen, 0, 0)
    process.log.commit()
    process.log._on_full = lambda: process.ring.done(1)
    process.log.step(STEP_3, [], [])
    assert process.word(RING_TAIL) == 1025, "room for the largest step"


def test_the_supervisor_may_read_a_part(process):
    for gen in range(5):
        process.log.add(PUBLISHED, 0, gen, 0, 0)
    process.log.commit()
    assert process.ring.take()[:, 1].tolist() == [0, 1, 2, 3, 4]
    process.ring.done(3)
    assert process.ring.take()[:, 1].tolist() == [3, 4]


def test_a_worker_nudges_the_supervisor_and_sleeps(monkeypatch):
    calls = []
    monkeypatch.setattr(module.time, "sleep", calls.append)
    wait_for_supervisor(lambda: calls.append("nudge"))()
    assert calls == ["nudge", 0.001]
