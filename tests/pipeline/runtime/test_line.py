"""From the arrival of frames to the set that is processed next, on edges without processes."""

import random
from time import monotonic_ns

import numpy as np
import pytest
from local_edges import Local, edge_spec

from pipeline.flow.sync import Joiner
from pipeline.frame import FOREVER, NEVER
from pipeline.graph.layout import EDGE_HEAD, EDGE_TAIL
from pipeline.runtime.line import JoinLine, OneLine, TapLine, line

S = 10**9


@pytest.fixture
def make():
    made = []

    def local(first=0, **spec):
        """An edge whose frames are numbered from `first`."""
        made.append(Local(edge_spec(**spec)))
        made[-1].frame_id = first - 1
        return made[-1]

    yield local
    for each in made:
        each.close()


def one(local):
    return OneLine({"in": local.readers[0]}, "in", local.reader_log, local.clock)


def send(local, *frames):
    """Frames of these (stamp, bound), or stamps alone: then nothing older follows."""
    for frame in frames:
        stamp, bound = frame if isinstance(frame, tuple) else (frame, frame + 1)
        local.write({"data": np.array([local.frame_id])}, stamp=stamp, bound=bound)


def process(made, frame):
    """What a runner does with one frame: it is delivered, then given back."""
    made.remove()
    made._log.step((0, 0, frame.who, 0, 0, -1, 0), [frame], [])
    made.processed(frame)
    frame.edge.done(frame)


def stamps(made):
    """Stamps of all frames that are processed until there is nothing for now."""
    out = []
    while (frame := made.next()) is not None:
        out.append(frame.header.stamp_ns)
        process(made, frame)
    return out


def never():
    raise AssertionError("has_room was asked")


# -- one input ------------------------------------------------------------------------------------------------------------


def test_one_input_and_nothing_came(make):
    made = one(make())
    assert (made.next(), made.is_empty(), made.ended(), made.output_bound()) == (None, True, False, NEVER)
    assert (made.is_work(never), made.keeps_views(), made.next_deadline()) == (False, False, None)


def test_a_frame_stays_the_next_one_until_it_is_removed(make):
    local = make()
    made = one(local)
    send(local, 100, 200)
    first = made.next()
    assert made.next() is first
    assert (made.is_empty(), local.word(EDGE_TAIL)) == (False, 1)
    made.remove()
    assert made.is_empty()
    assert made.next().header.stamp_ns == 200


def test_frames_stay_in_the_ring_until_they_are_next(make):
    """What waits there survives the node."""
    local = make()
    made = one(local)
    send(local, 100, 200, 300)
    made.next()
    assert [f.header.stamp_ns for f in local.taken()] == [200, 300]


@pytest.mark.parametrize(
    ("frames", "processed"),
    [
        ([], []),
        ([100], [100]),
        ([100, 200, 300], [100, 200, 300]),
        ([100, 100], [100]),
        ([100, 100, 100, 200], [100, 200]),
        ([200, 100, 300], [200, 300]),
        ([(200, 100), (100, 100), (300, 300)], [200, 100, 300]),
        ([(200, 100), (99, 100), (300, 300)], [200, 300]),
        ([(200, 100), (200, 100)], [200]),
        ([(200, 100), (150, 150), (200, 150), (150, 150)], [200, 150]),
        ([(200, 100), (300, 250), (200, 250), (250, 250)], [200, 300, 250]),
        ([(200, 150), (300, 120), (140, 120)], [200, 300]),
        ([(100, 100), (100, 101)], [100]),
        ([(0, NEVER), (-5, NEVER), (0, NEVER), (-5, 0)], [0, -5]),
    ],
    ids=[
        "none", "one", "many", "twice", "three times", "older than promised", "disorder within the bound",
        "disorder beyond it", "twice at or above the bound", "both again", "below the bound by now",
        "a bound never falls", "the same bound", "no bound",
    ],
)  # fmt: skip
def test_late_and_repeated_frames_are_stale(make, frames, processed):
    local = make()
    made, out = one(local), []
    for frame in frames:
        send(local, frame)
        out += stamps(made)
    assert out == processed
    assert [reason for _, reason in local.drops(1)] == ["stale"] * (len(frames) - len(processed))
    assert local.open_leases() == [], "their slots came back"


@pytest.mark.parametrize("seed", range(4))
def test_like_one_that_remembers_every_stamp(make, seed):
    """Also what it forgets: only stamps at or above the bound can come again. It may forget them one frame later."""
    rng, local = random.Random(seed), make()
    made, seen, bound, newest, pruned = one(local), set(), NEVER, 0, NEVER
    for _ in range(300):
        if rng.random() < 0.2:
            said = newest - rng.randrange(60)
            pruned = said if said > bound else pruned
            bound = max(bound, said)
            local.port.advance(said)
            assert stamps(made) == []
        else:
            newest += rng.randrange(30)
            stamp, said = newest - rng.randrange(80), newest - 40
            send(local, (stamp, said))
            fresh = stamp >= bound and stamp not in seen
            assert stamps(made) == ([stamp] if fresh else [])
            if fresh:
                seen.add(stamp)
                pruned = said if said > bound else pruned
            bound = max(bound, said)
        assert made.output_bound() == bound
        assert {s for s in seen if s >= bound} <= made._recent <= {s for s in seen if s >= pruned}
    assert len(local.drops(1)) > 30
    assert len(seen) > 100


def test_an_orderly_stream_is_not_remembered(make):
    local = make()
    made = one(local)
    for stamp in range(50):
        send(local, stamp)
        assert stamps(made) == [stamp]
        assert made._recent == set()


def test_a_bound_that_moves_while_frames_wait(make):
    """It counts after them."""
    local = make()
    made = one(local)
    send(local, 100, 200)
    local.port.advance(900)
    first = made.next()
    assert (first.header.stamp_ns, made.output_bound()) == (100, 101)
    process(made, first)
    assert (made.next().header.stamp_ns, made.output_bound()) == (200, 201)
    process(made, made.next())
    assert (made.next(), made.output_bound(), local.drops(1)) == (None, 900, [])


def test_a_bound_that_moves_just_after_the_ring_was_empty(make, monkeypatch):
    """Frame and bound come between the look at the ring and the look at the word: the frame is not older than its own bound."""
    local = make()
    made, edge = one(local), local.readers[0]
    take, looks = edge.take, []

    def late():
        frame = take()
        if not looks:
            send(local, 500)
            local.port.advance(700)
        looks.append(frame)
        return frame

    monkeypatch.setattr(edge, "take", late)
    assert (made.next().header.stamp_ns, looks[0], len(looks)) == (500, None, 2)
    process(made, made.next())
    assert (made.next(), made.output_bound(), local.drops(1)) == (None, 700, [])


def test_the_end_of_a_stream(make):
    local = make()
    made = one(local)
    send(local, 100)
    local.port.advance(FOREVER)
    frame = made.next()
    assert not made.ended()
    process(made, frame)
    assert not made.ended(), "nobody looked at the word"
    assert (made.next(), made.ended(), made.is_work(never)) == (None, True, False)


def test_a_writer_that_is_given_up(make):
    """What it had sent comes first."""
    local = make()
    made = one(local)
    send(local, 100, 200)
    local.readers[0].cut = True
    assert (made.is_work(never), made.ended()) == (True, False)
    assert (stamps(made), made.ended(), made.output_bound()) == ([100, 200], True, FOREVER)
    assert made.is_work(never) is False


def test_what_is_work_for_one_input(make):
    local = make()
    made, edge = one(local), local.readers[0]
    send(local, 100)
    assert made.is_work(never) is True, "a frame"
    frame = made.next()
    for room in (True, False):
        assert made.is_work(lambda room=room: room) is room, "it is taken: the outputs decide"
    view = edge.views(frame)["data"]
    process(made, frame)
    assert (made.is_work(never), made.keeps_views()) == (False, True)
    del view
    assert made.is_work(never) is True, "a view's end"
    assert (made.next(), made.keeps_views(), local.open_leases()) == (None, False, [])
    local.port.advance(101)
    assert made.is_work(never) is False, "the frame had said it"
    local.port.advance(102)
    assert made.is_work(never) is True
    made.next()
    assert made.is_work(never) is False


# -- latest ---------------------------------------------------------------------------------------------------------------


def test_latest_skips_what_waited_while_the_node_stood_still(make):
    """Two in the ring, a newer one at the sender: it is sent for the first two."""
    local = make(policy="latest", window=2)
    made = one(local)
    send(local, 100, 200, 300)
    assert made.next().header.stamp_ns == 300
    assert local.drops(1) == [(0, "queue_full"), (1, "queue_full")]
    assert local.drops() == []


def test_latest_skips_once_per_call(make):
    """A node that is always too slow must process something, too."""
    local = make(policy="latest", window=1)
    made = one(local)
    send(local, 100)
    frame = made.next()
    send(local, 200)
    assert made.next() is frame
    process(made, frame)
    assert made.next().header.stamp_ns == 200
    assert (local.drops(1), local.drops()) == ([], [])


def test_latest_skips_what_was_sent_during_the_call(make):
    """200 waits in the ring, 300 at the sender when the call ends: 200 is overtaken."""
    local = make(policy="latest", window=2)
    made = one(local)
    send(local, 100)
    frame = made.next()
    send(local, 200, 300)
    made.remove()
    made.processed(frame)
    frame.edge.done(frame)
    assert made.next().header.stamp_ns == 300
    assert local.drops(1) == [(1, "queue_full")]


def test_a_frame_that_waits_for_room_is_overtaken_after_the_next_call(make):
    """It was the next one, but another node of the process was called first; that does not count as a call of this one."""
    local = make(policy="latest", window=2)
    made = one(local)
    send(local, 100)
    waiting = made.next()
    send(local, 200, 300)
    assert made.next() is waiting
    made.processed(waiting)
    assert made.next().header.stamp_ns == 300
    assert local.drops(1) == [(0, "queue_full"), (1, "queue_full")]


@pytest.mark.parametrize("policy", ["block", "drop_oldest"])
def test_others_skip_nothing(make, policy):
    local = make(policy=policy, size=1, window=1)
    made = one(local)
    send(local, 100, 200)
    assert made.next().header.stamp_ns == 100
    assert stamps(made) == [100, 200]


# -- endings --------------------------------------------------------------------------------------------------------------


def test_a_dropped_frame_gives_its_slot_back(make):
    local = make()
    made = one(local)
    send(local, 100)
    frame = made.next()
    made.remove()
    made.discard(frame, "error")
    assert (frame.accounted, local.drops(1), local.open_leases()) == (True, [(0, "error")], [])


@pytest.mark.parametrize(
    ("max_age_ns", "live", "old"),
    [(None, True, False), (S, False, False), (10**19, True, False), (S, True, True)],
    ids=["no limit", "not live", "young enough", "too old"],
)
def test_what_is_too_old_is_dropped(make, max_age_ns, live, old):
    local = make(max_age_ns=max_age_ns)
    local.clock.start(0, None, None, live)
    made = one(local)
    send(local, 100)
    frame = made.next()
    assert made.drop_if_old(frame, {"in": frame}) is old
    assert (local.drops(1), local.open_leases()) == (([(0, "too_old")], []) if old else ([], [1]))


def test_an_idle_line_rings(make):
    """Half a queue of credit has not gathered, but nothing more comes."""
    local = make(size=20, window=1)
    made = one(local)
    send(local, 100, 200)
    process(made, made.next())
    assert local.word(EDGE_HEAD) == 1, "the second frame waits at the sender"
    made.ring()
    assert stamps(made) == [200]


# -- a join ---------------------------------------------------------------------------------------------------------------


class Join:
    """Inputs a (the trigger, frames numbered from 0) and b (from 1000) of a join."""

    def __init__(self, make, policy="exact", of_a=None, of_b=None, **rules):
        self.a, self.b = make(0, **(of_a or {})), make(1000, **(of_b or {}))
        self.edges = {"a": self.a.readers[0], "b": self.b.readers[0]}
        for name, edge in self.edges.items():
            edge.port = name
        self.line = JoinLine(self.edges, "a", self.a.reader_log, self.a.clock, Joiner("ab", "a", policy, **rules))

    def process(self, item):
        """What a runner does with one set."""
        self.line.remove()
        frames = [frame for frame in item.frames.values() if frame is not None]
        self.a.reader_log.step((0, 0, frames[0].who, 0, 0, -1, 0), frames, [])
        self.line.processed(item.frames["a"])
        item.frames["a"].edge.done(item.frames["a"])

    def sets(self):
        """Numbers of the frames of each set that is processed until there is nothing for now."""
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


def test_a_join_and_nothing_came(make):
    join = Join(make)
    made = join.line
    assert (made.next(), made.is_empty(), made.ended(), made.output_bound()) == (None, True, False, NEVER)
    assert (made.is_work(never), made.next_deadline()) == (False, None)
    join.end()
    assert made.is_work(never) is True
    assert (made.next(), made.ended(), made.output_bound(), made.is_work(never)) == (None, True, FOREVER, False)


def test_pairs(make):
    join = Join(make)
    send(join.a, 100, 200)
    assert (join.sets(), join.line.output_bound()) == ([], 100)
    assert join.a.word(EDGE_TAIL) == 2, "a join takes all that has come: what decides may be behind"
    send(join.b, 100)
    assert (join.sets(), join.leased()) == ([[0, 1000]], (1, 0))
    send(join.b, 200, 300)
    assert (join.sets(), join.line.output_bound()) == ([[1, 1001]], 201)
    join.end()
    assert (join.sets(), join.drops(), join.line.ended()) == ([], [(1002, "sync_no_match")], True)
    assert join.leased() == (0, 0)


def test_a_frame_without_a_partner(make):
    join = Join(make)
    send(join.a, 100, 300)
    send(join.b, 200, 300)
    assert join.sets() == [[1, 1001]]
    assert sorted(join.drops()) == [(0, "sync_no_match"), (1000, "sync_no_match")]
    assert join.leased() == (0, 0)


def test_a_bound_without_a_frame_decides(make):
    join = Join(make)
    send(join.a, 100)
    assert join.sets() == []
    join.b.port.advance(101)
    assert join.line.is_work(never) is True
    assert (join.sets(), join.drops()) == ([], [(0, "sync_no_match")])


def test_a_bound_counts_after_the_frames_before_it(make):
    """b's bound moves while its frame is still in the ring."""
    join = Join(make)
    send(join.a, 100)
    send(join.b, 100)
    join.b.port.advance(900)
    assert (join.sets(), join.drops()) == ([[0, 1000]], [])


def test_stale_frames_of_a_join(make):
    join = Join(make)
    send(join.a, 100, 100, 50)
    send(join.b, 100)
    assert join.sets() == [[0, 1000]]
    assert join.drops() == [(1, "stale"), (2, "stale")]
    assert join.leased() == (0, 0)


def test_a_frame_of_several_sets_is_given_back_after_the_last(make):
    """b's one frame is the latest for three triggers; it is delivered once."""
    join = Join(make, "latest")
    send(join.b, 100, 1000)
    send(join.a, 100, 200, 300)
    seen = []
    while (item := join.line.next()) is not None:
        seen.append((item.frames["b"].header.frame_id, join.leased()))
        join.process(item)
    assert seen == [(1000, (3, 2)), (1000, (2, 2)), (1000, (1, 2))]
    send(join.a, 1000)
    assert (join.sets(), join.drops()) == ([[3, 1001]], [])
    join.end()
    join.sets()
    assert join.leased() == (0, 0)
    delivered = [event for event in join.a.events(1) if event[0] & 0xFF == 2]
    assert len(delivered) == 6, "four triggers, two frames of b"


@pytest.mark.parametrize(("processed", "ends"), [(0, [(1000, "error")]), (1, []), (2, [])])
def test_a_frame_none_of_whose_sets_is_processed_ends_like_its_triggers(make, processed, ends):
    join = Join(make, "latest")
    send(join.b, 100, 1000)
    send(join.a, 100, 200)
    for number in range(2):
        item = join.line.next()
        if number < processed:
            join.process(item)
        else:
            join.line.remove()
            join.line.discard(item, "error")
    send(join.a, 1000)
    join.sets()
    triggers = [(number, "error") for number in range(processed, 2)]
    assert join.drops() == triggers + ends
    assert join.leased() == (0, 1), "1001 may be the latest of what comes"


def test_an_optional_input_may_be_missing(make):
    join = Join(make, optional=frozenset("b"))
    send(join.a, 100)
    send(join.b, 200)
    item = join.line.next()
    assert (list(item.frames), item.missing, item.stamp_ns) == (["a"], ("b",), 100)
    join.line.remove()
    join.line.discard(item, "error")
    assert join.drops() == [(0, "error")]


def test_a_join_whose_writer_is_given_up(make):
    join = Join(make)
    send(join.a, 100, 200)
    send(join.b, 100)
    join.edges["b"].cut = True
    assert join.line.is_work(never) is True
    assert (join.sets(), join.drops(), join.line.ended()) == ([[0, 1000]], [(1, "sync_no_match")], False)
    join.edges["a"].cut = True
    assert (join.sets(), join.line.ended(), join.line.is_work(never)) == ([], True, False)


def test_a_live_join_has_a_deadline(make):
    join = Join(make, live=True, timeout_ns=30 * 10**6)
    before = monotonic_ns()
    send(join.a, 100)
    assert join.sets() == []
    deadline = join.line.next_deadline()
    assert before + 30 * 10**6 <= deadline <= monotonic_ns() + 30 * 10**6
    while monotonic_ns() < deadline:
        pass
    assert (join.sets(), join.drops(), join.line.next_deadline()) == ([], [(0, "sync_timeout")], None)


def test_latest_skips_overtaken_sets(make):
    """The trigger's edge: two were sent, a newer one waits. Their partners end with them."""
    join = Join(make, of_a={"policy": "latest", "window": 2})
    send(join.b, 100, 200, 300)
    send(join.a, 100, 200, 300)
    assert (join.sets(), join.line.is_work(never)) == ([], True), "the credit of the two brought the third"
    assert join.sets() == [[2, 1002]]
    assert sorted(join.drops()) == [(number, "queue_full") for number in (0, 1, 1000, 1001)]
    assert join.leased() == (0, 0)


def test_what_is_work_for_a_join(make):
    join = Join(make)
    send(join.a, 100)
    assert join.line.is_work(never) is True
    join.line.next()
    assert join.line.is_work(never) is False, "it waits for b"
    send(join.b, 100)
    assert join.line.is_work(never) is True
    item = join.line.next()
    for room in (True, False):
        assert join.line.is_work(lambda room=room: room) is room
    join.b.port.advance(500)
    assert join.line.is_work(lambda: False) is False, "a bound changes nothing for the set that waits"
    send(join.b, 600)
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


def test_only_the_trigger_of_an_old_set_is_dropped(make):
    """Its partner may be young enough for the next one, and ends as too old where there is none."""
    join = Join(make, "latest", of_a={"max_age_ns": S})
    join.a.clock.start(0, None, None, live=True)
    send(join.b, 100, 1000)
    send(join.a, 100)
    item = join.line.next()
    join.line.remove()
    assert join.line.drop_if_old(item.frames["a"], item.frames) is True
    assert (join.drops(), join.leased()) == ([(0, "too_old")], (0, 2))
    join.end()
    assert join.line.next() is None
    assert join.drops() == [(0, "too_old"), (1001, "sync_no_match"), (1000, "too_old")]


# -- a tap ----------------------------------------------------------------------------------------------------------------


def tap(**locals_):
    edges = {name: local.readers[0] for name, local in locals_.items()}
    for name, edge in edges.items():
        edge.port = name
    first = next(iter(locals_.values()))
    return TapLine(edges, first.reader_log, first.clock)


def test_a_tap_sees_late_and_repeated_frames(make):
    local = make()
    made = tap(a=local)
    send(local, 200, 100, 200, 300)
    assert stamps(made) == [200, 100, 200, 300]
    assert (local.drops(1), local.open_leases(), made.output_bound()) == ([], [], NEVER)


def test_a_tap_sees_each_input_for_itself(make):
    a, b = make(), make(1000)
    made = tap(a=a, b=b)
    send(b, 100)
    send(a, 300, 400)
    frames = []
    while (frame := made.next()) is not None:
        frames.append((frame.edge.port, frame.header.frame_id))
        process(made, frame)
    assert frames == [("a", 0), ("a", 1), ("b", 1000)]


def test_a_tap_ends_with_its_last_input(make):
    a, b = make(), make(1000)
    made = tap(a=a, b=b)
    send(a, 100)
    a.port.advance(FOREVER)
    assert (stamps(made), made.ended(), made.is_work(never)) == ([100], False, False)
    b.readers[0].cut = True
    assert made.is_work(never) is True
    assert (made.next(), made.ended(), made.is_work(never)) == (None, True, False)


def test_a_tap_has_no_outputs_to_wait_for(make):
    local = make()
    made = tap(a=local)
    send(local, 100)
    made.next()
    assert made.is_work(never) is True


@pytest.mark.parametrize(
    ("most", "max_bytes", "taken"),
    [(1, 10**6, 1), (3, 10**6, 3), (9, 10**6, 5), (9, 64, 1), (9, 0, 1), (9, 128, 2), (9, 191, 2), (9, 192, 3)],
)
def test_a_batch(make, most, max_bytes, taken):
    """64 bytes a frame; the first one is taken whatever its size."""
    local = make()
    made = tap(a=local)
    send(local, *range(5))
    first = made.next()
    made.remove()
    assert [f.header.stamp_ns for f in made.batch(first, most, max_bytes)] == list(range(taken))
    rest = made.next()
    assert (rest and rest.header.stamp_ns) == (taken if taken < 5 else None)


def test_what_a_node_gets(make):
    local = make()
    inputs, log, clock = {"in": local.readers[0]}, local.reader_log, local.clock
    assert type(line(inputs, "in", log, clock, None)) is OneLine
    assert type(line(inputs, "in", log, clock, Joiner(["in"], "in", "exact"))) is JoinLine
    without = line({}, "", log, clock, None)
    assert (type(without), without.next(), without.ended(), without.is_work(never)) == (TapLine, None, True, False)
