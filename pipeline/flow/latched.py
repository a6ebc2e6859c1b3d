"""Static ports: values that are latched, not streamed (calibration). They are sent as messages, before the first frame (003).

A value is sent to every reader when it is set, and again to a reader that connects later. Between processes each static edge has
its own channel, and the I/O thread of each side reads the inbox. Within a process the value is handed over directly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np

from pipeline.errors import FrameError
from pipeline.flow.transport import HEAD, HELLO, STATIC, Channel, body_of, head
from pipeline.graph.layout import EdgeSpec
from pipeline.schema import Schema

MAX_STATIC = 1 << 20


@dataclass(slots=True)
class Latched:
    """The values of one static input. Replaced as a whole, because the I/O thread stores while the node's thread reads."""

    total: int = -1
    values: Mapping[int, tuple[int, dict[str, np.ndarray]]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return self.total >= 0 and len(self.values) == self.total

    def ordered(self) -> list[tuple[int, dict[str, np.ndarray]]]:
        return sorted(self.values.values(), key=lambda v: v[0])

    def at(self, stamp_ns: int) -> dict[str, np.ndarray] | None:
        """The value valid for a stamp: the last one at or before it, else the first."""
        ordered = self.ordered()
        valid = [v for v in ordered if v[0] <= stamp_ns] or ordered[:1]
        return valid[-1][1] if valid else None

    def take(self, body: list[Any]) -> None:
        """One value, as `StaticPort.latch` packed it."""
        index, total, from_ns, packed = body
        arrays = {name: np.frombuffer(raw, dtype).reshape(shape) for name, dtype, shape, raw in packed}
        values = dict(self.values) if self.total == total else {}
        if total:
            values[index] = (from_ns, arrays)
        self.total, self.values = total, values


class StaticEdge:
    """One end of an edge between static ports; `channel` is None if both ends are in this process."""

    def __init__(self, spec: EdgeSpec) -> None:
        self.spec = spec
        self.channel: Channel | None = None

    def connect(self, channel: Channel, writer_epoch: int, reader_epoch: int) -> Channel | None:
        """Use this channel from now on, between these two epochs; returns the previous channel, closed."""
        before, self.channel = self.channel, channel
        self.spec.writer_epoch, self.spec.reader_epoch = writer_epoch, reader_epoch
        if before is not None:
            before.close()
        return before

    def _say(self, kind: int, body: bytes = b"") -> None:
        if self.channel is not None:
            self.channel.send(head(kind, self.spec.index, 0, self.spec.writer_epoch, self.spec.reader_epoch) + body)

    def work_off(self) -> None:
        """Handle the messages in the channel's inbox; messages of other epochs of either side are discarded."""
        channel, spec = self.channel, self.spec
        while channel is not None and channel.inbox:
            data = channel.inbox.popleft()
            kind, edge, _, writer_epoch, reader_epoch = HEAD.unpack_from(data)
            if (edge, writer_epoch, reader_epoch) == (spec.index, spec.writer_epoch, spec.reader_epoch):
                self._heard(kind, data)

    def _heard(self, kind: int, data: bytes) -> None:
        raise NotImplementedError


class StaticOut(StaticEdge):
    """The writer's end."""

    def __init__(self, spec: EdgeSpec, port: StaticPort) -> None:
        super().__init__(spec)
        self.local: StaticIn | None = None
        self._port, self._up = port, False

    def connect(self, channel: Channel, writer_epoch: int, reader_epoch: int) -> Channel | None:
        self._up = False
        return super().connect(channel, writer_epoch, reader_epoch)

    def _heard(self, kind: int, data: bytes) -> None:
        if kind == HELLO:
            self._up = True
            self.send()

    def send(self) -> None:
        """Send all values, if the reader is connected."""
        for body in self._port.bodies:
            if self.local is not None:
                self.local.latched.take(msgpack.unpackb(body))
            elif self._up:
                self._say(STATIC, body)


class StaticIn(StaticEdge):
    """The reader's end. cut: the writer has been given up."""

    def __init__(self, spec: EdgeSpec, port: str) -> None:
        super().__init__(spec)
        self.port, self.latched, self.cut = port, Latched(), False

    def connect(self, channel: Channel, writer_epoch: int, reader_epoch: int) -> Channel | None:
        before = super().connect(channel, writer_epoch, reader_epoch)
        self._say(HELLO)
        return before

    def _heard(self, kind: int, data: bytes) -> None:
        if kind == STATIC:
            self.latched.take(body_of(data))


class StaticPort:
    """A static output: its values, packed once for all readers."""

    def __init__(self, node: str, name: str, schema: Schema) -> None:
        self.name, self.schema, self.label = name, schema, f"{node}.{name}"
        self.edges: list[StaticOut] = []
        self.bodies: list[bytes] = []

    def latch(self, values: list[tuple[int, Mapping[str, np.ndarray]]]) -> None:
        """Keep the values (stamp from which they hold, arrays) and send them to every connected reader."""
        bodies = []
        for i, (from_ns, arrays) in enumerate(values):
            packed = [[n, a.dtype.str, a.shape, np.ascontiguousarray(a).tobytes()] for n, a in arrays.items()]
            body = msgpack.packb([i, len(values), from_ns, packed])
            if len(body) > MAX_STATIC:
                raise FrameError(
                    f"{self.label}: a static value needs at most 1 MB, got {len(body) / 1e6:.3g} MB; send it as a stream"
                )
            bodies.append(body)
        self.bodies = bodies or [msgpack.packb([0, 0, 0, []])]  # "no value" is sent too
        for edge in self.edges:
            edge.send()
