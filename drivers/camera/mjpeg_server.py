"""A camera on the network, played from pictures: MJPEG over HTTP, as IP cameras send it.

The answer is `multipart/x-mixed-replace`: a part per picture, with `Content-Length` and, as mjpg-streamer writes it,
`X-Timestamp` (seconds since 1970, when the picture was shown). Each client gets the newest picture: a slow one misses pictures
and delays nobody.
"""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from typing import Any

BOUNDARY = "pipe-picture"
SEND_TIMEOUT_S = 5.0
"""A client that takes nothing for so long is given up."""
CLOSE_S = 0.5
"""So long `close` waits for clients that have not taken the last picture."""


class MjpegServer:
    """Serves one stream on `address` = (host, port), port 0: a free one. `show` publishes a picture; `close` ends all."""

    def __init__(self, address: tuple[str, int], path: str = "/") -> None:
        self.path, self.pictures_sent, self.clients = path, 0, 0
        self._news = threading.Condition()
        self._part, self._shown, self._closed = b"", 0, False
        self._sockets: set[socket.socket] = set()
        self._http = _Listener(address, _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._http.server_address[:2]
        return str(host), int(port)

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}{self.path}"

    def show(self, jpeg: bytes) -> None:
        head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\nX-Timestamp: {time.time():.6f}\r\n\r\n"
        with self._news:
            self._part = f"--{BOUNDARY}\r\n{head}".encode() + jpeg + b"\r\n"
            self._shown += 1
            self._news.notify_all()

    def wait_for_client(self, timeout_s: float | None = None) -> bool:
        with self._news:
            return self._news.wait_for(lambda: self.clients > 0 or self._closed, timeout_s) and not self._closed

    def close(self) -> None:
        """Cuts all clients, after the last picture, and frees the port."""
        with self._news:
            self._closed = True
            self._news.notify_all()
            self._news.wait_for(lambda: not self.clients, CLOSE_S)
            for client in self._sockets:
                with contextlib.suppress(OSError):  # it has left
                    client.shutdown(socket.SHUT_RDWR)
        self._http.shutdown()
        self._http.server_close()  # waits for the threads of the clients
        self._thread.join()

    def __enter__(self) -> MjpegServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send_all(self, client: socket.socket, write: Any) -> None:
        """Sends the pictures to one client, from the next one on, until it leaves or the server closes."""
        with self._news:
            if self._closed:
                return
            self._sockets.add(client)
            self.clients += 1
            seen = self._shown
            self._news.notify_all()
        try:
            while (part := self._next(seen)) is not None:
                seen, data = part
                write(data)
        except OSError:  # the client has left
            pass
        finally:
            with self._news:
                self._sockets.discard(client)
                self.clients -= 1
                self._news.notify_all()

    def _next(self, seen: int) -> tuple[int, bytes] | None:
        with self._news:
            self._news.wait_for(lambda: self._shown > seen or self._closed)
            if self._shown == seen:
                return None
            self.pictures_sent += 1
            return self._shown, self._part


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = False  # `server_close` joins them
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no news."""


def _handler(server: MjpegServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = SEND_TIMEOUT_S

        def do_GET(self) -> None:
            if self.path != server.path:
                self.send_error(404, "Not Found", f"the pictures are at {server.path}")
                return
            self.send_response(200)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self.send_header("Cache-Control", "no-cache")
            self.end_headers()
            server.send_all(self.connection, self.wfile.write)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a sender's own output is the caller's."""

    return Handler
