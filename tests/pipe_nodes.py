"""Operators and sources for the engine's tests, named in graphs as `pipe_nodes:Class`."""

from __future__ import annotations

import ctypes
import json
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from drivers.synthetic.traffic import SyntheticTraffic
from operators.streams import BOXES3D, IMAGE, Boxes3D
from pipeline.errors import InputError
from pipeline.frame import Reading, Static
from pipeline.nodes.blob import Blob
from pipeline.nodes.counts import BLOB, COUNT, fill, stamp_ns
from pipeline.operator import Operator, Source, Taken
from pipeline.schema import ANY, Array, Schema, static

TRIPLE = Schema("TRIPLE", {"data": Array("int64", (3,))})


class Notes(Operator):
    """A sink that writes one JSON line per note."""

    def open(self) -> None:
        self.out_dir.mkdir(parents=True, exist_ok=True)
        self.file = (self.out_dir / "notes.jsonl").open("a", buffering=1)

    def note(self, **what: Any) -> None:
        self.file.write(json.dumps({"frame": self.header.frame_id, **what}) + "\n")

    def close(self) -> None:
        self.file.close()


def mapping_of(address: int) -> dict[str, str]:
    """Permissions and name of the mapping that contains an address, from the kernel."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, perms, _, _, _, *name = line.split(maxsplit=5)
        low, high = (int(x, 16) for x in span.split("-"))
        if low <= address < high:
            return {"perms": perms, "name": name[0] if name else ""}
    return {}


class Pair(Operator):
    """Two streams of the same numbers; reports a difference."""

    inputs, outputs = {"a": COUNT, "b": COUNT}, {"out": COUNT}

    def process(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if a[0] != b[0]:
            raise ValueError(f"{self.name}: needs equal numbers, got {a[0]} and {b[0]}")
        return a.copy()


class Says(Operator):
    """A sink that reports how many frames it received."""

    inputs = {"data": ANY}

    def open(self) -> None:
        self.count = 0

    def process(self, data: np.ndarray) -> None:
        self.count += 1
        self.status(f"{self.count} [frames] so far")

    def close(self) -> None:
        self.status(f"{self.count} [frames] in all")


class Opens(Operator):
    """Closes what its open() has made; open() can fail before that."""

    @dataclass(frozen=True)
    class Config:
        fail: bool = False

    inputs = {"data": ANY}

    def open(self) -> None:
        if self.config.fail:
            raise InputError(f"{self.name}: needs to open, got no")
        self.out_dir.mkdir(parents=True)
        self.file = (self.out_dir / "opened").open("w")

    def process(self, data: np.ndarray) -> None:
        pass

    def close(self) -> None:
        self.file.close()


class Where(Notes):
    """Writes the mapping that contains its input."""

    inputs = {"data": ANY}

    def process(self, data: np.ndarray) -> None:
        self.note(**mapping_of(data.__array_interface__["data"][0]), sum=int(data.sum(dtype=np.int64)))


class Vandal(Notes):
    """Tries every way of numpy to write into an input; `by_address`: writes through a raw address."""

    @dataclass(frozen=True)
    class Config:
        by_address: bool = False

    inputs = {"data": BLOB}

    def process(self, data: np.ndarray) -> None:
        if self.config.by_address:
            ctypes.memset(data.__array_interface__["data"][0], 0, 1)
        refused = []
        for view in (data, data[1:], data.reshape(2, -1), data.view(np.int8), np.asarray(data)):
            for attempt in (lambda v=view: v.__setitem__(0, 1), lambda v=view: setattr(v.flags, "writeable", True)):
                try:
                    attempt()
                except ValueError as error:
                    refused.append(str(error))
        self.note(refused=refused)


class Loans(Source):
    """Uses loans in every way. `regret`: writes to the loan after it was published."""

    @dataclass(frozen=True)
    class Config:
        kind: Literal["whole", "leading", "trailing", "plain", "strided", "empty", "regret"] = "whole"
        frames: int = 20

    outputs = {"out": BLOB}

    @classmethod
    def slot_bytes(cls, config: Any) -> dict[str, int]:
        return {"out": 4000}

    def open(self, start: int = 0) -> None:
        self.index = start
        self.refused = 0

    def read(self) -> Reading | None:
        if self.index == self.config.frames:
            return None
        kind = self.config.kind
        if kind == "regret" and self.index:
            try:
                self.loan[0] = 1
            except ValueError:
                self.refused += 1
        data = (
            np.zeros(1000, np.uint8)
            if kind == "plain"
            else self.alloc("out", "data", (2000 if kind == "strided" else 1000,), np.uint8)
        )
        data[:] = self.index
        self.loan = data
        data = {"leading": data[:300], "trailing": data[700:], "strided": data[::2], "empty": data[:0]}.get(kind, data)
        index, self.index = self.index, self.index + 1
        return Reading({"out": data}, f"{index:06d}", stamp_ns(index, None), meta={"out": {"refused": self.refused}})


class Meta(Notes):
    """Writes the meta from the producer and the first byte."""

    inputs = {"data": BLOB}

    def process(self, data: np.ndarray) -> None:
        self.note(meta=self.meta["data"], size=len(data), first=int(data[0]) if len(data) else None)


class Keep(Notes):
    """Keeps an object derived from each of the last `KEPT` frames, and checks all of them at every frame."""

    KEPT = 3

    @dataclass(frozen=True)
    class Config:
        kind: Literal["array", "slice", "reshape", "item_view", "exception", "cycle", "memoryview"] = "array"

    inputs = {"data": BLOB}
    holds = {"data": KEPT}

    def open(self) -> None:
        super().open()
        self.kept: deque[tuple[int, Any]] = deque()

    def process(self, data: np.ndarray) -> None:
        wrong = self._wrong(len(data))  # its locals must be gone before the exception keeps this stack frame
        self.kept.append((self.header.frame_id, self._make(data)))
        if len(self.kept) > self.KEPT:
            self.kept.popleft()
        self.note(wrong=wrong, kept=len(self.kept))

    def _wrong(self, size: int) -> int:
        wrong = 0
        for number, thing in self.kept:
            expected = np.empty(size, np.uint8)
            fill(expected, number)
            wrong += not np.array_equal(self._look(thing), self._look(self._make(expected)))
        return wrong

    def _make(self, data: np.ndarray) -> Any:
        kind = self.config.kind
        if kind == "slice":
            return data[10:20][2:5]
        if kind == "reshape":
            return data.reshape(2, -1).T
        if kind == "item_view":
            return data[:8].view(np.int64)
        if kind == "memoryview":
            return memoryview(data)[5:9]
        if kind == "exception":
            try:
                self._raise(data)
            except ValueError as error:
                return error
        if kind == "cycle":
            node: dict[str, Any] = {"data": data}
            node["self"] = node
            return node
        return data

    def _raise(self, data: np.ndarray) -> None:
        raise ValueError(f"{len(data)} bytes")

    def _look(self, thing: Any) -> np.ndarray:
        if isinstance(thing, ValueError):
            traceback = thing.__traceback__
            while traceback.tb_next is not None:
                traceback = traceback.tb_next
            return traceback.tb_frame.f_locals["data"]
        return thing["data"] if isinstance(thing, dict) else np.asarray(thing)


class Hoard(Operator):
    """Keeps every view, declares nothing."""

    inputs = {"data": BLOB}

    def open(self) -> None:
        self.kept: list[np.ndarray] = []

    def process(self, data: np.ndarray) -> None:
        self.kept.append(data[:1])


class Greedy(Operator):
    """Declares nothing, and releases each view `ms` after processing, in another thread."""

    @dataclass(frozen=True)
    class Config:
        ms: float = 300.0

    inputs = {"data": BLOB}

    def process(self, data: np.ndarray) -> None:
        threading.Timer(self.config.ms * 1e-3, lambda view: None, [data[:1]]).start()


class Age(Notes):
    """Writes the age of each frame on arrival, by this machine's clock."""

    inputs = {"data": ANY}

    def process(self, data: np.ndarray) -> None:
        self.note(ms=(time.time_ns() - self.header.recv_ns) * 1e-6)


class FlipBit(Operator):
    """Passes boxes on with one low bit flipped in one number of one frame: a fraction of a millimetre."""

    @dataclass(frozen=True)
    class Config:
        at: int = -1  # frame_id; -1 = none

    inputs, outputs = {"boxes3d": BOXES3D}, {"boxes3d": BOXES3D}

    def process(self, boxes3d: Boxes3D) -> Boxes3D:
        if self.header.frame_id != self.config.at:
            return boxes3d
        flipped = boxes3d.boxes3d.copy()
        flipped.view(np.uint32)[0, 0] ^= 1 << 6  # a filter would round the lowest bit away
        return boxes3d._replace(boxes3d=flipped)


class FlipLater(FlipBit):
    """Flips the bit only at the `opened`-th call of open(); `folder` stores the count."""

    @dataclass(frozen=True)
    class Config(FlipBit.Config):
        folder: str = ""
        opened: int = 2

    def open(self) -> None:
        (Path(self.config.folder) / f"{time.monotonic_ns()}.opened").touch()
        self.flips = len(list(Path(self.config.folder).glob("*.opened"))) == self.config.opened

    def process(self, boxes3d: Boxes3D) -> Boxes3D:
        return super().process(boxes3d) if self.flips else boxes3d


class FewerLater(Operator):
    """Passes numbers on, but omits one after the `opened`-th call of open()."""

    Config, inputs, outputs = FlipLater.Config, {"data": COUNT}, {"out": COUNT}

    def open(self) -> None:
        (Path(self.config.folder) / f"{time.monotonic_ns()}.opened").touch()
        self.lacks = len(list(Path(self.config.folder).glob("*.opened"))) == self.config.opened

    def process(self, data: np.ndarray) -> np.ndarray | None:
        return None if self.lacks and self.header.frame_id == self.config.at else data.copy()


class RaiseAt(Operator):
    """Raises at frame 9."""

    @dataclass(frozen=True)
    class Config:
        checksum: bool = False

    inputs, outputs = {"data": BLOB}, {"out": COUNT}

    def process(self, data: np.ndarray) -> np.ndarray:
        if self.header.frame_id == 9:
            raise ValueError("on purpose")
        return np.array([len(data)], np.int64)


class Three(Operator):
    """The numbers of three streams; -1 for a missing one."""

    inputs, outputs = {"a": COUNT, "b": COUNT, "c": COUNT}, {"out": TRIPLE}

    def process(self, a: np.ndarray, b: np.ndarray | None, c: np.ndarray | None) -> np.ndarray:
        return np.array([-1 if x is None else x[0] for x in (a, b, c)], np.int64)


class Stall(Operator):
    """Checks that both numbers are equal or `b` is missing; stops once, for `ms`, at frame `at`."""

    @dataclass(frozen=True)
    class Config:
        at: int = -1
        ms: float = 1000.0

    inputs, outputs = {"a": COUNT, "b": COUNT}, {"out": COUNT}

    def process(self, a: np.ndarray, b: np.ndarray | None) -> np.ndarray:
        if b is not None and a[0] != b[0]:
            raise ValueError(f"{self.name}: needs equal numbers, got {a[0]} and {b[0]}")
        if self.header.frame_id == self.config.at:
            time.sleep(self.config.ms * 1e-3)
        return a.copy()


class Numbers(Operator):
    """As `Three`, but the output is the trigger's number."""

    inputs, outputs = Three.inputs, {"out": COUNT}

    def process(self, a: np.ndarray, b: np.ndarray | None, c: np.ndarray | None) -> np.ndarray:
        return a.copy()


class Described(Source):
    """Numbers with meta, and a latched number."""

    @dataclass(frozen=True)
    class Config:
        frames: int = 5
        base: int = 100

    outputs = {"out": COUNT, "base": static(COUNT)}

    def open(self, start: int = 0) -> None:
        self.index = start

    def statics(self) -> list[Static]:
        return [Static("base", np.array([self.config.base], np.int64))]

    def read(self) -> Reading | None:
        if self.index == self.config.frames:
            return None
        index, self.index = self.index, self.index + 1
        return Reading(
            {"out": np.array([index], np.int64)}, f"{index:06d}", stamp_ns(index, None), meta={"out": {"tens": 10 * index}}
        )


class Named(Described):
    """Frame `at` has another item, or another number."""

    @dataclass(frozen=True)
    class Config(Described.Config):
        at: int = 3
        item: str = ""  # as JSON; "" = the usual one
        frame_id: int | None = None

    def read(self) -> Reading | None:
        reading = super().read()
        if reading is not None and self.index == self.config.at + 1:
            if self.config.item:
                reading.item = json.loads(self.config.item)
            reading.frame_id = self.config.frame_id
        return reading


class TwoBases(Described):
    """The base is 200 from frame `switch` on."""

    @dataclass(frozen=True)
    class Config(Described.Config):
        switch: int = 2

    def statics(self) -> list[Static]:
        return [*super().statics(), Static("base", np.array([200], np.int64), stamp_ns(self.config.switch, None))]


class BasedSink(Operator):
    """Takes numbers and, if it is connected, a base."""

    inputs = {"data": COUNT, "base": static(COUNT, optional=True)}

    def process(self, data: np.ndarray, base: np.ndarray | None) -> None:
        pass


class LongNames(SyntheticTraffic):
    """Generated traffic of one sequence, whose name of 200 bytes holds what splits lines elsewhere."""

    def read(self) -> Reading | None:
        reading = super().read()
        if reading is not None:
            sequence = "".join(f"ä\u2028{i}" for i in range(30))
            reading.item = f"{sequence}/{reading.item.rpartition('/')[2]}"
        return reading


class Stillborn(Described):
    """Its process ends `after_s` after the start of open()."""

    @dataclass(frozen=True)
    class Config(Described.Config):
        after_s: float = 0.0

    def open(self, start: int = 0) -> None:
        time.sleep(self.config.after_s)
        os._exit(7)


class Unlatched(Described):
    """Has a static port without a value."""

    def statics(self) -> list[Static]:
        return []


class Based(Operator):
    """Numbers relative to a required base."""

    inputs, outputs = {"data": COUNT, "base": static(COUNT)}, {"out": COUNT}

    def process(self, data: np.ndarray, base: np.ndarray | None) -> np.ndarray:
        return data + (0 if base is None else base)


class MaybeBased(Based):
    """As `Based`, but without a base they are relative to 0."""

    inputs = {"data": COUNT, "base": static(COUNT, optional=True)}


class Picky(Operator):
    """Fails at frame 3 in the configured way, and reports all its inputs."""

    @dataclass(frozen=True)
    class Config:
        kind: Literal["raise", "write", "shape", "port", "alloc", "type", "none"] = "raise"
        text: str = "seen"

    inputs, outputs = {"a": COUNT, "b": COUNT, "base": static(COUNT)}, {"out": COUNT, "more": COUNT}

    def process(self, a: np.ndarray, b: np.ndarray | None, base: np.ndarray) -> Any:
        kind = self.config.kind if self.header.frame_id == 3 else "none"
        if kind == "raise":
            seen = f"a {a[0]} b {None if b is None else b[0]} base {base[0]} tens {self.meta['a']['tens']} missing {self.missing}"
            raise ValueError(f"{self.config.text}: {seen} at {self.headers['a'].item}")
        if kind == "write":
            a[0] = 5
        if kind == "alloc":
            self.alloc("nowhere", "data", (1,), np.int64)
        if kind == "type":
            return [1, 2]
        result = {"out": a.copy(), "more": base.copy()}
        if kind == "shape":
            result["more"] = np.zeros(2, np.int64)
        if kind == "port":
            result["nowhere"] = a.copy()
        return result


class Pictures(Source):
    """Small pictures of noise."""

    @dataclass(frozen=True)
    class Config:
        frames: int = 5

    outputs = {"image": IMAGE}

    def open(self, start: int = 0) -> None:
        self.index = start

    def read(self) -> Reading | None:
        if self.index == self.config.frames:
            return None
        index, self.index = self.index, self.index + 1
        noise = np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)
        return Reading({"image": noise}, f"{index:06d}", stamp_ns(index, None))


class BigBlob(Blob):
    """Sends more than it declares."""

    @classmethod
    def slot_bytes(cls, config: Any) -> dict[str, int]:
        return {"out": config.size // 2}


class WrongColumns(Operator):
    """Returns POINTS with three columns, whatever the input."""

    from operators.streams import POINTS

    inputs, outputs = {"data": COUNT}, {"points": POINTS}

    def process(self, data: np.ndarray) -> np.ndarray:
        return np.zeros((int(data[0]), 3), np.float32)


class InCamera(Operator):
    """Points, but in the camera's frame."""

    from pipeline.schema import Array, Schema

    inputs = {"points": Schema("POINTS", {"points": Array("float32", ("N", 4), "m")}, frame="camera", limits={"N": 10})}

    def process(self, points: np.ndarray) -> None:
        raise AssertionError("pipe check refuses the graph")


@dataclass(frozen=True)
class BatchesConfig:
    raise_at: int = -1  # frame_id


class Batches(Operator):
    """A slow tap, so that frames gather; writes one line per call: [[port, frame_id], ...]."""

    Config, inputs = BatchesConfig, {"a": ANY, "b": ANY}
    tap, batch = True, 5

    def open(self) -> None:
        self.out_dir.mkdir(parents=True, exist_ok=True)
        self.file = (self.out_dir / "batches.jsonl").open("a", buffering=1)

    def process_all(self, frames: Sequence[Taken]) -> None:
        time.sleep(0.01)
        told = [[frame.port, frame.header.frame_id] for frame in frames]
        for frame in frames:
            if frame.header.frame_id == self.config.raise_at:
                raise ValueError(f"{frame.port} of {frame.header} will not do")
        self.file.write(json.dumps(told) + "\n")

    def close(self) -> None:
        self.file.close()
