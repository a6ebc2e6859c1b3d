"""Verify every byte of blobs.

in   data  (N,) uint8   a frame of test.blob
out  out   (1,) int64   its number
Raises FrameError if a byte is wrong.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from pipeline.errors import FrameError
from pipeline.nodes.counts import BLOB, COUNT, fill
from pipeline.operator import Operator


@dataclass(frozen=True)
class SumConfig:
    checksum: bool = False  # by the CRC-32 at the end, whatever the content; else the content by frame number


class Sum(Operator):
    Config, inputs, outputs = SumConfig, {"data": BLOB}, {"out": COUNT}

    def process(self, data: np.ndarray) -> np.ndarray:
        if self.config.checksum:
            got, needed = zlib.crc32(data[:-4].data), int.from_bytes(data[-4:].tobytes(), "little")
            if got != needed:
                raise FrameError(f"{self.name}.data: needs CRC-32 {needed:08x}, got {got:08x} in {self.header}")
        else:
            expected = np.empty_like(data)
            fill(expected, self.header.frame_id)
            wrong = np.flatnonzero(data != expected)
            if len(wrong):
                i = int(wrong[0])
                what = f"needs {expected[i]} at byte {i}, got {data[i]} in {self.header}; {len(wrong)} bytes differ"
                raise FrameError(f"{self.name}.data: {what}")
        return np.array([self.header.frame_id], np.int64)
