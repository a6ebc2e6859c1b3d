"""A toy sensor and a join that writes what it got, for graphs in processes. Named as `live_nodes:Class`."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np

from drivers.clock import SAYS
from drivers.live import Live, LiveConfig, Lost
from pipeline.frame import Reading
from pipeline.nodes.counts import COUNT
from pipeline.operator import Operator, Source


@dataclass(frozen=True, slots=True)
class SensorConfig(LiveConfig):
    hz: float = 20.0
    quiet: tuple[float, ...] = ()  # from, to, from, to ... [s since the first connection]: the cable is out
    blocks: bool = False  # receive() ignores its timeout, as some cameras do


class Sensor(Live, Source):
    """out: number of the reading. While the cable is out, receive() gets nothing and connect() is refused."""

    Config, outputs = SensorConfig, {"out": COUNT}

    _began_s = 0.0
    _sent = 0

    def connect(self) -> None:
        if not self._began_s:
            self._began_s = time.monotonic()
            self.note("clock", SAYS["arrival"])
        if self._is_out():
            raise Lost("refused")

    def receive(self, timeout_s: float) -> Reading | None:
        if self.config.blocks:
            time.sleep(600)
        due_s = self._began_s + self._sent / self.config.hz
        left_s = due_s - time.monotonic()
        time.sleep(max(0.0, min(left_s, timeout_s)))
        if left_s > timeout_s:
            return None
        self._sent += 1
        if self._is_out():
            return None
        return Reading({"out": np.array([self._sent - 1], np.int64)}, f"{self._sent:06d}", time.time_ns())

    def disconnect(self) -> None:
        pass

    def _is_out(self) -> bool:
        now = time.monotonic() - self._began_s
        quiet = self.config.quiet
        return any(start <= now < end for start, end in zip(quiet[::2], quiet[1::2], strict=True))


class Sets(Operator):
    """Writes DIR/<node>/sets.txt: frame_id of a, and of b or -1, a line per set."""

    inputs = {"a": COUNT, "b": COUNT}

    def open(self) -> None:
        self.out_dir.mkdir(parents=True, exist_ok=True)
        self.file = os.open(self.out_dir / "sets.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def process(self, a: np.ndarray, b: np.ndarray | None) -> None:
        other = -1 if b is None else self.headers["b"].frame_id
        os.write(self.file, f"{self.header.frame_id} {other}\n".encode())

    def close(self) -> None:
        os.close(self.file)
