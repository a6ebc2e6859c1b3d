"""The door to a running graph: questions and answers in lines; nothing that a client does holds the run up."""

import contextlib
import json
import os
import socket
import stat
import time

import pytest
from pipe_runs import wait_for

from pipeline.errors import InputError, RunError
from pipeline.graph import load as graph
from pipeline.options import RunOptions
from pipeline.runtime import door as module
from pipeline.runtime.door import Door
from pipeline.runtime.poll import Poll
from pipeline.runtime.session import Session
from pipeline.watch import attach

TEXT = """version: 1
nodes:
  a: {driver: test.counter, config: {frames: 10, rate_hz: 10}}
  snk: {op: test.null, inputs: {in: a.out}}
"""


class House:
    """A run that does not run: its session and its door, served when a test says so."""

    def __init__(self, out):
        self.session = Session(graph.parse(TEXT, "t.yaml"), RunOptions(out))
        self.poll = Poll()
        self.door = Door(self.session, self.poll)
        self.path = self.session.folder / "door"

    def client(self):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(str(self.path))
        client.settimeout(0.2)
        self.serve()
        return client

    def serve(self, times=3):
        for _ in range(times):
            self.poll.wait(0.0)
            self.door.tick()

    def ask(self, client, line):
        client.sendall(line)
        self.serve()
        return json.loads(client.recv(1 << 20))

    def close(self):
        self.door.close()
        self.poll.close()
        self.session.close()
        self.__dict__.clear()  # pytest keeps the fixture a little longer, and it would keep the mapped board


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path / "out")
    yield house
    house.close()


def test_only_its_owner_may_enter(house):
    assert stat.S_IMODE(house.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(house.path.parent.stat().st_mode) == 0o700
    assert (house.path.parent / "out").read_text() == str(house.session.options.out)


def test_a_snapshot(house):
    with house.client() as client:
        found = house.ask(client, b'{"ask": "snapshot"}\n')["snapshot"]
        assert (found["graph"], found["run"], found["exit"], found["frames"]) == ("t", house.session.run_id, None, 0)
        sink = found["nodes"]["snk"]
        assert (sink["kind"], sink["state"], sink["latency"]) == ("sink", "idle", [])
        assert found["edges"]["a.out->snk.in"]["oldest_ms"] is None
        house.session.edge_books[0].open[1] = (0, 0, time.monotonic_ns() - 5_000_000)
        edge = house.ask(client, b'{"ask": "snapshot"}\n')["snapshot"]["edges"]["a.out->snk.in"]
        assert edge["in_flight"] == 1 and edge["oldest_ms"] >= 5


def test_a_log(house):
    (house.session.logs / "snk.log").write_text("one\ntwo\nthree\n")
    with house.client() as client:
        assert house.ask(client, b'{"ask": "log", "node": "snk", "lines": 2}\n') == {"log": ["two", "three"]}
        assert house.ask(client, b'{"ask": "log", "node": "a"}\n') == {"log": []}
        assert "needs one of the graph (a, snk), got 'b'" in house.ask(client, b'{"ask": "log", "node": "b"}\n')["error"]
        assert "lines: needs 1 .. 1000" in house.ask(client, b'{"ask": "log", "node": "a", "lines": -1}\n')["error"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"\n", "the request ''"),
        (b"junk\n", "the request 'junk'"),
        (b"\xff\xfe\x00\n", "the request"),
        (b"[1]\n", "needs an object with the key ask, got '[1]'"),
        (b'{"ask": "secret"}\n', "ask: needs snapshot, log, got 'secret'"),
        (b"[" * 60_000 + b"\n", "brackets are too deep"),
    ],
)
def test_junk_is_answered_in_one_line(house, line, error):
    with house.client() as client:
        answer = house.ask(client, line)["error"]
        assert error in answer and "\n" not in answer
        assert "snapshot" in house.ask(client, b'{"ask": "snapshot"}\n'), "the client may try again"


def test_a_request_without_an_end(house):
    with house.client() as client:
        for _ in range(2):
            client.sendall(b"x" * 40_000)
            house.serve()
        with contextlib.suppress(ConnectionError):  # the answer is that nobody listens
            assert client.recv(10) == b""


def test_many_requests_at_once_are_answered_one_by_one(house):
    with house.client() as client:
        client.sendall(b'{"ask": "log", "node": "a"}\n' * 10)
        house.poll.wait(0.0)
        assert client.recv(1 << 16) == b'{"log": []}\n'
        house.serve(9)
        assert client.recv(1 << 16) == b'{"log": []}\n' * 9


def test_a_client_that_does_not_read_is_sent_away(house, monkeypatch):
    monkeypatch.setattr(module, "SLOW_S", 0.05)
    house.door.answers["much"] = lambda _: {"much": "x" * 3_000_000}
    with house.client() as slow, house.client() as other:
        slow.sendall(b'{"ask": "much"}\n')
        house.serve()
        assert "snapshot" in house.ask(other, b'{"ask": "snapshot"}\n')
        time.sleep(0.06)
        house.serve()
        arrived = 0
        while data := slow.recv(1 << 20):
            arrived += len(data)
        assert arrived < 3_000_000
        assert "snapshot" in house.ask(other, b'{"ask": "snapshot"}\n')


def test_a_client_that_leaves(house):
    house.client().close()
    house.serve()
    with house.client() as client:
        client.sendall(b'{"ask": "snap')
        client.close()
        house.serve()
    assert not house.door._clients


def test_too_many_clients(house):
    clients = [house.client() for _ in range(module.MOST_CLIENTS + 1)]
    assert clients[-1].recv(1) == b""
    assert "snapshot" in house.ask(clients[0], b'{"ask": "snapshot"}\n')
    for client in clients:
        client.close()
    house.serve()


def test_somebody_removes_the_socket(house, monkeypatch):
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    house.path.unlink()
    time.sleep(0.001)
    house.serve()
    with house.client() as client:
        assert "snapshot" in house.ask(client, b'{"ask": "snapshot"}\n')


# -- from outside ---------------------------------------------------------------------------------------------------------


def test_no_run(tmp_path):
    assert attach.runs() == []
    with pytest.raises(InputError, match="RUN: no graph runs here"):
        attach.find(None)
    with pytest.raises(InputError, match=r"nobody: needs a running graph \(none\) or the folder of a run"):
        attach.find("nobody")
    with pytest.raises(InputError, match=r"needs the folder of a run .*without logs/run.json"):
        attach.find(str(tmp_path))


def test_two_runs(tmp_path):
    houses = [House(tmp_path / name) for name in ("one", "two")]
    try:
        ids = [house.session.run_id for house in houses]
        assert sorted(run.run for run in attach.runs()) == sorted(ids)
        with pytest.raises(InputError, match=f"RUN: needs a name: 2 graphs run: {min(ids)}, {max(ids)}"):
            attach.find(None)
        with pytest.raises(InputError, match="t-: needs one run, got the beginning of t-"):
            attach.find("t-")
        assert attach.find(ids[1]).out == tmp_path / "two"
        assert attach.find(str(tmp_path / "one")).run == ids[0]
        houses[0].close()
        assert attach.find(None).run == ids[1]
        assert attach.find(str(tmp_path / "one" / "logs")) == attach.Found("one", tmp_path / "one", None)
        with pytest.raises(RunError, match="one: needs the door of a running graph, got none: it has ended"):
            attach.Attached(attach.find(str(tmp_path / "one")))
    finally:
        houses[1].close()


def test_a_run_inline_has_no_door(house):
    house.path.unlink()
    with pytest.raises(RunError, match="got none: it runs inline"):
        attach.Attached(attach.find(None))
    os.close(os.open(house.path, os.O_CREAT))
    with pytest.raises(RunError, match="needs a socket of uid"):
        attach.Attached(attach.find(None))


def test_a_run_in_processes(pipe):
    running = pipe.start(pipe.graph(
        "  a: {driver: test.counter, config: {frames: 100000, rate_hz: 100}}\n"
        "  snk: {op: test.null, inputs: {in: a.out}, config: {write: true}}\n"
    ), "--rate", "1", "--quiet")  # fmt: skip
    running.wait_lines("snk", 5)
    run = attach.find(None)
    assert run.out == running.out
    with attach.Attached(run) as attached:
        first = attached.snapshot()
        assert first["processes"]["a"]["pid"] == running.pid_of("a")
        assert {row["state"] for row in first["processes"].values()} == {"running"}
        assert attached.log("snk") == []
        with pytest.raises(RunError, match=f"{run.run}: .*needs one of the graph"):
            attached.log("b")
        running.signal(2)
        running.end()
        with pytest.raises(RunError, match="has it ended"):
            wait_for(lambda: attached.snapshot() and None, 5, "the end")
    assert first["frames"] > 0 and first["edges"]["a.out->snk.in"]["hop"]
