"""The reader's end of an edge: frames, lifetime of views, giving slots back, credit, successors."""

import gc
import threading
from collections import deque

import msgpack
import numpy as np
import pytest
from local_edges import edge_spec

from pipeline.errors import FrameError
from pipeline.flow.edge import NEWER
from pipeline.flow.slot import GENERATION, whose
from pipeline.frame import NEVER, Header
from pipeline.graph.layout import ARMED, BOUND, EDGE_HEAD, EDGE_TAIL


@pytest.fixture
def local(make):
    return make(edge_spec())


def lease(local, slot):
    """SENT, RELEASED, DONE of a slot."""
    return tuple(local.board.leases(0)[slot].tolist())


def spied(local):
    """The calls of `give_credit`, as a list that grows."""
    calls = []
    local.readers[0].give_credit = lambda: calls.append(local.word(ARMED))
    return calls


# -- arriving -------------------------------------------------------------------------------------------------------------


def test_nothing_has_come(local):
    edge = local.readers[0]
    assert (edge.waiting(), edge.take(), edge.bound, edge.overtaken(), local.word(EDGE_TAIL)) == (False, None, NEVER, -1, 0)
    edge.ring()
    edge.collect()
    assert local.board.leases(0).any() == np.False_


def test_a_frame_is_all_that_was_written(local):
    local.frame_id = 41
    sent = local.write({"a": np.arange(3, dtype=np.int16)}, meta={"k": "v"}, item="0000/000042", bound=9999)
    edge = local.readers[0]
    assert edge.waiting()
    frame = edge.take()
    assert (frame.edge, frame.slot, frame.gen, whose(frame.who)) == (edge, sent.slot, sent.gen, (0, 42))
    assert frame.header == Header("src", 42, "0000/000042", 4200, 7)
    assert isinstance(frame.header, Header)
    assert (frame.bound, frame.used, frame.meta, frame.accounted, frame.arrays) == (9999, 64, {"k": "v"}, False, None)
    assert frame.described == [("a", "<i2", (3,), 0)]
    assert (edge.waiting(), local.word(EDGE_TAIL), lease(local, 0)) == (False, 1, (1, 0, 0))


def test_frames_come_in_the_order_of_sending(local):
    local.send(5)
    assert [frame.header.frame_id for frame in local.taken()] == [0, 1, 2, 3, 4]
    assert local.word(EDGE_TAIL) == 5


@pytest.mark.parametrize("item", ["", "Straße", "夜/0001", "🛰" * 30])
def test_names_are_unicode(local, item):
    local.write({"größe": np.arange(2)}, meta={"名": item}, item=item)
    edge = local.readers[0]
    frame = edge.take()
    assert (frame.header.item, frame.meta, list(edge.views(frame))) == (item, {"名": item}, ["größe"])


def test_arrays_that_change_from_frame_to_frame(local):
    """Their description is unpacked if it differs from the previous frame's; older frames keep theirs."""
    frames = [
        {"data": np.zeros((2, 3), np.float32)},
        {"data": np.zeros((2, 3), np.float32)},
        {"data": np.zeros((3, 2), np.float32)},
        {"data": np.zeros((0, 2), np.float32), "more": np.zeros(1)},
        {"data": np.zeros((2, 3), np.float32)},
    ]
    for arrays in frames:
        local.write(arrays)
    edge = local.readers[0]
    arrived = local.taken()
    assert arrived[0].described is arrived[1].described
    shapes = [{name: (array.shape, array.dtype) for name, array in edge.views(f).items()} for f in arrived]
    assert shapes == [{name: (array.shape, array.dtype) for name, array in arrays.items()} for arrays in frames]


def test_the_bound_of_an_edge_without_frames(local):
    local.port.advance(70)
    assert (local.readers[0].bound, local.word(BOUND)) == (70, 70)


def test_the_generation_of_a_frame_that_is_torn(local):
    """A writer that writes to a leased slot must never happen; if it does, the reader detects it."""
    local.send()
    GENERATION.pack_into(local.memory.view, local.place.offset, 5)
    for _ in range(2):
        with pytest.raises(FrameError) as error:
            local.readers[0].take()
        text = "src.out->r0.in: torn frame src:0: slot 0 needs generation 1, got 5; please report this"
        assert (str(error.value), local.word(EDGE_TAIL)) == (text, 0)


@pytest.mark.parametrize(
    ("described", "why"),
    [
        ([("a", "<f8", (600,), 0)], "ValueError: array 'a', (600,) <f8 at 0, in 4096 bytes"),
        ([("a", "<f8", (1,), 4092)], "ValueError: array 'a', (1,) <f8 at 4092, in 4096 bytes"),
        ([("a", "<f8", (1,), -8)], "ValueError: array 'a', (1,) <f8 at -8, in 4096 bytes"),
        ([("a", "<f8", (2**40, 2**40), 0)], "ValueError: array 'a'"),
        ([("a", "|O", (1,), 0)], "ValueError: array of dtype '|O'"),
        ([("a", "|V0", (1,), 0)], "ValueError: array of dtype '|V0'"),
        ([("a", "nothing", (1,), 0)], "ValueError: array of dtype 'nothing'"),
        ([("a", ",", (1,), 0)], "ValueError: array of dtype ','"),
        ([("a", "<f8", (1,), "x")], "TypeError: "),
        ([("a", "<f8", "ab", 0)], "TypeError: "),
        ([("a", "<f8")], "ValueError: not enough values"),
        (7, "TypeError: "),
        (None, "TypeError: "),
    ],
)
def test_a_forged_description_is_refused(local, described, why):
    """Whatever a writer's process has put into its slot: a reader never looks beyond it."""
    local.port._described, local.port._described_text = [("x", np.dtype("<i8"), (3,), 0)], msgpack.packb(described)
    local.write({"x": np.arange(3)})
    for _ in range(2):
        with pytest.raises(FrameError) as error:
            local.readers[0].take()
        assert str(error.value).startswith(f"src.out->r0.in: slot 0 needs the description of a frame, got {why}")
    assert local.word(EDGE_TAIL) == 0


@pytest.mark.parametrize("shape", [(-1,), (-2, -3)])
def test_a_negative_shape_is_refused_when_it_is_looked_at(local, shape):
    local.port._described, local.port._described_text = [("x", np.dtype("<i8"), (3,), 0)], msgpack.packb([("x", "<i8", shape, 0)])
    local.write({"x": np.arange(3)})
    frame = local.readers[0].take()
    with pytest.raises(ValueError, match="negative"):
        local.readers[0].views(frame)


@pytest.mark.parametrize("slot", [6, 99, 2**40, -99])
def test_a_descriptor_of_no_slot_is_refused(local, slot):
    local.send()
    local.board.words[local.board.ring_of(0)[0]] = slot
    with pytest.raises(FrameError, match="needs the description of a frame, got IndexError"):
        local.readers[0].take()


def test_any_bytes_in_a_header_end_in_a_frame_error(local):
    """Or in a frame that lies within its slot."""
    rng, edge = np.random.default_rng(0), local.readers[0]
    local.write({"a": np.arange(5, dtype=np.float32), "b": np.zeros((2, 3), np.uint8)}, meta={"k": [1, "x"]})
    start, size = local.place.offset, 200
    original = bytes(local.memory.view[start : start + size])
    low, high = edge._memory.address + start, edge._memory.address + start + local.place.stride
    refused = 0
    for _ in range(3000):
        damaged = bytearray(original)
        for at in rng.integers(8, size, rng.integers(1, 5)):
            damaged[at] = rng.integers(256)
        local.memory.view[start : start + size] = bytes(damaged)
        try:
            frame = edge.take()
            views = edge.views(frame)
        except (FrameError, ValueError):
            refused += 1
        else:
            for array in views.values():
                first = array.__array_interface__["data"][0]
                assert not array.size or low <= first <= first + array.nbytes <= high
        edge._tail = edge._words[edge._tail_word] = 0
    assert 100 < refused < 3000


def test_a_frame_torn_after_it_was_taken(local):
    local.send()
    edge = local.readers[0]
    frame = edge.take()
    views = edge.views(frame)
    edge.verify(frame)
    GENERATION.pack_into(local.memory.view, local.place.offset, 0)
    with pytest.raises(FrameError) as error:
        edge.verify(frame)
    assert str(error.value) == "src.out->r0.in: torn frame src:0: slot 0 needs generation 1, got 0; please report this"
    assert edge.views(frame) is views


# -- overtaken ------------------------------------------------------------------------------------------------------------


def test_what_is_overtaken(make):
    """Under `latest`, all sent frames are overtaken while a newer frame waits at the sender."""
    local = make(edge_spec(policy="latest", window=2))
    edge = local.readers[0]
    local.send(2)
    assert edge.overtaken() == -1
    local.send()
    assert (local.word(ARMED), edge.overtaken()) == (NEWER, 2)
    local.send()
    assert edge.overtaken() == 2, "the last one that was sent"
    first, _second = local.taken()
    edge.done(first)
    assert (local.word(EDGE_HEAD), edge.overtaken()) == (3, -1), "the newer one is in the ring"


@pytest.mark.parametrize("policy", ["block", "drop_oldest"])
def test_nothing_is_overtaken_under_other_policies(make, policy):
    local = make(edge_spec(policy=policy, window=1, size=1))
    local.send(2)
    assert (local.word(ARMED) != 0, local.readers[0].overtaken()) == (True, -1)


def test_overtaken_while_the_newer_one_is_being_sent(local):
    """`armed` is read before and after the descriptor: the descriptor in between may be the newer frame's."""
    local.send()
    edge = local.readers[0]

    class Words:
        armed = deque([NEWER, 1])

        def __getitem__(self, at):
            return self.armed.popleft() if at == edge._armed else local.board.words[at]

    edge._words = Words()
    assert edge.overtaken() == -1
    Words.armed = deque([NEWER, NEWER])
    assert edge.overtaken() == 1


# -- views ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_views_are_read_only(local, names):
    local.write({name: np.arange(4.0) for name in names})
    edge = local.readers[0]
    for array in edge.views(edge.take()).values():
        assert (array.flags.writeable, array.tolist()) == (False, [0, 1, 2, 3])
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
            array.flags.writeable = True


def test_views_are_made_once(local):
    local.send()
    edge = local.readers[0]
    frame = edge.take()
    assert edge.views(frame) is edge.views(frame)
    assert edge.kept == 1


def test_views_lie_in_the_slot(local):
    """No copy: views show a change of the memory."""
    local.write({"data": np.zeros(3, np.uint8)})
    edge = local.readers[0]
    view = edge.views(edge.take())["data"]
    local.memory.view[local.place.offset + 512] = 4
    assert view.tolist() == [4, 0, 0]


# -- giving back ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("looked", [False, True], ids=["unseen", "seen"])
@pytest.mark.parametrize("arrays", [1, 3])
def test_done_releases_at_once_where_no_view_is_left(local, arrays, looked):
    (sent,) = (local.write({str(i): np.arange(3) for i in range(arrays)}),)
    edge = local.readers[0]
    frame = edge.take()
    if looked:
        assert sum(a.sum() for a in edge.views(frame).values()) == 3 * arrays
    assert lease(local, sent.slot) == (1, 0, 0)
    edge.done(frame)
    assert (lease(local, sent.slot), edge.kept, list(edge.released)) == ((1, 1, 1), 0, [])


@pytest.mark.parametrize("arrays", [1, 3])
def test_a_kept_view_keeps_its_slot(local, arrays):
    """A done frame gives credit for one more. `collect` gives the slot back with the last array."""
    local.write({str(i): np.arange(3) for i in range(arrays)})
    edge = local.readers[0]
    frame = edge.take()
    kept = edge.views(frame)["0"][1:]
    edge.done(frame)
    assert (lease(local, 0), edge.kept) == ((1, 0, 1), 1)
    edge.collect()
    assert (lease(local, 0), edge.kept, kept.tolist()) == ((1, 0, 1), 1, [1, 2])
    del kept
    assert list(edge.released) == [(0, 1)]
    assert lease(local, 0) == (1, 0, 1), "a finalizer writes no word"
    edge.collect()
    assert (lease(local, 0), edge.kept) == ((1, 1, 1), 0)


def test_a_view_in_a_cycle_comes_back_by_the_collector(local):
    local.send()
    edge = local.readers[0]
    frame = edge.take()
    node = {"view": edge.views(frame)["data"]}
    node["self"] = node
    edge.done(frame)
    del node
    edge.collect()
    assert (lease(local, 0), edge.kept) == ((1, 0, 1), 1)
    gc.collect()
    edge.collect()
    assert (lease(local, 0), edge.kept) == ((1, 1, 1), 0)


def test_a_view_that_ends_in_another_thread(local):
    local.send(2)
    edge = local.readers[0]
    frames = local.taken()
    views = [edge.views(frame)["data"] for frame in frames]
    for frame in frames:
        edge.done(frame)
    thread = threading.Thread(target=views.clear)
    thread.start()
    thread.join()
    edge.collect()
    assert (local.open_leases(), edge.kept) == ([], 0)


class Busy(deque):
    """Released views: more views end just after a call of one of its methods."""

    def __init__(self, method):
        super().__init__()
        self.method, self.views = method, []

    def _after(self, method, result):
        if method == self.method:
            self.views.clear()
        return result

    def __len__(self):
        return self._after("len", super().__len__())

    def __getitem__(self, at):
        return self._after("getitem", super().__getitem__(at))

    def pop(self):
        return self._after("pop", super().pop())


@pytest.mark.parametrize("method", ["len", "getitem", "pop"])
def test_another_view_ends_while_a_frame_is_given_back(local, method):
    """A finalizer may run between any two steps, in another thread or in the collector. Both slots come back."""
    edge = local.readers[0]
    edge.released = busy = Busy(method)
    local.send(2)
    first, second = local.taken()
    busy.views.append(edge.views(first)["data"])
    edge.done(first)
    assert local.open_leases() == [1, 2]
    edge.views(second)
    edge.done(second)
    busy.views.clear()
    edge.collect()
    assert (local.open_leases(), edge.kept) == ([], 0)


# -- credit ---------------------------------------------------------------------------------------------------------------


def test_credit_is_given_only_to_a_writer_that_asked(local):
    calls = spied(local)
    local.send(5)
    for frame in local.taken():
        local.readers[0].done(frame)
    local.readers[0].ring()
    assert calls == []


@pytest.mark.parametrize(
    ("policy", "size", "rings"),
    [("block", 1, [1, 2, 3, 4]), ("block", 4, [2, 4]), ("block", 6, [3]), ("block", 20, []), ("latest", 8, [1, 2, 3, 4])],
)
def test_half_a_queue_of_credit_gathers(make, policy, size, rings):
    local = make(edge_spec(policy=policy, size=size, window=4))
    calls = spied(local)
    local.send(4)
    local.board.words[local.board.edge(0) + ARMED] = 1
    rung = []
    for count, frame in enumerate(local.taken(), 1):
        local.readers[0].done(frame)
        if len(calls) > len(rung):
            rung.append(count)
    assert rung == rings


def test_an_idle_reader_gives_all_it_has(make):
    local = make(edge_spec(size=20, window=4))
    calls = spied(local)
    edge = local.readers[0]
    local.send(2)
    local.board.words[local.board.edge(0) + ARMED] = 1
    edge.ring()
    assert calls == [], "nothing was given back"
    edge.done(local.taken()[0])
    assert calls == []
    edge.ring()
    assert calls == [1]
    edge.ring()
    assert calls == [1], "once"


def test_the_slot_of_a_kept_view_is_credit_too(make):
    local = make(edge_spec(policy="latest", window=1))
    calls = spied(local)
    edge = local.readers[0]
    local.send()
    local.board.words[local.board.edge(0) + ARMED] = 1
    frame = edge.take()
    kept = edge.views(frame)["data"]
    edge.done(frame)
    assert calls == [1]
    del kept
    edge.collect()
    assert calls == [1, 1]


def test_credit_is_given_after_the_words_are_written(local):
    """A process that is rung finds the words."""
    seen = []
    local.readers[0].give_credit = lambda: seen.append(lease(local, 0))
    local.send(1)
    local.board.words[local.board.edge(0) + ARMED] = 1
    local.readers[0].done(local.readers[0].take())
    local.readers[0].ring()
    assert seen == [(1, 1, 1)]
