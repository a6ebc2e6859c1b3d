"""The door to a running graph: a Unix socket `door` in the run's folder, by which `pipe top`, `pipe set` and others attach.

One line of JSON per request, one per answer: {"ask": "snapshot"} -> {"snapshot": {...}}; what is wrong -> {"error": "one line"}.
The supervisor polls the socket and never waits for a client: a request that is too long, and an answer that is not read, close
the connection. The socket has mode 0600 in a folder of mode 0700, and a client of another user is sent away.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from pipeline.errors import PipeError, explain
from pipeline.outside import parse_json
from pipeline.runtime.poll import Poll
from pipeline.runtime.session import Session
from pipeline.runtime.snapshot import snapshot

NAME = "door"
MOST_CLIENTS, MOST_REQUEST, MOST_LINES = 16, 64 << 10, 1000
"""Connections at a time; bytes of a request; lines of a log."""
SLOW_S, LOOK_S = 5.0, 1.0
"""A client that reads nothing for so long is sent away; between two looks whether the socket is still there."""

Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""From a request to the answer. Raises PipeError or ValueError with one line for the client."""


class _Client:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.asked = bytearray()
        self.unread = bytearray()
        self.moved_s = monotonic()


class Door:
    """answers: by the word that a request has under `ask`; others may be added. Used by one thread."""

    def __init__(self, session: Session, poll: Poll) -> None:
        self._session, self._poll = session, poll
        self.answers: dict[str, Answer] = {"snapshot": lambda _: {"snapshot": snapshot(session)}, "log": self._log}
        self._clients: dict[int, _Client] = {}
        self._socket: socket.socket | None = None
        self._look_s = monotonic()
        self._open()

    def _open(self) -> None:
        """Without a socket the run goes on: nobody can attach then."""
        with contextlib.suppress(OSError):
            self._path = self._session.folder / NAME  # somebody may have cleaned up, see Session.ensure_folders
            self._path.unlink(missing_ok=True)
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                os.fchmod(listening.fileno(), 0o600)  # bind gives the file this mode
                listening.bind(str(self._path))
                listening.listen(MOST_CLIENTS)
            except OSError:
                listening.close()
                raise
            self._socket = listening
            self._poll.watch(listening.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._socket is not None
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return
        connection.setblocking(False)
        uid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        if uid not in (os.getuid(), 0) or len(self._clients) >= MOST_CLIENTS:
            connection.close()
            return
        client = self._clients[connection.fileno()] = _Client(connection)
        self._poll.watch(connection.fileno(), lambda: self._read(client))

    def _read(self, client: _Client) -> None:
        try:
            data = client.connection.recv(MOST_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        client.asked += data
        if not data or len(client.asked) > 2 * MOST_REQUEST:
            self._dismiss(client)
        else:
            self._serve(client)

    def tick(self) -> None:
        """A few times a second: send what clients had no room for; open again where somebody has removed the socket."""
        now = monotonic()
        for client in list(self._clients.values()):
            if client.unread and now - client.moved_s > SLOW_S:
                self._dismiss(client)
            else:
                self._send(client)
                self._serve(client)
        if now - self._look_s > LOOK_S:
            self._look_s = now
            if not self._path.exists():
                self._unlisten()
                self._open()

    def _serve(self, client: _Client) -> None:
        """Answer one request, and only if the answers before have been sent: nobody keeps the supervisor busy."""
        line, end, rest = client.asked.partition(b"\n")
        if client.unread or client.connection.fileno() < 0:
            return
        if not end:
            if len(line) > MOST_REQUEST:
                self._dismiss(client)
            return
        client.asked = rest
        client.unread += json.dumps(self._answer(bytes(line))).encode() + b"\n"
        client.moved_s = monotonic()
        self._send(client)

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = parse_json(line)
            if not isinstance(request, dict):
                raise ValueError(f"needs an object with the key ask, got {str(request)[:40]!r}")
            answer = self.answers.get(str(request.get("ask")))
            if answer is None:
                raise ValueError(f"ask: needs {', '.join(self.answers)}, got {str(request.get('ask'))[:40]!r}")
            return answer(request)
        except PipeError as error:
            return {"error": str(error)}
        except Exception as error:  # whatever a client sends, the run goes on
            return {"error": f"the request {line[:80].decode(errors='replace')!r}: {explain(error)}"}

    def _log(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"ask": "log", "node": N, "lines": 50}: the last lines of the log of the node's process."""
        nodes, name, count = self._session.graph.nodes, str(request.get("node")), request.get("lines", 50)
        if name not in nodes:
            raise ValueError(f"node: needs one of the graph ({', '.join(nodes)}), got {name[:40]!r}")
        if not isinstance(count, int) or not 0 < count <= MOST_LINES:
            raise ValueError(f"lines: needs 1 .. {MOST_LINES}, got {str(count)[:40]!r}")
        return {"log": log_lines(self._session.logs / f"{nodes[name].place}.log", count)}

    def _send(self, client: _Client) -> None:
        try:
            while client.unread:
                del client.unread[: client.connection.send(client.unread)]
                client.moved_s = monotonic()
        except BlockingIOError:
            return  # `tick` goes on
        except OSError:
            self._dismiss(client)

    def _dismiss(self, client: _Client) -> None:
        fd = client.connection.fileno()
        if self._clients.pop(fd, None) is not None:
            self._poll.unwatch(fd)
            client.connection.close()
            client.unread.clear()

    def _unlisten(self) -> None:
        if self._socket is not None:
            self._poll.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        for client in list(self._clients.values()):
            self._dismiss(client)
        self._unlisten()


def log_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log, at most `count` of its last 64 KB."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - MOST_REQUEST))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []
