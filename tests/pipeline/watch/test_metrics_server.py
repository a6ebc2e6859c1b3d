"""Metrics over HTTP: from the thread of the run to a client; a port in use, a busy run, clients that do nothing."""

import contextlib
import socket
import threading
import time
import urllib.request

import pytest
from snapshots import snapshot

from pipeline.errors import GraphError
from pipeline.watch import metrics_server
from pipeline.watch.metrics_server import Metrics, Server

pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install 'perception-pipe[metrics]'")


class Ticking:
    """The loop of a run that makes snapshots; each has one frame more."""

    def __init__(self, monkeypatch, quiet=True):
        self.made = 0
        monkeypatch.setattr(metrics_server, "snapshot", self._snapshot)
        self.server = Server("127.0.0.1", 0)
        self.metrics = Metrics(None, self.server, quiet)
        self.busy, self.stopping = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._loop)

    def _snapshot(self, session):
        self.made += 1
        return snapshot(10.0, self.made)

    def _loop(self):
        while not self.stopping.wait(0.01):
            if not self.busy.is_set():
                self.metrics.update({})

    @contextlib.contextmanager
    def running(self):
        with self.server:
            self.metrics.start()
            self.thread.start()
            try:
                yield self
            finally:
                self.stopping.set()
                self.thread.join()
                self.metrics.stop()

    def frames(self):
        with urllib.request.urlopen(self.server.url, timeout=5) as answer:
            text = answer.read().decode()
        return next((float(line.split()[1]) for line in text.splitlines() if line.startswith("pipe_run_frames_total ")), None)


@pytest.fixture
def ticking(monkeypatch):
    monkeypatch.setattr(metrics_server, "ANSWER_S", 0.2)
    return Ticking(monkeypatch)


def test_each_request_gets_a_new_snapshot_and_nothing_is_made_without_one(ticking):
    with ticking.running():
        assert ticking.made == 0
        assert [ticking.frames() for _ in range(3)] == [1, 2, 3]
        time.sleep(0.05)
        assert ticking.made == 3


def test_many_at_once(ticking):
    got = []
    with ticking.running():
        threads = [threading.Thread(target=lambda: got.append(ticking.frames())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(got) == 8 and None not in got


def test_a_busy_run_gives_its_last_snapshot(ticking):
    with ticking.running():
        assert ticking.frames() == 1
        ticking.busy.set()
        assert ticking.frames() == 1


def test_a_run_that_has_not_made_one_yet_and_one_that_has_ended(ticking, monkeypatch):
    with ticking.running():
        ticking.busy.set()
        assert ticking.frames() is None
        ticking.metrics.stop()
        monkeypatch.setattr(metrics_server, "ANSWER_S", 60.0)
        assert ticking.frames() is None  # at once


def test_clients_that_ask_nothing_or_nonsense(ticking):
    with ticking.running():
        address = ticking.server.server_address
        with socket.create_connection(address), socket.create_connection(address) as wrong:
            wrong.sendall(b"\x00\xff\r\n\r\n")
            assert ticking.frames() == 1
    with pytest.raises(ConnectionRefusedError), socket.create_connection(address):
        pass


def test_it_says_where(monkeypatch, capsys):
    with Ticking(monkeypatch, quiet=False).running() as ticking:
        assert capsys.readouterr().out == f"metrics: {ticking.server.url}\n"
        assert ticking.server.url.startswith("http://127.0.0.1:")


def test_a_port_in_use():
    with Server("127.0.0.1", 0) as server:
        port = server.server_address[1]
        with pytest.raises(
            GraphError, match=rf"^--metrics 127\.0\.0\.1:{port}: needs an address to listen on, got: Address already"
        ):
            Server("127.0.0.1", port)


def test_an_address_that_is_not_here():
    with pytest.raises(GraphError, match=r"^--metrics 192\.0\.2\.7:0: needs an address to listen on, got: "):
        Server("192.0.2.7", 0)


def test_without_the_extra(monkeypatch):
    monkeypatch.setattr(metrics_server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GraphError, match=r"pip install 'perception-pipe\[metrics\]'"):
        Server("127.0.0.1", 0)
