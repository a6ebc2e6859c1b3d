import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from drivers.camera.newest import Newest, NewestPicture, Picture
from drivers.live import LiveConfig, Lost, Malformed
from pipeline.frame import Reading
from pipeline.operator import Source


class Camera:
    """Gives what `put` was called with, one by one; an exception is raised."""

    def __init__(self):
        self.things, self.come, self.closed, self.asked = [], threading.Semaphore(0), threading.Event(), 0

    def put(self, *things):
        self.things += things
        for _ in things:
            self.come.release()

    def grab(self):
        self.asked += 1
        self.come.acquire()
        thing = self.things.pop(0)
        if isinstance(thing, Exception):
            raise thing
        return thing

    def stop(self):
        self.put(Lost("stopped"))

    def close(self):
        self.closed.set()

    def idle(self):
        """Until all that was put has been grabbed."""
        end = time.monotonic() + 5
        while (self.things or self.come._value) and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(0.01)


def picture(value):
    return Picture(np.full((2, 2, 3), value, np.uint8), value, value)


def none(text, count):
    raise AssertionError(text)


@pytest.fixture
def camera():
    return Camera()


@pytest.fixture
def newest(camera):
    newest = Newest(camera, "cam")
    yield newest
    newest.stop()
    assert camera.closed.wait(5)


def test_nothing_comes(newest):
    began = time.monotonic()
    assert newest.take(0.05, none) is None and time.monotonic() - began >= 0.05


def test_one_picture_is_taken_once(camera, newest):
    camera.put(picture(1))
    taken = newest.take(5, none)
    assert taken[0].stamp_ns == 1 and taken[1] == 0
    assert newest.take(0, none) is None


def test_the_newest_of_many_wins_and_the_others_are_counted(camera, newest):
    camera.put(*map(picture, range(1, 8)))
    camera.idle()
    taken = newest.take(5, none)
    assert taken[0].stamp_ns == 7 and taken[1] == 6
    camera.put(picture(8))
    assert newest.take(5, none)[1] == 0


def test_damaged_pictures_are_counted_and_the_stream_goes_on(camera, newest):
    told = []
    camera.put(Malformed("half a picture"), Malformed("half a picture"), picture(3))
    camera.idle()
    taken = newest.take(5, lambda *what: told.append(what))
    assert taken[0].stamp_ns == 3 and told == [("half a picture", 2)]


def test_the_last_picture_is_taken_before_the_end(camera, newest):
    camera.put(picture(1), Lost("unplugged"))
    camera.idle()
    assert newest.take(5, none)[0].stamp_ns == 1
    with pytest.raises(Lost, match="unplugged"):
        newest.take(5, none)
    assert camera.closed.is_set()


@dataclass(frozen=True)
class DriverConfig(LiveConfig):
    max_hz: float = 0.0


class Driver(NewestPicture, Source):
    Config = DriverConfig

    def __init__(self):
        self.camera = Camera()

    def capture(self):
        return self.camera

    def reading(self, picture, item):
        return Reading({}, item, picture.stamp_ns)


def test_frame_ids_have_the_gap_of_the_dropped_pictures(play):
    player = play(Driver, DriverConfig())
    camera = player.source.camera
    camera.put(picture(1))
    (first,) = player.read(1)
    camera.put(*map(picture, range(2, 6)))
    camera.idle()
    (second,) = player.read(1)
    assert (first.item, second.item) == ("000000", "000004") and second.frame_id == 4
    assert "3 dropped at the source" in player.status and "stamps by arrival" in player.status


def test_the_end_of_a_recording_ends_the_stream(play):
    player = play(Driver, DriverConfig())
    player.source.camera.put(picture(1), EOFError())
    assert [r and r.stamp_ns for r in player.read(2)] == [1, None]


def test_pictures_beyond_max_hz_are_dropped_and_leave_gaps(play):
    """30 a second, taken one by one, 10 wanted."""
    player = play(Driver, DriverConfig(max_hz=10))
    camera, took = player.source.camera, []
    player.source.connect()
    for number in range(12):
        camera.put(picture(1)._replace(arrival_ns=1 + number * 33_400_000))
        camera.idle()
        reading = player.source.receive(0)
        took += [number] if reading is not None else []
    assert took == [0, 3, 6, 9]
    assert "dropped at the source" in player.status
