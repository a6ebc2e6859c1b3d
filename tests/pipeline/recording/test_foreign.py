"""Recordings of other programs, cut ones, and those that want more than they are: played, or refused in one line."""

from __future__ import annotations

import builtins
import json
import os
import resource
import sqlite3
import struct
import sys
import time

import lz4.frame
import mcap.records as lib
import msgpack
import numpy as np
import pytest
import zstandard
from mcap.writer import CompressionType, Writer

import pipeline
from pipeline.errors import GraphError, InputError, PipeError
from pipeline.frame import Header
from pipeline.nodes.counts import BLOB
from pipeline.recording import formats, mcapfile
from pipeline.recording import protowire as wire
from pipeline.recording.contents import MAGIC, scan
from pipeline.recording.message import HEAD_FIELD, AnyFrame, pack, port_to_text
from pipeline.recording.playback import Recording
from pipeline.schema import Port

GRAPH = """version: 1
nodes:
  src: {driver: test.blob, config: {bytes: 5000, frames: 12}}
  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}}
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """(bytes of a finished recording of 12 frames, its graph file)"""
    folder = tmp_path_factory.mktemp("recorded")
    graph = folder / "g.yaml"
    graph.write_text(GRAPH)
    pipeline.run(graph, out=folder / "out", place="inline", record=folder / "r.mcap")
    return (folder / "r.mcap").read_bytes(), graph


def theirs(path, profile="", library="", topics=("/points", "/imu"), encoding="cdr", **options):
    with path.open("wb") as file:
        writer = Writer(file, **options)
        writer.start(profile, library)
        schema = writer.register_schema("sensor_msgs/msg/PointCloud2", "ros2msg", b"uint32 height")
        for topic in topics:
            channel = writer.register_channel(topic, encoding, schema)
            for i in range(3):
                writer.add_message(channel, i, bytes(40), i)
        writer.finish()


def ros1(path):
    path.write_bytes(b"#ROSBAG V2.0\n" + bytes(5000))


def rosbag2(path):
    with sqlite3.connect(path) as db:
        db.execute("create table topics (id integer, name text)")
    db.close()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda p: theirs(p, "ros2", "libmcap 1.2"),
            "needs a recording of pipe run --record, got MCAP of another program: profile ros2, written by libmcap 1.2, "
            "2 channels such as /points (cdr); pipe plays its own only",
        ),
        (
            lambda p: theirs(p, "ros1", encoding="ros1", compression=CompressionType.LZ4),
            "MCAP of another program: profile ros1, 2 channels such as /points (ros1)",
        ),
        (lambda p: theirs(p, library="x", encoding="json", topics=("/only",)), "no profile, written by x, 1 channels such as"),
        (lambda p: theirs(p, library="x", topics=()), "no profile, written by x, 0 channels (none)"),
        (ros1, "needs an MCAP file, got a ROS 1 bag; convert it with `mcap convert`"),
        (rosbag2, "needs an MCAP file, got an SQLite database, such as rosbag2 writes (.db3); convert it with `ros2"),
        (lambda p: p.write_bytes(zstandard.compress(MAGIC * 100)), "got a file compressed with zstd; unpack it first"),
        (lambda p: p.write_bytes(lz4.frame.compress(MAGIC * 100)), "got a file compressed with lz4; unpack it first"),
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: p.write_bytes(MAGIC[:5]), "is cut off after 5 bytes"),
        (lambda p: p.write_bytes(MAGIC), "got a file that ends before its first channel"),
        (lambda p: p.mkdir(), "needs a recording, got: it is a folder, not a file"),
        (os.mkfifo, "needs a recording, got: it is a pipe, not a file"),
        (lambda p: p.symlink_to("/dev/zero"), "needs a recording, got: it is a device, not a file"),
        (lambda p: p.symlink_to(p), "needs a recording, got: Too many levels of symbolic links"),
    ],
)  # fmt: skip
def test_other_files(tmp_path, recorded, make, text):
    path = tmp_path / "x"
    make(path)
    for call in (lambda: Recording(path), lambda: pipeline.replay(path, recorded[1], out=tmp_path / "out", place="inline")):
        with pytest.raises(InputError) as error:
            call()
        assert text in str(error.value) and str(error.value).startswith(f"{path}: ")
    assert not (tmp_path / "out").exists()


def test_ports_of_operators_only(tmp_path):
    graph = tmp_path / "g.yaml"
    graph.write_text(GRAPH.replace("in: src.out", "in: sum.out") + "  sum: {op: test.sum, inputs: {data: src.out}}\n")
    record = pipeline.options.Record(tmp_path / "r.mcap", ports="sum.out")
    pipeline.run(graph, out=tmp_path / "a", place="inline", record=record)
    with pytest.raises(
        InputError, match="needs ports of sources to play, got those of operators only; record with --record-ports"
    ):
        pipeline.replay(tmp_path / "r.mcap", graph, out=tmp_path / "b", place="inline")


# ---- cut files


def in_one_chunk(data, path, compression):
    """The recording as another tool writes it anew: all messages in one chunk."""
    from mcap.reader import make_reader

    source = path.with_suffix(".source")
    source.write_bytes(data)
    with source.open("rb") as file, path.open("wb") as target:
        writer = Writer(target, compression=compression, chunk_size=1 << 30)
        writer.start()
        channels = {}
        for schema, channel, message in make_reader(file).iter_messages(log_time_order=False):
            if channel.id not in channels:
                number = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(channel.topic, channel.message_encoding, number, channel.metadata)
            writer.add_message(channels[channel.id], message.log_time, message.data, message.publish_time, message.sequence)
        writer.finish()
    return path.read_bytes()


def frames_of(path):
    with Recording(path) as recording:
        return list(recording.sources["src"].readings)


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.LZ4, CompressionType.ZSTD])
def test_cut_inside_its_only_chunk(tmp_path, recorded, compression):
    """At every length: what is whole is played and the file is named as cut, or nothing is whole and that is said."""
    data, graph = recorded
    whole = in_one_chunk(data, tmp_path / "whole.mcap", compression)
    path, counts = tmp_path / "cut.mcap", []
    for length in range(8, len(whole), max(1, len(whole) // 150)):
        path.write_bytes(whole[:length])
        try:
            counts.append(len(frames_of(path)))
        except InputError as error:
            assert "before its first" in str(error) or "cut off" in str(error)  # noqa: PT017 - either is right
            counts.append(0)
    assert counts == sorted(counts) and counts[-1] == 12
    if compression == CompressionType.NONE:
        assert set(counts) >= set(range(1, 13))
    path.write_bytes(whole[: len(whole) * 2 // 3 if compression == CompressionType.NONE else length])
    outcome = pipeline.replay(path, graph, out=tmp_path / "out", place="inline")
    assert outcome.code == 0 and 0 < outcome.report["frames"] <= 12


def test_a_cut_file_says_so(pipe, recorded):
    data, graph = recorded
    path = pipe.folder / "cut.mcap"
    whole = in_one_chunk(data, pipe.folder / "whole.mcap", CompressionType.NONE)
    length = len(whole) // 2
    path.write_bytes(whole[:length])
    ended = pipe.pipe("replay", str(path), str(graph), "--out", str(pipe.folder / "a"), "--place", "inline")
    assert (ended.code, ended.stderr) == (0, f"warning: {path} is cut off at byte {length}: what is whole is played\n")
    path.write_bytes(whole[: len(whole) // 40])
    ended = pipe.pipe("replay", str(path), str(graph), "--out", str(pipe.folder / "b"), "--place", "inline")
    assert ended.code == 2 and ended.stderr.count("\n") == 1 and "got a file that ends before its first" in ended.stderr


def test_a_recorder_goes_on_only_with_its_own_files(tmp_path, recorded):
    """A chunk that is cut is no part for the writer: it begins a new one there."""
    path = tmp_path / "cut.mcap"
    path.write_bytes(in_one_chunk(recorded[0], tmp_path / "whole.mcap", CompressionType.NONE)[:20_000])
    fd = os.open(path, os.O_RDONLY)
    assert scan(fd, "f").parts == [] and len(scan(fd, "f", cut=True).parts) == 1
    os.close(fd)


@pytest.mark.parametrize(("package", "compression"), [("zstandard", CompressionType.ZSTD), ("lz4", CompressionType.LZ4)])
def test_a_compression_whose_package_is_not_installed(tmp_path, recorded, monkeypatch, package, compression):
    path = tmp_path / "r.mcap"
    in_one_chunk(recorded[0], path, compression)
    real = builtins.__import__

    def without(name, *args, **more):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        InputError, match=f"is compressed with (zstd|lz4): needs the package {package}, .*; pip install {package}"
    ):
        Recording(path)


# ---- claims


def chunk(compression, data, claims):
    """A chunk record that claims so many bytes."""
    name = compression.encode()
    body = struct.pack("<QQQII", 0, 0, claims, 0, len(name)) + name + struct.pack("<Q", len(data)) + data
    return struct.pack("<BQ", mcapfile.CHUNK, len(body)) + body


def head():
    metadata = {"pipe.port": "src.out", "pipe.schema": port_to_text(Port(BLOB)), "pipe.format": "foxglove", "pipe.source": "true"}
    channel = lib.Channel(id=1, topic="/src/out", message_encoding="protobuf", metadata=metadata, schema_id=1)
    records = [lib.Header("", "test"), lib.Schema(id=1, data=b"", encoding="protobuf", name="pipe.Frame"), channel]
    return MAGIC + b"".join(mcapfile.record(r) for r in records)


def message(**changed):
    """A message record of one frame; `changed`: fields of its header."""
    data = np.zeros(40, np.uint8)
    header = Header("src", 0, "000000", 1000, 0)
    packed = b"".join(
        bytes(p) for p in pack(header, 1001, {}, {"data": data}, AnyFrame().encode(header, {"data": data}), False).pieces
    )
    if changed:
        size, at = wire.read_varint(packed, len(wire.tag(HEAD_FIELD, wire.LEN)))
        names = ["version", "source", "frame_id", "item", "stamp_ns", "recv_ns", "bound", "meta", "summed", "arrays"]
        fields = dict(zip(names, msgpack.unpackb(packed[at : at + size]), strict=True)) | changed
        body = msgpack.packb(list(fields.values()))
        packed = wire.head(HEAD_FIELD, len(body)) + body + packed[at + size :]
    return struct.pack("<BQHIQQ", mcapfile.MESSAGE, 22 + len(packed), 1, 0, 1000, 1000) + packed


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bomb(compression, size):
    """A small chunk of valid messages that unpacks to `size` bytes."""
    data = message() * (size // len(message()))
    return {"zstd": zstandard.ZstdCompressor(level=3).compress, "lz4": lz4.frame.compress}[compression](data), len(data)


def zeros(mb):
    """Compressed, and never in memory."""
    packer = zstandard.ZstdCompressor().compressobj()
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(mb)) + packer.flush()


@pytest.mark.parametrize(
    "content",
    [
        lambda: chunk("zstd", bytes(196_000), 6 << 30),
        lambda: chunk("lz4", bytes(196_000), 6 << 30),
        lambda: chunk("zstd", b"", 2**64 - 1),
        lambda: b"".join(chunk("zstd", bytes(100), 60 << 20) for _ in range(3)),
        lambda: chunk("zstd", zeros(200), 200 << 20),
    ],
)
def test_claims_are_capped_before_memory_is_taken(tmp_path, content):
    path = tmp_path / "x.mcap"
    path.write_bytes(head() + content())
    before, began = peak_mb(), time.monotonic()
    with pytest.raises(InputError, match=r"claim to unpack to \d+ bytes, at most \d+ are read$"):
        Recording(path)
    assert peak_mb() - before < 100 and time.monotonic() - began < 2


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
@pytest.mark.parametrize("claims", [0, 1, 1000])
def test_a_chunk_that_holds_more_than_it_claims(tmp_path, compression, claims):
    """No more than the claim is unpacked; the file is damaged, then."""
    path = tmp_path / "x.mcap"
    packed, _ = bomb(compression, 20 << 20)
    path.write_bytes(head() + chunk(compression, packed, claims))
    before = peak_mb()
    with pytest.raises(InputError):
        Recording(path)
    assert peak_mb() - before < 50


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"frame_id": -1}, "frame_id needs to be a whole number of 0 to 281474976710655, got -1"),
        ({"frame_id": 1 << 48}, "frame_id needs to be a whole number"),
        ({"frame_id": 1.5}, "frame_id needs to be a whole number of 0 to 281474976710655, got 1.5"),
        ({"frame_id": True}, "frame_id needs to be a whole number"),
        ({"frame_id": "1"}, "frame_id needs to be a whole number"),
        ({"stamp_ns": 2**63 - 2}, "stamp_ns needs to be a whole number"),
        ({"stamp_ns": 1e9}, "stamp_ns needs to be a whole number"),
        ({"bound": -(2**63)}, "bound needs to be a whole number"),
        ({"bound": -(2**60)}, "needs a bound close to its stamp 1000, got -1152921504606846976"),
        ({"item": 7}, "item needs to be text, got int"),
        ({"item": None}, "item needs to be text, got NoneType"),
        ({"meta": {1: 2}}, "a name in its meta needs to be text, got int"),
        ({"arrays": [["other", "|u1", [40], "", 0, 40]]}, "src.out src:0 needs arrays data, got other"),
        ({"arrays": []}, "src.out src:0 needs arrays data, got none"),
        ({"arrays": [["data", "|u1", [40.0], "", 0, 40]]}, "a size of data needs to be a whole number"),
        ({"arrays": [["data", "|u1", [60_000, 60_000], "png", 0, 40]]}, "array data claims 3600000000 bytes in 40"),
        ({"arrays": [["data", "O", [5], "", 0, 40]]}, "dtype 'O' is not of plain numbers"),
    ],
)
def test_headers_that_no_run_writes(tmp_path, changed, text):
    path = tmp_path / "x.mcap"
    path.write_bytes(head() + message(**changed))
    with pytest.raises(InputError, match=text.replace("(", r"\(")):
        Recording(path)


def test_a_frame_that_is_there_twice(tmp_path):
    path = tmp_path / "x.mcap"
    path.write_bytes(head() + message() + message(frame_id=2) + message())
    with pytest.raises(InputError, match=r"needs frame src:0 of src.out once, got it again"):
        Recording(path)


# ---- names and texts


@pytest.mark.parametrize("name", ["somemodule:X", "os:path", "schemas", "scene", "..", "foxglove.Foxglove", "a/b", "x" * 200])
def test_formats_are_shipped_ones(tmp_path, monkeypatch, name):
    """The module that a recording names is not imported, whoever put it into the working folder."""
    (tmp_path / "somemodule.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GraphError, match="unknown format of recordings"):
        formats.format_class(name)
    metadata = {"pipe.port": "src.out", "pipe.schema": port_to_text(Port(BLOB)), "pipe.format": name, "pipe.source": "true"}
    channel = lib.Channel(id=1, topic="/src/out", message_encoding="protobuf", metadata=metadata, schema_id=1)
    path = tmp_path / "x.mcap"
    path.write_bytes(MAGIC + mcapfile.record(channel) + message())
    with pytest.raises(
        InputError, match=r"channel /src/out needs the contract of a port, got: its format '.*' is unknown; known: "
    ):
        Recording(path)
    assert "somemodule" not in sys.modules


def test_known_formats():
    assert formats.available() == ["foxglove"]


@pytest.mark.parametrize(
    "contract",
    [
        "", "[]", "{}", "[" * 100_000, '{"arrays": {}}', None,
        {"shape": 5}, {"shape": [-1.5]}, {"dtype": "O"}, {"unit": 5}, {"limits": {"N": -1}},
    ],
)  # fmt: skip
def test_contracts_that_are_none(tmp_path, contract):
    text = contract
    if not isinstance(contract, str):
        plain = json.loads(port_to_text(Port(BLOB)))
        if contract is None:
            plain["arrays"] = {f"a{i}": plain["arrays"]["data"] for i in range(5000)}
        elif "limits" in contract:
            plain |= contract
        else:
            plain["arrays"]["data"] |= contract
        text = json.dumps(plain)
    metadata = {"pipe.port": "src.out", "pipe.schema": text, "pipe.format": "foxglove", "pipe.source": "true"}
    channel = lib.Channel(id=1, topic="/src/out", message_encoding="protobuf", metadata=metadata, schema_id=1)
    path = tmp_path / "x.mcap"
    path.write_bytes(MAGIC + mcapfile.record(channel) + message())
    with pytest.raises(InputError, match="channel /src/out needs the contract of a port, got: "):
        Recording(path)


@pytest.mark.parametrize("result", ["no JSON", "[" * 100_000, "[1, 2]", '{"snk": 5}', "null", ""])
def test_a_result_that_is_no_json(pipe, recorded, result):
    path, graph = pipe.folder / "r.mcap", recorded[1]
    end = [lib.Metadata("pipe.result", {"digest": result}), lib.DataEnd(0), lib.Footer(0, 0, 0)]
    path.write_bytes(head() + message() + b"".join(mcapfile.record(r) for r in end) + MAGIC)
    ended = pipe.pipe("replay", str(path), str(graph), "--out", str(pipe.folder / "a"), "--place", "inline")
    assert (ended.code, ended.stderr) == (0, f"warning: {path} has digests of its run that cannot be read: nothing is compared\n")


# ---- any bytes


def outcome_of(path, graph, out):
    """Plays the file; any error has to be one line, and the run may not take long. -> was it played?"""
    began = time.monotonic()
    try:
        with Recording(path):
            pass
        outcome = pipeline.replay(path, graph, out=out, place="inline")
        texts = outcome.errors
    except PipeError as error:
        texts = [str(error)]
        outcome = None
    assert all(text and "\n" not in text for text in texts)
    assert time.monotonic() - began < 5
    return outcome is not None and outcome.code == 0


EXTREMES = (0, 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def mutated(data, rng):
    """Bytes changed, cut out, doubled, set to extremes."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if len(out) <= 8:
            break
        at, n = int(rng.integers(8, len(out))), int(rng.integers(1, 9))
        kind = int(rng.integers(0, 6))
        if kind == 0:
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            out[at : at + n] = rng.bytes(n)
        elif kind == 2:
            del out[at : at + n]
        elif kind == 3:
            out[at:at] = out[at : at + 8 * n]
        elif kind == 4:
            out[at : at + 8] = EXTREMES[int(rng.integers(0, len(EXTREMES)))].to_bytes(8, "little")
        else:
            del out[at:]
    return bytes(out)


def fuzz(tmp_path, recorded, count, seed):
    data, graph = recorded
    small = head() + b"".join(message(frame_id=i, stamp_ns=1000 + i, bound=1001 + i) for i in range(4))
    files = [small, data] + [
        in_one_chunk(data, tmp_path / f"{c.name}.mcap", c) for c in (CompressionType.LZ4, CompressionType.ZSTD)
    ]
    rng = np.random.default_rng(seed)
    before, played = peak_mb(), 0
    for i in range(count):
        path = tmp_path / "fuzzed.mcap"
        path.write_bytes(mutated(files[i % len(files)], rng))
        played += outcome_of(path, graph, tmp_path / f"out{i}")
    assert peak_mb() - before < 300
    return played


def test_any_bytes(tmp_path, recorded):
    assert 0 < fuzz(tmp_path, recorded, 120, 0) < 120


@pytest.mark.fuzz
@pytest.mark.timeout(1200)
def test_any_bytes_for_long(tmp_path, recorded):
    assert fuzz(tmp_path, recorded, 10_000, None) > 0
