"""From the arrival of frames to the set that is processed next, on edges without processes."""

import random

import pytest

from pipeline.flow.sync import Joiner
from pipeline.frame import FOREVER, NEVER
from pipeline.graph.layout import EDGE_HEAD, EDGE_TAIL
from pipeline.runtime.line import JoinLine, OneLine, TapLine, line

S = 10**9


def one(local):
    return OneLine({"in": local.readers[0]}, "in", local.reader_log, local.clock)


def process(made, frame):
    """Processes one frame as a runner does: delivered, then given back."""
    made.remove()
    made._log.step((0, 0, frame.who, 0, 0, -1, 0), [frame], [])
    made.processed(frame)
    frame.edge.done(frame)


def stamps(made):
    """Stamps of all frames, processed until nothing is ready."""
    out = []
    while (frame := made.next()) is not None:
        out.append(frame.header.stamp_ns)
        process(made, frame)
    return out


def never():
    raise AssertionError("has_room was asked")


# -- one input ------------------------------------------------------------------------------------------------------------


def test_one_input_and_nothing_came(make_edge):
    made = one(make_edge())
    assert (made.next(), made.is_empty(), made.ended(), made.output_bound()) == (None, True, False, NEVER)
    assert (made.is_work(never), made.keeps_views(), made.next_deadline()) == (False, False, None)


def test_a_frame_stays_the_next_one_until_it_is_removed(make_edge):
    local = make_edge()
    made = one(local)
    local.send_at(100, 200)
    first = made.next()
    assert made.next() is first
    assert (made.is_empty(), local.word(EDGE_TAIL)) == (False, 1)
    made.remove()
    assert made.is_empty()
    assert made.next().header.stamp_ns == 200


def test_frames_stay_in_the_ring_until_they_are_next(make_edge):
    """Frames in the ring survive the node."""
    local = make_edge()
    made = one(local)
    local.send_at(100, 200, 300)
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
def test_late_and_repeated_frames_are_stale(make_edge, frames, processed):
    local = make_edge()
    made, out = one(local), []
    for frame in frames:
        local.send_at(frame)
        out += stamps(made)
    assert out == processed
    assert [reason for _, reason in local.drops(1)] == ["stale"] * (len(frames) - len(processed))
    assert local.open_leases() == [], "their slots came back"


@pytest.mark.parametrize("seed", range(4))
def test_like_one_that_remembers_every_stamp(make_edge, seed):
    """Only stamps at or above the bound can come again, so it may forget the others, at most one frame late."""
    rng, local = random.Random(seed), make_edge()
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
            local.send_at((stamp, said))
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


def test_an_orderly_stream_is_not_remembered(make_edge):
    local = make_edge()
    made = one(local)
    for stamp in range(50):
        local.send_at(stamp)
        assert stamps(made) == [stamp]
        assert made._recent == set()


def test_a_bound_that_moves_while_frames_wait(make_edge):
    """The bound counts after the waiting frames."""
    local = make_edge()
    made = one(local)
    local.send_at(100, 200)
    local.port.advance(900)
    first = made.next()
    assert (first.header.stamp_ns, made.output_bound()) == (100, 101)
    process(made, first)
    assert (made.next().header.stamp_ns, made.output_bound()) == (200, 201)
    process(made, made.next())
    assert (made.next(), made.output_bound(), local.drops(1)) == (None, 900, [])


def test_a_bound_that_moves_just_after_the_ring_was_empty(make_edge, monkeypatch):
    """Frame and bound arrive between reading the ring and reading the word: the frame must not be stale by its own bound."""
    local = make_edge()
    made, edge = one(local), local.readers[0]
    take, looks = edge.take, []

    def late():
        frame = take()
        if not looks:
            local.send_at(500)
            local.port.advance(700)
        looks.append(frame)
        return frame

    monkeypatch.setattr(edge, "take", late)
    assert (made.next().header.stamp_ns, looks[0], len(looks)) == (500, None, 2)
    process(made, made.next())
    assert (made.next(), made.output_bound(), local.drops(1)) == (None, 700, [])


def test_the_end_of_a_stream(make_edge):
    local = make_edge()
    made = one(local)
    local.send_at(100)
    local.port.advance(FOREVER)
    frame = made.next()
    assert not made.ended()
    process(made, frame)
    assert not made.ended(), "nobody looked at the word"
    assert (made.next(), made.ended(), made.is_work(never)) == (None, True, False)


def test_a_writer_that_is_given_up(make_edge):
    """Its sent frames come first."""
    local = make_edge()
    made = one(local)
    local.send_at(100, 200)
    local.readers[0].cut = True
    assert (made.is_work(never), made.ended()) == (True, False)
    assert (stamps(made), made.ended(), made.output_bound()) == ([100, 200], True, FOREVER)
    assert made.is_work(never) is False


def test_what_is_work_for_one_input(make_edge):
    local = make_edge()
    made, edge = one(local), local.readers[0]
    local.send_at(100)
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


def test_latest_skips_what_waited_while_the_node_stood_still(make_edge):
    """Two frames in the ring, a newer one at the sender: the sender sends it in place of the first two."""
    local = make_edge(policy="latest", window=2)
    made = one(local)
    local.send_at(100, 200, 300)
    assert made.next().header.stamp_ns == 300
    assert local.drops(1) == [(0, "queue_full"), (1, "queue_full")]
    assert local.drops() == []


def test_latest_skips_once_per_call(make_edge):
    """A node that is always too slow must process something, too."""
    local = make_edge(policy="latest", window=1)
    made = one(local)
    local.send_at(100)
    frame = made.next()
    local.send_at(200)
    assert made.next() is frame
    process(made, frame)
    assert made.next().header.stamp_ns == 200
    assert (local.drops(1), local.drops()) == ([], [])


def test_latest_skips_what_was_sent_during_the_call(make_edge):
    """200 waits in the ring, 300 at the sender when the call ends: 200 is overtaken."""
    local = make_edge(policy="latest", window=2)
    made = one(local)
    local.send_at(100)
    frame = made.next()
    local.send_at(200, 300)
    made.remove()
    made.processed(frame)
    frame.edge.done(frame)
    assert made.next().header.stamp_ns == 300
    assert local.drops(1) == [(1, "queue_full")]


def test_a_frame_that_waits_for_room_is_overtaken_after_the_next_call(make_edge):
    """It was next, but another node of the process was called first; that is not a call of this node."""
    local = make_edge(policy="latest", window=2)
    made = one(local)
    local.send_at(100)
    waiting = made.next()
    local.send_at(200, 300)
    assert made.next() is waiting
    made.processed(waiting)
    assert made.next().header.stamp_ns == 300
    assert local.drops(1) == [(0, "queue_full"), (1, "queue_full")]


@pytest.mark.parametrize("policy", ["block", "drop_oldest"])
def test_others_skip_nothing(make_edge, policy):
    local = make_edge(policy=policy, size=1, window=1)
    made = one(local)
    local.send_at(100, 200)
    assert made.next().header.stamp_ns == 100
    assert stamps(made) == [100, 200]


# -- endings --------------------------------------------------------------------------------------------------------------


def test_a_dropped_frame_gives_its_slot_back(make_edge):
    local = make_edge()
    made = one(local)
    local.send_at(100)
    frame = made.next()
    made.remove()
    made.discard(frame, "error")
    assert (frame.accounted, local.drops(1), local.open_leases()) == (True, [(0, "error")], [])


@pytest.mark.parametrize(
    ("max_age_ns", "live", "old"),
    [(None, True, False), (S, False, False), (10**19, True, False), (S, True, True)],
    ids=["no limit", "not live", "young enough", "too old"],
)
def test_what_is_too_old_is_dropped(make_edge, max_age_ns, live, old):
    local = make_edge(max_age_ns=max_age_ns)
    local.clock.start(0, None, None, live)
    made = one(local)
    local.send_at(100)
    frame = made.next()
    assert made.drop_if_old(frame, {"in": frame}) is old
    assert (local.drops(1), local.open_leases()) == (([(0, "too_old")], []) if old else ([], [1]))


def test_an_idle_line_rings(make_edge):
    """Less than half a queue of credit has gathered, but no more frames come."""
    local = make_edge(size=20, window=1)
    made = one(local)
    local.send_at(100, 200)
    process(made, made.next())
    assert local.word(EDGE_HEAD) == 1, "the second frame waits at the sender"
    made.ring()
    assert stamps(made) == [200]


# -- a tap ----------------------------------------------------------------------------------------------------------------


def tap(**locals_):
    edges = {name: local.readers[0] for name, local in locals_.items()}
    for name, edge in edges.items():
        edge.port = name
    first = next(iter(locals_.values()))
    return TapLine(edges, first.reader_log, first.clock)


def test_a_tap_sees_late_and_repeated_frames(make_edge):
    local = make_edge()
    made = tap(a=local)
    local.send_at(200, 100, 200, 300)
    assert stamps(made) == [200, 100, 200, 300]
    assert (local.drops(1), local.open_leases(), made.output_bound()) == ([], [], NEVER)


def test_a_tap_sees_each_input_for_itself(make_edge):
    a, b = make_edge(), make_edge(1000)
    made = tap(a=a, b=b)
    b.send_at(100)
    a.send_at(300, 400)
    frames = []
    while (frame := made.next()) is not None:
        frames.append((frame.edge.port, frame.header.frame_id))
        process(made, frame)
    assert frames == [("a", 0), ("a", 1), ("b", 1000)]


def test_a_tap_ends_with_its_last_input(make_edge):
    a, b = make_edge(), make_edge(1000)
    made = tap(a=a, b=b)
    a.send_at(100)
    a.port.advance(FOREVER)
    assert (stamps(made), made.ended(), made.is_work(never)) == ([100], False, False)
    b.readers[0].cut = True
    assert made.is_work(never) is True
    assert (made.next(), made.ended(), made.is_work(never)) == (None, True, False)


def test_a_tap_has_no_outputs_to_wait_for(make_edge):
    local = make_edge()
    made = tap(a=local)
    local.send_at(100)
    made.next()
    assert made.is_work(never) is True


@pytest.mark.parametrize(
    ("most", "max_bytes", "taken"),
    [(1, 10**6, 1), (3, 10**6, 3), (9, 10**6, 5), (9, 64, 1), (9, 0, 1), (9, 128, 2), (9, 191, 2), (9, 192, 3)],
)
def test_a_batch(make_edge, most, max_bytes, taken):
    """64 bytes a frame; the first one is taken whatever its size."""
    local = make_edge()
    made = tap(a=local)
    local.send_at(*range(5))
    first = made.next()
    made.remove()
    assert [f.header.stamp_ns for f in made.batch(first, most, max_bytes)] == list(range(taken))
    rest = made.next()
    assert (rest and rest.header.stamp_ns) == (taken if taken < 5 else None)


def test_what_a_node_gets(make_edge):
    local = make_edge()
    inputs, log, clock = {"in": local.readers[0]}, local.reader_log, local.clock
    assert type(line(inputs, "in", log, clock, None)) is OneLine
    assert type(line(inputs, "in", log, clock, Joiner(["in"], "in", "exact"))) is JoinLine
    without = line({}, "", log, clock, None)
    assert (type(without), without.next(), without.ended(), without.is_work(never)) == (TapLine, None, True, False)
