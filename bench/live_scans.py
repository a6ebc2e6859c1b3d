"""A live LiDAR for benches: the scans of a generated drive, again and again, at any rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drivers.synthetic.world import SyntheticWorld
from operators.streams import POINTS
from pipeline.frame import Reading
from pipeline.operator import Found, Source
from pipeline.testing import run_source

WORLD = {"seed": 7, "first_drive": 2, "frames": 30, "shapes": "test", "lidar": {"view_deg": 180}}


@dataclass(frozen=True)
class ScansConfig:
    rate_hz: float = 10.0
    seconds: float = 10.0


class Scans(Source):
    Config, outputs = ScansConfig, {"points": POINTS}

    @classmethod
    def find(cls, config: ScansConfig) -> Found:
        num = round(config.rate_hz * config.seconds)
        return Found(num, config.rate_hz, np.rint(np.arange(num) * 1e9 / config.rate_hz).astype(np.int64))

    def open(self, start: int = 0) -> None:
        self.number, self.stamps = start, self.find(self.config).stamps_ns
        self.points = [reading.values["points"] for reading in run_source(SyntheticWorld, WORLD, wanted=["points"])]

    def read(self) -> Reading | None:
        number, self.number = self.number, self.number + 1
        if self.stamps is None or number >= len(self.stamps):
            return None
        points = self.points[number % len(self.points)]
        return Reading({"points": self.put("points", "points", points)}, f"{number:06d}", int(self.stamps[number]))
