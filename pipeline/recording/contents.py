"""What an MCAP file holds (https://mcap.dev/spec), read from record to record: no summary is needed, and the file may be cut off.

The package `mcap` unpacks small records. Sizes that a file claims are checked before memory is taken; a file of another kind is
refused with its name.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.checksum import crc32
from pipeline.errors import GraphError, InputError
from pipeline.outside import unpacked_limit

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, INDEX = range(1, 8)
METADATA, DATA_END = 0x0C, 0x0F
RECORD = struct.Struct("<BQ")
MESSAGE_HEAD = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log time, publish time
CHUNK_HEAD = struct.Struct("<BQQQQIIQ")  # opcode, length, start, end, uncompressed size, CRC, length of "" (no compression), size
_CHUNK_FIXED = 8 + 8 + 8 + 4  # of a chunk's head, before the name of its compression
INDEX_HEAD = struct.Struct("<HI")
_WINDOW = 16 << 10
_MAX_NAME = 64
"""Longest name of a compression [bytes]."""
_MAX_WINDOW = 1 << 27
"""Memory that zstd may take beside the data."""
_OTHERS = {
    b"#ROSBAG": "a ROS 1 bag; convert it with `mcap convert`",
    b"SQLite f": "an SQLite database, such as rosbag2 writes (.db3); convert it with `ros2 bag convert`",
    b"\x28\xb5\x2f\xfd": "a file compressed with zstd; unpack it first",
    b"\x04\x22\x4d\x18": "a file compressed with lz4; unpack it first",
    b"\x1f\x8b": "a file compressed with gzip; unpack it first",
    b"PK\x03\x04": "a zip archive",
}
"""First bytes of files that are taken for recordings."""


def library() -> Any:
    """The package mcap. Raises GraphError that says how to install it."""
    try:
        import mcap.records
    except ImportError:
        raise GraphError(
            "recordings: need the package mcap, which is not installed; pip install 'perception-pipe[record]'"
        ) from None
    return mcap.records


@dataclass(slots=True)
class ChunkRow:
    """One chunk. data_at: offset of its data, which may be compressed; cut: the file ends inside; counts: channel -> messages,
    from its index."""

    at: int
    length: int
    start_ns: int
    end_ns: int
    uncompressed: int
    crc: int
    compression: str
    data_at: int
    size: int
    cut: bool = False
    index_at: dict[int, int] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    index_bytes: int = 0

    @property
    def indexed(self) -> bool:
        return bool(self.index_at)

    def summary(self, lib: Any) -> Any:
        """Its record in the summary."""
        return lib.ChunkIndex(
            chunk_length=self.length,
            chunk_start_offset=self.at,
            compression=self.compression,
            compressed_size=self.size,
            message_end_time=self.end_ns,
            message_index_length=self.index_bytes,
            message_index_offsets=self.index_at,
            message_start_time=self.start_ns,
            uncompressed_size=self.uncompressed,
        )


@dataclass(slots=True)
class Entry:
    """One message. Offsets count in the file or, for a compressed chunk, in its uncompressed data."""

    channel: int
    sequence: int
    log_ns: int
    record_at: int
    data_at: int
    nbytes: int
    chunk: ChunkRow | None = None


@dataclass
class Contents:
    """Contents of a file up to `end`, the end of its last complete record.

    parts     chunks, and messages between chunks, in the order of the file
    metadata  (record, offset, bytes)
    finished  the file has its footer
    header    the file's own, None if it has none
    """

    name: str
    end: int = len(MAGIC)
    finished: bool = False
    header: Any = None
    schemas: dict[int, Any] = field(default_factory=dict)
    channels: dict[int, Any] = field(default_factory=dict)
    metadata: list[tuple[Any, int, int]] = field(default_factory=list)
    parts: list[ChunkRow | Entry] = field(default_factory=list)
    _kept: tuple[int, bytes] | None = None

    def entries(self, fd: int, parts: Iterable[ChunkRow | Entry] | None = None) -> Iterator[Entry]:
        """All messages, in the order of the file. Raises InputError if a chunk is damaged."""
        for part in self.parts if parts is None else parts:
            if isinstance(part, Entry):
                yield part
                continue
            source = self.source(fd, part)
            at, end = (
                (part.data_at, part.data_at + part.size) if part.compression == "" else (0, len(self._uncompressed(fd, part)))
            )
            while at < end:
                head = source(at, MESSAGE_HEAD.size)
                opcode, length = RECORD.unpack_from(head) if len(head) >= RECORD.size else (0, 0)
                if part.cut and (not opcode or at + RECORD.size + length > end):
                    break
                if not opcode or at + RECORD.size + length > end or (opcode == MESSAGE and length < 22):
                    raise InputError(f"{self.name}: needs a record at byte {at} of a chunk that begins at {part.at}, got none")
                if opcode == MESSAGE:
                    _, _, channel, sequence, log_ns, _ = MESSAGE_HEAD.unpack(head)
                    yield Entry(channel, sequence, log_ns, at, at + MESSAGE_HEAD.size, length - 22, part)
                elif opcode in (SCHEMA, CHANNEL):
                    self.take(opcode, source(at + RECORD.size, length))
                at += RECORD.size + length

    def source(self, fd: int, chunk: ChunkRow | None) -> Callable[[int, int], bytes]:
        """A function (at, n) -> bytes: of the file, or of a compressed chunk's data."""
        if chunk is None or chunk.compression == "":
            return _Window(fd).read
        data = self._uncompressed(fd, chunk)
        return lambda at, n: data[at : at + n]

    def _uncompressed(self, fd: int, chunk: ChunkRow) -> bytes:
        """The data of a chunk that another tool has compressed; the last one is cached."""
        if self._kept is not None and self._kept[0] == chunk.at:
            return self._kept[1]
        data = os.pread(fd, chunk.size, chunk.data_at)
        try:
            unpacked = _unpack(chunk.compression, data, chunk.uncompressed)
        except ImportError as error:
            raise InputError(
                f"{self.name}: the chunk at byte {chunk.at} is compressed with {chunk.compression}: needs the package "
                f"{error.name}, which is not installed; pip install {error.name}"
            ) from None
        except Exception as error:  # the decompressors raise anything
            raise InputError(f"{self.name}: cannot unpack the chunk at byte {chunk.at}: {error}") from None
        if not chunk.cut and len(unpacked) != chunk.uncompressed:
            got = f"{chunk.uncompressed} bytes, got {len(unpacked)}"
            raise InputError(f"{self.name}: the chunk at byte {chunk.at} needs {got}: the file is damaged")
        if not chunk.cut and chunk.crc and crc32(unpacked) != chunk.crc:
            raise InputError(f"{self.name}: the chunk at byte {chunk.at} does not have its checksum: the file is damaged")
        self._kept = (chunk.at, unpacked)
        return unpacked

    def take(self, opcode: int, body: bytes) -> None:
        """A schema or a channel."""
        if opcode == SCHEMA:
            schema = self.parse("Schema", body)
            self.schemas[schema.id] = schema
        else:
            channel = self.parse("Channel", body)
            self.channels[channel.id] = channel

    def parse(self, kind: str, body: bytes) -> Any:
        """A record of this kind in mcap.records. Raises InputError."""
        from mcap.data_stream import ReadDataStream

        try:
            return getattr(library(), kind).read(ReadDataStream(io.BytesIO(body)))
        except Exception as error:  # bytes of a damaged file raise anything
            raise InputError(f"{self.name}: needs a {kind}, got one that cannot be read ({type(error).__name__})") from None


def _unpack(compression: str, data: bytes, size: int) -> bytes:
    """At most `size` bytes, whatever the data claim; fewer if the data end early."""
    if compression == "zstd":
        import zstandard

        unpacked: bytes = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_reader(data).read(size)
    elif compression == "lz4":
        import lz4.frame

        unpacked = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size)
    else:
        raise ValueError(f"its compression is {compression[:20]!a}, known are zstd and lz4")
    return unpacked


class _Window:
    """Reads small neighbouring pieces of a file with one call."""

    def __init__(self, fd: int) -> None:
        self._fd, self._at, self._data = fd, 0, b""

    def read(self, at: int, n: int) -> bytes:
        if not self._at <= at or at + n > self._at + len(self._data):
            self._at, self._data = at, os.pread(self._fd, max(n, _WINDOW), at)
        return self._data[at - self._at : at - self._at + n]


def scan(fd: int, name: str, *, cut: bool = False) -> Contents:
    """Read the records of a file, up to where it is cut off. Raises InputError if it is not MCAP.

    cut  a chunk in which the file ends is a part, too, with its whole messages
    """
    size = os.fstat(fd).st_size
    start = os.pread(fd, len(MAGIC), 0)
    if start != MAGIC:
        raise InputError(f"{name}: {_other(start)}")
    contents = Contents(name)
    window = _Window(fd)
    at, claimed = len(MAGIC), 0
    while at + RECORD.size <= size:
        opcode, length = RECORD.unpack(window.read(at, RECORD.size))
        body_at, after = at + RECORD.size, at + RECORD.size + length
        if opcode == CHUNK and (after <= size or (cut and at + CHUNK_HEAD.size <= size)):
            row = _chunk_row(window, at, length, name)
            row.cut, row.size = after > size, min(row.size, size - row.data_at)
            claimed += row.uncompressed if row.compression else 0
            _refuse_claims(row, claimed, size, name)
            if row.size >= 0:
                contents.parts.append(row)
        if opcode == 0 or after > size:
            break
        if opcode == INDEX:
            last = contents.parts[-1] if contents.parts else None
            if isinstance(last, ChunkRow) and length >= INDEX_HEAD.size:
                channel, nbytes = INDEX_HEAD.unpack(window.read(body_at, INDEX_HEAD.size))
                last.index_at[channel], last.counts[channel] = at, nbytes // 16
                last.index_bytes += RECORD.size + length
        elif opcode == MESSAGE and length >= 22:
            _, _, channel, sequence, log_ns, _ = MESSAGE_HEAD.unpack(window.read(at, MESSAGE_HEAD.size))
            contents.parts.append(Entry(channel, sequence, log_ns, at, at + MESSAGE_HEAD.size, length - 22))
        elif opcode in (SCHEMA, CHANNEL):
            contents.take(opcode, window.read(body_at, length))
        elif opcode == HEADER:
            contents.header = contents.parse("Header", window.read(body_at, length))
        elif opcode == METADATA:
            contents.metadata.append((contents.parse("Metadata", window.read(body_at, length)), at, after - at))
        elif opcode in (DATA_END, FOOTER):
            contents.finished = True
            break
        at = after
        contents.end = at
    return contents


def _other(start: bytes) -> str:
    """What a file is that does not begin as MCAP does."""
    if not start:
        return "is empty"
    if MAGIC.startswith(start):
        return f"is cut off after {len(start)} bytes"
    known = next((kind for first, kind in _OTHERS.items() if start.startswith(first)), None)
    return f"needs an MCAP file, got {known or f'one that begins with {start!r}'}"


def _refuse_claims(row: ChunkRow, claimed: int, size: int, name: str) -> None:
    """claimed: bytes that all compressed chunks up to this one claim to have unpacked; size: of the file."""
    for claims, limit in ((row.uncompressed, unpacked_limit(row.size)), (claimed, unpacked_limit(size))):
        if row.compression and claims > limit:
            raise InputError(
                f"{name}: the chunks up to byte {row.at} claim to unpack to {claims} bytes, at most {limit} are read"
            )


def _chunk_row(window: _Window, at: int, length: int, name: str) -> ChunkRow:
    fixed = window.read(at, RECORD.size + _CHUNK_FIXED + 4)
    if length < CHUNK_HEAD.size - RECORD.size:
        raise InputError(f"{name}: needs a chunk at byte {at}, got {length} bytes")
    start, end, uncompressed, crc, name_bytes = struct.unpack_from("<QQQII", fixed, RECORD.size)
    data_at = at + RECORD.size + _CHUNK_FIXED + 4 + name_bytes + 8
    if name_bytes > _MAX_NAME or data_at > at + RECORD.size + length:
        raise InputError(f"{name}: needs the name of a compression in the chunk at byte {at}, got {name_bytes} bytes")
    tail = window.read(data_at - 8 - name_bytes, name_bytes + 8)
    size = int.from_bytes(tail[name_bytes:], "little")
    if data_at + size > at + RECORD.size + length:
        raise InputError(f"{name}: the chunk at byte {at} needs {size} bytes, its record has {length}")
    compression = tail[:name_bytes].decode(errors="replace")
    return ChunkRow(at, RECORD.size + length, start, end, uncompressed, crc, compression, data_at, size)
