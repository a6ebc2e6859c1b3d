"""A rig of generated sensors: cameras and a LiDAR that are numbers, and what puts them together. Named as `rig_nodes:Class`."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from operators.streams import IMAGE, POINTS
from pipeline.frame import Reading
from pipeline.nodes.counts import COUNT
from pipeline.operator import Found, Operator, Source
from pipeline.testing import PERIOD_NS


@dataclass(frozen=True)
class SensorConfig:
    device: int = 0
    frames: int = 5


class Sensor(Source):
    Config = SensorConfig

    @classmethod
    def find(cls, config: SensorConfig) -> Found:
        return Found(config.frames, 1e9 / PERIOD_NS, np.arange(config.frames, dtype=np.int64) * PERIOD_NS)

    @classmethod
    def slot_bytes(cls, config: SensorConfig) -> dict[str, int]:
        return dict.fromkeys(cls.outputs, 4096)

    def open(self, start: int = 0) -> None:
        self.number = start

    def read(self) -> Reading | None:
        number, self.number = self.number, self.number + 1
        if number >= self.config.frames:
            return None
        rng = np.random.default_rng([self.config.device, number])
        return Reading(self.sense(rng), f"{number:06d}", number * PERIOD_NS)

    def sense(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        raise NotImplementedError


class Camera(Sensor):
    outputs = {"image": IMAGE}

    def sense(self, rng):
        return {"image": rng.integers(0, 256, (8, 12, 3), np.uint8)}


class Lidar(Sensor):
    outputs = {"points": POINTS}

    def sense(self, rng):
        return {"points": rng.random((20, 4), np.float32)}


class Half(Operator):
    """Every second row and column; writes DIR/<node>/half.txt. Fails for the frame `bad`."""

    @dataclass(frozen=True)
    class Config:
        bad: int = -1

    inputs, outputs = {"image": IMAGE}, {"image": IMAGE}

    @classmethod
    def slot_bytes(cls, config):
        return {"image": 4096}

    def open(self):
        self.out_dir.mkdir(parents=True, exist_ok=True)

    def process(self, image):
        if self.header.frame_id == self.config.bad:
            raise ValueError("a bad picture")
        with (self.out_dir / "half.txt").open("a") as file:
            file.write(f"{self.header.source} {self.header.frame_id}\n")
        return np.ascontiguousarray(image[::2, ::2])


class Together(Operator):
    """A number that follows from all bytes of one set."""

    inputs, outputs = {"points": POINTS, "front": IMAGE, "rear": IMAGE}, {"out": COUNT}

    def process(self, points, front, rear):
        return np.array([zlib.crc32(points.tobytes() + front.tobytes() + rear.tobytes())], np.int64)
