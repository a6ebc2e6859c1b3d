"""`pipe bench udp`: datagrams of a LiDAR over loopback, at the sensor's rate and at twice that.

The reader is busy in Python for 80 of every 100 ms, as a decoder on a loaded board. Rows: drivers.udp.Receiver (a thread of its
own, 8 MB asked) beside a socket that the reader itself empties between its work, with the kernel's default buffer. Lost datagrams
are counted by their numbers; CPU per datagram is that of the whole process with an idle reader. The sender is another process.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.common import header
from drivers.sender.pace import Pace
from drivers.udp import Receiver

SENSORS = {"VLP-16": (754, 1206), "HDL-64E": (3472, 1206), "OS-0-128, legacy": (640, 24_896)}
"""Datagrams per second, bytes of each."""
SECONDS, BUSY_S, PERIOD_S, QUIET_S = 4.0, 0.08, 0.1, 0.5


def main(seconds: float = SECONDS) -> dict[str, Any]:
    out: dict[str, Any] = {"about": header("pipe bench udp", "numbered datagrams"), "rows": [], "figures": {}}
    print(f"\n{'sensor':>16} {'rate':>5} | {'datagrams/s':>11} | lost: receiver, plain socket | CPU us per datagram: both")
    for name, (hz, size) in SENSORS.items():
        for times in (1, 2):
            count = round(hz * times * seconds)
            lost = [_run(way, hz * times, size, count, BUSY_S)[0] for way in (_receiver, _plain)]
            cpu_us = [_run(way, hz * times, size, count, 0.0)[1] for way in (_receiver, _plain)]
            row = {"sensor": name, "rate": times, "hz": hz * times, "lost": lost, "of": count, "cpu_us": cpu_us}
            out["rows"].append(row)
            out["figures"][f"{name}.{times}x.lost"] = lost[0]
            out["figures"][f"{name}.{times}x.cpu_us"] = round(cpu_us[0], 1)
            both = f"{cpu_us[0]:>8.1f} {cpu_us[1]:>8.1f}"
            print(f"{name:>16} {times:>4}x | {hz * times:>11} | {lost[0]:>8} {lost[1]:>8} of {count:>6} | {both}")
    return out


Take = Callable[[], list[bytes]]


def _receiver() -> tuple[int, Take, Callable[[], None]]:
    it = Receiver(0, "127.0.0.1")
    return it.port, lambda: [d.data for d in it.receive(0.01)], it.close


def _plain() -> tuple[int, Take, Callable[[], None]]:
    it = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    it.bind(("127.0.0.1", 0))
    it.settimeout(0.01)

    def take() -> list[bytes]:
        try:
            return [it.recv(65_535)]
        except TimeoutError:
            return []

    return it.getsockname()[1], take, it.close


def _run(
    way: Callable[[], tuple[int, Take, Callable[[], None]]], hz: float, size: int, count: int, busy_s: float
) -> tuple[int, float]:
    """(lost, CPU us per datagram) of one stream."""
    port, take, close = way()
    sender = subprocess.Popen([sys.executable, "-m", "bench.udp", *map(str, (port, hz, size, count))])
    seen: set[int] = set()
    last = next_work = time.monotonic()
    cpu = 0.0
    while time.monotonic() - last < QUIET_S or sender.poll() is None:
        before = time.process_time()
        got = take()
        cpu += time.process_time() - before
        now = time.monotonic()
        if got:
            seen.update(struct.unpack_from("<I", data)[0] for data in got)
            last = now
        if busy_s and now >= next_work:
            next_work = now + PERIOD_S
            while time.monotonic() < now + busy_s:
                pass
    close()
    return count - len(seen), cpu / max(len(seen), 1) * 1e6


def _send(port: int, hz: float, size: int, count: int) -> None:
    pace, rest = Pace(), bytes(size - 4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        time.sleep(0.2)
        for number in range(count):
            pace.wait(number / hz)
            out.sendto(struct.pack("<I", number) + rest, ("127.0.0.1", port))


if __name__ == "__main__":
    _send(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
