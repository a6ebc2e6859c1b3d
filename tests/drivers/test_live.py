"""Live on a clock that the script of a toy sensor moves."""

import errno
import logging
import threading
import time
from dataclasses import dataclass

import pytest

from drivers import live
from drivers.live import Live, LiveConfig, Lost, Malformed
from pipeline.errors import GraphError, InputError, RunError
from pipeline.frame import Reading
from pipeline.operator import Source, attach, prepare
from pipeline.testing import FakeClock, run_source


class Toy(Live, Source):
    """Its script: what the calls of connect and receive do one after another: a stamp (a reading), None (a connection; nothing in
    time), an exception, a function. At its end the toy closes itself."""

    Config = LiveConfig

    def connect(self):
        self.calls.append("connect")
        self._do("connect")

    def receive(self, timeout_s):
        self.calls.append("receive")
        got = self._do(timeout_s)
        return None if got is None else Reading({}, str(got), got)

    def disconnect(self):
        self.calls.append("disconnect")

    def _do(self, timeout_s):
        if not self.script:
            self._closing.set()
            return None
        got = self.script.pop(0)
        if got is None and timeout_s != "connect":
            self.clock.advance(timeout_s)
        if isinstance(got, BaseException):
            raise got
        if callable(got):
            return got()
        return got


@pytest.fixture
def toy(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(live, "time", clock)

    def make(script, start=0, **config):
        node = prepare(Toy(), "toy", LiveConfig(**config))
        node.script, node.calls, node.clock, node.statuses = list(script), [], clock, []
        attach(node, show=node.statuses.append)
        node.open(start)
        node._closing.wait = clock.sleep
        return node

    return make


def read_all(node):
    got = []
    while (reading := node.read()) is not None:
        got.append((reading.stamp_ns, reading.frame_id))
    return got


UP = None
"""A connect that succeeds."""


def test_nothing_ever_comes(toy, caplog):
    caplog.set_level(logging.INFO)
    node = toy([Lost("no such device")] * 5)
    assert read_all(node) == []
    assert [r.getMessage() for r in caplog.records] == ["waiting: no such device"]
    assert node.statuses[0] == "waiting" and node.statuses[-1] == "waiting: no such device"
    assert "receive" not in node.calls[:-1] and node.calls.count("connect") == 6


def test_readings_keep_the_numbers_of_the_engine(toy):
    assert read_all(toy([UP, 10, None, 20, 30], start=7)) == [(10, None), (20, None), (30, None)]


def test_frames_dropped_at_the_source_leave_a_gap(toy):
    node = toy([UP, 10, lambda: node.skipped(3), 20, 30, lambda: node.skipped(1), 40], start=5)
    assert read_all(node) == [(10, None), (20, 9), (30, None), (40, 12)]
    assert node.statuses[-1] == "running; 4 dropped at the source"


def test_a_silent_sensor_goes_through_the_states_with_one_line_each(toy, caplog):
    caplog.set_level(logging.INFO)
    silent = [None] * 51
    node = toy([UP, 10, *silent, ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), Lost("no route"), UP, 20])
    assert read_all(node) == [(10, None), (20, None)]
    lines = [r.getMessage() for r in caplog.records]
    assert lines == [
        "running",
        "stale: no data for 1 s",
        "lost: no data for 5 s; lost 1 time",
        "reconnecting: no data for 5 s; lost 1 time",
        "running; lost 1 time, 6.5 s in all",
    ]
    assert [line for line in node.statuses if line in lines] == lines


def test_a_broken_connection_is_lost_at_once(toy):
    node = toy([UP, 10, Lost("the server closed the stream"), UP, 20, OSError(errno.ENODEV, "No such device"), UP, 30])
    assert read_all(node) == [(10, None), (20, None), (30, None)]
    assert node.calls.count("connect") == 3
    assert any(text.startswith("lost: No such device; lost 2 times") for text in node.statuses)


def test_malformed_messages_are_counted_and_the_status_rarely_changes(toy):
    node = toy([UP, 10, *[Malformed("needs 1206 bytes, got 7")] * 100, 20])
    assert read_all(node) == [(10, None), (20, None)]
    node.close()
    assert node.statuses[-1] == "running; 100 malformed; last malformed: needs 1206 bytes, got 7"
    assert len(set(node.statuses)) == 3 + 7


def test_notes_are_part_of_the_status(toy):
    node = toy([UP, 10])
    node.note("clock", "stamps by arrival")
    node.note("clock", "stamps by arrival")
    assert node.statuses == ["waiting", "waiting; stamps by arrival"]
    node.note("clock", "")
    assert node.statuses[-1] == "waiting"


@pytest.mark.parametrize("where", ["connect", "receive"])
@pytest.mark.parametrize(
    ("error", "raises", "text"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/dev/video0"), RunError, "toy: /dev/video0: Permission denied"),
        (OSError(errno.EADDRINUSE, "Address already in use"), RunError, "toy: Address already in use"),
        (InputError("toy: needs a 16-bit stream, got 8 bits"), InputError, "needs a 16-bit stream"),
    ],
)
def test_what_cannot_heal_is_raised_once_and_ends_the_stream(toy, where, error, raises, text):
    node = toy([error] if where == "connect" else [UP, error], start=3)
    with pytest.raises(raises, match=text):
        node.read()
    assert node.read() is None and node.calls[-1] == "disconnect"


def test_a_bug_of_the_driver_is_an_error_of_one_reading(toy):
    node = toy([UP, 10, ZeroDivisionError("oops"), lambda: node.skipped(1), 20], start=0)
    assert node.read().stamp_ns == 10
    with pytest.raises(ZeroDivisionError):
        node.read()
    reading = node.read()
    assert (reading.stamp_ns, reading.frame_id) == (20, 3), "the engine has counted the failed reading as number 1"


def test_the_end_of_the_run_ends_a_silent_source(toy):
    node = toy([UP, 10, None, 20, None, 30])
    assert node.read().stamp_ns == 10
    node.ending = True
    assert node.read() is None
    node = toy([Lost("absent")])
    node.ending = True
    assert node.read() is None and "connect" not in node.calls


class Blocks(Live, Source):
    def connect(self):
        self.entered, self.released, self.closed = threading.Event(), threading.Event(), False

    def receive(self, timeout_s):
        self.entered.set()
        self.released.wait(20)
        return None

    def disconnect(self):
        self.closed = True


def test_close_waits_for_receive_but_not_for_one_that_hangs():
    """A device must not be closed under the thread that reads it."""
    node = prepare(Blocks(), "blocks", LiveConfig())
    node.open()
    reader = threading.Thread(target=node.read, daemon=True)
    reader.start()
    while not hasattr(node, "entered"):
        time.sleep(0.001)
    node.entered.wait(5)
    began = time.monotonic()
    node.close()
    assert time.monotonic() - began < 5 and not node.closed
    node.released.set()
    reader.join(5)
    node.close()
    assert node.closed and not reader.is_alive()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"stale_s": 0}, r"toy.config.stale_s: needs more than 0 and at most lost_s, got 0 with lost_s = 5"),
        ({"stale_s": 6}, r"toy.config.stale_s: needs more than 0 and at most lost_s, got 6 with lost_s = 5"),
        ({"retry_s": [2, 1]}, r"toy.config.retry_s: needs \[FIRST, LARGEST\] with 0 < FIRST <= LARGEST, got \[2, 1\]"),
        ({"retry_s": [0, 1]}, r"toy.config.retry_s: needs"),
    ],
)
def test_wrong_times_are_refused(config, message):
    with pytest.raises(GraphError, match=message):
        run_source(Toy, config, name="toy")


def test_a_config_adds_keys_and_keeps_the_checks():
    @dataclass(frozen=True, slots=True)
    class Config(LiveConfig):
        port: int = 2368

        def __post_init__(self):
            LiveConfig.__post_init__(self)

    assert (Config(port=1).port, Config().lost_s) == (1, 5.0)
    with pytest.raises(ValueError, match="stale_s"):
        Config(stale_s=-1)
