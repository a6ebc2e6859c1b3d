"""A port, its edges and their readers on a private board: no process, no socket."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from pipeline.flow import shm
from pipeline.flow.board import Board
from pipeline.flow.clock import Clock
from pipeline.flow.edge import OutEdge
from pipeline.flow.log import DROPPED, HEAD, WHO, Log, Ring, reason_of
from pipeline.flow.reader import Arrived, InEdge
from pipeline.flow.slot import whose
from pipeline.flow.writer import OutPort
from pipeline.frame import NEVER, Header
from pipeline.graph.layout import BOUND, BoardShape, EdgeSpec, layout, pool_bytes
from pipeline.schema import ANY, Schema


def edge_spec(index: int = 0, slots: int = 6, policy: str = "block", size: int = 4, window: int = 5, **more: Any) -> EdgeSpec:
    return EdgeSpec(
        index,
        f"src.out->r{index}.in",
        False,
        policy,
        size,
        window,
        more.pop("holds", 0),
        more.pop("max_age_ns", None),
        slots,
        **more,
    )


class CountedBell:
    """Counts rings; wakes nobody."""

    def __init__(self) -> None:
        self.wakes = 0

    def wake(self) -> None:
        self.wakes += 1

    ring = wake


class Local:
    """One writer with as many readers as there are specs. `write()` sends a frame, `readers[i].take()` receives it.

    Process 0 of the board logs for the writer, process 1 for the readers.
    """

    def __init__(
        self, *specs: EdgeSpec, slot_bytes: int = 4096, slots: int = 6, schema: Schema = ANY, verify: bool = False
    ) -> None:
        self.specs = specs
        shape = BoardShape(tuple(s.slots for s in specs), nodes=1, processes=2, bells=1)
        fd = shm.create("test:board", shape.size)
        self.board = Board(fd, shape)
        os.close(fd)
        for spec in specs:
            self.board.words[self.board.edge(spec.index) + BOUND] = NEVER
        (self.place,) = layout([("out", specs[0].slots if specs else slots, slot_bytes)])
        self.pool = shm.create("test:pool", pool_bytes([self.place]))
        self.memory = shm.Mapping(self.pool, pool_bytes([self.place]), write=True)
        self.schema, self.verify, self.clock = schema, verify, Clock()
        self.frame_id = -1
        self.bells = [CountedBell() for _ in specs]
        self.port_bell = CountedBell()
        self._rings, self._events = [Ring(self.board, 0), Ring(self.board, 1)], ([], [])
        self.reader_log = Log(self.board, 1, on_full=lambda: self.events(1))
        self.writer(0)
        self.readers = [self.reader(spec) for spec in specs]

    def writer(self, epoch: int) -> OutPort:
        """The writer of this life; the previous one is discarded, as if its process had died."""
        self.log = Log(self.board, 0, on_full=lambda: self.events(0))
        self.port = OutPort("src", "out", self.schema, 0, self.place, self.memory, self.log, epoch, self.verify, self.port_bell)
        for spec, bell in zip(self.specs, self.bells, strict=True):
            self.port.edges.append(OutEdge(spec, self.port, self.board, self.log, self.clock, bell))
        self.port.ready()
        return self.port

    def reader(self, spec: EdgeSpec) -> InEdge:
        readonly = shm.readonly(self.pool)
        memory = shm.Mapping(readonly, pool_bytes([self.place]), write=False)
        os.close(readonly)
        reader = InEdge(spec, "in", self.place, memory, self.board, ["src"], self.verify)
        reader.give_credit = self.port.edges[spec.index].rung
        return reader

    @staticmethod
    def header(frame_id: int) -> Header:
        return Header("src", frame_id, f"{frame_id:06d}", frame_id * 100, 7)

    # -- what both sides did ----------------------------------------------------------------------------------------
    def write(
        self,
        arrays: dict[str, Any],
        meta: dict[str, Any] | None = None,
        item: str | None = None,
        bound: int | None = None,
        stamp: int | None = None,
    ) -> Any:
        """Send one frame; unless said otherwise its stamp is its number in units of 100, and no older one follows."""
        self.frame_id += 1
        stamp = self.frame_id * 100 if stamp is None else stamp
        header = self.header(self.frame_id)._replace(stamp_ns=stamp)
        if item is not None:
            header = header._replace(item=item)
        sent = self.port.write(arrays, header, self.frame_id, stamp + 1 if bound is None else bound, 0, meta or {})
        with self.log.lock:
            self.port.send(sent)
        return sent

    def send(self, count: int = 1) -> list[Any]:
        """Send frames of one number: their own."""
        return [self.write({"data": np.array([self.frame_id + 1])}) for _ in range(count)]

    def send_at(self, *frames: int | tuple[int, int]) -> None:
        """Sends frames with these (stamp, bound), or with stamps only: then no older frame follows."""
        for frame in frames:
            stamp, bound = frame if isinstance(frame, tuple) else (frame, frame + 1)
            self.write({"data": np.array([self.frame_id])}, stamp=stamp, bound=bound)

    def taken(self, reader: int = 0) -> list[Arrived]:
        """All frames waiting in the ring of a reader."""
        frames = []
        while (frame := self.readers[reader].take()) is not None:
            frames.append(frame)
        return frames

    # -- what the board says ----------------------------------------------------------------------------------------
    def word(self, word: int, edge: int = 0) -> int:
        """A word of an edge: EDGE_HEAD, BOUND, ARMED, EDGE_TAIL."""
        return self.board.words[self.board.edge(edge) + word]

    def events(self, process: int) -> list[list[int]]:
        """All events that a process has committed so far."""
        rows = self._rings[process].take()
        self._rings[process].done(len(rows))
        self._events[process].extend(rows.tolist())
        return self._events[process]

    def drops(self, process: int = 0) -> list[tuple[int, str]]:
        """(frame_id, reason) of each committed drop."""
        return [(whose(e[WHO])[1], reason_of(e)) for e in self.events(process) if e[HEAD] & 0xFF == DROPPED]

    def open_leases(self, edge: int = 0) -> list[int]:
        """Generations that are leased according to the words."""
        return sorted(int(sent) for sent, released, _ in self.board.leases(edge) if sent != released)

    def close(self) -> None:
        os.close(self.pool)


def silent(local: Local, reader: int = 0) -> InEdge:
    """The reader of this edge, with a writer that has no bell: it learns everything from the words."""
    edge = local.readers[reader]
    edge.give_credit = lambda: None
    return edge
