"""The server of --view: what it answers, to whom, and what no request can get."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time

import pytest

from pipeline.errors import GraphError
from pipeline.watch import serve
from pipeline.watch.serve import Feed, Server

NEWEST = '{"render": {"film": true, "picture": "render/frames/a%20b.png"}}'


@pytest.fixture
def server(tmp_path):
    (tmp_path / "render" / "frames").mkdir(parents=True)
    (tmp_path / "render" / "frames" / "a b.png").write_bytes(b"picture")
    (tmp_path / "render" / "video.mp4").write_bytes(bytes(range(100)))
    (tmp_path / "render" / "notes.txt").write_text("no picture")
    (tmp_path / "render" / ".hidden.png").write_bytes(b"hidden")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "x.png").write_bytes(b"of no node")
    (tmp_path / "secret.png").write_bytes(b"of no node")
    (tmp_path / "render" / "link.png").symlink_to(tmp_path / "secret.png")
    made = Server(tmp_path, ["render"])
    made.page = lambda: "<p>page</p>"
    made.stories = lambda: {"frames": []}
    yield made
    made.end()


def ask(server, path, method="GET", **headers):
    """path: below the secret part of the address"""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path if path.startswith("/") else server.root + path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def test_the_page(server):
    answer, body = ask(server, "")
    assert (answer.status, body) == (200, b"<p>page</p>")
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Access-Control-Allow-Origin"] is None
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert server.url == f"http://127.0.0.1:{server.port}{server.root}" and len(server.root) > 12
    assert json.loads(ask(server, "_/stories")[1]) == {"frames": []}


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1", "127.0.0.1:1", "", "localhost.example.org:{port}", "[::1]:{port}"])
def test_another_host_name_is_refused(server, host):
    answer, body = ask(server, "", Host=host.format(port=server.port))
    assert (answer.status, body) == (403, b"this page is for this machine only")


def test_localhost_is_this_machine(server):
    assert ask(server, "", Host=f"localhost:{server.port}")[0].status == 200


@pytest.mark.parametrize("path", ["/", "/page", "/wrong-token-xx/", "/../", "//"])
def test_without_the_secret_there_is_nothing(server, path):
    assert ask(server, path)[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "CONNECT"])
def test_only_get(server, method):
    assert ask(server, "", method)[0].status == 501


@pytest.mark.parametrize(
    "name",
    [
        "render/notes.txt", "render/none.png", "render/.hidden.png", "render/link.png", "render", "render/", "render/frames",
        "logs/x.png", "secret.png", "../secret.png", "render/../secret.png", "render/%2e%2e/secret.png", "render/..%2fsecret.png",
        "render//../secret.png", "%2Fetc/passwd.png", "render/frames/a%20b.png%00", "render%2f..%2flogs%2fx.png", "_/none",
        "render/%ff.png", "_/film/none", "render/\\..\\secret.png",
    ],
)  # fmt: skip
def test_no_other_file(server, name):
    assert ask(server, name)[0].status == 404


def test_pictures_and_parts_of_videos(server):
    answer, body = ask(server, "render/frames/a%20b.png")
    assert (answer.status, answer.headers["Content-Type"], body) == (200, "image/png", b"picture")
    whole = bytes(range(100))
    for text, status, data in [
        ("", 200, whole),
        ("bytes=10-19", 206, whole[10:20]),
        ("bytes=90-", 206, whole[90:]),
        ("bytes=90-999", 206, whole[90:]),
        ("bytes=0-", 200, whole),
        ("bytes=100-", 200, whole),  # a range that cannot be had may be ignored
        ("bytes=-5", 200, whole),
        ("bytes=5-1", 200, whole),
        ("lines=1-2", 200, whole),
    ]:
        answer, body = ask(server, "render/video.mp4", Range=text)
        assert (answer.status, body) == (status, data), text


def test_a_film(server, tmp_path):
    assert ask(server, "_/film/render")[0].status == 404  # nobody has looked yet
    server.newest.look()
    assert ask(server, "_/film/render?at=x")[0].status == 404  # this file is no video


def events(server, count):
    """The first messages of the feed, as (kind, data)."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(f"GET {server.root}_/events HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode())
        text = b""
        while text.count(b"\n\n") < count and (data := sock.recv(65536)):
            text += data
    body = text.decode().partition("\r\n\r\n")[2]
    return [tuple(line.partition(": ")[2] for line in block.split("\n")) for block in body.split("\n\n") if block]


def test_the_feed(server):
    for kind, text in [("snapshot", "1"), ("note", '"a"'), ("snapshot", "2"), ("note", '"b"')]:
        server.feed.put(kind, text)
    # of snapshots the latest, of notes all
    assert events(server, 4) == [("note", '"a"'), ("snapshot", "2"), ("note", '"b"'), ("newest", NEWEST)]


def test_a_viewer_gets_what_comes_last(server):
    got = []
    viewer = threading.Thread(target=lambda: got.extend(events(server, 10**6)))
    viewer.start()
    until = time.monotonic() + 5
    while not server.feed.viewers and time.monotonic() < until:
        time.sleep(0.01)
    server.feed.put("final", '{"exit": "completed"}')
    server.end()
    viewer.join(5)
    assert ("final", '{"exit": "completed"}') in got and server.feed.viewers == 0
    server._thread.join(0)


def test_a_viewer_that_reads_nothing_ends(server, monkeypatch):
    monkeypatch.setattr(serve.Handler, "timeout", 0.2)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(f"GET {server.root}_/events HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode())
        until, cut = time.monotonic() + 10, False
        for _ in range(40):
            server.feed.put("snapshot", '"' + "x" * 1_000_000 + '"')
            time.sleep(0.02)
        while not cut and time.monotonic() < until:
            cut = server.feed.viewers == 0
            time.sleep(0.02)
    assert cut


def test_too_many_connections(server):
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(serve.MOST_CONNECTIONS)]
    try:
        until = time.monotonic() + 5
        while server._free._value and time.monotonic() < until:
            time.sleep(0.01)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            ask(server, "")
    finally:
        for sock in held:
            sock.close()


def test_a_port_that_is_taken(server, tmp_path):
    with pytest.raises(GraphError, match=rf"--view page:{server.port}: needs a free port, got: Address already in use"):
        Server(tmp_path, [], server.port)


def test_notes_are_bounded():
    feed = Feed()
    for n in range(1000):
        feed.put("note", str(n))
    seen, messages = feed.after(0, 0)
    assert seen == 1000 and [text for _, text in messages] == [str(n) for n in range(1000 - serve.MOST_NOTES, 1000)]
    assert feed.after(seen, 0) == (1000, [])
