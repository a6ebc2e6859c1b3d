"""A port, its edges and their readers on a board of their own: no process, no socket."""

from __future__ import annotations

import os
from typing import Any

from pipeline.flow import shm
from pipeline.flow.bell import Silent
from pipeline.flow.board import Board
from pipeline.flow.clock import Clock
from pipeline.flow.edge import OutEdge
from pipeline.flow.log import Log
from pipeline.flow.reader import InEdge
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


class Local:
    """One writer with as many readers as there are specs. `write()` sends a frame, `readers[i].take()` receives it."""

    def __init__(self, *specs: EdgeSpec, slot_bytes: int = 4096, schema: Schema = ANY, verify: bool = False) -> None:
        self.specs = specs
        slots = specs[0].slots
        shape = BoardShape(tuple(s.slots for s in specs), nodes=1, processes=2, bells=1)
        fd = shm.create("test:board", shape.size)
        self.board = Board(fd, shape)
        os.close(fd)
        for spec in specs:
            self.board.words[self.board.edge(spec.index) + BOUND] = NEVER
        (self.place,) = layout([("out", slots, slot_bytes)])
        self.pool = shm.create("test:pool", pool_bytes([self.place]))
        self.memory = shm.Mapping(self.pool, pool_bytes([self.place]), write=True)
        self.schema, self.verify, self.clock = schema, verify, Clock()
        self.frame_id = -1
        self.writer(0)
        self.readers = [self.reader(spec) for spec in specs]

    def writer(self, epoch: int) -> OutPort:
        """The writer of this life; the one before is forgotten, as if its process had died."""
        self.log = Log(self.board, 0, on_full=lambda: None)
        self.port = OutPort("src", "out", self.schema, 0, self.place, self.memory, self.log, epoch, self.verify, Silent())
        for spec in self.specs:
            self.port.edges.append(OutEdge(spec, self.port, self.board, self.log, self.clock, Silent()))
        self.port.ready()
        return self.port

    def reader(self, spec: EdgeSpec) -> InEdge:
        readonly = shm.readonly(self.pool)
        memory = shm.Mapping(readonly, pool_bytes([self.place]), write=False)
        os.close(readonly)
        reader = InEdge(spec, "in", self.place, memory, self.board, ["src"], self.verify)
        reader.give_credit = self.port.edges[spec.index].rung
        return reader

    def write(
        self, arrays: dict[str, Any], meta: dict[str, Any] | None = None, item: str | None = None, bound: int | None = None
    ) -> Any:
        """Send one frame; its stamp is its number in units of 100."""
        self.frame_id += 1
        stamp = self.frame_id * 100
        header = Header("src", self.frame_id, item if item is not None else f"{self.frame_id:06d}", stamp, 7)
        sent = self.port.write(arrays, header, self.frame_id, stamp + 1 if bound is None else bound, 0, meta or {})
        with self.log.lock:
            self.port.send(sent)
        return sent

    def close(self) -> None:
        os.close(self.pool)
