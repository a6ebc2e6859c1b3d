"""A small RTSP camera: one client at a time, H.264 made with PyAV, RTP interleaved in the TCP connection (RFC 2326, RFC 6184).

Pictures are small, so that each NAL unit fits into one packet. `period_ticks`: RTP time (90 kHz) from picture to picture, which
is not the time at which they are sent.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track\r\n"
)


def nal_units(pictures: Sequence[np.ndarray]) -> list[list[bytes]]:
    """Per picture (H, W, 3) uint8 its NAL units; each is a key picture with its parameter sets."""
    encoder = av.CodecContext.create("libx264", "w")
    height, width = pictures[0].shape[:2]
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.options = (
        Fraction(1, 25),
        {"tune": "zerolatency", "x264-params": "keyint=1:bframes=0:slices=1", "crf": "5"},
    )
    frames = [packet for p in pictures for packet in encoder.encode(av.VideoFrame.from_ndarray(p, "rgb24"))] + encoder.encode(
        None
    )
    return [[unit for unit in bytes(f).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit] for f in frames]


class RtspServer:
    """Serves from `port` on (0: a free one), the same pictures again and again, until `close`."""

    def __init__(self, units: list[list[bytes]], period_ticks: int = 3000, send_s: float = 0.02, port: int = 0) -> None:
        self._units, self._ticks, self._send_s = units, period_ticks, send_s
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{self.port}/cam"
        self._client: socket.socket | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                if self._ask(client):
                    self._play(client)

    def _ask(self, client: socket.socket) -> bool:
        """Answers until PLAY. False: the client has left, or was told 404."""
        client.settimeout(5)
        text = b""
        while True:
            while b"\r\n\r\n" not in text:
                if not (more := client.recv(4096)):
                    return False
                text += more
            request, _, text = text.partition(b"\r\n\r\n")
            lines = request.decode().split("\r\n")
            method, url = lines[0].split()[:2]
            head = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines[1:])}
            extra, body, status = "", "", "200 OK"
            if not url.startswith(self.url) and method != "OPTIONS":
                status = "404 Not Found"
            elif method == "OPTIONS":
                extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                extra, body = f"Content-Base: {self.url}/\r\nContent-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n", SDP
            elif method == "SETUP":
                extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
            client.sendall(f"RTSP/1.0 {status}\r\nCSeq: {head['cseq']}\r\n{extra}\r\n{body}".encode())
            if method in ("PLAY", "TEARDOWN") or status[0] == "4":
                return method == "PLAY"

    def _play(self, client: socket.socket) -> None:
        sequence = picture = 0
        while not self._stopped.wait(self._send_s):
            units = self._units[picture % len(self._units)]
            for i, unit in enumerate(units):
                mark = 0x80 if i == len(units) - 1 else 0
                rtp = struct.pack(">BBHII", 0x80, mark | 96, sequence & 0xFFFF, picture * self._ticks & 0xFFFFFFFF, 7) + unit
                client.sendall(b"$\0" + struct.pack(">H", len(rtp)) + rtp)
                sequence += 1
            picture += 1
