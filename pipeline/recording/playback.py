"""A recording replaces the sources of a graph: same frames, numbers and stamps, read from the file directly into the slots."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.checksum import crc32
from pipeline.errors import GraphError, InputError, printable
from pipeline.frame import Reading, Static
from pipeline.graph import load as graph_file
from pipeline.graph.load import StandIn
from pipeline.graph.spec import GraphSpec
from pipeline.operator import Found, Source
from pipeline.outside import open_file, parse_json
from pipeline.recording.contents import ChunkRow, Entry, library, scan
from pipeline.recording.formats import available, format_class
from pipeline.recording.message import RAW, Stored, StoredArray, port_from_text, unpack
from pipeline.recording.recorder import DROPS, FORMAT_KEY, PORT_KEY, RESULT, RUN, SCHEMA_KEY, SOURCE_KEY
from pipeline.schema import Port, Schema

MAX_DISORDER_NS = 86_400 * 10**9
"""A source may send frames late by a day: joins keep buffers for what a recording says."""


@dataclass(slots=True)
class _Frame:
    """The frame of one port in a reading."""

    port: str
    entry: Entry
    stored: Stored


@dataclass
class RecordedSource:
    """One source of the recorded run.

    ports       port -> its contract
    readings    frame_id -> the frames of that reading; in the order of the ids
    statics     port -> its values, in order
    disorder_ns how far a stamp may lie behind the largest earlier one
    """

    ports: dict[str, Port] = field(default_factory=dict)
    readings: dict[int, list[_Frame]] = field(default_factory=dict)
    statics: dict[str, list[_Frame]] = field(default_factory=dict)
    disorder_ns: int = 0

    @property
    def stamps_ns(self) -> np.ndarray:
        return np.array([frames[0].stored.header.stamp_ns for frames in self.readings.values()], np.int64)


class Recording:
    """An opened recording; a context manager. Raises InputError if the file is no recording, or damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        library()
        try:
            self.fd = open_file(path)
        except OSError as error:
            raise InputError(f"{path}: needs a recording, got: {error.strerror}") from None
        try:
            self.contents = scan(self.fd, str(path), cut=True)
            self.sources: dict[str, RecordedSource] = {}
            self.lost = 0
            self._formats: dict[int, str] = {}
            self._index()
            self.recorded_digests = self._read_digests()  # None: cannot be read
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def reopened(self) -> Recording:
        """The same index with a file descriptor of its own."""
        again = copy.copy(self)
        again.fd = open_file(self.path)
        return again

    @property
    def about(self) -> Mapping[str, str]:
        """The recorded run: graph, file, text, live, images."""
        return self._metadata(RUN)

    @property
    def result(self) -> Mapping[str, str]:
        """How the run ended: exit, comparable, digest; empty if it was killed."""
        return self._metadata(RESULT)

    @property
    def complete(self) -> bool:
        return self.contents.finished

    @property
    def digests(self) -> dict[str, str]:
        """Sink -> digest of the recorded run."""
        return self.recorded_digests or {}

    @property
    def cut_at(self) -> int | None:
        """Where the file ends in the middle of a chunk [byte]."""
        last = self.contents.parts[-1] if self.contents.parts else None
        return last.data_at + last.size if isinstance(last, ChunkRow) and last.cut else None

    def _read_digests(self) -> dict[str, str] | None:
        try:
            digests = parse_json(self.result.get("digest", "{}"))
        except ValueError:
            return None
        right = isinstance(digests, dict) and all(isinstance(digest, str) for digest in digests.values())
        return digests if right else None

    def _metadata(self, name: str) -> Mapping[str, str]:
        return next((m.metadata for m, _, _ in self.contents.metadata if m.name == name), {})

    def _index(self) -> None:
        """Read the head of every message."""
        contents = self.contents
        ports: dict[int, tuple[str, str]] = {}
        for entry in contents.entries(self.fd):
            channel = contents.channels.get(entry.channel)
            if channel is None:
                raise InputError(f"{self.path}: needs a channel {entry.channel} before its first message, got none")
            if channel.topic == DROPS:
                self.lost += 1
            if channel.metadata.get(SOURCE_KEY) != "true":
                continue  # a port of an operator, recorded only for viewing
            if entry.channel not in ports:
                ports[entry.channel] = self._port(entry.channel, channel)
            node, port = ports[entry.channel]
            source = self.sources[node]
            frame = _Frame(port, entry, self._head(entry, f"{node}.{port}"))
            self._check(frame, source.ports[port], f"{node}.{port}")
            if source.ports[port].static:
                source.statics.setdefault(port, []).append(frame)
                continue
            frames = source.readings.setdefault(frame.stored.header.frame_id, [])
            if any(other.port == port for other in frames):
                name = printable(f"{frame.stored.header} of {node}.{port}")
                raise InputError(f"{self.path}: needs frame {name} once, got it again")
            frames.append(frame)
        for number, channel in contents.channels.items():  # ports that sent nothing
            if channel.metadata.get(SOURCE_KEY) == "true" and number not in ports:
                self._port(number, channel)
        if not self.sources:
            raise InputError(f"{self.path}: {printable(self._no_sources())}")
        if not contents.finished and not any(source.readings or source.statics for source in self.sources.values()):
            raise InputError(f"{self.path}: needs at least one whole frame, got a file that ends before its first one")
        for source in self.sources.values():
            source.readings = dict(sorted(source.readings.items()))
            frames = [f for fs in source.readings.values() for f in fs]
            source.disorder_ns = max([0, *(f.stored.header.stamp_ns - f.stored.bound for f in frames)])

    def _no_sources(self) -> str:
        """What the file is, if no source can be played from it."""
        contents = self.contents
        channels = list(contents.channels.values())
        if any(PORT_KEY in channel.metadata for channel in channels):
            return "needs ports of sources to play, got those of operators only; record with --record-ports sources or all"
        if not channels and not contents.finished:
            return "needs a recording of pipe run --record, got a file that ends before its first channel"
        profile = f"profile {contents.header.profile}" if contents.header and contents.header.profile else "no profile"
        writer = f", written by {contents.header.library}" if contents.header and contents.header.library else ""
        kinds = ", ".join(sorted({channel.message_encoding or "no encoding" for channel in channels})) or "none"
        such = f" such as {channels[0].topic}" if channels else ""
        return (
            f"needs a recording of pipe run --record, got MCAP of another program: {profile}{writer}, "
            f"{len(channels)} channels{such} ({kinds}); pipe plays its own only"
        )

    def _check(self, frame: _Frame, contract: Port, who: str) -> None:
        """Raises InputError for a frame that no run has recorded."""
        header, bound = frame.stored.header, frame.stored.bound
        names, needed = [array.name for array in frame.stored.arrays], list(contract.schema.arrays)
        if needed and sorted(names) != sorted(needed):
            got = printable(", ".join(names) or "none")
            raise InputError(f"{self.path}: {printable(f'{who} {header}')} needs arrays {', '.join(needed)}, got {got}")
        if not contract.static and header.stamp_ns - bound > MAX_DISORDER_NS:
            name = printable(f"{who} {header}")
            raise InputError(f"{self.path}: {name} needs a bound close to its stamp {header.stamp_ns}, got {bound}")

    def _port(self, number: int, channel: Any) -> tuple[str, str]:
        try:
            name = channel.metadata[PORT_KEY]
            node, dot, port = name.rpartition(".")
            if not (node and dot and port):
                raise ValueError(f"{name!r} is no NODE.PORT")
            contract = port_from_text(channel.metadata[SCHEMA_KEY])
            name = channel.metadata.get(FORMAT_KEY, "")
            if name and name not in available():
                raise ValueError(f"its format {name[:40]!a} is unknown; known: {', '.join(available())}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            topic, text = printable(channel.topic), printable(str(error))
            raise InputError(f"{self.path}: channel {topic} needs the contract of a port, got: {text}") from None
        self.sources.setdefault(node, RecordedSource()).ports[port] = contract
        self._formats[number] = channel.metadata.get(FORMAT_KEY, "")
        return node, port

    def _head(self, entry: Entry, who: str) -> Stored:
        read = self.contents.source(self.fd, entry.chunk)
        try:
            return unpack(lambda at, n: read(entry.data_at + at, n), entry.nbytes)
        except ValueError as error:
            raise InputError(
                f"{self.path}: message {entry.sequence} of {printable(who)} is damaged: {printable(str(error))}"
            ) from None

    def read_into(self, frame: _Frame, array: StoredArray, out: np.ndarray, who: str) -> None:
        """Read a stored array into `out` and check it. Raises InputError."""
        entry = frame.entry
        where = entry.data_at + array.at
        if array.codec != RAW:
            data = self.contents.source(self.fd, entry.chunk)(where, array.nbytes)
            self._check_sum(data, entry, array, who)
            out[...] = self._decoded(entry.channel, data, array, who)
            return
        if not out.size:
            return
        flat = out.reshape(-1).view(np.uint8)
        if entry.chunk is not None and entry.chunk.compression:
            flat[:] = np.frombuffer(self.contents.source(self.fd, entry.chunk)(where, array.nbytes), np.uint8)
        else:
            done = 0
            while done < array.nbytes:
                n = os.preadv(self.fd, [flat.data[done:]], where + done)
                if n == 0:
                    raise InputError(f"{self.path}: {array.name} of {who} is cut off; the file has become shorter")
                done += n
        self._check_sum(flat.data, entry, array, who)

    def _check_sum(self, data: Any, entry: Entry, array: StoredArray, who: str) -> None:
        if not array.sum_at:
            return
        raw = self.contents.source(self.fd, entry.chunk)(entry.data_at + array.sum_at, 4)
        needed, got = int.from_bytes(raw, "little"), crc32(data)
        if needed != got:
            raise InputError(
                f"{self.path}: {array.name} of {who} needs checksum {needed:08x}, got {got:08x}: the file is damaged"
            )

    def _decoded(self, channel: int, data: bytes, array: StoredArray, who: str) -> np.ndarray:
        try:
            made = format_class(self._formats[channel])().decode(array.codec, data, array.shape)
        except ValueError as error:
            raise InputError(f"{self.path}: {array.name} of {who}: {error}") from None
        if made.shape != array.shape or made.dtype != array.dtype:
            raise InputError(
                f"{self.path}: {array.name} of {who} needs {array.shape} {array.dtype}, got {made.shape} {made.dtype} unpacked"
            )
        return made


@dataclass(frozen=True)
class ReplayConfig:
    path: Path
    source: str
    max_disorder_ms: float = 0.0


class Replay(Source):
    """Plays one source of a recording."""

    Config = ReplayConfig

    @classmethod
    def outputs_of(cls, config: ReplayConfig) -> Mapping[str, Schema | Port]:
        return _opened(config.path).sources[config.source].ports

    @classmethod
    def find(cls, config: ReplayConfig) -> Found:
        source = _opened(config.path).sources[config.source]
        return Found(len(source.readings), stamps_ns=source.stamps_ns)

    @classmethod
    def slot_bytes(cls, config: ReplayConfig) -> dict[str, int]:
        most: dict[str, int] = {}
        source = _opened(config.path).sources[config.source]
        for frames in source.readings.values():
            for frame in frames:
                needed = sum(-(-array.size_bytes // 64) * 64 for array in frame.stored.arrays)
                most[frame.port] = max(most.get(frame.port, 64), needed)
        return {port: most.get(port, 64) for port, contract in source.ports.items() if not contract.static}

    def open(self, start: int = 0) -> None:
        self.recording = _opened(self.config.path).reopened()
        self.recorded = self.recording.sources[self.config.source]
        self.max_disorder_ms = self.config.max_disorder_ms
        self.left: Iterator[tuple[int, list[_Frame]]] = (r for r in self.recorded.readings.items() if r[0] >= start)

    def statics(self) -> Iterable[Static]:
        for port, frames in self.recorded.statics.items():
            for frame in frames:
                value = {a.name: np.empty(a.shape, a.dtype) for a in frame.stored.arrays}
                for array in frame.stored.arrays:
                    self.recording.read_into(frame, array, value[array.name], f"{self.name}.{port}")
                yield Static(port, self._value(port, value), frame.stored.header.stamp_ns)

    def read(self) -> Reading | None:
        frame_id, frames = next(self.left, (-1, []))
        if not frames:
            return None
        values: dict[str, Any] = {}
        for frame in frames:
            if frame.port not in self.wanted:
                continue
            value = {}
            for array in frame.stored.arrays:
                value[array.name] = self.alloc(frame.port, array.name, array.shape, array.dtype)
                self.recording.read_into(frame, array, value[array.name], f"{self.name}.{frame.port} {self.name}:{frame_id}")
            values[frame.port] = self._value(frame.port, value)
        header = frames[0].stored.header
        meta = {f.port: f.stored.meta for f in frames if f.port in values}
        return Reading(values, header.item, header.stamp_ns, meta=meta, frame_id=frame_id)  # recv_ns: now

    def _value(self, port: str, arrays: dict[str, np.ndarray]) -> Any:
        return self.recorded.ports[port].schema.pack(arrays)

    def close(self) -> None:
        self.recording.close()


_known: dict[tuple[Path, int, int], Recording] = {}


def _opened(path: Path) -> Recording:
    """The index of a file, which is closed again; the index of the last file is cached."""
    stat = path.stat()
    key = (path, stat.st_mtime_ns, stat.st_size)
    if key not in _known:
        with Recording(path) as recording:
            _known.clear()
            _known[key] = recording
    return _known[key]


def stand_in(recording: Recording) -> StandIn:
    """For `graph.load`: a source's name -> the node that replaces it."""

    def find(name: str) -> tuple[type[Source], ReplayConfig]:
        source = recording.sources.get(name)
        if source is None:
            there = ", ".join(recording.sources) or "none"
            raise GraphError(f"needs source {name} in the recording {recording.path}, got {there}")
        return Replay, ReplayConfig(recording.path.resolve(), name, source.disorder_ns * 1e-6)

    return find


def load(recording: Recording, graph: str | Path, sets: Iterable[str] | Mapping[str, Any]) -> GraphSpec:
    """The graph with its sources replaced by the recording. Raises GraphError."""
    spec = graph_file.load(graph, sets, stand_in(recording))
    for text in sets:
        target = text.partition("=")[0].strip()
        node = next((n for n, s in spec.nodes.items() if s.is_source and target.startswith(f"{n}.config")), None)
        if node is not None:
            raise GraphError(f"--set {text}: {node} is played from {recording.path}; its config has no effect")
    return spec


def remarks(recording: Recording) -> list[str]:
    """Reasons why a replay is not equal to the recorded run."""
    out = []
    if recording.cut_at is not None:
        out.append(f"{recording.path} is cut off at byte {recording.cut_at}: what is whole is played")
    elif not recording.complete:
        out.append(f"{recording.path} has no summary: the run was killed, or still goes on; what is complete is played")
    if recording.lost:
        out.append(f"{recording.path} lacks {recording.lost} frames that its recorder lost (channel {DROPS})")
    if recording.recorded_digests is None:
        out.append(f"{recording.path} has digests of its run that cannot be read: nothing is compared")
    if recording.about.get("images") == "jpeg":
        out.append(f"{recording.path} holds pictures as JPEG: they are not bit for bit what the run saw")
    return out


def compared(recording: Recording, report: Mapping[str, Any]) -> list[str]:
    """Lines that compare the digests with those of the recorded run."""
    both = {name: digest == recording.digests[name] for name, digest in report["digest"].items() if name in recording.digests}
    same, other = ([name for name, equal in both.items() if equal == wanted] for wanted in (True, False))
    lines = [f"  as in the recorded run: {', '.join(same)}"] if same else []
    return lines + ([f"  not as in the recorded run: {', '.join(other)}"] if other else [])
