"""`--record F.mcap`: an additional node writes the frames that the sources send. (F.rrd: rerun.py.)

The node is a tap (see `Operator.tap`) in a process of its own. Offline it blocks like any sink; live it slows nobody, and frames
that it misses are lost by name. `process_all` returns when the frames are in the file, so a frame is in the file exactly if the
ledger says that it was delivered. A successor, and the end of the run, cut off frames that were written but not committed. The
end of the run adds what only the supervisor knows: the remaining losses, the digests, the summary.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import InputError, RunError
from pipeline.frame import Header
from pipeline.graph.spec import GraphSpec
from pipeline.operator import Operator, Taken
from pipeline.options import Images, Outcome, Record, Recorded
from pipeline.recording import mcapfile, rerun
from pipeline.recording.contents import library
from pipeline.recording.formats import format_class
from pipeline.recording.mcapfile import Message, Writer
from pipeline.recording.message import AnyFrame, Body, Encoder, MessageSchema, pack, port_from_text, port_to_text
from pipeline.recording.taps import BATCH, RECORDER, choose, with_tap
from pipeline.runtime.session import Session
from pipeline.schema import ANY, Port

DROPS = "/pipe/drops"
PORT_KEY, SCHEMA_KEY, FORMAT_KEY, SOURCE_KEY = "pipe.port", "pipe.schema", "pipe.format", "pipe.source"
"""Metadata of a channel: NODE.PORT, its contract, the format that decodes its pictures, whether the node is a source."""
RUN, RESULT = "pipe.run", "pipe.result"
"""Metadata records of the file: what ran; how it ended."""
LOST = "lost.jsonl"
_LOOK_S = 1.0
"""How often the recorder looks for new losses."""


@dataclass(frozen=True)
class RecorderConfig:
    """ports: NODE.PORT -> contract as text; operators: those of operators; about: facts for the file; crc: write checksums."""

    path: Path
    ports: dict[str, str]
    operators: tuple[str, ...] = ()
    about: dict[str, str] = field(default_factory=dict)
    images: Images = "raw"
    format: str = "foxglove"
    crc: bool = True


class Recorder(Operator):
    """Writes every frame of every input into one MCAP file."""

    Config = RecorderConfig
    tap = True
    batch = BATCH
    writer: Writer | None = None

    @classmethod
    def inputs_of(cls, config: RecorderConfig) -> Mapping[str, Port]:
        return {name: Port(ANY, static=port_from_text(text).static) for name, text in config.ports.items()}

    def open(self) -> None:
        config = self.config
        self.layout = Layout(config)
        self.drops = Drops(self.out_dir / LOST, self.layout)
        self.waiting: list[tuple[str, Header, int, Any]] = []  # values of static ports; they get the stamp of the next frame
        self.written: set[str] = set()  # static ports that are in the file
        if self.resume is None or not self.resume.steps:  # a predecessor may have left a file without a committed frame
            try:
                self.writer = Writer.create(config.path, self.layout.records(), crc=config.crc)
            except OSError as error:
                raise RunError(f"{config.path}: cannot begin the recording: {error.strerror}; record to another disk?") from None
            return
        self.writer = Writer.resume(config.path, self.layout.streams, self.resume.steps, crc=config.crc)
        self.written = {p for p in self.layout.static if self.writer.counts.get(self.layout.channel_of[p])}
        self.drops.skip(self.writer.counts.get(self.layout.drops, 0))
        kept = sum(self.writer.counts.get(c, 0) for c in self.layout.streams)
        if kept < self.resume.steps:
            raise RunError(
                f"{config.path}: needs the {self.resume.steps} frames that were recorded, holds {kept}; who changed it?"
            )

    def latched(self, port: str, values: list[tuple[int, Any]]) -> None:
        if port not in self.written:
            node = port.rpartition(".")[0]
            self.waiting += [(port, Header(node, i, "", from_ns), len(values), v) for i, (from_ns, v) in enumerate(values)]
            self.written.add(port)

    def process_all(self, frames: Sequence[Taken]) -> None:
        messages = [*self.drops.new(), *self._statics(max(0, frames[0].header.stamp_ns))]
        for port, header, bound, meta, value in frames:
            messages += self.layout.messages(port, header, max(0, header.stamp_ns), bound, meta, ANY.unpack(value, port))
        more = f" and {len(frames) - 1} frames after it" if len(frames) > 1 else ""
        self._append(messages, f"{frames[0].port} of {frames[0].header}{more}")

    def close(self) -> None:
        if self.writer is not None:
            self._append(self._statics(0), "the static ports")
            self.writer.close()

    def _statics(self, stamp_ns: int) -> list[Message]:
        messages: list[Message] = []
        for port, header, count, value in self.waiting:
            messages += self.layout.messages(port, header, stamp_ns, count, {}, ANY.unpack(value, port))
        return messages

    def _append(self, messages: list[Message], what: str) -> None:
        try:
            if messages and self.writer is not None:
                self.writer.append(messages)
        except OSError as error:
            raise RunError(
                f"{self.config.path}: cannot write {what}: {error.strerror}; what came before is complete; "
                "free space, or record to another disk?"
            ) from error
        self.waiting.clear()


class Layout:
    """The channel of each port, equal in every life of the recorder and at the run's end.

    streams  channels whose messages are delivered frames
    """

    def __init__(self, config: RecorderConfig) -> None:
        self.config = config
        self.format = format_class(config.format)()
        self.ports = {name: port_from_text(text) for name, text in config.ports.items()}
        self.encoders: dict[str, Encoder] = {}
        self.channel_of: dict[str, int] = {}
        self._extra: dict[tuple[str, str], int] = {}
        self._schemas: dict[str, tuple[int, MessageSchema]] = {}
        self._channels: list[tuple[str, int, dict[str, str]]] = []
        self.drops = self._channel(DROPS, self.format.log_schema, {})
        for name, port in self.ports.items():
            encoder = self.encoders[name] = self.format.encoder(name, port, config.images) or AnyFrame()
            topic = "/" + name.replace(".", "/")
            self.channel_of[name] = self._channel(
                topic,
                encoder.schema,
                {
                    PORT_KEY: name,
                    SCHEMA_KEY: config.ports[name],
                    FORMAT_KEY: config.format,
                    SOURCE_KEY: str(name not in config.operators).lower(),
                },
            )
            for suffix, schema in encoder.extra.items():
                self._extra[(name, suffix)] = self._channel(f"{topic}/{suffix}", schema, {})
        self.static = [name for name, port in self.ports.items() if port.static]
        self.streams = frozenset(c for name, c in self.channel_of.items() if not self.ports[name].static)

    def _channel(self, topic: str, schema: MessageSchema, metadata: dict[str, str]) -> int:
        number, _ = self._schemas.setdefault(schema.name, (len(self._schemas) + 1, schema))
        self._channels.append((topic, number, metadata))
        return len(self._channels)

    def records(self) -> Iterator[Any]:
        """The records at the beginning of the file."""
        lib = library()
        yield lib.Header(profile="", library="perception-pipe")
        yield lib.Metadata(RUN, {"images": self.config.images, **self.config.about})
        for number, schema in self._schemas.values():
            yield lib.Schema(id=number, data=schema.data, encoding="protobuf", name=schema.name)
        for i, (topic, number, metadata) in enumerate(self._channels):
            yield lib.Channel(id=i + 1, topic=topic, message_encoding="protobuf", metadata=metadata, schema_id=number)

    def messages(
        self, port: str, header: Header, log_ns: int, bound: int, meta: Mapping[str, Any], arrays: dict[str, np.ndarray]
    ) -> list[Message]:
        """The messages of a frame: first those for further channels, last its own."""
        body: Body = self.encoders[port].encode(header._replace(stamp_ns=log_ns), arrays)
        publish_ns = header.recv_ns if header.recv_ns > 0 else log_ns
        out = [
            Message(self._extra[(port, suffix)], header.frame_id, log_ns, publish_ns, [data])
            for suffix, data in body.extra.items()
        ]
        packed = pack(header, bound, meta, arrays, body, self.config.crc)
        return [*out, Message(self.channel_of[port], header.frame_id, log_ns, publish_ns, packed.pieces, packed.sums)]

    def lost(self, line: str, number: int) -> Message:
        """One line of the drop ledger as a log message."""
        loss = json.loads(line)
        stamp_ns = max(0, int(loss["stamp_ns"]))
        return Message(self.drops, number, stamp_ns, stamp_ns, [self.format.log(stamp_ns, loss["edge"], line)])


class Drops:
    """Follows the file in which the supervisor writes the losses of this node."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path, self._layout = path, layout
        self._at = self.count = 0
        self._look_at = 0.0

    def skip(self, count: int) -> None:
        """Skip the first `count` losses: they are in the recording already."""
        for line in self._lines():
            if self.count == count:
                break
            self.count += 1
            self._at += len(line)

    def new(self) -> list[Message]:
        """New losses; nothing before the next look is due."""
        now = time.monotonic()
        if now < self._look_at:
            return []
        self._look_at = now + _LOOK_S
        return self.rest()

    def rest(self) -> list[Message]:
        out = []
        for line in self._lines():
            out.append(self._layout.lost(line.decode().rstrip("\n"), self.count))
            self.count += 1
            self._at += len(line)
        return out

    def _lines(self) -> list[bytes]:
        """Complete lines behind the last one that was read."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            return [line for line in file.readlines() if line.endswith(b"\n")]


# ---- in the process of `pipe run`


def with_recorder(spec: GraphSpec, record: Record) -> GraphSpec:
    """The graph with the recorder as an additional node."""
    if record.path.suffix == rerun.SUFFIX:
        return rerun.with_recorder(spec, record)
    chosen = choose(spec, "sources" if record.ports is None else record.ports, "--record-ports")
    ports = {name: port_to_text(spec.nodes[node].outputs[port]) for name, (node, port) in chosen.items()}
    about = {"graph": spec.name, "file": spec.path, "text": spec.text, "live": str(spec.live).lower()}
    operators = tuple(name for name, (node, _) in chosen.items() if not spec.nodes[node].is_source)
    config = RecorderConfig(Path(os.path.realpath(record.path)), ports, operators, about, record.images)
    format_class(config.format)
    return with_tap(spec, RECORDER, Recorder, config, chosen, "--record")


def finish(session: Session, outcome: Outcome | None) -> None:
    """After the last process has ended: write the summary and set `outcome.recorded` (None: an operator's exception passes)."""
    config = session.graph.nodes[RECORDER].config
    if isinstance(config, rerun.RerunRecorderConfig):
        rerun.finish(session, outcome)
        return
    path = config.path
    if not path.exists():
        return  # the recorder wrote nothing
    result = {"exit": "failed" if outcome is None else outcome.exit}
    if outcome is not None:
        result["comparable"] = str(outcome.report["comparable"]).lower()
        result["digest"] = json.dumps(outcome.report["digest"])
    layout = Layout(config)
    drops = Drops(session.options.out / RECORDER / LOST, layout)
    steps = session.node_books[RECORDER].steps
    try:
        writer = Writer.resume(path, layout.streams, steps, crc=config.crc)
        frames = sum(writer.counts.get(c, 0) for c in layout.streams)
        drops.skip(writer.counts.get(layout.drops, 0))
        mcapfile.finish(writer, drops.rest(), [library().Metadata(RESULT, result)])
    except OSError as error:
        if outcome is not None:
            outcome.errors.append(f"{path}: cannot write its summary: {error.strerror}; it is complete without, readers scan it")
            outcome.code = outcome.code or 1
        return
    except InputError as error:
        if not steps:  # the recorder died before it had written the beginning
            path.unlink()
        elif outcome is not None:
            outcome.errors.append(str(error))
            outcome.code = outcome.code or 1
        return
    if outcome is not None:
        outcome.recorded = Recorded(path, frames, drops.count, path.stat().st_size)
