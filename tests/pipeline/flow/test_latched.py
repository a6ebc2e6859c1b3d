"""Static values: packed once, given to every reader in one process and over a channel, replaced as a whole."""

import msgpack
import numpy as np
import pytest
from local_edges import edge_spec
from pipe_runs import wait_for

from pipeline.errors import FrameError
from pipeline.flow.latched import Latched, StaticIn, StaticOut, StaticPort
from pipeline.flow.transport import HEAD, HELLO, STATIC, Sockets, body_of, head
from pipeline.frame import NEVER
from pipeline.schema import ANY


def values(*numbers):
    """One value per number, valid from 100 times it on."""
    return [(100 * number, {"data": np.array([number], np.int32)}) for number in numbers]


def got(latched):
    return [(from_ns, {name: array.tolist() for name, array in arrays.items()}) for from_ns, arrays in latched.ordered()]


def expected(*numbers):
    return [(100 * number, {"data": [number]}) for number in numbers]


# -- in one process -------------------------------------------------------------------------------------------------------


class Pair:
    """A static port and readers in its own process."""

    def __init__(self, readers=1):
        self.port = StaticPort("src", "calib", ANY)
        self.readers = [StaticIn(edge_spec(i), "calib") for i in range(readers)]
        for reader in self.readers:
            edge = StaticOut(reader.spec, self.port)
            edge.local = reader
            self.port.edges.append(edge)


def test_nothing_was_said():
    latched = Latched()
    assert (latched.complete, latched.ordered(), latched.at(0)) == (False, [], None)


def test_it_is_said_that_there_is_none():
    pair = Pair()
    pair.port.latch([])
    latched = pair.readers[0].latched
    assert (latched.complete, latched.ordered(), latched.at(0)) == (True, [], None)


def test_every_reader_gets_every_value():
    pair = Pair(readers=3)
    pair.port.latch(values(1, 2))
    assert [got(reader.latched) for reader in pair.readers] == [expected(1, 2)] * 3
    assert all(reader.latched.complete for reader in pair.readers)


@pytest.mark.parametrize(("stamp", "number"), [(NEVER, 1), (0, 1), (100, 1), (199, 1), (200, 2), (10**18, 3)])
def test_the_value_of_a_stamp(stamp, number):
    """The latest value not after the stamp; before all of them, the first. Their order in the list does not matter."""
    pair = Pair()
    pair.port.latch(values(3, 1, 2))
    assert pair.readers[0].latched.at(stamp)["data"].tolist() == [number]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3), np.float32),
        np.array(2.5),
        np.eye(4)[:, :3],
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(3, dtype=">u2"),
        np.array([True]),
    ],
    ids=["empty", "scalar", "strided", "fortran", "big endian", "bool"],
)
def test_arrays_are_as_they_were(array):
    pair = Pair()
    pair.port.latch([(0, {"größe": array, "other": np.arange(2)})])
    arrays = pair.readers[0].latched.at(0)
    assert list(arrays) == ["größe", "other"]
    assert (arrays["größe"].dtype, arrays["größe"].shape, arrays["größe"].flags.writeable) == (array.dtype, array.shape, False)
    np.testing.assert_array_equal(arrays["größe"], array)


def test_a_value_is_a_copy():
    pair = Pair()
    array = np.arange(3)
    pair.port.latch([(0, {"data": array})])
    array[:] = 9
    assert pair.readers[0].latched.at(0)["data"].tolist() == [0, 1, 2]


def test_values_are_replaced_as_a_whole():
    """A reader that reads while a value arrives keeps the previous mapping."""
    pair = Pair()
    pair.port.latch(values(1, 2))
    latched = pair.readers[0].latched
    before = latched.values
    held = latched.ordered()
    pair.port.latch(values(5, 6))
    assert got(latched) == expected(5, 6)
    assert latched.values is not before
    assert sorted(before) == [0, 1] and [from_ns for from_ns, _ in held] == [100, 200]


@pytest.mark.parametrize("numbers", [(7,), (7, 8, 9), ()])
def test_another_number_of_values_forgets_the_old_ones(numbers):
    pair = Pair()
    pair.port.latch(values(1, 2))
    pair.port.latch(values(*numbers))
    assert (got(pair.readers[0].latched), pair.readers[0].latched.complete) == (expected(*numbers), True)


def test_complete_with_the_last_value():
    latched = Latched()
    packed = [["data", "<i8", [1], np.array([4]).tobytes()]]
    latched.take([1, 2, 50, packed])
    assert latched.complete is False
    latched.take([0, 2, 10, packed])
    assert (latched.complete, [from_ns for from_ns, _ in latched.ordered()]) == (True, [10, 50])
    latched.take([0, 2, 10, packed])
    assert latched.complete is True, "said twice"


def test_more_than_1_mb():
    pair = Pair()
    pair.port.latch(values(1))
    with pytest.raises(FrameError) as error:
        pair.port.latch([*values(2), (0, {"data": np.zeros(150_000)})])
    assert str(error.value) == "src.calib: a static value needs at most 1 MB, got 1.2 MB; send it as a stream"
    assert got(pair.readers[0].latched) == expected(1), "nothing of it was sent"
    pair.port.latch([(0, {"data": np.zeros(131_000)})])
    assert pair.readers[0].latched.at(0)["data"].shape == (131_000,)


# -- over a channel -------------------------------------------------------------------------------------------------------


class Ends:
    """A writer and a reader with a channel per pair of lives."""

    def __init__(self, folder):
        self.folder, self.sockets, self.channels = folder, Sockets(), []
        self.port = StaticPort("src", "calib", ANY)
        # Two processes: each has a spec of its own.
        self.out, self.reader = StaticOut(edge_spec(3), self.port), StaticIn(edge_spec(3), "calib")
        self.port.edges.append(self.out)

    def pair(self):
        path = self.folder / f"s{len(self.channels)}"
        self.channels += [self.sockets.channel(path, bind=True), self.sockets.channel(path, bind=False)]
        return self.channels[-2:]

    def connect(self, writer_epoch=0, reader_epoch=0):
        bound, connected = self.pair()
        return self.out.connect(bound, writer_epoch, reader_epoch), self.reader.connect(connected, writer_epoch, reader_epoch)

    def hear(self, what, done):
        def look():
            for edge in (self.out, self.reader):
                if edge.channel is not None:
                    edge.channel.drain()
            self.out.work_off()
            self.reader.work_off()
            return done()

        wait_for(look, 5, what)

    def close(self):
        for channel in self.channels:
            channel.close()
        self.sockets.close()


@pytest.fixture
def ends(runtime):
    made = Ends(runtime)
    yield made
    made.close()


def test_values_set_before_the_reader_came(ends):
    ends.port.latch(values(1, 2))
    ends.connect()
    ends.hear("both values", lambda: ends.reader.latched.complete)
    assert got(ends.reader.latched) == expected(1, 2)


def test_values_set_while_the_reader_is_there(ends):
    assert ends.connect() == (None, None)
    ends.hear("the hello", lambda: ends.out._up)
    assert ends.reader.latched.complete is False
    ends.port.latch(values(4))
    ends.hear("the value", lambda: ends.reader.latched.complete)
    assert got(ends.reader.latched) == expected(4)


def test_nothing_is_sent_before_the_reader_says_hello(ends):
    """A message on a channel without a reader would arrive twice."""
    bound, connected = ends.pair()
    ends.out.connect(bound, 0, 0)
    ends.port.latch(values(1))
    ends.reader.connect(connected, 0, 0)
    wait_for(lambda: bound.drain() or bound.inbox, 5, "the hello")
    assert [HEAD.unpack_from(m) for m in bound.inbox] == [(HELLO, 3, 0, 0, 0)]
    ends.out.work_off()
    wait_for(lambda: connected.drain() or connected.inbox, 5, "the value")
    assert [(HEAD.unpack_from(m)[:2], body_of(m)[:3]) for m in connected.inbox] == [((STATIC, 3), [0, 1, 100])]


def test_another_reader_connects_later(ends):
    """The successor gets everything again, on its own channel; the old channel is closed."""
    ends.port.latch(values(1, 2))
    ends.connect()
    ends.hear("both values", lambda: ends.reader.latched.complete)
    old = ends.out.channel
    ends.reader = StaticIn(edge_spec(3), "calib")
    assert ends.connect(0, 1) == (old, None)
    assert (old.closed, ends.out._up) == (True, False)
    ends.hear("both values again", lambda: ends.reader.latched.complete)
    assert got(ends.reader.latched) == expected(1, 2)


@pytest.mark.parametrize(
    "message",
    [
        head(STATIC, 3, 0, 0, 1),
        head(STATIC, 3, 0, 2, 1),
        head(STATIC, 3, 0, 1, 0),
        head(STATIC, 2, 0, 1, 1),
        head(HELLO, 3, 0, 1, 1),
    ],
    ids=["writer before", "writer after", "reader before", "another edge", "another kind"],
)
def test_messages_of_another_life_are_discarded(ends, message):
    """Between lives 1 and 1, on edge 3."""
    body = msgpack.packb([0, 1, 900, [["data", "<i4", [1], np.array([9], np.int32).tobytes()]]])
    bound, connected = ends.pair()
    ends.reader.connect(connected, 1, 1)
    wait_for(lambda: bound.send(message + body), 5, "a peer")
    assert bound.send(head(STATIC, 3, 0, 1, 1) + msgpack.packb([0, 1, 100, [["data", "<i4", [1], b"\x01\0\0\0"]]]))
    ends.hear("the right one", lambda: ends.reader.latched.complete)
    assert got(ends.reader.latched) == expected(1)
    assert (ends.reader.spec.writer_epoch, ends.reader.spec.reader_epoch) == (1, 1)


def test_a_hello_of_another_life_asks_for_nothing(ends):
    bound, connected = ends.pair()
    ends.out.connect(bound, 1, 1)
    ends.port.latch(values(1))
    for reader_epoch in (0, 2):
        assert connected.send(head(HELLO, 3, 0, 1, reader_epoch))
    wait_for(lambda: bound.drain() or len(bound.inbox) == 2, 5, "both")
    ends.out.work_off()
    assert (ends.out._up, len(bound.inbox)) == (False, 0)


def test_an_end_without_a_channel_has_nothing_to_hear(ends):
    ends.out.work_off()
    ends.reader.work_off()
    ends.port.latch(values(1))
    assert ends.reader.latched.complete is False
