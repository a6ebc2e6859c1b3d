"""A file that is valid at any instant, for us and for the standard reader: truncated at every length, ended in every way."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import zlib

import mcap.records as lib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType
from mcap.writer import Writer as TheirWriter

from pipeline.errors import GraphError, InputError
from pipeline.recording import mcapfile
from pipeline.recording.mcapfile import ChunkRow, Entry, Message, Writer, scan

HEAD = [
    lib.Header(profile="", library="test"),
    lib.Schema(id=1, data=b"", encoding="", name="s"),
    lib.Channel(id=1, topic="/a", message_encoding="x", metadata={"k": "v"}, schema_id=1),
    lib.Channel(id=2, topic="/b", message_encoding="x", metadata={}, schema_id=1),
]


def message(i: int, channel: int = 1, size: int = 20) -> Message:
    """A message whose second piece has a known checksum."""
    data = bytes([i % 256]) * size
    return Message(channel, i, 1000 + i, 2000 + i, [data[:5], data[5:]], {1: zlib.crc32(data[5:])})


def made(path, count, chunk_bytes=150, **options):
    """A file of `count` messages, left as a killed process leaves it."""
    writer = Writer.create(path, HEAD, chunk_bytes=chunk_bytes, **options)
    for i in range(count):
        writer.append([message(i, 1 + i % 2)])
    writer.close()


def standard(data: bytes) -> list[int]:
    """The sequence numbers that the standard reader returns; only the end may be missing."""
    seen = []
    try:
        for record in StreamReader(io.BytesIO(data), validate_crcs=True).records:
            if isinstance(record, lib.Message):
                assert record.data == bytes([record.sequence % 256]) * 20
                seen.append(record.sequence)
    except EndOfFile:
        pass
    return seen


def ours(path) -> list[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        contents = scan(fd, str(path))
        return [e.sequence for e in contents.entries(fd)]
    finally:
        os.close(fd)


def test_no_message_at_all(tmp_path):
    made(tmp_path / "f", 0)
    assert ours(tmp_path / "f") == standard((tmp_path / "f").read_bytes()) == []


@pytest.mark.parametrize("crc", [True, False])
def test_whole_after_every_append(tmp_path, crc):
    path = tmp_path / "f"
    writer = Writer.create(path, HEAD, chunk_bytes=150, crc=crc)
    for i in range(12):
        writer.append([message(i)])
        assert standard(path.read_bytes()) == list(range(i + 1))
        assert ours(path) == list(range(i + 1))
    writer.close()
    contents = scan(os.open(path, os.O_RDONLY), "f")
    assert len(contents.parts) > 2, "several chunks"


def test_killed_between_the_two_writes_of_an_append(tmp_path, monkeypatch):
    """The message is written, the chunk header is not: the message is a separate record."""
    path = tmp_path / "f"
    writer = Writer.create(path, HEAD)
    for i in range(3):
        writer.append([message(i)])

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    monkeypatch.setattr(os, "pwrite", die)
    with pytest.raises(Killed):
        writer.append([message(3)])
    monkeypatch.undo()
    writer.close()
    fd = os.open(path, os.O_RDONLY)
    parts = scan(fd, "f").parts
    os.close(fd)
    assert [type(p) for p in parts] == [ChunkRow, Entry]
    assert standard(path.read_bytes()) == ours(path) == [0, 1, 2, 3]
    writer = Writer.resume(path)
    writer.append([message(4)])
    writer.close()
    fd = os.open(path, os.O_RDONLY)
    parts = scan(fd, "f").parts
    os.close(fd)
    assert [type(p) for p in parts] == [ChunkRow], "it is taken into the chunk"
    assert standard(path.read_bytes()) == [0, 1, 2, 3, 4]


BIG = 700_000
"""Bytes of a message whose known checksums are combined with the chunk's."""


def big(path) -> list[int]:
    """As `standard`, for messages of BIG bytes."""
    seen = []
    try:
        for record in StreamReader(io.BytesIO(path.read_bytes()), validate_crcs=True).records:
            if isinstance(record, lib.Message):
                assert record.data == bytes([record.sequence]) * BIG
                seen.append(record.sequence)
    except EndOfFile:
        pass
    return seen


@pytest.mark.parametrize("chunk_bytes", [1, 2 * BIG, 100 * BIG])
def test_large_messages(tmp_path, chunk_bytes):
    path = tmp_path / "f"
    writer = Writer.create(path, HEAD, chunk_bytes=chunk_bytes)
    for i in range(4):
        writer.append([message(i, size=BIG)])
        assert big(path) == ours(path) == list(range(i + 1))
    mcapfile.finish(writer, [], [])
    with path.open("rb") as file:
        assert [m.sequence for _, _, m in make_reader(file, validate_crcs=True).iter_messages()] == [0, 1, 2, 3]


@pytest.mark.parametrize("chunk_bytes", [1, 150, 10**6])
@pytest.mark.parametrize("crc", [True, False])
def test_several_messages_at_once(tmp_path, chunk_bytes, crc):
    path = tmp_path / "f"
    writer = Writer.create(path, HEAD, chunk_bytes=chunk_bytes, crc=crc)
    count = 0
    for n in (1, 5, 300, 2):  # 300 x 3 pieces are more than one system call takes
        writer.append([message(count + i, 1 + i % 2) for i in range(n)])
        count += n
        assert standard(path.read_bytes()) == ours(path) == list(range(count))
    mcapfile.finish(writer, [], [])
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert [m.sequence for _, _, m in reader.iter_messages(log_time_order=False)] == list(range(count))


@pytest.mark.parametrize("already", [0, 2])
def test_several_messages_cut_off_at_every_byte(tmp_path, monkeypatch, already):
    """Killed inside the write of a batch: all complete messages are present, and a successor keeps the requested number."""
    path = tmp_path / "f"
    writer = Writer.create(path, HEAD)
    for i in range(already):
        writer.append([message(i)])

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    before = path.stat().st_size
    monkeypatch.setattr(os, "pwrite", die)  # the chunk's head
    with contextlib.suppress(Killed):
        writer.append([message(already + i) for i in range(4)])
    monkeypatch.undo()
    writer.close()
    data = path.read_bytes()
    for length in range(before, len(data) + 1):
        for keep in (already, already + 2):
            path.write_bytes(data[:length])
            there = ours(path)
            assert (there == list(range(len(there))) and already <= len(there)) or (not already and length < before + 57)
            writer = Writer.resume(path, [1], keep)
            assert writer.counts.get(1, 0) == min(keep, len(there))
            writer.append([message(100)])
            mcapfile.finish(writer, [], [])
            assert standard(path.read_bytes()) == ours(path) == [*there[:keep], 100]


@pytest.mark.parametrize("fits", [0, 1, 40, 60, 130, 200])
def test_of_several_messages_all_or_none_fit(tmp_path, monkeypatch, fits):
    path = tmp_path / "f"
    writer = Writer.create(path, HEAD)
    writer.append([message(0)])
    before = path.read_bytes()
    fill(monkeypatch, fits)
    with pytest.raises(OSError, match="No space left"):
        writer.append([message(1 + i) for i in range(5)])
    monkeypatch.undo()
    assert path.read_bytes() == before
    writer.append([message(1)])
    mcapfile.finish(writer, [], [])
    assert standard(path.read_bytes()) == [0, 1]


def test_cut_off_at_every_byte(tmp_path):
    """For every length that a killed write can leave: all complete messages are present, and a successor continues there."""
    made(tmp_path / "whole", 5)
    data = (tmp_path / "whole").read_bytes()
    start = len(mcapfile.MAGIC) + sum(len(mcapfile.record(r)) for r in HEAD)
    path = tmp_path / "cut"
    least = 0
    for length in range(start, len(data) + 1):
        path.write_bytes(data[:length])
        there = ours(path)
        assert there == list(range(len(there))) and len(there) >= least
        least = len(there)
        writer = Writer.resume(path, chunk_bytes=150)
        writer.append([message(len(there), 1 + len(there) % 2)])
        mcapfile.finish(writer, [], [])
        assert standard(path.read_bytes()) == ours(path) == list(range(len(there) + 1))
    assert least == 5


@pytest.mark.parametrize("keep", range(10))
def test_resume_keeps_so_many(tmp_path, keep):
    """Channel 1 has every second message; all messages after the last kept one are removed, on any channel."""
    path = tmp_path / "f"
    made(path, 9)
    writer = Writer.resume(path, [1], keep, chunk_bytes=150)
    kept = [i for i in range(9) if i < 2 * keep]
    assert writer.counts == {c: n for c in (1, 2) if (n := sum(1 for i in kept if 1 + i % 2 == c))}
    mcapfile.finish(writer, [], [])
    assert standard(path.read_bytes()) == ours(path) == kept


def test_finished_is_what_a_seeking_reader_wants(tmp_path):
    path = tmp_path / "f"
    made(path, 9)
    mcapfile.finish(Writer.resume(path), [message(9)], [lib.Metadata("result", {"a": "b"})])
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary.statistics.message_count == 10
        assert summary.statistics.channel_message_counts == {1: 6, 2: 4}
        assert (summary.statistics.message_start_time, summary.statistics.message_end_time) == (1000, 1009)
        assert {c.topic: c.metadata for c in summary.channels.values()} == {"/a": {"k": "v"}, "/b": {}}
        assert [m.sequence for _, _, m in reader.iter_messages()] == list(range(10))
        assert [m.sequence for _, _, m in reader.iter_messages("/b")] == [1, 3, 5, 7]
        assert [m.sequence for _, _, m in reader.iter_messages(start_time=1003, end_time=1006)] == [3, 4, 5]
        assert [(m.name, m.metadata) for m in reader.iter_metadata()] == [("result", {"a": "b"})]
    with pytest.raises(InputError, match="needs a recording without a summary to go on with, got a finished one"):
        Writer.resume(path)


def test_finish_an_empty_file(tmp_path):
    path = tmp_path / "f"
    made(path, 0)
    mcapfile.finish(Writer.resume(path), [], [])
    with path.open("rb") as file:
        assert list(make_reader(file, validate_crcs=True).iter_messages()) == []


def fill(monkeypatch, room: int) -> None:
    """Limits the disk to `room` more bytes."""
    write = os.pwritev

    def full(fd, buffers, at):
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        data = b"".join(bytes(b) for b in buffers)[:room]
        room -= len(data)
        return write(fd, [data], at)

    monkeypatch.setattr(os, "pwritev", full)


@pytest.mark.parametrize("fits", [0, 1, 60, 130])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, fits):
    """The disk takes `fits` more bytes; the message that does not fit is absent, the next one, with room, is present."""
    path = tmp_path / "f"
    writer = Writer.create(path, HEAD, chunk_bytes=150)
    for i in range(4):
        writer.append([message(i)])
    before = path.read_bytes()
    fill(monkeypatch, fits)
    with pytest.raises(OSError, match="No space left"):
        writer.append([message(4, size=200)])
    monkeypatch.undo()
    assert standard(path.read_bytes()) == [0, 1, 2, 3]
    assert path.read_bytes()[: len(before)] == before
    writer.append([message(4)])
    mcapfile.finish(writer, [], [])
    assert standard(path.read_bytes()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.ZSTD, CompressionType.LZ4])
def test_files_that_another_tool_has_written_anew(tmp_path, compression):
    path = tmp_path / "theirs"
    with path.open("wb") as file:
        theirs = TheirWriter(file, chunk_size=100, compression=compression)
        theirs.start()
        schema = theirs.register_schema("s", "", b"")
        channel = theirs.register_channel("/a", "x", schema)
        for i in range(7):
            theirs.add_message(channel, i, bytes([i]) * 30, i, i)
        theirs.finish()
    fd = os.open(path, os.O_RDONLY)
    contents = scan(fd, "theirs")
    entries = list(contents.entries(fd))
    assert contents.finished
    assert [c.topic for c in contents.channels.values()] == ["/a"]
    for i, entry in enumerate(entries):
        assert contents.source(fd, entry.chunk)(entry.data_at, entry.nbytes) == bytes([i]) * 30
    os.close(fd)
    assert len(entries) == 7


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "f: is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), r"f: needs an MCAP file, got one that begins with b'\\x89PNG"),
        (b"abc", "f: needs an MCAP file, got one that begins with b'abc'"),
    ],
)
def test_no_mcap_file(tmp_path, data, text):
    path = tmp_path / "f"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(InputError, match=text):
        scan(fd, "f")
    os.close(fd)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_or_read(tmp_path_factory, data):
    """Any changed byte gives a list of messages or an InputError; never another exception, never an endless loop."""
    path = tmp_path_factory.mktemp("d") / "f"
    made(path, 6)
    mcapfile.finish(Writer.resume(path), [], [lib.Metadata("m", {"a": "b"})])
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(8, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        assert len(ours(path)) <= len(raw) // 31
    except InputError as error:
        assert str(error).startswith(str(path))  # noqa: PT017 - either is right


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcap.records", None)
    with pytest.raises(
        GraphError, match=r"need the package mcap, which is not installed; pip install 'perception-pipe\[record\]'"
    ):
        mcapfile.library()
