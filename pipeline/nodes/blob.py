"""Send bytes of any size at any rate, written directly into the slot.

out  out   (N,) uint8   content by frame number (see `counts.fill`); with `checksum`, the last 4 are the CRC-32 of the others
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from pipeline.frame import Reading
from pipeline.nodes.counts import BLOB, fill, stamp_ns, stamps_ns
from pipeline.operator import Found, Source


@dataclass(frozen=True)
class BlobConfig:
    bytes: int = 1_000_000
    mb: float | None = None  # instead of bytes, in 10^6
    frames: int | None = 100  # none = endless
    rate_hz: float | None = None  # of the stamps; none = 0.1 s apart
    checksum: bool = False

    def __post_init__(self) -> None:
        if self.size < (8 if self.checksum else 0):
            raise ValueError(f"bytes: needs at least {8 if self.checksum else 0}, got {self.size}")
        if self.rate_hz is not None and self.rate_hz <= 0:
            raise ValueError(f"rate_hz: needs more than 0, got {self.rate_hz:g}")

    @property
    def size(self) -> int:
        return self.bytes if self.mb is None else round(self.mb * 1e6)


class Blob(Source):
    Config, outputs = BlobConfig, {"out": BLOB}

    @classmethod
    def find(cls, config: BlobConfig) -> Found:
        stamps = None if config.frames is None else stamps_ns(0, config.frames, config.rate_hz)
        return Found(config.frames, config.rate_hz, stamps)

    @classmethod
    def slot_bytes(cls, config: BlobConfig) -> dict[str, int]:
        return {"out": max(config.size, 1)}

    def open(self, start: int = 0) -> None:
        self.index = start

    def read(self) -> Reading | None:
        if self.config.frames is not None and self.index >= self.config.frames:
            return None
        index, self.index = self.index, self.index + 1
        data = self.alloc("out", "data", (self.config.size,), np.uint8)
        if self.config.checksum:
            fill(data[:-4], index)
            data[-4:] = np.frombuffer(zlib.crc32(data[:-4].data).to_bytes(4, "little"), np.uint8)
        else:
            fill(data, index)
        return Reading({"out": data}, f"{index:06d}", stamp_ns(index, self.config.rate_hz))
