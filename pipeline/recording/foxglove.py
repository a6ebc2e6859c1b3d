"""`--view foxglove`: an additional node shows the frames of all connected ports to Foxglove, over a WebSocket on loopback.

The node is a tap (see `Operator.tap`) in a process of its own: a live graph never waits for it. Messages are those of a recording
(operators/record/foxglove.py) without the header that a replay needs. A topic that no viewer has subscribed to is not encoded.
The server holds a limited number of messages for each viewer; a viewer that is slow, or stopped, loses the oldest ones. So the
node waits for no viewer either, and offline the graph waits for the node only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any

from pipeline.errors import GraphError, RunError
from pipeline.frame import Header
from pipeline.graph import sizing
from pipeline.graph.spec import GraphSpec
from pipeline.operator import Operator, Taken
from pipeline.recording.formats import format_class
from pipeline.recording.message import AnyFrame, Encoder, MessageSchema, port_from_text, port_to_text
from pipeline.recording.taps import BATCH, choose, with_tap
from pipeline.schema import ANY, Port

VIEW = "_view"
"""Name of the node; a graph file cannot have a node of this name."""
FLAG = "--view foxglove"
HOST, PORT = "127.0.0.1", 8765
"""Where Foxglove looks first. If the port is taken, by another run for instance, the system chooses one."""
STOP_S = 0.5
"""For the last messages."""
BACKLOG_BYTES, BACKLOG = 64 << 20, (16, 1024)
"""Memory for the messages that a viewer has not read; least and largest number of them."""


def library() -> Any:
    """The package foxglove. Raises GraphError that says how to install it."""
    try:
        import foxglove
    except ImportError:
        raise GraphError(
            f"{FLAG}: needs the package foxglove-sdk, which is not installed; pip install 'perception-pipe[foxglove]'"
        ) from None
    return foxglove


@dataclass(frozen=True)
class FoxgloveViewConfig:
    """graph: its name; ports: NODE.PORT -> contract as text; backlog: messages for each viewer; port: 0 = any free one."""

    graph: str
    ports: dict[str, str]
    backlog: int
    port: int = PORT
    format: str = "foxglove"


@dataclass
class Latched:
    """A value of a static port; viewers get it with the first frame after they have subscribed."""

    port: str
    number: int
    arrays: Mapping[str, Any]


class FoxgloveView(Operator):
    """Sends every frame of every input to the viewers that have subscribed to it."""

    Config = FoxgloveViewConfig
    tap = True
    batch = BATCH

    @classmethod
    def inputs_of(cls, config: FoxgloveViewConfig) -> Mapping[str, Port]:
        return {name: Port(ANY, static=port_from_text(text).static) for name, text in config.ports.items()}

    def open(self) -> None:
        sdk, config = library(), self.config
        self.context = sdk.Context()
        self.encoders: dict[str, Encoder] = {}
        self.channels: dict[tuple[str, str], Any] = {}  # (NODE.PORT, suffix)
        self.static: list[Latched] = []
        self.has_new_viewer = True  # that lacks the static values
        makes = format_class(config.format)()
        for name, text in config.ports.items():
            encoder = self.encoders[name] = makes.encoder(name, port_from_text(text), "raw") or AnyFrame()
            topic = "/" + name.replace(".", "/")
            self.channels[name, ""] = self._channel(sdk, topic, encoder.schema)
            for suffix, schema in encoder.extra.items():
                self.channels[name, suffix] = self._channel(sdk, f"{topic}/{suffix}", schema)
        self.server = self._serve(sdk)
        self.status(f"open a connection of Foxglove to ws://{HOST}:{self.server.port}")

    def _channel(self, sdk: Any, topic: str, schema: MessageSchema) -> Any:
        made = sdk.Schema(name=schema.name, encoding="protobuf", data=schema.data)
        return sdk.Channel(topic, schema=made, message_encoding="protobuf", context=self.context)

    def _serve(self, sdk: Any) -> Any:
        error: Exception | None = None
        for port in dict.fromkeys((self.config.port, 0)):
            try:
                return sdk.start_server(
                    name=self.config.graph,
                    host=HOST,
                    port=port,
                    context=self.context,
                    server_listener=Listener(self),
                    message_backlog_size=self.config.backlog,
                )
            except Exception as failed:  # the package has no class for a port that is taken
                error = failed
        raise RunError(f"{FLAG}: needs a port of {HOST} to listen on, got: {error}")

    def latched(self, port: str, values: list[tuple[int, Any]]) -> None:
        self.static += [Latched(port, i, dict(ANY.unpack(value, port))) for i, (_, value) in enumerate(values)]
        self.has_new_viewer = True

    def process_all(self, frames: Sequence[Taken]) -> None:
        if self.has_new_viewer:
            self.has_new_viewer = False
            for value in self.static:  # with the stamp of a frame: their own may lie years before it
                header = Header(value.port.rpartition(".")[0], value.number, "", frames[0].header.stamp_ns)
                self._publish(value.port, header, value.arrays)
        for frame in frames:
            self._publish(frame.port, frame.header, ANY.unpack(frame.value, frame.port))

    def _publish(self, port: str, header: Header, arrays: Mapping[str, Any]) -> None:
        encoder = self.encoders[port]
        if not any(self.channels[port, suffix].has_sinks() for suffix in ("", *encoder.extra)):
            return
        stamp_ns = max(0, header.stamp_ns)
        body = encoder.encode(header._replace(stamp_ns=stamp_ns), arrays)
        for suffix, data in body.extra.items():
            self.channels[port, suffix].log(data, log_time=stamp_ns)
        self.channels[port, ""].log(b"".join(body.pieces), log_time=stamp_ns)

    def close(self) -> None:
        """The server would wait for viewers that are stopped: the process does not wait for the server."""
        ending = Thread(target=self.server.stop, name="foxglove", daemon=True)
        ending.start()
        ending.join(STOP_S)


class Listener:
    """Called by the server's own threads."""

    def __init__(self, view: FoxgloveView) -> None:
        self._view = view

    def on_subscribe(self, client: Any, channel: Any) -> None:
        self._view.has_new_viewer = True

    def on_unsubscribe(self, client: Any, channel: Any) -> None:
        """Required by the package, as those that follow."""

    def on_client_advertise(self, client: Any, channel: Any) -> None: ...

    def on_client_unadvertise(self, client: Any, client_channel_id: int) -> None: ...

    def on_message_data(self, client: Any, client_channel_id: int, data: bytes) -> None: ...


# ---- in the process of `pipe run`


def with_view(spec: GraphSpec, port: int = PORT) -> GraphSpec:
    """The graph with the viewer's node. Raises GraphError if the package is missing."""
    library()
    chosen = choose(spec, "all", FLAG)
    ports = {name: port_to_text(spec.nodes[node].outputs[out]) for name, (node, out) in chosen.items()}
    streams = [at for at in chosen.values() if not spec.nodes[at[0]].outputs[at[1]].static]
    largest = max(sizing.slot_bytes(spec, *at) for at in streams)
    backlog = min(max(BACKLOG_BYTES // max(largest, 1), BACKLOG[0]), BACKLOG[1])
    format_class(FoxgloveViewConfig.format)
    return with_tap(spec, VIEW, FoxgloveView, FoxgloveViewConfig(spec.name, ports, backlog, port), chosen, FLAG, on_error="skip")
