import time
import urllib.error
import urllib.request

import pytest

from drivers.camera.mjpeg_server import BOUNDARY, SEND_TIMEOUT_S, MjpegServer

HERE = ("127.0.0.1", 0)


def part(stream):
    """One part of the answer, as a client reads it: header lines, picture."""
    assert stream.readline() == f"--{BOUNDARY}\r\n".encode()
    head = {}
    while (line := stream.readline().decode().strip()) != "":
        key, _, value = line.partition(": ")
        head[key] = value
    data = stream.read(int(head["Content-Length"]))
    assert stream.readline() == b"\r\n"
    return head, data


def test_a_client_gets_the_pictures_from_its_coming_on(jpegs):
    with MjpegServer(HERE, "/cam.mjpg") as server:
        server.show(jpegs[0])
        with urllib.request.urlopen(server.url, timeout=5) as stream:
            assert stream.headers["Content-Type"] == f"multipart/x-mixed-replace; boundary={BOUNDARY}"
            assert server.wait_for_client(5)
            before = time.time()
            server.show(jpegs[1])
            head, data = part(stream)
            assert data == jpegs[1] and head["Content-Type"] == "image/jpeg"
            assert before - 1e-5 <= float(head["X-Timestamp"]) <= time.time() + 1e-5
        assert server.pictures_sent == 1


def test_a_slow_client_misses_pictures(jpegs):
    with MjpegServer(HERE) as server, urllib.request.urlopen(server.url, timeout=5) as stream:
        server.wait_for_client(5)
        with server._news:  # the thread of the client cannot run meanwhile
            for jpeg in jpegs:
                server.show(jpeg)
        assert part(stream)[1] == jpegs[9]


def test_another_path_is_404_and_a_port_in_use_is_said(jpegs):
    with MjpegServer(HERE, "/a") as server:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(server.url + "b", timeout=5)
        with pytest.raises(OSError, match="in use"):
            MjpegServer(server.address)


def test_close_cuts_the_clients_and_frees_the_port():
    server = MjpegServer(HERE)
    stream = urllib.request.urlopen(server.url, timeout=5)
    server.close()
    assert stream.read() == b""
    stream.close()
    MjpegServer(server.address).close()
    assert not server.wait_for_client(0)


def test_close_sends_the_last_picture_first(jpegs):
    server = MjpegServer(HERE)
    with urllib.request.urlopen(server.url, timeout=5) as stream:
        server.wait_for_client(5)
        server.show(jpegs[7])
        server.close()
        assert part(stream)[1] == jpegs[7] and stream.read() == b""


def test_close_does_not_wait_for_a_client_that_takes_nothing():
    server = MjpegServer(HERE)
    with urllib.request.urlopen(server.url, timeout=5):
        server.wait_for_client(5)
        server.show(bytes(50_000_000))  # more than the buffers of a socket
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < SEND_TIMEOUT_S
