"""Plays a driver of a sensor without the engine."""

import threading
import time

import pytest

from pipeline.operator import attach, prepare


class Player:
    """A live driver without the engine: opened, read in this thread, closed at the end of the test."""

    def __init__(self, cls, config, tmp_path, **more):
        self.lines = []
        self.source = prepare(cls(), "cam", config, out_dir=tmp_path, **more)
        attach(self.source, show=self.lines.append)
        self.source.open()

    @property
    def status(self):
        return self.lines[-1]

    def read(self, count):
        return [self.source.read() for _ in range(count)]

    def all(self):
        """Readings to the end. On a busy machine pictures are dropped, never the last one."""
        readings = []
        while (reading := self.source.read()) is not None:
            readings.append(reading)
        return readings

    def until(self, text, timeout_s=10.0):
        """Reads in another thread until the status begins so. `read` may be called before that thread has ended."""
        end = time.monotonic() + timeout_s
        threading.Thread(target=self._read, args=(text, end), daemon=True).start()
        while time.monotonic() < end and not self.status.startswith(text):
            time.sleep(0.005)
        assert self.status.startswith(text), self.lines

    def _read(self, text, end):
        while time.monotonic() < end and not self.status.startswith(text):
            if self.source.read() is None:
                return


@pytest.fixture
def play(tmp_path):
    players = []

    def start(cls, config, **more):
        players.append(Player(cls, config, tmp_path, **more))
        return players[-1]

    yield start
    for player in players:
        player.source.close()
