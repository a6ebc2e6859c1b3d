"""A viewer for the WebSocket of `--view foxglove`, as Foxglove's app is one: subscribes to topics, takes their messages.

`python -m bench.foxglove_viewer PORT` subscribes to all topics and reads for ever.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import sys
from typing import Any, NamedTuple

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Shown(NamedTuple):
    topic: str
    log_ns: int
    data: bytes


class Viewer:
    """A connection; a context manager. channels: topic -> what the server says of it."""

    def __init__(self, port: int, timeout_s: float = 20.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET / HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
        ]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Protocol: foxglove.sdk.v1", "", ""]
        self._socket.sendall("\r\n".join(lines).encode())
        self._read = bytearray()
        while b"\r\n\r\n" not in self._read:
            self._read += self._socket.recv(4096)
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        self.channels: dict[str, dict[str, Any]] = {}
        self._topics: dict[int, str] = {}

    def subscribe(self, topics: set[str] | None = None, count: int = 1) -> None:
        """Waits for so many channels, then subscribes to these topics (None: all)."""
        while len(self.channels) < count:
            self._take()
        wanted = [c for t, c in self.channels.items() if topics is None or t in topics]
        self._topics = {channel["id"]: channel["topic"] for channel in wanted}
        subscriptions = [{"id": channel["id"], "channelId": channel["id"]} for channel in wanted]
        self._send(TEXT, json.dumps({"op": "subscribe", "subscriptions": subscriptions}).encode())

    def next(self) -> Shown:
        while True:
            shown = self._take()
            if shown is not None:
                return shown

    def _take(self) -> Shown | None:
        opcode, data = self._frame()
        if opcode == TEXT:
            message = json.loads(data)
            if message["op"] == "advertise":
                self.channels |= {channel["topic"]: channel for channel in message["channels"]}
        elif opcode == BINARY and data[0] == 1:
            number, log_ns = struct.unpack_from("<IQ", data, 1)
            return Shown(self._topics[number], log_ns, bytes(data[13:]))
        elif opcode == PING:
            self._send(PONG, data)
        elif opcode == CLOSE:
            raise EOFError("the server has closed the connection")
        return None

    def _frame(self) -> tuple[int, bytes]:
        """One message; its parts are joined."""
        first, whole = 0, b""
        while True:
            head = self._bytes(2)
            first, length = first or head[0] & 15, head[1] & 127
            if length > 125:
                length = int.from_bytes(self._bytes(2 if length == 126 else 8), "big")
            whole += self._bytes(length)
            if head[0] & 128:
                return first, whole

    def _bytes(self, count: int) -> bytes:
        while len(self._read) < count:
            data = self._socket.recv(1 << 20)
            if not data:
                raise EOFError("the connection has ended")
            self._read += data
        out = bytes(self._read[:count])
        del self._read[:count]
        return out

    def _send(self, opcode: int, data: bytes) -> None:
        length = bytes([128 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
        mask = os.urandom(4)
        self._socket.sendall(bytes([128 | opcode]) + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def main() -> None:
    with Viewer(int(sys.argv[1]), 600) as viewer:
        viewer.subscribe()
        while True:
            viewer.next()


if __name__ == "__main__":
    main()
