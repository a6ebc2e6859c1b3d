"""Nodes of the graphs under test."""

from __future__ import annotations

import errno
import mmap
import os
import struct
import time
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import FrameError
from pipeline.frame import Reading, Static
from pipeline.nodes.blob import Blob, BlobConfig
from pipeline.nodes.counts import BLOB, COUNT
from pipeline.operator import Operator
from pipeline.schema import static

GATE = struct.Struct("<qq")
"""Content of a gate's file: frames with a number below the first may pass; the stream ends there if the second is not 0."""


@dataclass(frozen=True)
class GatedConfig(BlobConfig):
    gate: str = ""  # file, see GATE


LATCHED = 4711
"""The one value of the static port."""


class Gated(Blob):
    """test.blob that waits inside read() at the gate, without a slot; and a static value."""

    Config, outputs = GatedConfig, {"out": BLOB, "base": static(COUNT)}

    def statics(self) -> list[Static]:
        return [Static("base", np.array([LATCHED], np.int64))]

    def open(self, start: int = 0) -> None:
        super().open(start)
        with open(self.config.gate, "rb") as file:
            self.map = mmap.mmap(file.fileno(), GATE.size, prot=mmap.PROT_READ)

    def read(self) -> Reading | None:
        while True:
            limit, ended = GATE.unpack_from(self.map)
            if self.index < limit:
                return super().read()
            if ended:
                return None
            time.sleep(0.002)


def whole(data: np.ndarray, who: str) -> None:
    """Raises FrameError if a blob's own checksum is wrong."""
    got, needed = zlib.crc32(data[:-4].data), int.from_bytes(data[-4:].tobytes(), "little")
    if got != needed:
        raise FrameError(f"{who}: torn: needs CRC-32 {needed:08x}, got {got:08x}")


class Both(Operator):
    """A join of two blobs that must be equal, and the static value; writes the result directly into the slot."""

    @dataclass(frozen=True)
    class Config:
        bytes: int = 1_000_000

    inputs, outputs = {"a": BLOB, "b": BLOB, "base": static(COUNT)}, {"out": BLOB}

    @classmethod
    def slot_bytes(cls, config: Config) -> dict[str, int]:
        return {"out": config.bytes}

    def process(self, a: np.ndarray, b: np.ndarray, base: np.ndarray) -> np.ndarray:
        if base[0] != LATCHED:
            raise FrameError(f"{self.name}.base: needs {LATCHED}, got {base[0]}")
        if not np.array_equal(a, b):
            raise FrameError(f"{self.name}: torn: a and b differ in {self.header}")
        out = self.alloc("out", "data", a.shape, np.uint8)
        out[...] = a
        return out


class Note(Operator):
    """A sink that checks every frame and writes one line for it: `frame_id stamp_ns monotonic_ns`, with one write."""

    inputs = {"in": BLOB}

    def open(self) -> None:
        self.out_dir.mkdir(parents=True, exist_ok=True)
        path = self.out_dir / "frames.txt"
        if self.resume is not None and path.exists():
            self._trim(path, self.resume.frame_id)
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if self.resume else os.O_TRUNC), 0o644)

    @staticmethod
    def _trim(path: Path, last: int) -> None:
        """Removes lines after the last delivered frame; in place, because a full disk has no room for a second file."""
        size = 0
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n") or int(line.split()[0]) > last:
                break
            size += len(line)
        os.truncate(path, size)

    def process(self, **inputs: np.ndarray) -> None:
        whole(inputs["in"], self.name)
        line = f"{self.header.frame_id} {self.header.stamp_ns} {time.monotonic_ns()}\n".encode()
        size = os.fstat(self.file).st_size
        if os.write(self.file, line) < len(line):  # the disk became full within the line
            os.ftruncate(self.file, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.out_dir / "frames.txt"))

    def close(self) -> None:
        os.close(self.file)


class Held(Note):
    """Keeps views of the last two frames and checks them again at each frame."""

    holds = {"in": 2}

    def open(self) -> None:
        super().open()
        self.kept: deque[np.ndarray] = deque(maxlen=2)

    def process(self, **inputs: np.ndarray) -> None:
        for data in self.kept:
            whole(data, f"{self.name}: kept view")
        super().process(**inputs)
        self.kept.append(inputs["in"])
