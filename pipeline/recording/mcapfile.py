"""Writes MCAP files (https://mcap.dev/spec) that any reader can read at any instant.

The file holds magic, header, schemas, channels, then chunks. One write appends a message to the open chunk; a second write
updates the chunk's head to include it. Between the two the message is a record of its own behind the chunk, which the format
allows. A write cut short leaves an incomplete last record, at which every reader stops. So after any kill, any MCAP reader finds
all messages whose `append` returned, without a repair. (Nothing is synced to the disk: a power cut may lose data.) `finish` adds
the summary, which lets readers seek.

The package `mcap` packs small records; its writer is not used because it copies each message four times (measured:
bench/record.py).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.checksum import FAST, combine, crc32
from pipeline.errors import InputError
from pipeline.recording.contents import (
    CHANNEL,
    CHUNK,
    CHUNK_HEAD,
    INDEX,
    INDEX_HEAD,
    MAGIC,
    MESSAGE,
    MESSAGE_HEAD,
    RECORD,
    SCHEMA,
    ChunkRow,
    Contents,
    Entry,
    library,
    scan,
)

CHUNK_BYTES = 4 << 20
_MAX_BUFFERS = 512
_COMBINE_BYTES = 1 << 18 if FAST else 1 << 14
"""Bytes from which combining two checksums (6 µs) costs less than a second pass over the bytes."""

Buffer = bytes | memoryview


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
        length = CHUNK_HEAD.size - RECORD.size + self.size
        return CHUNK_HEAD.pack(CHUNK, length, self.start_ns, self.end_ns, self.size, self.crc, 0, self.size)


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
            head = MESSAGE_HEAD.pack(MESSAGE, 22 + nbytes, m.channel, m.sequence & 0xFFFFFFFF, m.log_ns, m.publish_ns)
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
            body = INDEX_HEAD.pack(channel, 16 * len(entries)) + b"".join(struct.pack("<QQ", *e) for e in entries)
            index += RECORD.pack(INDEX, len(body)) + body
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
