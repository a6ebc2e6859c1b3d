"""`pipe bench velodyne`: packets of a VLP-16 over loopback to `points`, and what decoding takes beside velodyne-decoder.

Latency is from the kernel's stamp of a scan's last packet until the driver has the cloud in its slot; the sender is another
process. Packets are those of ../shared/data (a real sensor, two returns) if they are there, else made by the manual. Cost is CPU
per scan of putting its packets in order, cutting and decoding; both decoders get the same packets in turns.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import sys
import time
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np

from bench.common import header
from drivers.rosbag2 import Rosbag2
from drivers.sender.pace import Pace
from drivers.udp import Receiver
from drivers.velodyne.calibration import calibration_of
from drivers.velodyne.decode import Decoder
from drivers.velodyne.encode import turning
from drivers.velodyne.models import MODELS
from drivers.velodyne.reader import Velodyne, VelodyneConfig
from drivers.velodyne.scans import Scans
from operators.streams import MAX_POINTS
from pipeline.operator import attach, prepare

SECONDS, TURNS = 20.0, 4
HOUR_US = 3_600_000_000


def main(seconds: float = SECONDS, rounds: int = 5) -> dict[str, Any]:
    packets, data = _packets()
    out: dict[str, Any] = {"about": header("pipe bench velodyne", data), "rows": [], "figures": {}}
    for times in (1, 2):
        lags_ms, lost = _over_udp(seconds, times)
        p50_ms, p99_ms = (round(float(value), 3) for value in np.percentile(lags_ms, (50, 99)))
        row = {"rate": times, "scans": len(lags_ms), "lost": lost, "p50_ms": p50_ms, "p99_ms": p99_ms}
        out["rows"].append(row)
        out["figures"][f"udp.{times}x.p50_ms"] = p50_ms
        print(f"UDP at {times}x: {len(lags_ms)} scans, {lost} packets lost, p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms")
    ours, theirs = _cost_ms(packets, rounds)
    out["figures"] |= {"ours.ms_per_scan": ours, "velodyne_decoder.ms_per_scan": theirs}
    print(f"CPU of a scan: {ours:.2f} ms, velodyne-decoder " + (f"{theirs:.2f} ms" if theirs else "is not installed"))
    return out


def _packets() -> tuple[list[bytes], str]:
    """Of four turns, and what they are."""
    folder = Path(os.environ.get("PIPE_DATA", "../shared/data")) / "pcap" / "velodyne_vlp16" / "1673400471837873222"
    if folder.is_dir():
        return [datagram.data for datagram in Rosbag2(folder)], "VLP-16, recorded, two returns, 603 packets repeated"
    return [data for _, data in turning(MODELS["VLP-16"], TURNS, dual=True)], "VLP-16, made by the manual, two returns"


def _over_udp(seconds: float, times: int) -> tuple[list[float], int]:
    source = prepare(Velodyne(), "velo", VelodyneConfig(source="udp://127.0.0.1:0", position_port=0, model="VLP-16"))
    source.open()
    slots: dict[str, np.ndarray] = {"points": np.zeros((MAX_POINTS, 4), np.float32)}
    slots |= {"point_rings": np.zeros(MAX_POINTS, np.uint8), "point_times": np.zeros(MAX_POINTS, np.float32)}
    attach(source, alloc=lambda port, name, shape, dtype: slots[port][: shape[0]])
    source.connect()
    assert isinstance(source.input, Receiver)
    sender = Popen([sys.executable, "-m", "bench.velodyne", str(source.input.port), str(times), str(seconds)])
    lags_ms, lost, over = list[float](), 0, False
    while not over:
        over = sender.poll() is not None
        reading = source.receive(0.1)  # once more after the end: what still waits
        if reading is not None:
            lags_ms.append((time.time_ns() - reading.recv_ns) / 1e6)
            lost += reading.meta["points"]["packets_lost"]
    source.disconnect()
    return lags_ms, lost


def _send(port: int, times: float, seconds: float) -> None:
    """The packets again and again, their times counted on."""
    packets, _ = _packets()
    model, pace = MODELS["VLP-16"], Pace()
    period_us = model.packet_ns(True) / 1e3
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for n in range(round(seconds * times * 1e6 / period_us)):
            data = packets[n % len(packets)]
            pace.wait(n * period_us * 1e-6 / times)
            out.sendto(data[:1200] + (round(n * period_us) % HOUR_US).to_bytes(4, "little") + data[1204:], ("127.0.0.1", port))


def _cost_ms(packets: list[bytes], rounds: int) -> tuple[float, float]:
    """CPU per turn of ours, of velodyne-decoder (0: not installed): medians."""
    model = MODELS["VLP-16"]
    decoder = Decoder(model, calibration_of(model))
    points, rings, times = np.zeros((MAX_POINTS, 4), np.float32), np.zeros(MAX_POINTS, np.uint8), np.zeros(MAX_POINTS, np.float32)
    library: Any = None
    with contextlib.suppress(ImportError):
        library = importlib.import_module("velodyne_decoder")
    ours, theirs = list[float](), list[float]()
    for _ in range(rounds):
        began, scans = time.process_time(), Scans(model)
        for n, data in enumerate(packets):
            scans.push(data, n)
        for scan in scans.ready:
            decoder.fill(scan, points, rings, times)
        ours.append((time.process_time() - began) / TURNS * 1e3)
        if library is not None:
            began, stream = time.process_time(), library.StreamDecoder(library.Config(model=library.Model.VLP16, cut_angle=0.0))
            for n, data in enumerate(packets):
                stream.decode(1.7e9 + n * 0.00066, data)
            theirs.append((time.process_time() - began) / TURNS * 1e3)
    return float(np.median(ours)), float(np.median(theirs)) if theirs else 0.0


if __name__ == "__main__":
    _send(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
