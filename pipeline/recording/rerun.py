"""`--record F.rrd`: an additional node writes the frames of all connected ports that Rerun can draw, for Rerun's viewer.

The node is a tap, as that of an MCAP recording (recorder.py). The file shows the frames and does not hold them: no replay of it.
The package rerun-sdk writes it in batches of some hundred milliseconds: a kill loses the last one. After the n-th restart the
recording goes on in F-rn.rrd; Rerun joins files of one recording that are opened together.
What is drawn, and how: operators/record/rerun.py.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import GraphError, RunError
from pipeline.frame import Header
from pipeline.graph import lookup
from pipeline.graph.spec import GraphSpec
from pipeline.operator import Operator, Taken
from pipeline.options import Images, Outcome, Record, Recorded
from pipeline.recording.message import port_from_text, port_to_text
from pipeline.recording.taps import BATCH, RECORDER, choose, with_tap
from pipeline.runtime.session import Session
from pipeline.schema import ANY, Port

SUFFIX, MAGIC = ".rrd", b"RRF2"

Draw = Callable[[Header, Mapping[str, np.ndarray]], Any]
"""A frame -> what Rerun draws of it: an archetype of the package."""


class Drawings:
    """What Rerun draws of our streams. They lie outside the engine: operators/record/rerun.py."""

    def drawing(self, port: Port, images: Images) -> Draw | None:
        """Of the frames of a port; None = nothing. Imports no rerun before it draws."""
        raise NotImplementedError(f"{type(self).__name__}.drawing")


def library() -> Any:
    """The package rerun. Raises GraphError that says how to install it."""
    try:
        import rerun
    except ImportError:
        raise GraphError(
            f"--record F{SUFFIX}: needs the package rerun-sdk, which is not installed; pip install 'perception-pipe[rerun]'"
        ) from None
    return rerun


def drawings() -> Drawings:
    cls = lookup.shipped_class("operators.record.rerun", Drawings, "rerun")
    assert cls is not None
    made: Drawings = cls()
    return made


@dataclass(frozen=True)
class RerunRecorderConfig:
    """graph: its name; ports: NODE.PORT -> contract as text; recording: an id that all files of this recording have."""

    path: Path
    graph: str
    ports: dict[str, str]
    recording: str
    images: Images = "raw"


class RerunRecorder(Operator):
    """Draws every frame of every input into one file."""

    Config = RerunRecorderConfig
    tap = True
    batch = BATCH

    @classmethod
    def inputs_of(cls, config: RerunRecorderConfig) -> Mapping[str, Port]:
        return {name: Port(ANY, static=port_from_text(text).static) for name, text in config.ports.items()}

    def open(self) -> None:
        config, makes = self.config, drawings()
        ports = {name: port_from_text(text) for name, text in config.ports.items()}
        self.draws = {name: draw for name, port in ports.items() if (draw := makes.drawing(port, config.images)) is not None}
        path = config.path if self.resume is None else config.path.with_stem(f"{config.path.stem}-r{self.resume.restarts}")
        self.stream = library().RecordingStream(config.graph, recording_id=config.recording)
        try:
            self.stream.save(path)
        except Exception as error:  # the package has no class for it
            raise RunError(f"{path}: cannot begin the recording: {error}; record to another disk?") from None

    def process_all(self, frames: Sequence[Taken]) -> None:
        for port, header, _, _, value in frames:
            self.stream.set_time("stamp", timestamp=np.datetime64(header.stamp_ns, "ns"))
            self.stream.set_time("frame", sequence=header.frame_id)
            self.stream.log(f"/{port.replace('.', '/')}", self.draws[port](header, ANY.unpack(value, port)))

    def close(self) -> None:
        self.stream.flush()
        self.stream.disconnect()


# ---- in the process of `pipe run`


def with_recorder(spec: GraphSpec, record: Record) -> GraphSpec:
    """The graph with the recorder of Rerun's file as an additional node. Ports that cannot be drawn are left out."""
    library()
    makes = drawings()
    chosen = {
        name: (node, port)
        for name, (node, port) in choose(spec, "all" if record.ports is None else record.ports, "--record-ports").items()
        if makes.drawing(spec.nodes[node].outputs[port], record.images) is not None
    }
    if not chosen:
        raise GraphError(f"--record {record.path}: needs points, boxes, tracks or pictures to draw, got none of them; use F.mcap")
    ports = {name: port_to_text(spec.nodes[node].outputs[port]) for name, (node, port) in chosen.items()}
    config = RerunRecorderConfig(Path(os.path.realpath(record.path)), spec.name, ports, str(uuid.uuid4()), record.images)
    return with_tap(spec, RECORDER, RerunRecorder, config, chosen, "--record")


def finish(session: Session, outcome: Outcome | None) -> None:
    """After the last process has ended: set `outcome.recorded`."""
    path = session.graph.nodes[RECORDER].config.path
    if outcome is not None and path.exists():
        lost = sum(
            sum(book.dropped.values())
            for edge, book in zip(session.plan.edges, session.edge_books, strict=True)
            if edge.dst_node == RECORDER
        )
        outcome.recorded = Recorded(path, session.node_books[RECORDER].steps, lost, path.stat().st_size)
