"""Datagrams over loopback, on free ports."""

import socket
import threading
import time
from pathlib import Path

import pytest

from drivers import udp
from drivers.live import Lost
from drivers.udp import Receiver, check_port
from pipeline.errors import InputError


@pytest.fixture
def receiver():
    made = []

    def make(**config):
        made.append(Receiver(0, "127.0.0.1", **config))
        return made[-1]

    yield make
    for it in made:
        it.close()
        assert not it._thread.is_alive()


def send(receiver, *payloads):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for payload in payloads:
            sender.sendto(payload, ("127.0.0.1", receiver.port))


def take(receiver, count, timeout_s=5.0):
    got, until = [], time.monotonic() + timeout_s
    while len(got) < count and time.monotonic() < until:
        got += receiver.receive(0.2)
    return got


def test_nothing_comes(receiver):
    it = receiver()
    assert it.receive(0.0) == it.receive(0.01) == [] and it.lost == 0


def test_datagrams_have_order_sender_port_and_the_stamp_of_their_arrival(receiver):
    it = receiver()
    before = time.time_ns()
    send(it, b"one", b"", bytes(60_000))
    after = time.time_ns()
    time.sleep(0.02)
    got = take(it, 3)
    assert [d.data for d in got] == [b"one", b"", bytes(60_000)]
    assert {(d.sender, d.port) for d in got} == {("127.0.0.1", it.port)}
    stamps = [d.stamp_ns for d in got]
    assert stamps == sorted(stamps) and before - 1_000_000 <= stamps[0] and stamps[-1] <= after + 1_000_000


def test_only_one_sender_is_heard(receiver):
    it = receiver(sender="127.0.0.9")
    send(it, b"other")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.9", 0))
        sender.sendto(b"own", ("127.0.0.1", it.port))
    assert [d.data for d in take(it, 1)] == [b"own"]


def test_a_burst_waits_for_a_busy_reader_without_loss(receiver):
    it = receiver()
    if it.shortage:
        pytest.skip(it.shortage)
    for i in range(2000):
        send(it, i.to_bytes(2, "big") + bytes(1204))
    got = take(it, 2000)
    assert [int.from_bytes(d.data[:2], "big") for d in got] == list(range(2000)) and it.lost == 0


def test_what_the_kernel_drops_is_counted(receiver, monkeypatch):
    go_on = threading.Event()
    take_from_socket = Receiver._take
    monkeypatch.setattr(Receiver, "_take", lambda self: go_on.wait(5) and take_from_socket(self))
    it = receiver(buffer_bytes=4096)
    send(it, *[bytes(1000)] * 200)
    go_on.set()
    got = take(it, 1)
    send(it, b"after")  # the counter comes with the next datagram
    while not got or got[-1].data != b"after":
        got += it.receive(1.0)
    assert it.lost == 201 - len(got) > 0


def test_a_reader_that_never_reads_loses_the_oldest(receiver, monkeypatch):
    monkeypatch.setattr(udp, "MAX_WAITING_BYTES", 3000)
    it = receiver()
    send(it, *(bytes([i]) * 1000 for i in range(10)))
    until = time.monotonic() + 5
    while it.lost < 7 and time.monotonic() < until:
        time.sleep(0.01)
    assert [d.data[0] for d in it.receive(0.0)] == [7, 8, 9] and it.lost == 7


def test_a_buffer_that_the_kernel_refuses_is_named(receiver):
    assert receiver(buffer_bytes=4096).shortage == ""
    text = receiver(buffer_bytes=1 << 30).shortage
    assert not text or text.endswith(": sudo sysctl -w net.core.rmem_max=1073741824")


def test_an_error_of_the_socket_is_a_loss(receiver, monkeypatch):
    def fails(self):
        raise OSError(100, "Network is down")

    monkeypatch.setattr(Receiver, "_take", fails)
    it = receiver()
    send(it, b"x")
    with pytest.raises(Lost, match=f"UDP port {it.port}: Network is down"):
        take(it, 1)


def test_close_ends_a_waiting_reader_and_may_be_called_twice(receiver):
    it = receiver()
    got = []
    reader = threading.Thread(target=lambda: got.append(it.receive(20)))
    reader.start()
    it.close()
    reader.join(5)
    it.close()
    assert got == [[]]


def test_a_port_in_use_is_named_before_the_run(receiver):
    it = receiver()
    with pytest.raises(InputError, match=f"^velo: needs UDP port {it.port}, got: Address already in use; another program"):
        check_port("velo", it.port, "127.0.0.1")
    with pytest.raises(InputError, match=r"got: Cannot assign requested address; this machine has no address 192.0.2.7"):
        check_port("velo", 0, "192.0.2.7")
    check_port("velo", 0, "127.0.0.1")


def test_a_multicast_group_is_joined():
    try:
        made = udp.bind(0, "239.255.42.99")
    except OSError as error:
        pytest.skip(f"no multicast here: {error}")
    with made:
        joined = Path("/proc/net/igmp").read_text()
    assert socket.inet_aton("239.255.42.99")[::-1].hex().upper() in joined
