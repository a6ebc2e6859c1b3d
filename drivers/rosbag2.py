"""Datagrams of a ROS 2 bag (sqlite3) with topics of velodyne_msgs/msg/VelodyneScan: the packets of the sensor in their messages.

FILE.db3, or the folder with it. In CDR, a message is: header (stamp: int32 s, uint32 ns; frame_id: string), then a sequence of
packets (stamp; uint8[1206]), everything aligned to 4 bytes. Each datagram has the stamp of its packet.

Sources: rosbag2_storage_sqlite3, ros-drivers/velodyne (velodyne_msgs), OMG DDSI-RTPS 10.2 (CDR)
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

from drivers.datagram import Datagram
from operators import folders
from pipeline.errors import InputError

SQLITE = b"SQLite format 3\0"
SCAN = "velodyne_msgs/msg/VelodyneScan"
_PACKET, _DATA = 1216, 1206
"""Bytes from one packet of the sequence to the next; of its data."""


class Rosbag2:
    """Iterate it for its datagrams. `port` is what they get: a bag does not record it."""

    def __init__(self, path: Path, port: int = 2368) -> None:
        self.path, self._port = database(path), port

    def __iter__(self) -> Iterator[Datagram]:
        try:
            uri = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"  # beside a read-only file sqlite may not put its journal
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as bag:
                topics = dict(bag.execute("SELECT id, type FROM topics"))
                scans = [number for number, kind in topics.items() if kind == SCAN]
                if not scans:
                    got = ", ".join(sorted(set(map(str, topics.values())))) or "no topics"
                    raise InputError(f"{self.path}: needs a topic of {SCAN}, got {got}")
                marks = ",".join("?" * len(scans))
                query = f"SELECT id, data FROM messages WHERE topic_id IN ({marks}) ORDER BY timestamp, id"
                for number, data in bag.execute(query, scans):
                    yield from self._packets(number, data)
        except sqlite3.Error as error:
            raise InputError(f"{self.path}: needs a ROS 2 bag (sqlite3), got: {error}; copied incompletely?") from None

    def _packets(self, number: int, data: bytes) -> Iterator[Datagram]:
        try:
            order = "<" if data[1] & 1 else ">"
            name = struct.unpack_from(order + "I", data, 12)[0]
            at = 16 + name + -name % 4
            count = struct.unpack_from(order + "I", data, at)[0]
            at += 4
            if at + count * _PACKET - (_PACKET - 8 - _DATA) > len(data):
                raise ValueError
            for _ in range(count):
                seconds, nanoseconds = struct.unpack_from(order + "iI", data, at)
                yield Datagram(seconds * 1_000_000_000 + nanoseconds, data[at + 8 : at + 8 + _DATA], "", self._port)
                at += _PACKET
        except (IndexError, TypeError, ValueError, struct.error):
            raise InputError(f"{self.path}: message {number}: needs a {SCAN}, got {len(data)} other bytes; damaged?") from None


def database(path: Path) -> Path:
    """The file of a bag: itself, or the one *.db3 in its folder. Raises InputError."""
    if not folders.is_folder(path):
        return path
    found = sorted(path.glob("*.db3"))
    if len(found) != 1:
        raise InputError(f"{path}: needs one *.db3, got {len(found)}; name the file")
    return found[0]
