import threading
import time

import cv2
import numpy as np
import pytest

from pipeline.operator import attach, prepare


@pytest.fixture(scope="session")
def jpegs():
    """Ten grey pictures 64 x 48; the k-th is 20 * k bright."""
    return [cv2.imencode(".jpg", np.full((48, 64, 3), 20 * k, np.uint8))[1].tobytes() for k in range(10)]


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
