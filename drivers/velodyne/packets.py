"""Where packets come from: a UDP port, a capture file, a rosbag2 recording; files also at the pace of their stamps."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from drivers.datagram import Datagram
from drivers.pcap import Pcap
from drivers.rosbag2 import Rosbag2
from operators import folders
from pipeline.errors import InputError

_UDP = re.compile(r"udp://([^:/]*):(\d{1,5})")


class Port(NamedTuple):
    """host: "" = all addresses of this machine"""

    host: str
    number: int


def port_of(source: str) -> Port | None:
    """udp://HOST:PORT; None for a file. Raises ValueError."""
    if "://" not in source:
        return None
    match = _UDP.fullmatch(source)
    if match is None or not int(match[2]) < 65_536:
        raise ValueError(f"source: needs udp://HOST:PORT or a file, got {source!r}")
    return Port("" if match[1] == "0.0.0.0" else match[1], int(match[2]))


def file_of(source: str, port: int = 0, sender: str = "") -> Iterable[Datagram]:
    """A rosbag2 recording (a .db3 file, or a folder with one), or a capture file. Raises InputError."""
    path = folders.at(source)
    if not path.exists():
        raise InputError(f"velodyne: config.source: needs udp://HOST:PORT, a capture file or a rosbag2 recording, got {source}")
    if path.is_dir() or path.suffix == ".db3":
        return Rosbag2(path)
    return Pcap(path, port or None, sender)


def cut_of(packets: Iterable[Datagram]) -> str:
    """After the end: what is wrong with the end of the file, "" = nothing."""
    return packets.cut if isinstance(packets, Pcap) else ""


MOST = 64
"""Datagrams of one call: what comes after them waits for the decoder, as in `Receiver`."""


class Played:
    """A file at the pace of its stamps, which become times of now: the sensor seems to send them. over: the file has ended."""

    def __init__(self, packets: Iterable[Datagram], start_ns: int | None = None) -> None:
        self._packets: Iterator[Datagram] = iter(packets)
        self._next = next(self._packets, None)
        self._first_ns = self._next.stamp_ns if self._next else 0
        self._start_ns = time.time_ns() if start_ns is None else start_ns
        self.shortage, self.lost = "", 0

    @property
    def over(self) -> bool:
        return self._next is None

    def receive(self, timeout_s: float) -> list[Datagram]:
        """The datagrams that are due, at most MOST; [] if none is within `timeout_s`."""
        until_ns = time.time_ns() + round(timeout_s * 1e9)
        due: list[Datagram] = []
        while self._next is not None and len(due) < MOST:
            at_ns = self._start_ns + self._next.stamp_ns - self._first_ns
            now_ns = time.time_ns()
            if at_ns > now_ns:
                if due or at_ns > until_ns:
                    if not due:
                        time.sleep(max(until_ns - now_ns, 0) * 1e-9)
                    break
                time.sleep((at_ns - now_ns) * 1e-9)
            due.append(self._next._replace(stamp_ns=at_ns))
            self._next = next(self._packets, None)
        return due

    def close(self) -> None:
        self._next = None
