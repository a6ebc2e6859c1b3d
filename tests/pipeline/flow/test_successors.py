"""Lives that follow each other at one edge, on the board that outlives them; and many frames in any order."""

import random

import pytest
from local_edges import edge_spec, silent

from pipeline.flow.edge import ASKED, NEWER
from pipeline.graph.layout import ARMED, DONE, EDGE_HEAD, EDGE_TAIL, RELEASED, SENT, ring_size


@pytest.fixture
def local(make):
    return make(edge_spec())


# -- of the writer --------------------------------------------------------------------------------------------------------


def test_a_successor_finds_what_its_predecessor_had_sent(make):
    """Frame 0 was given back, 1 is done and kept as a view, 2 is in work, 3 is in the ring; 4 was never sent."""
    local = make(edge_spec(window=3, holds=1, slots=8))
    reader = silent(local)
    local.send(3)
    first, second, _third = local.taken()
    kept = reader.views(second)["data"]
    for frame in (first, second):
        reader.done(frame)
    local.send(2)
    assert len(local.port.edges[0].queue) == 0
    local.send()
    local.port.edges[0].queue.clear()  # it dies; the supervisor settles the unsent frames
    port = local.writer(epoch=1)
    edge = port.edges[0]
    assert edge.undone == {3, 4, 5}
    assert (sorted(edge.leased.values()), list(port.free)) == ([2, 3, 4, 5], [0, 5, 6, 7])
    assert (edge.credit(), edge.room(), local.word(ARMED)) == (False, False, ASKED)
    assert kept.tolist() == [1]


@pytest.mark.parametrize("sent", [1, 2, 5])
def test_a_readers_successor_knows_the_bound_of_frames_that_died_with_their_reader(make, sent):
    """No frame may follow for long; until then a join must not wait for the lost one."""
    local = make(edge_spec())
    local.send(sent)
    (*_, last) = local.taken()
    successor = local.reader(local.specs[0])
    assert successor.take() is None
    assert successor.bound == last.bound == 100 * (sent - 1) + 1


def test_the_bound_of_a_frame_that_waits_at_its_sender_is_not_told(make):
    local = make(edge_spec(policy="drop_oldest", window=2, size=4))
    local.send(4)
    assert len(local.port.edges[0].queue) == 2
    assert local.readers[0].bound == 101


def test_a_successor_goes_on_in_the_ring(make):
    local = make(edge_spec(window=3, size=1, slots=8))
    local.send(2)
    local.writer(epoch=1)
    local.readers[0].give_credit = local.port.edges[0].rung
    local.send(2)
    assert (local.word(EDGE_HEAD), len(local.port.edges[0].queue)) == (3, 1)
    reader, got = local.readers[0], []
    while (frame := reader.take()) is not None:
        got.append((frame.header.frame_id, frame.gen >> 40))
        reader.done(frame)
    assert got == [(0, 0), (1, 0), (2, 1), (3, 1)]
    assert local.open_leases() == []


def test_a_successor_asks_for_nothing_yet(make):
    local = make(edge_spec(policy="latest", window=1))
    local.send(2)
    assert local.word(ARMED) == NEWER
    local.writer(epoch=1)
    assert local.word(ARMED) == 0


# -- of the reader --------------------------------------------------------------------------------------------------------


def test_a_successor_takes_what_is_left_in_the_ring(local):
    """The predecessor took frames 0 and 1, and the supervisor gives them back; 2 and 3 are still in the ring."""
    local.send(4)
    before = local.readers[0]
    before.take()
    second = before.take()
    before.done(second)
    after = local.reader(local.specs[0])
    assert after.waiting()
    local.board.words[local.board.lease(0, 0) + DONE] = local.board.words[local.board.lease(0, 0) + RELEASED] = 1
    frames = [after.take(), after.take(), after.take()]
    assert [f and f.header.frame_id for f in frames] == [2, 3, None]
    for frame in frames[:2]:
        after.done(frame)
    assert (local.open_leases(), local.word(EDGE_TAIL)) == ([], 4)
    assert local.port.room()
    local.send()
    assert after.take().header.frame_id == 4


def test_a_successor_of_one_that_took_all(local):
    local.send(2)
    local.taken()
    after = local.reader(local.specs[0])
    assert (after.waiting(), after.take()) == (False, None)
    assert local.board.leases(0)[:, SENT].tolist() == [1, 2, 0, 0, 0, 0]


def test_a_successor_reads_frames_of_two_lives_of_the_writer(local):
    local.send()
    local.writer(epoch=1)
    local.send()
    after = local.reader(local.specs[0])
    assert [frame.gen for frame in (after.take(), after.take())] == [1, (1 << 40) + 1]


# -- many frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["block", "latest", "drop_oldest"])
@pytest.mark.parametrize("seed", range(2))
def test_no_slot_and_no_frame_is_lost(make, policy, seed):
    """Two readers give back in any order, keep views, and are sometimes slow; the ring wraps many times."""
    rng = random.Random(seed)
    specs = [edge_spec(0, 9, policy, 2, 3, holds=1), edge_spec(1, 9, "block", 2, 2, holds=1)]
    local = make(*specs)
    got, held, kept = [[], []], [[], []], [[], []]

    def step(me):
        edge = local.readers[me]
        if rng.random() < 0.7 and len(held[me]) < specs[me].window and (frame := edge.take()) is not None:
            got[me].append(frame.header.frame_id)
            assert edge.views(frame)["data"].tolist() == [frame.header.frame_id]
            held[me].append(frame)
        if held[me] and rng.random() < 0.7:
            frame = held[me].pop(rng.randrange(len(held[me])))
            if not kept[me] and rng.random() < 0.3:
                kept[me].append(edge.views(frame)["data"])
            edge.done(frame)
        if kept[me] and rng.random() < 0.5:
            kept[me].pop()
        edge.collect()
        if rng.random() < 0.5:
            edge.ring()

    while local.frame_id < 699:
        if local.port.room() and rng.random() < 0.8:
            local.send()
        step(0 if rng.random() < 0.5 else 1)
        assert len(local.port.free) == local.port.refs.count(0)
    while any(edge.queue or edge.leased for edge in local.port.edges):
        for me in (0, 1):
            step(me)
            local.readers[me].ring()
            local.port.edges[me].fetch()
    drops = [number for number, reason in local.drops() if reason == "queue_full"]
    assert len(local.drops()) == len(drops) == 700 - len(got[0])
    assert got[0] == sorted(got[0])
    assert sorted(got[0] + drops) == got[1] == list(range(700))
    assert (policy == "block") == (not drops)
    assert (local.port.refs, sorted(local.port.free), local.open_leases(0), local.open_leases(1)) == (
        [0] * 9,
        list(range(9)),
        [],
        [],
    )
    assert local.word(EDGE_HEAD, 1) == local.word(EDGE_TAIL, 1) == 700 > 40 * ring_size(9)
