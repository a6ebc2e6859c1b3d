"""The line of a node with several inputs, on edges without processes: joined sets are processed, other frames are named drops."""

from time import monotonic_ns

import pytest

from pipeline.flow.sync import Joiner
from pipeline.frame import FOREVER, NEVER
from pipeline.graph.layout import EDGE_TAIL
from pipeline.runtime.line import JoinLine

S = 10**9


def never():
    raise AssertionError("has_room was asked")


class Join:
    """Inputs a (the trigger, frames numbered from 0) and b (from 1000) of a join."""

    def __init__(self, make_edge, policy="exact", of_a=None, of_b=None, **rules):
        self.a, self.b = make_edge(0, **(of_a or {})), make_edge(1000, **(of_b or {}))
        self.edges = {"a": self.a.readers[0], "b": self.b.readers[0]}
        for name, edge in self.edges.items():
            edge.port = name
        self.line = JoinLine(self.edges, "a", self.a.reader_log, self.a.clock, Joiner("ab", "a", policy, **rules))

    def process(self, item):
        """Processes one set as a runner does."""
        self.line.remove()
        frames = [frame for frame in item.frames.values() if frame is not None]
        self.a.reader_log.step((0, 0, frames[0].who, 0, 0, -1, 0), frames, [])
        self.line.processed(item.frames["a"])
        item.frames["a"].edge.done(item.frames["a"])

    def sets(self):
        """Frame numbers of each set, processed until nothing is ready."""
        out = []
        while (item := self.line.next()) is not None:
            out.append([frame.header.frame_id for frame in item.frames.values()])
            self.process(item)
        return out

    def drops(self):
        return self.a.drops(1)

    def leased(self):
        return len(self.a.open_leases()), len(self.b.open_leases())

    def end(self):
        for local in (self.a, self.b):
            local.port.advance(FOREVER)


def test_a_join_and_nothing_came(make_edge):
    join = Join(make_edge)
    made = join.line
    assert (made.next(), made.is_empty(), made.ended(), made.output_bound()) == (None, True, False, NEVER)
    assert (made.is_work(never), made.next_deadline()) == (False, None)
    join.end()
    assert made.is_work(never) is True
    assert (made.next(), made.ended(), made.output_bound(), made.is_work(never)) == (None, True, FOREVER, False)


def test_pairs(make_edge):
    join = Join(make_edge)
    join.a.send_at(100, 200)
    assert (join.sets(), join.line.output_bound()) == ([], 100)
    assert join.a.word(EDGE_TAIL) == 2, "a join takes all that has come: what decides may be behind"
    join.b.send_at(100)
    assert (join.sets(), join.leased()) == ([[0, 1000]], (1, 0))
    join.b.send_at(200, 300)
    assert (join.sets(), join.line.output_bound()) == ([[1, 1001]], 201)
    join.end()
    assert (join.sets(), join.drops(), join.line.ended()) == ([], [(1002, "sync_no_match")], True)
    assert join.leased() == (0, 0)


def test_a_frame_without_a_partner(make_edge):
    join = Join(make_edge)
    join.a.send_at(100, 300)
    join.b.send_at(200, 300)
    assert join.sets() == [[1, 1001]]
    assert sorted(join.drops()) == [(0, "sync_no_match"), (1000, "sync_no_match")]
    assert join.leased() == (0, 0)


def test_a_bound_without_a_frame_decides(make_edge):
    join = Join(make_edge)
    join.a.send_at(100)
    assert join.sets() == []
    join.b.port.advance(101)
    assert join.line.is_work(never) is True
    assert (join.sets(), join.drops()) == ([], [(0, "sync_no_match")])


def test_a_bound_counts_after_the_frames_before_it(make_edge):
    """b's bound moves while its frame is still in the ring."""
    join = Join(make_edge)
    join.a.send_at(100)
    join.b.send_at(100)
    join.b.port.advance(900)
    assert (join.sets(), join.drops()) == ([[0, 1000]], [])


def test_stale_frames_of_a_join(make_edge):
    join = Join(make_edge)
    join.a.send_at(100, 100, 50)
    join.b.send_at(100)
    assert join.sets() == [[0, 1000]]
    assert join.drops() == [(1, "stale"), (2, "stale")]
    assert join.leased() == (0, 0)


def test_a_frame_of_several_sets_is_given_back_after_the_last(make_edge):
    """b's one frame is the latest for three triggers; it is delivered once."""
    join = Join(make_edge, "latest")
    join.b.send_at(100, 1000)
    join.a.send_at(100, 200, 300)
    seen = []
    while (item := join.line.next()) is not None:
        seen.append((item.frames["b"].header.frame_id, join.leased()))
        join.process(item)
    assert seen == [(1000, (3, 2)), (1000, (2, 2)), (1000, (1, 2))]
    join.a.send_at(1000)
    assert (join.sets(), join.drops()) == ([[3, 1001]], [])
    join.end()
    join.sets()
    assert join.leased() == (0, 0)
    delivered = [event for event in join.a.events(1) if event[0] & 0xFF == 2]
    assert len(delivered) == 6, "four triggers, two frames of b"


@pytest.mark.parametrize(("processed", "ends"), [(0, [(1000, "error")]), (1, []), (2, [])])
def test_a_frame_none_of_whose_sets_is_processed_ends_like_its_triggers(make_edge, processed, ends):
    join = Join(make_edge, "latest")
    join.b.send_at(100, 1000)
    join.a.send_at(100, 200)
    for number in range(2):
        item = join.line.next()
        if number < processed:
            join.process(item)
        else:
            join.line.remove()
            join.line.discard(item, "error")
    join.a.send_at(1000)
    join.sets()
    triggers = [(number, "error") for number in range(processed, 2)]
    assert join.drops() == triggers + ends
    assert join.leased() == (0, 1), "1001 may be the latest of what comes"


def test_an_optional_input_may_be_missing(make_edge):
    join = Join(make_edge, optional=frozenset("b"))
    join.a.send_at(100)
    join.b.send_at(200)
    item = join.line.next()
    assert (list(item.frames), item.missing, item.stamp_ns) == (["a"], ("b",), 100)
    join.line.remove()
    join.line.discard(item, "error")
    assert join.drops() == [(0, "error")]


def test_a_join_whose_writer_is_given_up(make_edge):
    join = Join(make_edge)
    join.a.send_at(100, 200)
    join.b.send_at(100)
    join.edges["b"].cut = True
    assert join.line.is_work(never) is True
    assert (join.sets(), join.drops(), join.line.ended()) == ([[0, 1000]], [(1, "sync_no_match")], False)
    join.edges["a"].cut = True
    assert (join.sets(), join.line.ended(), join.line.is_work(never)) == ([], True, False)


def test_a_live_join_has_a_deadline(make_edge):
    join = Join(make_edge, live=True, timeout_ns=30 * 10**6)
    before = monotonic_ns()
    join.a.send_at(100)
    assert join.sets() == []
    deadline = join.line.next_deadline()
    assert before + 30 * 10**6 <= deadline <= monotonic_ns() + 30 * 10**6
    while monotonic_ns() < deadline:
        pass
    assert (join.sets(), join.drops(), join.line.next_deadline()) == ([], [(0, "sync_timeout")], None)


def test_latest_skips_overtaken_sets(make_edge):
    """On the trigger's edge two frames were sent and a newer one waits. The partners of the two end with them."""
    join = Join(make_edge, of_a={"policy": "latest", "window": 2})
    join.b.send_at(100, 200, 300)
    join.a.send_at(100, 200, 300)
    assert (join.sets(), join.line.is_work(never)) == ([], True), "the credit of the two brought the third"
    assert join.sets() == [[2, 1002]]
    assert sorted(join.drops()) == [(number, "queue_full") for number in (0, 1, 1000, 1001)]
    assert join.leased() == (0, 0)


def test_what_is_work_for_a_join(make_edge):
    join = Join(make_edge)
    join.a.send_at(100)
    assert join.line.is_work(never) is True
    join.line.next()
    assert join.line.is_work(never) is False, "it waits for b"
    join.b.send_at(100)
    assert join.line.is_work(never) is True
    item = join.line.next()
    for room in (True, False):
        assert join.line.is_work(lambda room=room: room) is room
    join.b.port.advance(500)
    assert join.line.is_work(lambda: False) is False, "a bound changes nothing for the set that waits"
    join.b.send_at(600)
    assert join.line.is_work(never) is True, "a frame is taken off the ring all the same"
    join.line.next()
    kept = join.edges["a"].views(item.frames["a"])
    join.process(item)
    join.line.next()
    assert (join.line.keeps_views(), join.line.is_work(never)) == (True, False)
    del kept, item
    assert join.line.is_work(never) is True
    join.line.next()
    assert (join.line.keeps_views(), join.leased()) == (False, (0, 1))


def test_only_the_trigger_of_an_old_set_is_dropped(make_edge):
    """Its partner may be young enough for the next trigger, and ends as too old if there is none."""
    join = Join(make_edge, "latest", of_a={"max_age_ns": S})
    join.a.clock.start(0, None, None, live=True)
    join.b.send_at(100, 1000)
    join.a.send_at(100)
    item = join.line.next()
    join.line.remove()
    assert join.line.drop_if_old(item.frames["a"], item.frames) is True
    assert (join.drops(), join.leased()) == ([(0, "too_old")], (0, 2))
    join.end()
    assert join.line.next() is None
    assert join.drops() == [(0, "too_old"), (1001, "sync_no_match"), (1000, "too_old")]
