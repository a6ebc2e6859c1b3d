"""The datagrams of a recording with their times, of one port."""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from drivers.datagram import Datagram
from drivers.pcap import Pcap
from drivers.rosbag2 import SQLITE, Rosbag2, database
from operators import folders
from pipeline.errors import InputError

_CAPTURES = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a")
_VELODYNE, _TIME_AT = 1206, 1200
_HOUR_US = 3_600_000_000


def is_recording(path: Path) -> bool:
    """Is it a capture or a bag, by its first bytes?"""
    if folders.is_folder(path):
        if not any(path.glob("*.db3")):
            return False
        path = database(path)
    with os.fdopen(folders.open_file(path), "rb") as file:
        start = file.read(len(SQLITE))
    return start == SQLITE or start[:4] in _CAPTURES


class Packets:
    """Iterate it for (time [s], payload), as often as you like. hz: datagrams per second instead of their recorded times.

    Raises InputError if the recording has no datagram, or those of several ports and none is `port` or `to_port`.
    """

    def __init__(self, path: Path, to_port: int, port: int | None = None, hz: float | None = None) -> None:
        self._hz = hz
        self._datagrams: Iterable[Datagram]
        bag = folders.is_folder(path) or path.suffix == ".db3"
        self._datagrams = Rosbag2(path, to_port) if bag else Pcap(path)
        ports = Counter(datagram.port for datagram in self._datagrams)
        if not ports:
            raise InputError(f"{path}: needs datagrams, got none")
        self.port = port if port is not None else to_port if to_port in ports else next(iter(ports))
        found = ", ".join(f"{number} ({count} datagrams)" for number, count in sorted(ports.items()))
        if self.port not in ports:
            raise InputError(f"{path}: needs datagrams to port {self.port}, got those to {found}")
        if port is None and self.port != to_port and len(ports) > 1:
            raise InputError(f"{path}: needs one port, got {found}; say which: --port N")
        if not bag:
            self._datagrams = Pcap(path, self.port)

    def __iter__(self) -> Iterator[tuple[float, bytes]]:
        first: int | None = None
        for number, datagram in enumerate(self._datagrams):
            first = datagram.stamp_ns if first is None else first
            yield (datagram.stamp_ns - first) * 1e-9 if self._hz is None else number / self._hz, datagram.data


def restamped(data: bytes, now_ns: int) -> bytes:
    """A Velodyne data packet as if sent now: its time is microseconds since the hour. Any other payload unchanged.

    Source: Velodyne VLP-16 user manual, 9.3.1: bytes 1200..1203, little-endian
    """
    if len(data) != _VELODYNE or data[:2] not in (b"\xff\xee", b"\xff\xdd"):
        return data
    return data[:_TIME_AT] + struct.pack("<I", now_ns // 1000 % _HOUR_US) + data[_TIME_AT + 4 :]
