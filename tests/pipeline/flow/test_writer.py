"""An output port on a private board: loans and copies, oversized frames, slots and generations, the readers' frames."""

import os

import msgpack
import numpy as np
import pytest
from local_edges import Local, edge_spec

from pipeline.errors import FrameError
from pipeline.flow.slot import GENERATION, TEXT_BYTES
from pipeline.flow.writer import EPOCH_SHIFT
from pipeline.frame import Header
from pipeline.graph.layout import ARMED, EDGE_HEAD


@pytest.fixture
def local():
    made = Local(edge_spec())
    yield made
    made.close()


def arrived(local, reader=0):
    """The arrays of the next frame, copied; the frame is given back."""
    edge = local.readers[reader]
    frame = edge.take()
    arrays = {name: array.copy() for name, array in edge.views(frame).items()}
    edge.done(frame)
    return arrays


def counts(sent):
    return sent.nbytes, sent.copied


# -- copies and loans -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(4, 3),
        np.zeros((0, 4), np.float32),
        np.array(7.5),
        np.arange(12).reshape(3, 4)[:, ::2],
        np.arange(12).reshape(3, 4)[::-1],
        np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.arange(6, dtype=">i2"),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.array([b"ab", b"c"]),
        np.broadcast_to(np.float32(3), (2, 5)),
    ],
    ids=["plain", "empty", "scalar", "strided", "reversed", "fortran", "big endian", "bool", "complex", "bytes", "broadcast"],
)
def test_an_array_of_the_operators_own_is_copied(local, array):
    assert counts(local.write({"data": array})) == (array.nbytes, array.nbytes)
    (got,) = arrived(local).values()
    assert (got.dtype, got.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(got, array)


def test_a_loan_is_not_copied(local):
    loan = local.port.alloc("data", (4, 3), np.float32)
    loan[:] = np.arange(12).reshape(4, 3)
    assert counts(local.write({"data": loan})) == (48, 0)
    np.testing.assert_array_equal(arrived(local)["data"], np.arange(12).reshape(4, 3))


@pytest.mark.parametrize(
    ("part", "nbytes", "copied"),
    [
        (lambda a: a, 48, 0),
        (lambda a: a[:2], 24, 0),
        (lambda a: a[:0], 0, 0),
        (lambda a: a[1:3], 24, 0),
        (lambda a: a.reshape(12), 48, 0),
        (lambda a: a.view(np.uint8), 48, 0),
        (lambda a: a[:, :2], 32, 32),
        (lambda a: a[::-1], 48, 48),
        (lambda a: a.T, 48, 48),
        (lambda a: a.copy(), 48, 48),
        (lambda a: a + 0, 48, 48),
    ],
    ids=["whole", "leading", "none of it", "middle", "reshaped", "bytes", "columns", "reversed", "transposed", "copy", "sum"],
)
def test_what_is_returned_of_a_loan(local, part, nbytes, copied):
    """Contiguous parts stay in place, all other arrays are copied behind the loan."""
    loan = local.port.alloc("data", (4, 3), np.float32)
    loan[:] = np.arange(12).reshape(4, 3)
    returned = part(loan)
    expected = returned.copy()
    assert counts(local.write({"data": returned})) == (nbytes, copied)
    np.testing.assert_array_equal(arrived(local)["data"], expected)


def test_a_loan_of_another_frame_is_copied(local):
    """The array of the previous frame lies in another slot."""
    loan = local.port.alloc("data", (3,), np.int64)
    loan[:] = 1, 2, 3
    first, second = local.write({"data": loan}), local.write({"data": loan})
    assert (first.copied, second.copied) == (0, 24)
    assert first.slot != second.slot
    assert [arrived(local)["data"].tolist() for _ in range(2)] == [[1, 2, 3], [1, 2, 3]]


def test_a_received_view_is_copied(local):
    """It lies in another mapping, even if the pool is the same."""
    local.send()
    edge = local.readers[0]
    view = edge.views(edge.take())["data"]
    assert counts(local.write({"data": view})) == (8, 8)


def test_several_arrays(local):
    """Loans and copies side by side, each at a multiple of 64 bytes."""
    a = local.port.alloc("a", (3,), np.uint8)
    c = local.port.alloc("c", (2, 2), np.float64)
    a[:], c[:] = 5, 0.5
    b = np.arange(10, dtype=np.int32)
    assert counts(local.write({"a": a, "b": b, "c": c, "empty": np.zeros((0, 7))})) == (3 + 40 + 32, 40)
    frame = local.readers[0].take()
    assert [(name, at) for name, _, _, at in frame.described] == [("a", 0), ("b", 128), ("c", 64), ("empty", 192)]
    assert frame.used == 192
    views = local.readers[0].views(frame)
    assert (views["a"].tolist(), views["b"].tolist(), views["c"].tolist()) == ([5] * 3, list(range(10)), [[0.5] * 2] * 2)
    assert views["empty"].shape == (0, 7)


def test_no_arrays_at_all(local):
    assert counts(local.write({}, meta={"only": "facts"})) == (0, 0)
    edge = local.readers[0]
    frame = edge.take()
    assert (edge.views(frame), frame.meta) == ({}, {"only": "facts"})
    edge.done(frame)
    assert local.open_leases() == []


def test_nothing_can_be_written_after_the_frame_is_closed(local):
    loan = local.port.alloc("data", (4,), np.float32)
    unused = local.port.alloc("more", (4,), np.float32)
    part = loan[:2]
    local.write({"data": part})
    for array in (loan, unused, part):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_an_own_array_stays_writeable(local):
    own = np.zeros(3)
    local.write({"data": own})
    own[0] = 1
    assert arrived(local)["data"].tolist() == [0, 0, 0]


# -- text: item, arrays, meta ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("item", ["", "000134", "0000/000134", "Straße/Ω/夜", "x" * 399, "x" * 2000])
@pytest.mark.parametrize("meta", [{}, {"k": 1}, {"long": "y" * 1200, "π": [1, 2.5, None, True], 3: "number"}])
def test_item_and_meta_arrive(local, item, meta):
    """In the header, or behind the arrays if the header is too short."""
    local.write({"data": np.arange(5)}, meta=meta, item=item)
    edge = local.readers[0]
    frame = edge.take()
    assert (frame.header.item, frame.meta) == (item, meta)
    assert edge.views(frame)["data"].tolist() == [0, 1, 2, 3, 4]


def test_the_text_moves_behind_the_arrays_when_the_header_is_full(local):
    used = []
    for length in range(380, 430):
        local.write({"data": np.arange(5)}, item="x" * length)
        frame = local.readers[0].take()
        assert frame.header.item == "x" * length
        used.append(frame.used)
        local.readers[0].done(frame)
    described = len(msgpack.packb([["data", "<i8", (5,), 0]]))
    fits = TEXT_BYTES - described - 380 + 1
    assert used == [64] * fits + [64 + 448] * (50 - fits), "the arrays alone; then the text too, in whole cache lines"


def test_too_many_facts():
    local = Local(edge_spec(), slot_bytes=2_000_000)
    with pytest.raises(FrameError) as error:
        local.write({"data": np.arange(5)}, meta={"text": "y" * 1_100_000})
    assert str(error.value) == "src.out: describe() needs at most 1 MB of facts, got 1.1 MB"
    local.port.abort()
    local.write({"data": np.arange(5)}, meta={"text": "y" * 1_000_000})
    assert len(local.readers[0].take().meta["text"]) == 1_000_000
    local.close()


# -- what does not fit ----------------------------------------------------------------------------------------------------


def test_a_frame_larger_than_its_slot(local):
    free = len(local.port.free)
    with pytest.raises(FrameError) as error:
        local.write({"data": np.zeros(600)})
    assert str(error.value) == (
        "src.out: frame needs 0.0048 MB, its slot holds 0.0041 MB; set pool: {out: {max_mb: 1}} in node src"
    )
    local.port.abort()
    assert len(local.port.free) == free
    assert counts(local.write({"data": np.zeros(512)})) == (4096, 4096)


def test_the_arrays_before_count_too(local):
    with pytest.raises(FrameError, match=r"needs 0.00416 MB, its slot holds 0.0041 MB"):
        local.write({"a": np.zeros(1, np.uint8), "b": np.zeros(4096, np.uint8)})
    local.port.abort()
    with pytest.raises(FrameError, match=r"needs 2 MB, .* set pool: \{out: \{max_mb: 2\}\} in node src"):
        local.port.alloc("data", (250_000,), np.float64)


def test_text_that_does_not_fit_behind_the_arrays(local):
    with pytest.raises(FrameError, match=r"needs 0.0051\d MB, its slot holds 0.0041 MB"):
        local.write({"data": np.zeros(512)}, item="x" * 1000)


def test_all_slots_are_held(local):
    """Five in the window, one queued: there is no seventh."""
    local.send(6)
    with pytest.raises(FrameError) as error:
        local.port.alloc("data", (1,), np.uint8)
    assert str(error.value) == (
        "src.out: needs a free slot, all 6 are held (src.out->r0.in: 5 in work, 0 kept as views, 1 queued); "
        "declare holds or copy what is kept"
    )


def test_a_slot_that_just_came_back_is_found(local):
    """Without a ring by the reader: the port reads the words before it gives up."""
    local.send(6)
    edge = local.readers[0]
    edge.give_credit = lambda: None
    edge.done(edge.take())
    assert list(local.port.free) == []
    assert local.send()[0].slot == 0


# -- slots and generations ------------------------------------------------------------------------------------------------


def test_slots_are_taken_in_turn_and_generations_grow(local):
    sent = []
    for _ in range(8):
        sent += local.send()
        arrived(local)
    assert [s.slot for s in sent] == [0, 1, 2, 3, 4, 5, 0, 1]
    assert [s.gen for s in sent] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_generations_of_a_later_life_are_larger(local):
    gens = [local.send()[0].gen]
    for epoch in (1, 2, 3):
        local.writer(epoch)
        gens += [s.gen for s in local.send(1)]
    assert gens == [(epoch << EPOCH_SHIFT) + 1 for epoch in range(4)]


def test_a_slot_being_written_has_generation_0(local):
    for _ in range(6):
        local.send()
        arrived(local)
    local.port.alloc("data", (1,), np.uint8)
    assert GENERATION.unpack_from(local.memory.view, local.place.offset) == (0,), "slot 0 was generation 1"
    sent = local.write({})
    assert GENERATION.unpack_from(local.memory.view, local.place.offset) == (sent.gen,) == (7,)


def test_a_forked_copy_ends_before_it_takes_a_slot(local):
    first, before = local.port.free[0], bytes(local.memory.view)
    pid = os.fork()
    if pid == 0:
        local.log.abandon()
        local.port.alloc("x", (4,), np.float32)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert bytes(local.memory.view) == before
    assert local.port.free[0] == first


def test_an_aborted_step_leaves_no_slot_behind(local):
    before = list(local.port.free)
    loan = local.port.alloc("data", (4,), np.float32)
    local.port.abort()
    assert list(local.port.free) == before
    local.port.abort()
    assert list(local.port.free) == before, "nothing more to abort"
    assert local.word(EDGE_HEAD) == 0, "nothing was sent"
    with pytest.raises(ValueError, match="read-only"):
        loan[0] = 1  # the next frame lies there


def test_a_loan_of_an_aborted_step_is_a_strangers_array(local):
    """It lies in the slot of the next frame, but is not a loan of that frame."""
    first = local.port.alloc("data", (4,), np.int64)
    first[:] = 1
    local.port.abort()
    second = local.port.alloc("data", (4,), np.int64)
    second[:] = 2
    sent = local.write({"data": second})
    assert (sent.slot, sent.copied) == (0, 0)
    assert arrived(local)["data"].tolist() == [2] * 4


def test_a_discarded_frame_was_never(local):
    """The frame was complete, but its step failed on another port."""
    before = list(local.port.free)
    header = local.send()[0]
    arrived(local)
    local.port.room()
    local.port.edges[0].fetch()
    frame = local.port.write({"data": np.zeros(3)}, Header("src", 5, "", 500), 5, 501, 0, {})
    local.port.discard(frame)
    assert sorted(local.port.free) == sorted(before)
    assert local.readers[0].take() is None
    assert local.send()[0].gen == header.gen + 2, "its generation is not used again"


# -- several readers ------------------------------------------------------------------------------------------------------


def test_a_slot_is_free_when_every_reader_gave_it_back():
    local = Local(edge_spec(0), edge_spec(1), edge_spec(2))
    (sent,) = local.send()
    assert (local.port.refs[sent.slot], sent.copied) == (3, 8), "copied once"
    for reader, left in ((1, 2), (0, 1), (2, 0)):
        assert arrived(local, reader)["data"].tolist() == [0]
        local.port.edges[reader].fetch()
        assert local.port.refs[sent.slot] == left
        assert (sent.slot in local.port.free) == (left == 0)
    local.close()


def test_the_slowest_reader_holds_the_port_up():
    local = Local(edge_spec(0), edge_spec(1, window=2))
    local.send(2)
    assert (local.port.has_credit(), local.port.room()) == (False, False)
    assert local.port.blocked_by is local.port.edges[1]
    assert (local.word(ARMED, 0), local.word(ARMED, 1)) == (0, 1), "it is the one that is asked to ring"
    arrived(local, 1)
    assert local.port.has_credit() is False, "half a queue of credit gathers before the reader rings"
    assert (local.port.room(), local.port.blocked_by, local.port.has_credit()) == (True, None, True), "but it is found"
    assert (local.word(ARMED, 0), local.word(ARMED, 1)) == (0, 0)
    local.close()


def test_who_blocks_is_remembered(local):
    """A second query could find credit and withdraw the request: the reader would not ring, and the node would sleep."""
    local.readers[0].give_credit = lambda: None
    local.send(5)
    assert not local.port.room()
    local.readers[0].done(local.readers[0].take())
    assert (local.port.blocked_by, local.word(ARMED)) == (local.port.edges[0], 1)
    assert local.port.room()
    assert (local.port.blocked_by, local.word(ARMED)) == (None, 0)


def test_no_slot_is_no_room_even_with_credit():
    """If frames wait in slots for another reader, a `latest` reader has credit but the pool has no slot."""
    local = Local(edge_spec(0, policy="latest", size=1, window=2, slots=2), edge_spec(1, policy="latest", window=2, slots=2))
    local.send(2)
    assert (local.port.has_credit(), local.port.room(), local.port.blocked_by) == (False, False, None)
    assert (local.word(ARMED, 0), local.word(ARMED, 1)) == (1, 1), "each may be the one that frees a slot"
    arrived(local, 0)
    assert not local.port.room()
    arrived(local, 1)
    assert local.port.room()
    local.close()


def test_a_port_that_nobody_reads():
    local = Local()
    assert (local.port.room(), local.port.has_credit(), local.port.blocked_by) == (True, True, None)
    local.port.advance(100)
    local.close()


def test_with_a_frame_begun_there_is_room_for_it(local):
    """A source fills its loan before it knows when it may send."""
    for _ in range(6):
        local.send()
        arrived(local)
    local.port.edges[0].fetch()
    for _ in range(5):
        local.port.free.popleft()
    local.port.alloc("data", (1,), np.uint8)
    assert list(local.port.free) == []
    assert (local.port.has_credit(), local.port.room()) == (True, True)
