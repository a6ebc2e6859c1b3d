"""A source of small pictures and sweeps, and a sink that writes down what came, for the tests of `--inject` and `inject:`."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from pipe_nodes import Notes

from operators.streams import GREY, IMAGE, POINTS, THERMAL_RAW
from pipeline.frame import Reading
from pipeline.operator import Found, Source
from pipeline.schema import optional


@dataclass(frozen=True)
class SensorsConfig:
    frames: int = 10
    rate_hz: float = 10.0
    first_ns: int = 5_000_000_000


class Sensors(Source):
    Config = SensorsConfig
    outputs = {"image": IMAGE, "grey": GREY, "thermal_raw": THERMAL_RAW, "points": POINTS}

    @classmethod
    def slot_bytes(cls, config: SensorsConfig) -> dict[str, int]:
        return dict.fromkeys(cls.outputs, 64000)

    @classmethod
    def find(cls, config: SensorsConfig) -> Found:
        stamps = config.first_ns + (np.arange(config.frames) * 1e9 / config.rate_hz).astype(np.int64)
        return Found(config.frames, config.rate_hz, stamps)

    def open(self, start: int = 0) -> None:
        self.index = start

    def read(self) -> Reading | None:
        index, self.index = self.index, self.index + 1
        if index >= self.config.frames:
            return None
        rng = np.random.default_rng(index)
        loan = self.alloc("image", "image", (24, 32, 3), np.uint8)
        loan[...] = rng.integers(0, 256, loan.shape)
        points = rng.uniform(-40, 40, (400, 4)).astype(np.float32)
        points[:, 3] = rng.random(400)
        values = {
            "image": loan,
            "grey": rng.integers(0, 256, (24, 32)).astype(np.uint8),
            "thermal_raw": rng.integers(7000, 9000, (24, 32)).astype(np.uint16),
            "points": points,
        }
        stamp_ns = self.config.first_ns + int(index * 1e9 / self.config.rate_hz)
        return Reading(values, f"{index:06d}", stamp_ns)


class Look(Notes):
    """Writes the CRC-32 of each input, and the inputs that a set lacks."""

    inputs = {port: optional(schema) for port, schema in Sensors.outputs.items()}

    def process(self, **inputs: Any) -> None:
        came = {port: zlib.crc32(np.ascontiguousarray(value)) for port, value in inputs.items() if value is not None}
        writeable = [port for port, value in inputs.items() if value is not None and value.flags.writeable]
        self.note(crc=came, missing=list(self.missing), writeable=writeable)
