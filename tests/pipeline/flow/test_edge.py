"""The sender's end of an edge: credit, queue and policy, the ring, the words, successors."""

import pytest
from local_edges import edge_spec, silent

from pipeline.flow.edge import ASKED, NEWER
from pipeline.frame import FOREVER, NEVER
from pipeline.graph.layout import ARMED, BOUND, DONE, EDGE_HEAD, EDGE_TAIL, RELEASED


def numbers(frames):
    return [frame.header.frame_id for frame in frames]


# -- credit ---------------------------------------------------------------------------------------------------------------


def test_nothing_was_sent(make):
    local = make(edge_spec())
    assert local.readers[0].take() is None
    assert (local.word(EDGE_HEAD), local.word(EDGE_TAIL), local.word(ARMED), local.word(BOUND)) == (0, 0, 0, NEVER)
    assert (local.port.edges[0].credit(), local.bells[0].wakes) == (True, 0)


def test_each_frame_wakes_the_reader_once(make):
    local = make(edge_spec())
    for count in (1, 2, 3):
        local.send()
        assert (local.bells[0].wakes, local.word(EDGE_HEAD)) == (count, count)
    assert numbers(local.taken()) == [0, 1, 2]
    assert local.word(EDGE_TAIL) == 3


@pytest.mark.parametrize("window", [1, 2, 5])
def test_as_many_as_the_window_are_sent(make, window):
    local = make(edge_spec(window=window, slots=8))
    local.send(window + 2)
    edge = local.port.edges[0]
    assert (local.word(EDGE_HEAD), len(edge.queue), edge.credit(), edge.room()) == (window, 2, False, False)
    assert edge.describe() == f"src.out->r0.in: {window} in work, 0 kept as views, 2 queued"
    assert local.word(ARMED) == ASKED


def test_a_reader_that_gives_back_gets_what_waits(make):
    local = make(edge_spec(window=2, size=1, slots=8))
    reader = local.readers[0]
    local.send(5)
    got = []
    while (frame := reader.take()) is not None:
        got.append(frame)
        reader.done(frame)
    assert numbers(got) == [0, 1, 2, 3, 4]
    assert local.drops() == []
    local.port.edges[0].fetch()
    assert (local.port.edges[0].leased, len(local.port.free), local.open_leases()) == ({}, 8, [])


def test_a_reader_that_gives_back_before_it_is_asked_again_gets_the_rest(make):
    """The reader's thread may run inside of the ring: it takes the frame and gives it back while nobody asks for credit."""
    local = make(edge_spec(window=1, size=4, policy="drop_oldest", slots=8))
    reader, edge = local.readers[0], local.port.edges[0]
    got, rings = [], []
    reader.give_credit = lambda: rings.append(1)

    class Swift:
        def wake(self):
            while (frame := reader.take()) is not None:
                got.append(frame)
                reader.done(frame)

    local.send(4)
    assert len(edge.queue) == 3
    edge._bell = Swift()
    edge._bell.wake()
    while rings:
        rings.pop()
        edge.rung()
    assert (numbers(got), len(edge.queue), local.drops()) == ([0, 1, 2, 3], 0, [])


def test_processed_frames_whose_views_are_kept_count_apart(make):
    """window 1 and holds 2: one in work, two kept."""
    local = make(edge_spec(window=1, holds=2, slots=6))
    reader, edge = silent(local), local.port.edges[0]
    kept = []
    for number in range(3):
        assert edge.room()
        local.send()
        assert not edge.room(), "one is in work"
        frame = reader.take()
        kept.append(reader.views(frame)["data"])
        reader.done(frame)
        assert edge.room() == (number < 2)
    edge.fetch()
    assert (len(edge.undone), len(edge.leased)) == (0, 3)
    assert edge.describe() == "src.out->r0.in: 0 in work, 3 kept as views, 0 queued"
    del kept[1]
    reader.collect()
    assert edge.room()
    assert sorted(edge.leased.values()) == [1, 3]


def test_a_released_frame_is_done_whatever_the_other_word_said(make):
    """The words are read one after another: `released` may be newer than `done`."""
    local = make(edge_spec(window=1))
    edge = local.port.edges[0]
    (sent,) = local.send()
    local.board.words[local.board.lease(0, sent.slot) + RELEASED] = sent.gen
    assert edge.room()
    assert (edge.undone, edge.leased, local.port.refs[sent.slot]) == (set(), {}, 0)


def test_words_of_another_generation_give_no_credit(make):
    local = make(edge_spec(window=1))
    (sent,) = local.send()
    local.board.words[local.board.lease(0, sent.slot) + RELEASED] = sent.gen - 1
    local.board.words[local.board.lease(0, sent.slot) + DONE] = sent.gen - 1
    assert not local.port.edges[0].room()


# -- policies -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "size", "tap", "arrive", "dropped", "armed"),
    [
        ("block", 1, False, [0, 1, 2, 3, 4, 5], [], ASKED),
        ("block", 4, True, [0, 1, 2, 3, 4, 5], [], ASKED),
        ("latest", 1, False, [0, 5], [1, 2, 3, 4], NEWER),
        ("drop_oldest", 1, False, [0, 5], [1, 2, 3, 4], ASKED),
        ("drop_oldest", 3, False, [0, 3, 4, 5], [1, 2], ASKED),
        ("latest", 1, True, [0], [1, 2, 3, 4, 5], ASKED),
        ("drop_oldest", 3, True, [0], [1, 2, 3, 4, 5], ASKED),
    ],
)
def test_six_frames_for_a_reader_that_takes_one(make, policy, size, tap, arrive, dropped, armed):
    local = make(edge_spec(policy=policy, size=size, window=1, slots=8, tap=tap))
    local.send(6)
    assert local.word(ARMED) == armed
    assert local.drops() == [(number, "queue_full") for number in dropped]
    assert len(local.port.free) == 8 - len(arrive), "the slots of dropped frames came back at once"
    reader, got = local.readers[0], []
    while (frame := reader.take()) is not None:
        got += numbers([frame])
        reader.done(frame)
        reader.ring()
    assert got == arrive
    assert len(local.drops()) == len(dropped)


@pytest.mark.parametrize(("policy", "room"), [("block", False), ("latest", True), ("drop_oldest", True)])
def test_only_block_waits_for_credit(make, policy, room):
    local = make(edge_spec(policy=policy, size=1, window=1))
    local.send(2)
    assert (local.port.edges[0].room(), local.port.room()) == (room, room)


def test_what_came_back_is_found_without_a_ring(make):
    """The sender reads the words before it queues or drops a frame."""
    local = make(edge_spec(policy="latest", window=1, tap=True))
    reader = silent(local)
    local.send()
    reader.done(reader.take())
    local.send()
    assert (numbers(local.taken()), local.drops()) == ([1], [])
    assert local.word(ARMED) == 0, "it asked nobody"


def test_a_newer_frame_overtakes_the_queue_even_if_there_is_credit_now(make):
    local = make(edge_spec(policy="latest", window=1))
    reader = silent(local)
    local.send(2)
    reader.done(reader.take())
    local.send()
    assert numbers(local.taken()) == [2]
    assert local.drops() == [(1, "queue_full")]


# -- max_age --------------------------------------------------------------------------------------------------------------


def test_what_grew_too_old_in_the_queue_is_dropped_there(make):
    local = make(edge_spec(window=1, size=1, max_age_ns=10**9))
    local.send(3)
    local.clock.start(0, None, None, live=True)
    reader = local.readers[0]
    reader.done(reader.take())
    assert (reader.take(), local.drops()) == (None, [(1, "too_old"), (2, "too_old")])
    assert local.word(BOUND) == 201, "nothing older will come; no frame says it"
    assert len(local.port.free) == 6


def test_the_bound_of_a_frame_that_is_dropped_as_it_is_offered(make):
    """The sender finds credit, but the frame is too old: its bound must not wait for the next frame."""
    local = make(edge_spec(policy="latest", window=1, max_age_ns=10**9))
    reader = silent(local)
    local.send(2)
    reader.done(reader.take())
    local.clock.start(0, None, None, live=True)
    wakes = local.bells[0].wakes
    local.send()
    assert local.drops() == [(1, "queue_full"), (2, "too_old")]
    assert (local.word(BOUND), local.bells[0].wakes) == (201, wakes + 1)


def test_offline_nothing_is_too_old(make):
    local = make(edge_spec(window=1, size=1, max_age_ns=1))
    local.send(2)
    reader = local.readers[0]
    reader.done(reader.take())
    assert (numbers(local.taken()), local.drops()) == ([1], [])


# -- asking for credit ----------------------------------------------------------------------------------------------------


def test_latest_says_that_a_newer_frame_waits_until_it_is_sent(make):
    local = make(edge_spec(policy="latest", window=1))
    reader, edge = silent(local), local.port.edges[0]
    local.send()
    assert local.word(ARMED) == 0
    local.send()
    assert local.word(ARMED) == NEWER
    reader.done(reader.take())
    edge.rung()
    assert (local.word(ARMED), local.word(EDGE_HEAD)) == (0, 2)
    local.send()
    assert local.word(ARMED) == NEWER, "again"


def test_a_frame_is_never_older_than_itself(make, monkeypatch):
    """The sender finds credit while it queues the newest frame: once in the ring, no newer frame waits at the sender."""
    local = make(edge_spec(policy="latest", window=1))
    reader, seen = silent(local), []
    local.send(2)
    reader.done(reader.take())
    monkeypatch.setattr(
        local.bells[0], "wake", lambda: seen.append((local.word(EDGE_HEAD), local.word(ARMED), reader.overtaken()))
    )
    local.send()
    assert seen[0] == (2, ASKED, -1)


def test_credit_that_is_found_ends_the_asking(make):
    local = make(edge_spec(window=1))
    reader, edge = silent(local), local.port.edges[0]
    local.send()
    assert not edge.room()
    assert local.word(ARMED) == ASKED
    reader.done(reader.take())
    assert edge.room()
    assert local.word(ARMED) == 0


def test_a_release_between_two_looks_is_seen(make, monkeypatch):
    """The reader gives back between the sender's look and its request: the look after the request finds the slot."""
    local = make(edge_spec(window=1))
    reader, edge = silent(local), local.port.edges[0]
    local.send()
    frame = reader.take()
    fetch = edge.fetch

    def late():
        fetch()
        if frame.arrays is None and local.word(ARMED) == 0:
            reader.done(frame)

    monkeypatch.setattr(edge, "fetch", late)
    assert edge.room()


def test_a_ring_that_nobody_asked_for_changes_nothing(make):
    local = make(edge_spec())
    local.send(2)
    edge = local.port.edges[0]
    before = (dict(edge.leased), set(edge.undone), local.port_bell.wakes)
    edge.rung()
    assert (dict(edge.leased), set(edge.undone), local.port_bell.wakes) == before


def test_a_ring_wakes_the_node_that_publishes(make):
    local = make(edge_spec(window=1, size=1))
    local.send()
    assert not local.port.room()
    assert local.port_bell.wakes == 0
    local.readers[0].done(local.readers[0].take())
    assert (local.port_bell.wakes, local.port.room()) == (1, True)


# -- bounds ---------------------------------------------------------------------------------------------------------------


def test_a_bound_without_a_frame(make):
    local = make(edge_spec())
    local.port.advance(50)
    assert (local.word(BOUND), local.bells[0].wakes, local.word(EDGE_HEAD)) == (50, 1, 0)
    for bound in (50, 49, NEVER):
        local.port.advance(bound)
    assert (local.word(BOUND), local.bells[0].wakes) == (50, 1), "it only grows"
    local.port.advance(FOREVER)
    assert (local.word(BOUND), local.bells[0].wakes) == (FOREVER, 2)


def test_a_frame_carries_its_bound(make):
    """The word has it, too, for a successor of the reader; the frame's wake is the only one."""
    local = make(edge_spec())
    local.send()
    assert (local.word(BOUND), local.taken()[0].bound, local.bells[0].wakes) == (1, 1, 1)
    local.port.advance(1)
    assert (local.word(BOUND), local.bells[0].wakes) == (1, 1), "the reader knows"


def test_a_bound_never_overtakes_a_frame_that_waits(make):
    """The end of the stream is sent only when the queue is empty."""
    local = make(edge_spec(window=1, size=1, slots=8))
    reader = local.readers[0]
    local.send(3)
    local.port.advance(FOREVER)
    seen = []
    while (frame := reader.take()) is not None:
        seen.append((frame.header.frame_id, local.word(BOUND)))
        reader.done(frame)
    assert seen == [(0, 1), (1, 101), (2, FOREVER)]
    assert local.word(EDGE_HEAD) == 3


def test_the_bound_behind_a_queue_that_was_dropped(make):
    local = make(edge_spec(policy="latest", window=1, tap=True))
    local.send(3)
    local.port.advance(FOREVER)
    assert (local.word(BOUND), numbers(local.taken())) == (FOREVER, [0])


# -- nobody reads any more ------------------------------------------------------------------------------------------------


def test_giving_up_a_reader(make):
    """Waiting frames are dropped, the supervisor settles sent ones; all slots come back, later frames are dropped."""
    local = make(edge_spec(window=2, slots=8))
    edge = local.port.edges[0]
    local.send(4)
    assert not local.port.room()
    edge.give_up()
    assert local.drops() == [(2, "restart"), (3, "restart")]
    assert (edge.leased, edge.undone, len(local.port.free), local.port_bell.wakes) == ({}, set(), 8, 1)
    assert (local.port.room(), local.word(EDGE_HEAD)) == (True, 2)
    local.send(20)
    assert local.drops()[2:] == [(number, "restart") for number in range(4, 24)]
    assert (len(local.port.free), local.word(EDGE_HEAD)) == (8, 2)
    local.port.advance(FOREVER)
    edge.rung()
    assert len(local.port.free) == 8


def test_giving_up_one_of_two(make):
    """The other reader's frames stay, and the port continues."""
    local = make(edge_spec(0, window=1, slots=6), edge_spec(1, slots=6))
    local.send(3)
    assert not local.port.room()
    local.port.edges[0].give_up()
    assert local.port.room()
    assert numbers(local.taken(1)) == [0, 1, 2]
    assert (local.port.refs, local.drops()) == ([1, 1, 1, 0, 0, 0], [(1, "restart"), (2, "restart")])
