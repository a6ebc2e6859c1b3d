"""ROS 2 bags (sqlite3) with Velodyne scans, for tests."""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path

SCAN = "velodyne_msgs/msg/VelodyneScan"


def scan(
    packets: Sequence[bytes], start_ns: int = 0, gap_ns: int = 1_000_000, frame: str = "velodyne", order: str = "<"
) -> bytes:
    """A VelodyneScan in CDR; packet i has the stamp start_ns + i * gap_ns."""
    name = frame.encode() + b"\0"
    out = (b"\0\1\0\0" if order == "<" else b"\0\0\0\0") + struct.pack(
        order + "iII", start_ns // 10**9, start_ns % 10**9, len(name)
    )
    out += name + bytes(-len(name) % 4) + struct.pack(order + "I", len(packets))
    for i, packet in enumerate(packets):
        seconds, nanoseconds = divmod(start_ns + i * gap_ns, 10**9)
        out += struct.pack(order + "iI", seconds, nanoseconds) + packet + bytes(2)
    return out[:-2] if packets else out


def bag(path: Path, messages: Sequence[bytes], kind: str = SCAN) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT)")
        file.execute("CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)")
        file.execute("INSERT INTO topics VALUES (1, '/packets', ?)", (kind,))
        for i, data in enumerate(messages):
            file.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES (1, ?, ?)", (i, data))
        file.commit()
    return path
