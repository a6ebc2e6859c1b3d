"""MCAP files (https://mcap.dev/spec) that any reader can read at any instant, and a reader that needs no summary.

The file holds magic, header, schemas, channels, then chunks. One write appends a message to the open chunk; a second write
updates the chunk's head to include it. Between the two the message is a record of its own behind the chunk, which the format
allows. A write cut short leaves an incomplete last record, at which every reader stops. So after any kill, any MCAP reader finds
all messages whose `append` returned, without a repair. (Nothing is synced to the disk: a power cut may lose data.) `finish` adds
the summary, which lets readers seek.

The reader goes from record to record. The package `mcap` packs and unpacks small records; its writer is not used because it
copies each message four times (measured: bench/record.py).
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.checksum import FAST, combine, crc32
from pipeline.errors import GraphError, InputError

MAGIC = b"\x89MCAP0\r\n"
CHUNK_BYTES = 4 << 20
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, INDEX = range(1, 8)
METADATA, DATA_END = 0x0C, 0x0F
_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log time, publish time
_CHUNK = struct.Struct("<BQQQQIIQ")  # opcode, length, start, end, uncompressed size, CRC, length of "" (no compression), size
_CHUNK_FIXED = 8 + 8 + 8 + 4  # of a chunk's head, before the name of its compression
_INDEX = struct.Struct("<HI")
_WINDOW = 16 << 10
_MAX_BUFFERS = 512
_COMBINE_BYTES = 1 << 18 if FAST else 1 << 14
"""Bytes from which combining two checksums (6 µs) costs less than a second pass over the bytes."""

Buffer = bytes | memoryview


def library() -> Any:
    """The package mcap. Raises GraphError that says how to install it."""
    try:
        import mcap.records
    except ImportError:
        raise GraphError(
            "recordings: need the package mcap, which is not installed; pip install 'perception-pipe[record]'"
        ) from None
    return mcap.records


def record(made: Any) -> bytes:
    """A record of the package mcap as bytes."""
    from mcap.data_stream import RecordBuilder

    builder = RecordBuilder()
    made.write(builder)
    return builder.end()


@dataclass(slots=True)
class Message:
    """The argument of `append`. pieces: its data, in order; sums: index of a piece -> its CRC-32, if known already."""

    channel: int
    sequence: int
    log_ns: int
    publish_ns: int
    pieces: Sequence[Buffer]
    sums: Mapping[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Chunk:
    at: int
    start_ns: int = 0
    end_ns: int = 0
    size: int = 0
    crc: int = 0
    index: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def head(self) -> bytes:
        length = _CHUNK.size - _RECORD.size + self.size
        return _CHUNK.pack(CHUNK, length, self.start_ns, self.end_ns, self.size, self.crc, 0, self.size)


class Writer:
    """Appends messages. `crc`: chunks carry their checksum (0 = none, as in the format)."""

    def __init__(self, fd: int, end: int, chunk_bytes: int, crc: bool) -> None:
        self.fd, self.end = fd, end
        self.counts: dict[int, int] = {}
        self._limit, self._crc = chunk_bytes, crc
        self._chunk: _Chunk | None = None

    @classmethod
    def create(cls, path: Path, records: Iterable[Any], *, chunk_bytes: int = CHUNK_BYTES, crc: bool = True) -> Writer:
        """A new file that begins with these records of mcap.records (header, schemas, channels, ...)."""
        start = MAGIC + b"".join(record(r) for r in records)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        writer = cls(fd, 0, chunk_bytes, crc)
        try:
            writer.end = writer._write([start], 0)
        except OSError:
            os.close(fd)
            raise
        return writer

    @classmethod
    def resume(
        cls,
        path: Path,
        channels: Collection[int] = (),
        keep: int | None = None,
        *,
        chunk_bytes: int = CHUNK_BYTES,
        crc: bool = True,
    ) -> Writer:
        """Continue a file that has no summary yet.

        keep  number of messages of `channels` to keep: the next one and everything behind it is cut off. None = keep all
        Afterwards `counts` holds the number of messages of each channel.
        """
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            contents = scan(fd, str(path))
            if contents.finished:
                raise InputError(f"{path}: needs a recording without a summary to go on with, got a finished one")
            end, writer = contents.end, cls(fd, 0, chunk_bytes, crc)
            for part in contents.parts:
                cut = writer._count(contents, part, channels, keep)
                if cut is not None:
                    end = cut
                    break
            chunks = [part for part in contents.parts if isinstance(part, ChunkRow) and part.at < end]
            if chunks:
                end = writer._reopen(contents, chunks[-1], end)
            os.ftruncate(fd, end)
            writer.end = end
            if writer._chunk is not None:
                os.pwrite(fd, writer._chunk.head(), writer._chunk.at)
        except BaseException:
            os.close(fd)
            raise
        return writer

    def _count(self, contents: Contents, part: ChunkRow | Entry, channels: Collection[int], keep: int | None) -> int | None:
        """Add the messages of this part to `counts`; returns where the file has to be cut, None = not in this part."""
        counts = self.counts
        have = sum(counts.get(c, 0) for c in channels)
        if isinstance(part, ChunkRow) and part is not contents.parts[-1]:  # the index of the last one may be cut short
            inside = sum(n for c, n in part.counts.items() if c in channels)
            if part.indexed and (keep is None or have + inside <= keep):
                for channel, n in part.counts.items():
                    counts[channel] = counts.get(channel, 0) + n
                return None
        for entry in contents.entries(self.fd, [part]):
            if entry.channel in channels:
                if have == keep:
                    return entry.record_at
                have += 1
            counts[entry.channel] = counts.get(entry.channel, 0) + 1
        return None

    def _reopen(self, contents: Contents, row: ChunkRow, end: int) -> int:
        """Make the last chunk, with the messages behind it up to `end`, the open chunk; returns the file's new end."""
        loose = [p for p in contents.parts if isinstance(p, Entry) and p.record_at > row.at]
        inside = list(contents.entries(self.fd, [row]))
        if row.indexed and sum(row.counts.values()) == len(inside) and not loose and end >= row.data_at + row.size:
            return end  # it was closed
        entries = [e for e in [*inside, *loose] if e.record_at < end]
        if not entries:
            return row.at
        chunk = _Chunk(row.at, entries[0].log_ns, entries[0].log_ns)
        chunk.size = entries[-1].data_at + entries[-1].nbytes - row.data_at
        for e in entries:
            chunk.index.setdefault(e.channel, []).append((e.log_ns, e.record_at - row.data_at))
            chunk.start_ns, chunk.end_ns = min(chunk.start_ns, e.log_ns), max(chunk.end_ns, e.log_ns)
        for at in range(row.data_at, row.data_at + chunk.size, 1 << 20) if self._crc else ():
            chunk.crc = crc32(os.pread(self.fd, min(1 << 20, row.data_at + chunk.size - at), at), chunk.crc)
        self._chunk = chunk
        return row.data_at + chunk.size

    def append(self, messages: Sequence[Message]) -> None:
        """Append all messages or, if the disk refuses (OSError), none. Other processes see them when this returns."""
        if self._chunk is not None and self._chunk.size >= self._limit:
            self.close_chunk()
        new = self._chunk is None
        chunk = self._chunk or _Chunk(self.end, messages[0].log_ns, messages[0].log_ns)
        start_ns, end_ns, size, crc = chunk.start_ns, chunk.end_ns, chunk.size, chunk.crc
        buffers: list[Buffer] = [b""] if new else []  # the chunk's own head
        offsets = []
        for m in messages:
            nbytes = sum(map(len, m.pieces))
            head = _MESSAGE.pack(MESSAGE, 22 + nbytes, m.channel, m.sequence & 0xFFFFFFFF, m.log_ns, m.publish_ns)
            buffers += (head, *m.pieces)
            offsets.append(size)
            size += len(head) + nbytes
            start_ns, end_ns = min(start_ns, m.log_ns), max(end_ns, m.log_ns)
            if self._crc:
                crc = crc32(head, crc)
                for i, piece in enumerate(m.pieces):
                    known = len(piece) >= _COMBINE_BYTES and i in m.sums
                    crc = combine(crc, m.sums[i], len(piece)) if known else crc32(piece, crc)
        after = _Chunk(chunk.at, start_ns, end_ns, size, crc, chunk.index)
        if new:
            buffers[0] = after.head()
        self.end = self._write(buffers, self.end)
        if not new:
            os.pwrite(self.fd, after.head(), chunk.at)
        for m, offset in zip(messages, offsets, strict=True):
            after.index.setdefault(m.channel, []).append((m.log_ns, offset))
        self._chunk = after

    def close_chunk(self) -> None:
        """The next message begins a new chunk."""
        chunk = self._chunk
        if chunk is None:
            return
        index = bytearray()
        for channel, entries in chunk.index.items():
            body = _INDEX.pack(channel, 16 * len(entries)) + b"".join(struct.pack("<QQ", *e) for e in entries)
            index += _RECORD.pack(INDEX, len(body)) + body
        self.end = self._write([bytes(index)], self.end)
        self._chunk = None

    def write(self, records: bytes) -> None:
        """Records that stand between chunks."""
        self.close_chunk()
        self.end = self._write([records], self.end)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _write(self, buffers: Sequence[Buffer], at: int) -> int:
        """Returns the end of the written bytes. After an error the file is as long as before."""
        left = [b for b in buffers if len(b)]
        try:
            while left:
                n = os.pwritev(self.fd, left[:_MAX_BUFFERS], at)
                at += n
                while left and n >= len(left[0]):
                    n -= len(left.pop(0))
                if n:
                    left[0] = memoryview(left[0])[n:]
        except OSError:
            os.ftruncate(self.fd, self.end)
            raise
        return at


def finish(writer: Writer, messages: Sequence[Message], records: Sequence[Any]) -> None:
    """Add the last messages and records, and the summary; close the file."""
    lib = library()
    try:
        if messages:
            writer.append(messages)
        writer.write(b"".join(record(r) for r in records))
        contents = scan(writer.fd, "the recording")
        writer.write(record(lib.DataEnd(0)))
        start = writer.end
        rows = [r for r in contents.parts if isinstance(r, ChunkRow)]
        counts: dict[int, int] = {}
        for row in rows:
            for channel, count in row.counts.items():
                counts[channel] = counts.get(channel, 0) + count
        statistics = lib.Statistics(
            attachment_count=0,
            channel_count=len(contents.channels),
            channel_message_counts=counts,
            chunk_count=len(rows),
            message_count=sum(counts.values()),
            message_end_time=max((r.end_ns for r in rows), default=0),
            message_start_time=min((r.start_ns for r in rows), default=0),
            metadata_count=len(contents.metadata),
            schema_count=len(contents.schemas),
        )
        groups = [
            (SCHEMA, list(contents.schemas.values())),
            (CHANNEL, list(contents.channels.values())),
            (0x0B, [statistics]),
            (0x08, [row.summary(lib) for row in rows]),
            (0x0D, [lib.MetadataIndex(offset=at, length=n, name=m.name) for m, at, n in contents.metadata]),
        ]
        summary, offsets = b"", b""
        for opcode, members in groups:
            body = b"".join(record(m) for m in members)
            if body:
                offsets += record(
                    lib.SummaryOffset(group_opcode=opcode, group_start=start + len(summary), group_length=len(body))
                )
            summary += body
        footer = record(lib.Footer(summary_start=start, summary_offset_start=start + len(summary), summary_crc=0))
        crc = crc32(footer[:-4], crc32(summary + offsets))
        writer.write(summary + offsets + footer[:-4] + struct.pack("<I", crc) + MAGIC)
    finally:
        writer.close()


# ---- reading


@dataclass(slots=True)
class ChunkRow:
    """One chunk. data_at: offset of its data, which may be compressed; counts: channel -> messages, from its index."""

    at: int
    length: int
    start_ns: int
    end_ns: int
    uncompressed: int
    crc: int
    compression: str
    data_at: int
    size: int
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
    """

    name: str
    end: int = len(MAGIC)
    finished: bool = False
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
            at, end = (part.data_at, part.data_at + part.size) if part.compression == "" else (0, part.uncompressed)
            while at < end:
                head = source(at, _MESSAGE.size)
                opcode, length = _RECORD.unpack_from(head) if len(head) >= _RECORD.size else (0, 0)
                if not opcode or at + _RECORD.size + length > end or (opcode == MESSAGE and length < 22):
                    raise InputError(f"{self.name}: needs a record at byte {at} of a chunk that begins at {part.at}, got none")
                if opcode == MESSAGE:
                    _, _, channel, sequence, log_ns, _ = _MESSAGE.unpack(head)
                    yield Entry(channel, sequence, log_ns, at, at + _MESSAGE.size, length - 22, part)
                elif opcode in (SCHEMA, CHANNEL):
                    self.take(opcode, source(at + _RECORD.size, length))
                at += _RECORD.size + length

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
        from mcap.stream_reader import get_chunk_data_stream

        data = os.pread(fd, chunk.size, chunk.data_at)
        packed = library().Chunk(
            chunk.compression,
            data,
            chunk.end_ns,
            chunk.start_ns,
            uncompressed_crc=chunk.crc,
            uncompressed_size=chunk.uncompressed,
        )
        try:
            stream, size = get_chunk_data_stream(packed, validate_crc=True)
            self._kept = (chunk.at, stream.read(size))
        except Exception as error:  # the library and its decompressors raise anything
            raise InputError(f"{self.name}: cannot unpack the chunk at byte {chunk.at}: {error}") from None
        return self._kept[1]

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


class _Window:
    """Reads small neighbouring pieces of a file with one call."""

    def __init__(self, fd: int) -> None:
        self._fd, self._at, self._data = fd, 0, b""

    def read(self, at: int, n: int) -> bytes:
        if not self._at <= at or at + n > self._at + len(self._data):
            self._at, self._data = at, os.pread(self._fd, max(n, _WINDOW), at)
        return self._data[at - self._at : at - self._at + n]


def scan(fd: int, name: str) -> Contents:
    """Read the records of a file, up to where it is cut off. Raises InputError if it is not MCAP."""
    size = os.fstat(fd).st_size
    start = os.pread(fd, len(MAGIC), 0)
    if start != MAGIC:
        raise InputError(f"{name}: needs an MCAP file, got one that begins with {start!r}" if start else f"{name}: is empty")
    contents = Contents(name)
    window = _Window(fd)
    at = len(MAGIC)
    while at + _RECORD.size <= size:
        opcode, length = _RECORD.unpack(window.read(at, _RECORD.size))
        body_at, after = at + _RECORD.size, at + _RECORD.size + length
        if opcode == 0 or after > size:
            break
        if opcode == CHUNK:
            row = _chunk_row(window, at, length, name)
            contents.parts.append(row)
        elif opcode == INDEX:
            last = contents.parts[-1] if contents.parts else None
            if isinstance(last, ChunkRow) and length >= _INDEX.size:
                channel, nbytes = _INDEX.unpack(window.read(body_at, _INDEX.size))
                last.index_at[channel], last.counts[channel] = at, nbytes // 16
                last.index_bytes += _RECORD.size + length
        elif opcode == MESSAGE and length >= 22:
            _, _, channel, sequence, log_ns, _ = _MESSAGE.unpack(window.read(at, _MESSAGE.size))
            contents.parts.append(Entry(channel, sequence, log_ns, at, at + _MESSAGE.size, length - 22))
        elif opcode in (SCHEMA, CHANNEL):
            contents.take(opcode, window.read(body_at, length))
        elif opcode == METADATA:
            contents.metadata.append((contents.parse("Metadata", window.read(body_at, length)), at, after - at))
        elif opcode in (DATA_END, FOOTER):
            contents.finished = True
            break
        at = after
        contents.end = at
    return contents


def _chunk_row(window: _Window, at: int, length: int, name: str) -> ChunkRow:
    fixed = window.read(at, _RECORD.size + _CHUNK_FIXED + 4)
    if length < _CHUNK.size - _RECORD.size:
        raise InputError(f"{name}: needs a chunk at byte {at}, got {length} bytes")
    start, end, uncompressed, crc, name_bytes = struct.unpack_from("<QQQII", fixed, _RECORD.size)
    data_at = at + _RECORD.size + _CHUNK_FIXED + 4 + name_bytes + 8
    if data_at > at + _RECORD.size + length:
        raise InputError(f"{name}: needs the name of a compression in the chunk at byte {at}, got {name_bytes} bytes")
    tail = window.read(data_at - 8 - name_bytes, name_bytes + 8)
    size = int.from_bytes(tail[name_bytes:], "little")
    if data_at + size > at + _RECORD.size + length:
        raise InputError(f"{name}: the chunk at byte {at} needs {size} bytes, its record has {length}")
    compression = tail[:name_bytes].decode(errors="replace")
    return ChunkRow(at, _RECORD.size + length, start, end, uncompressed, crc, compression, data_at, size)
