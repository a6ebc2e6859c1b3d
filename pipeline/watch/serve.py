"""`--view`: the run page, live, on this machine's loopback. It shows the run and changes nothing.

A thread for each connection, at most MOST_CONNECTIONS; a viewer that reads too slowly gets the newest state only, and is cut off
after TIMEOUT_S. The address has a random part, so that neither other users nor other sites can guess it. Only GET is answered,
only for the host names of loopback (DNS rebinding), and only with the page, its feed, and pictures and videos of this run's
nodes. The run's own thread makes a snapshot every UPDATE_S while somebody watches, and nothing otherwise.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pipeline.errors import GraphError
from pipeline.outside import open_file
from pipeline.watch.newest import Newest
from pipeline.watch.page.html import embedded

HOST = "127.0.0.1"
UPDATE_S, TIMEOUT_S, BEAT_S = 0.4, 5.0, 1.0
MOST_CONNECTIONS, MOST_NOTES = 32, 200
TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".mp4": "video/mp4"}
PIECE = 1 << 18


class Feed:
    """What viewers are told: the latest message of each kind, and the last notes. Slow viewers miss what was replaced."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.viewers = 0
        self.closed = False
        self._number = 0
        self._latest: dict[str, tuple[int, str]] = {}
        self._notes: list[tuple[int, str]] = []

    def put(self, kind: str, text: str) -> None:
        """text: JSON, one line."""
        with self.changed:
            self._number += 1
            if kind == "note":
                self._notes = [*self._notes[1 - MOST_NOTES :], (self._number, text)]
            else:
                self._latest[kind] = (self._number, text)
            self.changed.notify_all()

    def after(self, seen: int, wait_s: float) -> tuple[int, list[tuple[str, str]]]:
        """Messages that are newer than number `seen`, oldest first; waits for the first of them."""
        with self.changed:
            if self._number <= seen and not self.closed:
                self.changed.wait(wait_s)
            rows = [(n, kind, text) for kind, (n, text) in self._latest.items()] + [(n, "note", text) for n, text in self._notes]
            newer = sorted(row for row in rows if row[0] > seen)
            return max(seen, self._number), [(kind, text) for _, kind, text in newer]

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()


class Server(ThreadingHTTPServer):
    """Serves from its creation to `end`. Raises GraphError if the port is taken.

    page     the page's HTML, "" before there is one; stories: the newest frames, ready for JSON
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, out: Path, nodes: Iterable[str], port: int = 0) -> None:
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise GraphError(f"--view page:{port}: needs a free port, got: {error.strerror}; use another one, or none") from None
        self.out, self.nodes = Path(os.path.realpath(out)), frozenset(nodes)
        self.feed, self.newest = Feed(), Newest(self.out, self.nodes)
        self.page: Callable[[], str] = str
        self.stories: Callable[[], Any] = dict
        self._token = secrets.token_urlsafe(9)
        self.port: int = self.server_address[1]
        self.root = f"/{self._token}/"
        self.url = f"http://{HOST}:{self.port}{self.root}"
        self.hosts = {f"{name}:{self.port}" for name in (HOST, "localhost")}
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="view", daemon=True)
        self._thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A viewer that has gone, or sends anything: nothing that the run's user must read."""

    def end(self) -> None:
        """Viewers get what was put last, for at most a second."""
        self.feed.close()
        until = monotonic() + 1.0
        with self.feed.changed:
            while self.feed.viewers and monotonic() < until:
                self.feed.changed.wait(0.05)
        self.shutdown()
        self._thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        server, parts = self.server, urlsplit(self.path)
        self.close_connection = True
        if self.headers.get("Host", "").lower() not in server.hosts:
            self._refuse(403, "this page is for this machine only")
        elif not secrets.compare_digest(parts.path[: len(server.root)].encode(), server.root.encode()):
            self._refuse(404, "no such page")
        else:
            name = unquote(parts.path[len(server.root) :], errors="surrogateescape")
            if name == "":
                self._send(server.page().encode("utf-8", "replace"), "text/html; charset=utf-8")
            elif name == "_/events":
                self._events()
            elif name == "_/stories":
                self._send(embedded(server.stories()).encode(), "application/json")
            elif name.startswith("_/film/"):
                self._film(name.removeprefix("_/film/"), parse_qs(parts.query))
            else:
                self._file(name)

    def _events(self) -> None:
        """Server-sent events (HTML standard, 9.2) until the run or the viewer ends."""
        feed, seen = self.server.feed, 0
        self._head(200, "text/event-stream")
        self.end_headers()
        with feed.changed:
            feed.viewers += 1
        try:
            while True:
                closed = feed.closed
                seen, messages = feed.after(seen, BEAT_S)
                newest = [] if closed else [("newest", json.dumps(self.server.newest.look()))]
                self.wfile.write("".join(f"event: {kind}\ndata: {text}\n\n" for kind, text in [*messages, *newest]).encode())
                if closed:
                    return
        finally:
            with feed.changed:
                feed.viewers -= 1
                feed.changed.notify_all()

    def _film(self, node: str, query: dict[str, list[str]]) -> None:
        """The next part of a growing video; see `newest.Film`. Nothing new: an empty answer."""
        at = query.get("at", [""])[0]
        part = self.server.newest.part(node, query.get("name", [""])[0], int(at) if at.isdecimal() and len(at) < 16 else None)
        if part is None:
            self._refuse(404, "no video yet")
            return
        more: dict[str, str | int] = {
            "X-Name": quote(os.fsencode(part.name)),
            "X-At": part.at,
            "X-First": int(part.first),
            "X-Codec": part.codec,
        }
        self._send(part.data, "video/mp4", **more)

    def _file(self, name: str) -> None:
        """A picture or video below the folder of a node."""
        pieces = name.split("/")
        kind = TYPES.get(os.path.splitext(name)[1].lower())
        path = self.server.out / name
        fine = kind and len(pieces) > 1 and pieces[0] in self.server.nodes and not any(p[:1] in ("", ".") for p in pieces)
        try:
            if not fine or "\0" in name or os.path.realpath(path) != str(path):  # a link could lead anywhere
                raise OSError
            fd = open_file(path)
        except OSError:
            self._refuse(404, "no such file")
            return
        with open(fd, "rb") as file:
            size = os.fstat(fd).st_size
            first, last = _range(self.headers.get("Range", ""), size)
            partial = (first, last) != (0, size - 1)
            more = {"Content-Range": f"bytes {first}-{last}/{size}"} if partial else {}
            more |= {"Accept-Ranges": "bytes", "Content-Length": str(last + 1 - first)}
            self._head(206 if partial else 200, str(kind), **more)
            self.end_headers()
            file.seek(first)
            left = last + 1 - first
            while left > 0 and (data := file.read(min(left, PIECE))):
                self.wfile.write(data)
                left -= len(data)

    def _send(self, data: bytes, kind: str, **headers: str | int) -> None:
        self._head(200, kind, **{"Content-Length": len(data), **headers})
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, code: int, text: str) -> None:
        self._head(code, "text/plain; charset=utf-8", **{"Content-Length": len(text)})
        self.end_headers()
        self.wfile.write(text.encode())

    def _head(self, code: int, kind: str, **headers: str | int) -> None:
        self.send_response(code)
        fixed = {
            "Content-Type": kind,
            "Cache-Control": "no-store",
            "Connection": "close",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
        }
        for key, value in {**fixed, **headers}.items():
            self.send_header(key, str(value))

    def version_string(self) -> str:
        return "pipe"

    def log_message(self, format: str, *args: Any) -> None:
        """The run's output is the run's."""


def _range(text: str, size: int) -> tuple[int, int]:
    """First and last byte of a Range header (RFC 9110, 14.2); the whole file for any that cannot be had."""
    match = re.fullmatch(r"bytes=(\d{1,15})-(\d{0,15})", text)
    first, last = (0, -1) if match is None else (int(match[1]), min(int(match[2] or size), size - 1))
    return (first, last) if first <= last else (0, size - 1)
