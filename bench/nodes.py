"""Nodes of the benches: a source that sends when its last frame has come back, and the two ends of the measured hop.

`Ping` and `End` run in one process (`place:`) so that exactly one frame is in flight: back-to-back, no queueing.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from time import time_ns
from typing import Any

import numpy as np

from bench.proc import cpu_ns
from bench.stamps import fill, taken
from operators.streams import PILLARS, Pillars
from pipeline.frame import Reading
from pipeline.operator import Found, Operator, Source, Taken
from pipeline.recording.taps import BATCH
from pipeline.schema import ANY, Array, Schema

COUNT = Schema("COUNT", {"data": Array("int64", ("N",))}, limits={"N": 2})
BLOB = Schema("BLOB", {"data": Array("uint8", ("N",))})
WARM_UP = 20
"""Frames of a hop that are not counted."""

_back = threading.Event()


@dataclass(frozen=True)
class PingConfig:
    frames: int = 1000
    bytes: int = 8
    rate_hz: float = 50.0  # of the stamps; the pace when the graph is live
    wait: bool = True  # send only after the last frame has come back


class Ping(Source):
    """Fills frames in their slots; `wait`: sends the next one after `End` has seen the last."""

    Config, outputs = PingConfig, {"out": BLOB}

    @classmethod
    def find(cls, config: PingConfig) -> Found:
        stamps = (np.arange(config.frames) * int(1e9 / config.rate_hz)).astype(np.int64)
        return Found(config.frames, config.rate_hz, stamps)

    @classmethod
    def slot_bytes(cls, config: PingConfig) -> dict[str, int]:
        return {"out": config.bytes}

    def open(self, start: int = 0) -> None:
        self.index = start

    def pause(self) -> None:
        if self.index and self.config.wait:
            _back.wait(5.0)
            _back.clear()

    def read(self) -> Reading | None:
        config, index = self.config, self.index
        if index >= config.frames:
            return None
        self.pause()
        self.index += 1
        data = self.alloc("out", "data", (config.bytes,), np.uint8)
        fill(data, index)
        return Reading({"out": data}, f"{index:06d}", self.stamp_ns(index))

    def stamp_ns(self, index: int) -> int:
        return int(index * 1e9 / self.config.rate_hz)


class Sensor(Ping):
    """A `Ping` like a sensor: its stamps are not known in advance, and read() blocks until the next frame is due."""

    live = True

    @classmethod
    def find(cls, config: PingConfig) -> Found:
        return Found(None, config.rate_hz)

    def open(self, start: int = 0) -> None:
        super().open(start)
        self.due_s = time.monotonic()

    def pause(self) -> None:
        self.due_s += 1 / self.config.rate_hz
        time.sleep(max(0.0, self.due_s - time.monotonic()))

    def stamp_ns(self, index: int) -> int:
        return time_ns()


class Echo(Operator):
    """Returns `stamps.taken` of each frame."""

    inputs, outputs = {"in": BLOB}, {"out": COUNT}

    def process(self, **inputs: Any) -> np.ndarray:
        return np.array(taken(inputs["in"]), np.int64)


@dataclass(frozen=True)
class NotesConfig:
    frames: int = 1000
    played: bool = False  # the engine reads ahead and sends when a frame is due: measure from then


class Notes(Operator):
    """Collects rows of `stamps.taken`; DIR/<node>/hops.json at the end, with the CPU time per frame of the whole run."""

    Config = NotesConfig

    def open(self) -> None:
        self.rows: list[tuple[int, ...]] = []
        self.began = self.ended = (0, 0)  # frame, CPU time until then

    def note(self, row: tuple[int, ...]) -> None:
        frame = self.header.frame_id
        if frame >= WARM_UP:
            self.rows.append(row)
        if len(self.rows) == 1 or frame >= self.config.frames - 5:
            self.ended = (frame, cpu_ns(os.getppid(), itself=True))
        if len(self.rows) == 1:
            self.began = self.ended

    def close(self) -> None:
        self.out_dir.mkdir(parents=True, exist_ok=True)
        frames, used = (after - before for before, after in zip(self.began, self.ended, strict=True))
        (self.out_dir / "hops.json").write_text(json.dumps({"ns": self.rows, "cpu_ns": used / max(frames, 1)}))


class End(Notes):
    """Releases `Ping`, and stores the rows from `Echo`."""

    inputs = {"in": COUNT}

    def process(self, **inputs: Any) -> None:
        self.note(tuple(inputs["in"].tolist()))
        _back.set()


class Take(Notes):
    """Stores `stamps.taken` of the frames it receives."""

    inputs = {"in": BLOB}

    def process(self, **inputs: Any) -> None:
        hop_ns, fill_ns = taken(inputs["in"])
        self.note((time_ns() - self.header.recv_ns if self.config.played else hop_ns, fill_ns))


class Pong(Operator):
    """Takes anything, returns 8 bytes."""

    inputs, outputs = {"in": ANY}, {"out": COUNT}

    def process(self, **inputs: Any) -> np.ndarray:
        return _ONE


_ONE = np.ones(1, np.int64)


class Age(Operator):
    """A sink that stores frame, time of emission, time of arrival: [id, ns, ns] per line of DIR/<node>/ages.jsonl."""

    inputs = {"in": ANY}

    def open(self) -> None:
        self.rows: list[str] = []

    def process(self, **inputs: Any) -> None:
        self.rows.append(f"[{self.header.frame_id}, {self.header.recv_ns}, {time_ns()}]\n")

    def close(self) -> None:
        self.out_dir.mkdir(parents=True, exist_ok=True)
        (self.out_dir / "ages.jsonl").write_text("".join(self.rows))


class Idle(Operator):
    """A sink that does nothing."""

    inputs = {"in": ANY}

    def process(self, **inputs: Any) -> None:
        return


class Drain(Operator):
    """A tap that takes frames in batches, like the recorder; stores when the first was made and the last was taken [ns]."""

    inputs = {"in": ANY}
    tap, batch = True, BATCH

    def open(self) -> None:
        self.began_ns = self.ended_ns = 0

    def process_all(self, frames: Sequence[Taken]) -> None:
        self.began_ns = self.began_ns or frames[0].header.recv_ns
        self.ended_ns = time_ns()

    def close(self) -> None:
        self.out_dir.mkdir(parents=True, exist_ok=True)
        (self.out_dir / "ns.txt").write_text(f"{self.began_ns} {self.ended_ns}\n")


@dataclass(frozen=True)
class NoiseConfig:
    bytes: int = 1_000_000
    frames: int = 100


class Noise(Source):
    """Sends slots of noise as fast as they come back: each slot is filled once."""

    Config, outputs = NoiseConfig, {"out": BLOB}

    @classmethod
    def slot_bytes(cls, config: NoiseConfig) -> dict[str, int]:
        return {"out": config.bytes}

    def open(self, start: int = 0) -> None:
        self.index = start
        self.noise = np.frombuffer(np.random.default_rng(0).bytes(self.config.bytes), np.uint8)
        self.filled: set[int] = set()

    def read(self) -> Reading | None:
        if self.index >= self.config.frames:
            return None
        data = self.alloc("out", "data", (self.config.bytes,), np.uint8)
        address = data.__array_interface__["data"][0]
        if address not in self.filled:
            data[:] = self.noise
            self.filled.add(address)
        self.index += 1
        return Reading({"out": data}, f"{self.index - 1:06d}", self.index * 1_000_000)


class Pair(Operator):
    """Reads a part of each frame of bytes and of the pillars nearest to it in time."""

    inputs = {"image": BLOB, "pillars": PILLARS}

    def process(self, image: np.ndarray, pillars: Pillars) -> None:
        if image[:8].max() == 0 or len(pillars.counts) == 0:
            raise ValueError(f"{self.name}: needs bytes and pillars, got nothing but zeros")
