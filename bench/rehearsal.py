"""The loopback sensors of a rehearsal for benches: senders that begin, are cut and come back while a graph runs."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

from bench.proc import process
from pipeline.runtime.observer import Observer, Pids


def _free(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Rehearsal(Observer):
    """Plays the recordings of `pipe run rehearsal` to live_full, weighs its processes every 5 s.

    cuts: sensor -> from, to [s] after the start; LiDAR and camera are cut by ending their sender, thermal by a fault that drops
    its frames. sets: for the graph. began_ns: when its nodes were open; memory_mb: (time [s], sum of resident memory).
    """

    def __init__(self, recordings: Path, cuts: dict[str, tuple[float, float]]) -> None:
        udp, http = f"udp://127.0.0.1:{_free(socket.SOCK_DGRAM)}", f"http://127.0.0.1:{_free(socket.SOCK_STREAM)}/cam"
        self._commands: dict[str, Sequence[str]] = {
            "lidar": (str(recordings / "lidar/packets.pcap"), "--to", udp, "--restamp"),
            "camera": (str(recordings / "camera/video/RGB"), "--to", http, "--hz", "30"),
        }
        begin_s, end_s = cuts["thermal"]
        self.sets: dict[str, Any] = {
            "lidar.config.source": udp, "lidar.config.position_port": 0, "camera.config.device": http,
            "thermal.config.device": str(recordings / "thermal/video/thermal_16_bit"), "thermal.config.fps": 9,
            "thermal.config.calibration": "rehearsal", "thermal.inject": [f"thermal_raw:drop=1@{begin_s:g}s-{end_s:g}s"],
        }  # fmt: skip
        self._cuts, self._senders = cuts, dict[str, Popen[bytes]]()
        self.began_ns, self.memory_mb = 0, list[tuple[float, float]]()

    def started(self, pids: Pids) -> None:
        self.began_ns = time.time_ns()

    def update(self, pids: Pids) -> None:
        if not self.began_ns:
            return
        now_s = (time.time_ns() - self.began_ns) * 1e-9
        for name, command in self._commands.items():
            begin_s, end_s = self._cuts[name]
            if begin_s <= now_s < end_s:
                self._end(name)
            elif name not in self._senders:
                line = [sys.executable, "-m", "pipeline", "send", *command, "--repeat", "0"]
                self._senders[name] = Popen(line, stdout=DEVNULL)
        if not self.memory_mb or now_s - self.memory_mb[-1][0] >= 5:
            self.memory_mb.append((now_s, sum(process(pid).get("rss_mb", 0.0) for pid in pids.values())))

    def stop(self) -> None:
        for name in list(self._senders):
            self._end(name)

    def _end(self, name: str) -> None:
        if (sender := self._senders.pop(name, None)) is not None:
            sender.terminate()
            sender.wait()
