"""Sends a recording to a UDP port, or serves pictures as MJPEG over HTTP, at the recorded times.

Deadlines count from the beginning, so the rate never drifts; a round of --repeat follows the one before after the mean distance
of its items. No sensor is needed to rehearse a live run: the driver sees the same packets.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from drivers.sender.faults import Faults
from drivers.sender.pace import Pace
from drivers.sender.packets import Packets, is_recording, restamped
from drivers.sender.pictures import Pictures
from pipeline.errors import InputError, RunError

HTTP_PORT = 80


@dataclass(frozen=True, slots=True)
class SendConfig:
    """rate: of the recorded times, None = as fast as possible; hz: items per second instead; repeat: rounds, 0 = endless."""

    path: Path
    to: str
    rate: float | None = 1.0
    hz: float | None = None
    port: int | None = None
    loss: float = 0.0
    reorder: float = 0.0
    seed: int = 0
    repeat: int = 1
    restamp: bool = False


@dataclass
class Tally:
    """What was sent until now, also if the sending is broken off."""

    what: str = "items"
    to: str = ""
    sent: int = 0
    sent_bytes: int = 0
    refused: int = 0
    began_s: float = field(default_factory=time.monotonic)
    faults: Faults = field(default_factory=Faults)
    pace: Pace = field(default_factory=Pace)
    over_s: float | None = None

    def line(self) -> str:
        seconds = (time.monotonic() if self.over_s is None else self.over_s) - self.began_s
        text = f"sent {self.sent} {self.what} ({self.sent_bytes / 1e6:.1f} MB) to {self.to} in {seconds:.2f} s"
        if seconds > 0 and self.sent:
            text += f": {self.sent / seconds:.1f}/s, at most {self.pace.late_s * 1e3:.1f} ms late"
        if self.faults.lost or self.faults.swapped:
            text += f"; left out {self.faults.lost}, swapped {self.faults.swapped}"
        if self.refused:
            text += f"; {self.refused} refused: nobody receives there"
        return text


def send(config: SendConfig, tally: Tally) -> None:
    """Returns when all rounds are sent. Raises InputError for a wrong file or address, RunError for an error of the network."""
    scheme, host, port, path = _target(config.to)
    tally.to = config.to
    tally.faults = Faults(config.loss, config.reorder, config.seed)
    recording = is_recording(config.path)
    if recording != (scheme == "udp"):
        needs, got = ("packets (pcap, ROS 2 bag)", "pictures") if scheme == "udp" else ("pictures", "packets")
        raise InputError(f"{config.path}: --to {scheme}:// needs {needs}, got {got}")
    if recording:
        tally.what = "datagrams"
        _send_packets(config, tally, host, port)
    else:
        tally.what = "pictures"
        _serve_pictures(config, tally, host, port, path)


def _target(to: str) -> tuple[str, str, int, str]:
    """scheme, host, port, path."""
    try:
        url = urlsplit(to)
        host, port = url.hostname or "", url.port
        if url.scheme not in ("udp", "http") or not host or (port is None and url.scheme == "udp"):
            raise ValueError
    except ValueError:
        raise InputError(f"--to {to}: needs udp://HOST:PORT or http://127.0.0.1:PORT/PATH") from None
    if url.scheme == "http":
        try:
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise InputError(f"--to {to}: needs an address of this machine's loopback, such as 127.0.0.1: anybody may read there")
    return url.scheme, host, HTTP_PORT if port is None else port, url.path or "/"


def _send_packets(config: SendConfig, tally: Tally, host: str, port: int) -> None:
    packets = Packets(config.path, port, config.port, config.hz)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.connect((host, port))  # a connected socket hears that nobody receives

            def emit(data: bytes, due_s: float) -> None:
                if config.restamp:  # the time at which it is due: a sender that is late shows no gap in the sensor's time
                    data = restamped(data, time.time_ns() if config.rate is None else began_ns + round(due_s * 1e9))
                try:
                    out.send(data)
                except ConnectionRefusedError:  # an earlier one found nobody; this one was not sent
                    tally.refused += 1
                    with contextlib.suppress(ConnectionRefusedError):
                        out.send(data)

            tally.began_s, began_ns = time.monotonic(), time.time_ns()
            _play(config, tally, packets, emit)
    except OSError as error:
        raise RunError(f"--to {config.to}: {error.strerror or error}") from None


def _serve_pictures(config: SendConfig, tally: Tally, host: str, port: int, path: str) -> None:
    from drivers.camera.mjpeg_server import MjpegServer

    pictures = Pictures(config.path, config.hz)
    try:
        server = MjpegServer((host, port), path)
    except OSError as error:
        raise InputError(f"--to {config.to}: {error.strerror or error}; another server?") from None
    with server:
        server.wait_for_client()
        tally.began_s = time.monotonic()
        _play(config, tally, pictures, lambda picture, _: server.show(picture))


def _play(config: SendConfig, tally: Tally, items: Iterable[tuple[float, bytes]], emit: Callable[[bytes, float], None]) -> None:
    for due_s, data in tally.faults(_rounds(items, config.repeat, config.rate or 1.0)):
        if config.rate is not None:
            tally.pace.wait(due_s)
        emit(data, due_s)
        tally.sent += 1
        tally.sent_bytes += len(data)
        tally.over_s = time.monotonic()


def _rounds(items: Iterable[tuple[float, bytes]], repeat: int, rate: float) -> Iterator[tuple[float, bytes]]:
    """The items of each round with their times in the whole, at `rate`."""
    start_s, round_ = 0.0, 0
    while repeat == 0 or round_ < repeat:
        count, last_s = 0, 0.0
        for time_s, data in items:
            last_s = max(last_s, time_s)
            count += 1
            yield (start_s + time_s) / rate, data
        if not count:
            raise InputError("needs a video with pictures, got none")
        start_s += last_s + (last_s / (count - 1) if count > 1 else 0.0)
        round_ += 1
